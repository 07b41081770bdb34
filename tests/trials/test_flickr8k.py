"""The longer run of docs/explanation/study.md#photographs, in a quarter of its epochs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.trial

EPOCHS = 5


def _clipdyn(*argv: object, cwd: Path) -> str:
    # One process has the machine to itself here, unlike in the other tests.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "hf_clipdyn", *map(str, argv)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_small_clip_learns_from_photographs_and_near_chance_the_page_says_so(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    folders = {name: real_data(name.replace("_", "-")) for name in ("flickr8k", "cue_conflict", "cifar10")}
    train = ["--data_dir", folders["flickr8k"], "--num_train_epochs", EPOCHS, "--hub_model_id", "me/trial"]
    _clipdyn("train", "--config", "flickr8k", *train, "--output_dir", "run", cwd=tmp_path)
    _clipdyn(
        *("evaluate", "run", "--output", "results.parquet"),
        *("--retrieval-held-out", 500),
        *("--benchmarks", "retrieval/flickr8k,shape_bias/cue_conflict,zero_shot/cifar10"),
        *(part for name, folder in folders.items() for part in ("--data-dir", f"{name}={folder}")),
        cwd=tmp_path,
    )
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert table["revision"].nunique() == EPOCHS + 1

    recalls = table[table["metric"] == "image_to_text_recall_at_10"]
    recall = recalls[recalls["role"] == "value"].set_index("revision")
    chance = recalls.loc[recalls["role"] == "chance", "value"].iloc[0]
    assert chance == pytest.approx(0.02, abs=0.001)
    assert recall.loc["epoch-000", "ci_low"] < chance < recall.loc["epoch-000", "ci_high"]
    assert recall.loc[f"epoch-{EPOCHS:03d}", "ci_low"] > 1.5 * chance

    biases = table.query("metric == 'shape_bias' and role == 'value' and variant == '' and texts == 'own'")
    assert len(biases) == EPOCHS + 1
    assert not biases["interpretable"].all(), "at this size some revision is always near chance"
    _clipdyn("report", "results.parquet", "--output", "report", cwd=tmp_path)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "not interpretable: epoch-000" in page.lower()
