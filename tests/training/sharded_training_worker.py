"""Run by torchrun: `scripts/train.py` with FSDP2 on CPUs; ``--stop`` as first argument leaves after seven steps."""

import sys

from sharding import sharded_accelerator

from hf_clipdyn.training import run
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig


class StopEarly(Callback):
    """Ends the run after its seventh step, when its checkpoint is written."""

    def step_ends(self, training: Training) -> None:
        if training.step == 7:
            training.stop()


def main(arguments: list[str]) -> None:
    stop = arguments[:1] == ["--stop"]
    # What accelerate's own configuration sets by default: one process has the weights, the others get theirs from it.
    run.make_accelerator = lambda config, folder: sharded_accelerator(cpu_ram_efficient_loading=True)
    run.train(TrainingConfig.read(arguments[stop:]), [StopEarly()] if stop else [])


if __name__ == "__main__":
    main(sys.argv[1:])
