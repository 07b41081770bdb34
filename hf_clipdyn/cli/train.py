"""`clipdyn train`; apart from the other commands, so that its help imports none of their options."""

import logging
import shlex

from hf_clipdyn.training.config import TrainingConfig


class Train(TrainingConfig):
    """Train CLIP and save every epoch as a revision.

    With `accelerate launch` or `torchrun`, use scripts/train.py: it is the same command.
    """

    def __call__(self) -> int:
        from hf_clipdyn.training import train

        done = train(self)
        if done is None:
            return 0
        print(done.message)
        logging.getLogger(__name__).info(f"Next: clipdyn evaluate {shlex.quote(str(done.folder))}")
        return int(bool(done.missing))
