"""An evaluation waits for the device once a forward pass, when its embeddings are fetched, and nowhere else."""

from waits import counted

ROOMS = ("models", "benchmarks", "evaluation")


def test_an_evaluation_waits_for_the_embeddings_alone(evaluate):
    waits = {}
    for batch_size in (20, 5):
        with counted(*ROOMS) as found:
            evaluate("zero_shot/cifar10", revisions=["epoch-001"], batch_size=batch_size)
        waits[batch_size] = found
    further = waits[5] - waits[20]
    assert further == {"encoder.py _numpy": 3}, "four passes of five images instead of one of twenty"
