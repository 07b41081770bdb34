"""Run by torchrun: `scripts/train.py` with FSDP2 on CPUs; ``--stop`` as first argument leaves after seven steps."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sharding import sharded_accelerator
from training_runs import Stop

from hf_clipdyn.training import run
from hf_clipdyn.training.config import TrainingConfig


def main(arguments: list[str]) -> None:
    stop = arguments[:1] == ["--stop"]
    # What accelerate's own configuration sets by default: one process has the weights, the others get theirs from it.
    run.make_accelerator = lambda config, folder: sharded_accelerator(cpu_ram_efficient_loading=True)
    run.train(TrainingConfig.read(arguments[stop:]), [Stop(7)] if stop else [])


if __name__ == "__main__":
    main(sys.argv[1:])
