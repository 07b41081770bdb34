"""Tasks are shared out between processes, whatever happens to one of them."""

import os
import signal
import time
from functools import partial

import pytest

from hf_clipdyn import machine
from hf_clipdyn.machine import share_out


@pytest.fixture(params=[1, 3])
def cores(request, monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("count", [0, 1, 300])
def test_the_results_have_the_order_of_the_tasks(count):
    with share_out([partial(pow, task, 2) for task in range(count)]) as results:
        assert results == []
    assert results == [task**2 for task in range(count)]


def test_other_processes_work_while_the_block_runs_and_this_one_does_what_is_left(cores):
    with share_out([os.getpid] * 8) as results:
        if cores > 1:
            time.sleep(0.3)
    assert len(results) == 8
    assert (os.getpid() in results) == (cores == 1)


@pytest.mark.usefixtures("cores")
def test_a_task_that_fails_elsewhere_raises_its_error_here():
    with pytest.raises(ZeroDivisionError, match="by zero"), share_out([partial(divmod, 1, 0)] * 3):
        pass


def test_what_a_process_that_dies_has_done_is_done_again(cores):
    here = os.getpid()

    def die() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    with share_out([die] * 5) as results:
        time.sleep(0.1)
    assert results == [here] * 5


@pytest.mark.usefixtures("cores")
def test_after_an_error_in_the_block_no_further_task_is_begun(tmp_path):
    def begin(name: str) -> None:
        (tmp_path / name).touch()
        time.sleep(0.2)

    with (
        pytest.raises(KeyboardInterrupt),
        share_out([partial(begin, str(task)) for task in range(9)]),
    ):
        raise KeyboardInterrupt
    begun = len(list(tmp_path.iterdir()))
    assert begun <= 3
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == begun
