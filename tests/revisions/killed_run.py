"""A publishing process that the tests kill: `killed_run.py FOLDER EPOCHS [TOKEN]`.

The weights are made with NumPy, so that no torch need be loaded and the process is soon at work.
"""

import logging
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from hf_clipdyn import hub
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, Row, epoch_name


def main() -> None:
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    token = sys.argv[3] if len(sys.argv) > 3 else None
    if "HF_DEBUG" in os.environ:
        logging.basicConfig(level=logging.DEBUG)

    def save(epoch: int, to: Path) -> None:
        shutil.copytree(folder / "common", to, dirs_exist_ok=True)
        weights = np.random.default_rng(epoch).normal(size=(256, 256)).astype(np.float32)
        save_file({"weight": weights}, to / "model.safetensors")

    hub.FIRST_PAUSE, hub.LONGEST_PAUSE = 0.02, 0.1
    card = CardFacts("me/run")
    publisher = Publisher(folder / "run", "me/run", card=card, recipe_hash="r", push_to_hub=True, token=token)
    print("at work", flush=True)
    with publisher:
        for epoch in range(epochs):
            row = Row(name=epoch_name(epoch), epoch=epoch, step=epoch * 10, samples_seen=epoch * 40)
            publisher.submit(row, lambda to, epoch=epoch: save(epoch, to))
        summary = publisher.finish(20.0)
    print(summary.message, flush=True)
    sys.exit(1 if summary.missing else 0)


if __name__ == "__main__":
    main()
