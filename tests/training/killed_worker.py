"""Runs `train` in children that kill themselves, each a little later than the one before, until one comes to its end.

Prints how many were killed. A child is forked after the imports, which take most of a short run's time.
"""

import itertools
import os
import signal
import sys

from hf_clipdyn.training import train
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig

_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.chmod"}
_PLACES = ("/checkpoints/", "log.jsonl")
_left = 0


def _count_down() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: whatever happens to a checkpoint or to the log may be the last thing."""
    if event in _EVENTS and any(word in str(arguments[0]) for word in _PLACES):
        _count_down()


class _Steps(Callback):
    def step_ends(self, training: Training) -> None:
        _count_down()


def main() -> None:
    global _left
    config = TrainingConfig.read(sys.argv[1:])
    for kill in itertools.count():
        child = os.fork()
        if child == 0:
            _left = 1 + kill
            sys.addaudithook(_watch)
            train(config, [_Steps()])
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            print(kill)
            sys.exit(os.WEXITSTATUS(status))
        assert os.WTERMSIG(status) == signal.SIGKILL, status


if __name__ == "__main__":
    main()
