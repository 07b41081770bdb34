"""A table with the columns of `clipdyn evaluate`. A fixture: its numbers were made up for the tests."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hf_clipdyn.report import write_report

Row = dict[str, Any]
Rows = Callable[..., list[Row]]

_BIAS = (0.48, 0.30, 0.33, 0.52, 0.74, 0.84)
_ACCURACY = (0.12, 0.45, 0.62, 0.80, 0.88, 0.93)


def _row(
    benchmark: str,
    metric: str,
    value: float,
    half: float = 0.0,
    *,
    epoch: int | None = 0,
    group: str = "",
    note: str = "",
    repo_id: str = "me/fixture",
    revision: str | None = None,
    **more: Any,
) -> Row:
    name = revision or f"epoch-{epoch:03d}"
    row = {
        "repo_id": repo_id,
        "revision": name,
        "commit": f"{repo_id}@{name}".encode().hex()[:40],
        "epoch": epoch,
        "step": None if epoch is None else epoch * 100,
        "samples_seen": None if epoch is None else epoch * 6400,
        "benchmark": benchmark,
        "data_fingerprint": "fixture0123",
        "preprocess": "processor",
        "probe": "projection",
        "layer": None,
        "metric": metric,
        "group": group,
        "higher_is_better": None,
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "n": 1000,
        "n_groups": 64,
        "dtype": "float32",
        "versions": "hf_clipdyn 0.1.0, torch 2.6",
        "seconds": 1.0,
        "note": note,
    }
    return {**row, **more}


def _study(repo_id: str = "me/fixture", dataset: str = "procedural", shift: float = 0.0) -> list[Row]:
    rows = []
    for epoch, (bias, accuracy) in enumerate(zip(_BIAS, _ACCURACY, strict=True)):
        cues = 0.25 if epoch == 0 else 0.7 + 0.03 * epoch
        told = epoch > 0

        def add(
            kind: str,
            metric: str,
            value: float,
            half: float = 0.0,
            *,
            epoch: int = epoch,
            data: str = dataset,
            **more: Any,
        ) -> None:
            rows.append(_row(f"{kind}/{data}", metric, value, half, epoch=epoch, repo_id=repo_id, **more))

        add("shape_bias", "shape_bias", bias + shift, 0.04)
        add("shape_bias", "texture_bias", 1 - bias - shift, 0.04)
        add("shape_bias", "cue_accuracy", cues, 0.03)
        add("shape_bias", "null_cue_accuracy", 0.262 + 0.002 * epoch)
        add("shape_bias", "shape_accuracy", cues * bias, 0.03)
        add("shape_bias", "texture_accuracy", cues * (1 - bias), 0.03)
        add("shape_bias", "interpretable", float(told))
        add("shape_bias", "top_class_share", 0.2 if told else 0.6)
        add("shape_bias", "shape_preference", bias * 0.9, 0.02)
        add("zero_shot", "top1", accuracy, 0.02)
        add("zero_shot", "chance", 0.125)
        add("noise", "clean_accuracy", accuracy, 0.02, probe="")
        add("noise", "chance", 0.125, probe="")
        for sigma in (0.05, 0.10, 0.20, 0.40):
            add("noise", "noise_rms", sigma * (1 - sigma / 2), group=f"sigma={sigma:.2f}", probe="pixels")
            drop = sigma * 0.6 * (1 + epoch / 5)
            add("noise", "accuracy", accuracy - drop * accuracy, 0.02, group=f"sigma={sigma:.2f}")
            add(
                "noise",
                "chance_corrected_drop",
                drop if told else math.nan,
                0.05 if told else math.nan,
                group=f"sigma={sigma:.2f}",
                note="" if told else "clean accuracy within its interval of chance",
            )
        add("distortion", "alignment_ssim/cosine", 0.7 - 0.05 * epoch, 0.03, data="procedural")
    return rows


def _write(rows: Sequence[Row], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(list(rows), columns=list(_row("kind/data", "metric", 0.0)))
    for column in ("epoch", "step", "samples_seen", "layer"):
        frame[column] = frame[column].astype("Int64")
    frame.to_parquet(path)
    return path


@pytest.fixture(scope="session")
def row() -> Callable[..., Row]:
    """One made-up row of results; every column can be overridden."""
    return _row


@pytest.fixture(scope="session")
def study() -> Rows:
    """The made-up rows of one run: near chance at first, a texture phase, a turn, a shape phase."""
    return _study


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as the Parquet file that `clipdyn evaluate` would leave."""
    return lambda rows, name="results.parquet": _write(rows, tmp_path / name)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the report on two runs, one on real and one on synthetic images; not to be changed."""
    folder = tmp_path_factory.mktemp("report")
    results = _write([*_study("me/real", "cue_conflict"), *_study("me/rendered")], folder / "results.parquet")
    return write_report(results, folder / "report").parent
