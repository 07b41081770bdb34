"""An evaluation waits for the device once for all images that a benchmark shows, and not for each forward pass."""

from waits import counted

ROOMS = ("models", "benchmarks", "evaluation")


def test_more_forward_passes_are_no_more_waits(evaluate):
    waits = {}
    for batch_size in (20, 5):
        with counted(*ROOMS) as found:
            evaluate("zero_shot/cifar10", revisions=["epoch-001"], batch_size=batch_size)
        waits[batch_size] = found
    assert waits[5] == waits[20]
    assert waits[20]["encoder.py _numpy"] > 0
