"""`scripts/by_feature`: each script runs, and what it measures and shards changes no training."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn import list_revisions, load_results

FOLDER = Path(__file__).resolve().parents[1] / "scripts" / "by_feature"
BASE = FOLDER / "publish_each_epoch.py"
TRAINER = FOLDER / "trainer_callbacks.py"
QUICK = ["--epochs", "2", "--images", "256"]


def _run(script: Path, output: Path, *arguments: str) -> str:
    done = forked.run(
        [sys.executable, script, "--output_dir", output, *(arguments or QUICK)],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _losses(printed: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"(?m)^epoch \d+: loss (\S+)$", printed)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the base script printed, and its folder."""
    output = tmp_path_factory.mktemp("by-feature") / "base"
    return _run(BASE, output), output


def test_the_base_script_publishes_each_epoch(base: tuple[str, Path]) -> None:
    printed, output = base
    assert "3 of 3 revisions are saved" in printed
    revisions = list_revisions(output)
    assert [(r.name, r.step, r.samples_seen) for r in revisions] == [
        ("epoch-000", 0, 0),
        ("epoch-001", 4, 256),
        ("epoch-002", 8, 512),
    ]
    assert len({r.sha256 for r in revisions}) == 3
    CLIPProcessor.from_pretrained(output / "revisions" / "epoch-002")
    CLIPModel.from_pretrained(output / "revisions" / "epoch-002")


def test_the_callbacks_of_a_trainer_publish_and_measure_each_epoch(tmp_path: Path) -> None:
    _run(TRAINER, tmp_path, "--epochs", "1", "--images", "128")
    revisions = [one.name for one in list_revisions(tmp_path)]
    assert revisions == ["epoch-000", "epoch-001"]
    rows = load_results(tmp_path / "results.parquet")
    assert list(dict.fromkeys(rows["revision"])) == revisions


def test_measuring_each_epoch_changes_no_loss(base: tuple[str, Path], tmp_path: Path) -> None:
    printed = _run(BASE, tmp_path, *QUICK, "--benchmarks", "zero_shot/procedural")
    assert _losses(printed) == _losses(base[0])
    assert set(load_results(tmp_path / "results.parquet")["epoch"]) == {0, 1, 2}


@pytest.mark.slow
def test_the_sharded_script_publishes_whole_weights_from_two_processes(
    launch: Callable[..., str], tmp_path: Path
) -> None:
    worker = Path(__file__).with_name("by_feature_sharded.py")
    printed = launch(2, worker, "--output_dir", str(tmp_path / "run"), "--fsdp", *QUICK)
    assert "3 of 3 revisions are saved" in printed
    model = CLIPModel.from_pretrained(tmp_path / "run" / "revisions" / "epoch-002")
    assert model.logit_scale.shape == torch.Size([])
    assert len(_losses(printed)) == 2
