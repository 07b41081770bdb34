"""Training waits for the device at log lines and where an epoch ends, however many steps lie between."""

from collections.abc import Callable

import pytest
from training_runs import finished, log
from waits import counted


@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9}], ids=str)
def test_more_steps_between_two_log_lines_are_no_more_waits(
    flags: Callable[..., list[str]], tmp_path, more
) -> None:
    waits = []
    for name, batch in (("long", 12), ("short", 24)):  # 10 and 5 steps an epoch, one log line in each
        given = {"per_device_train_batch_size": batch, "logging_steps": 120 // batch, "num_train_epochs": 2}
        with counted("training") as found:
            finished(flags(name, **given, **more))
        assert len(log(tmp_path / name)) == 2
        waits.append(found)
    assert waits[0] == waits[1]
    assert waits[0]
