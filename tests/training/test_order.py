"""The order of the data: what is replayed from a run's folder and its data names the samples that its steps showed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from training_runs import Stop, finished, log

from hf_clipdyn import samples_between, times_seen
from hf_clipdyn.errors import ConfigError, RevisionError
from hf_clipdyn.training import run as loop
from hf_clipdyn.training.callbacks import Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch, open_data
from hf_clipdyn.training.order import RECORD_FILE

Flags = Callable[..., list[str]]
Pair = tuple[bytes, bytes]


def _pair(pixels: torch.Tensor, input_ids: torch.Tensor) -> Pair:
    """An image and a caption, to be compared."""
    return pixels.contiguous().numpy().tobytes(), input_ids.numpy().tobytes()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Pair]]:
    """What the runs of this process show, by step."""
    steps: dict[int, list[Pair]] = {}
    timed = loop._timed

    def watched(training: Training) -> Iterator[Batch]:
        for batch in timed(training):
            steps[training.step] = [_pair(*one) for one in zip(batch.pixels, batch.input_ids, strict=True)]
            yield batch

    monkeypatch.setattr(loop, "_timed", watched)
    return steps


def _replayed(run: Path, last: str, config: TrainingConfig) -> dict[int, list[Pair]]:
    """What `samples_between` names, by step."""
    batches = open_data(config, Accelerator(cpu=True)).source._loader.dataset
    tokens = torch.from_numpy(batches._captions.tokens.astype("int64"))
    return {
        samples.first_step + i: [
            _pair(batches._images.read(row), tokens[int(batches._captions.first[row]) + caption])
            for row, caption in np.transpose(step).tolist()
        ]
        for samples in samples_between(run, "epoch-000", last)
        for i, step in enumerate(zip(samples.rows, samples.captions, strict=True))
    }


@pytest.mark.parametrize("reading", ["decoded", pytest.param("cached", marks=pytest.mark.slow)])
def test_what_is_replayed_was_shown_with_a_broken_image_and_a_stop_inside_an_epoch(
    flags: Flags, photographs: Path, tmp_path: Path, shown: dict[int, list[Pair]], reading: str
) -> None:
    (photographs / "Images" / "0007.jpg").write_bytes(b"no image")
    run = tmp_path / "run"
    changes = {"num_train_epochs": 2, "reading": reading, "publish": "3"}
    finished(flags(**changes), Stop(3))
    finished(flags(resume_from_checkpoint="true", **changes))
    assert _replayed(run, "epoch-002", TrainingConfig.read(flags(**changes))) == shown
    steps = len(shown) // 2
    between = list(samples_between(run, "step-00000003", "epoch-002"))
    assert [(s.epoch, s.first_step, len(s.rows)) for s in between] == [(1, 3, steps - 3), (2, steps, steps)]
    assert all(7 not in samples.rows for samples in samples_between(run, "epoch-000", "epoch-002"))
    times = times_seen(run, "epoch-002")
    assert times.shape == (120,)
    assert times.sum() == 2 * steps * 24
    assert times_seen(run, "epoch-000").tolist() == [0] * 120
    assert (run / RECORD_FILE).stat().st_size < 300
    with pytest.raises(ConfigError, match=r"epoch-000 \(step 0\) is earlier than epoch-002"):
        samples_between(run, "epoch-002", "epoch-000")


def test_changed_data_are_neither_replayed_nor_trained_on_and_data_elsewhere_are(
    flags: Flags, photographs: Path, tmp_path: Path
) -> None:
    run, captions = tmp_path / "run", photographs / "captions.txt"
    finished(flags(num_train_epochs=1), Stop(3))
    again = flags(num_train_epochs=1, resume_from_checkpoint="true")
    text = captions.read_text("utf-8")
    changed = text.replace("red", "?").replace("blue", "red").replace("?", "blue")  # the same vocabulary
    captions.write_text(changed, "utf-8")
    with pytest.raises(ConfigError, match=r"The training data have changed since the run of .* began"):
        finished(again)
    captions.write_text(text, "utf-8")
    finished(again)
    assert len(log(run)) == 5
    before = times_seen(run, "epoch-001")
    captions.write_text(changed, "utf-8")
    with pytest.raises(RevisionError, match=r"The training data of .* have changed since the run began"):
        times_seen(run, "epoch-001")
    captions.write_text(text, "utf-8")
    config = run / "config.yaml"
    elsewhere = photographs.rename(tmp_path / "elsewhere")
    config.write_text(config.read_text("utf-8").replace(str(photographs), str(elsewhere)), "utf-8")
    assert times_seen(run, "epoch-001").tolist() == before.tolist()
