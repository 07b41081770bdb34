"""A study as `clipdyn evaluate` would write it. A fixture: its numbers were made up for the tests."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from result_rows import row, write_rows

from hf_clipdyn.results.row import Row

_BIAS = (0.48, 0.30, 0.33, 0.52, 0.74, 0.84)
_ACCURACY = (0.12, 0.45, 0.62, 0.80, 0.88, 0.93)


def _study(repo_id: str = "me/fixture", dataset: str = "procedural", shift: float = 0.0) -> list[Row]:
    rows = []
    for epoch, (bias, accuracy) in enumerate(zip(_BIAS, _ACCURACY, strict=True)):
        cues = 0.25 if epoch == 0 else 0.7 + 0.03 * epoch
        decided = epoch > 0

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
            rows.append(row(f"{kind}/{data}", metric, value, half, epoch=epoch, repo_id=repo_id, **more))

        add("shape_bias", "shape_bias", bias + shift, 0.04, interpretable=decided)
        add("shape_bias", "texture_bias", 1 - bias - shift, 0.04, interpretable=decided)
        add("shape_bias", "cue_accuracy", cues, 0.03)
        add("shape_bias", "cue_accuracy", 0.262 + 0.002 * epoch, role="null")
        add("shape_bias", "shape_accuracy", cues * bias, 0.03)
        add("shape_bias", "shape_preference", bias * 0.9, 0.02)
        add("zero_shot", "top1", accuracy, 0.02)
        add("zero_shot", "top1", 0.125, role="chance")
        add("noise", "accuracy", accuracy, 0.02)
        add("noise", "accuracy", 0.125, role="chance")
        for sigma in (0.05, 0.10, 0.20, 0.40):
            noisy: dict[str, Any] = {"condition": "gaussian", "level": sigma}
            add("noise", "noise_rms", sigma * (1 - sigma / 2), role="diagnostic", probe="", **noisy)
            drop = sigma * 0.6 * (1 + epoch / 5)
            add("noise", "accuracy", accuracy - drop * accuracy, 0.02, **noisy)
            add(
                "noise",
                "chance_corrected_drop",
                drop if decided else math.nan,
                0.05 if decided else math.nan,
                note="" if decided else "clean accuracy within its interval of chance",
                **noisy,
            )
        proxy: dict[str, Any] = {"data": "procedural", "variant": "cosine", "condition": ""}
        add("distortion", "alignment_ssim", 0.7 - 0.05 * epoch, 0.03, **proxy)
    return rows


def rows_of_seeds() -> list[Row]:
    """Zero-shot accuracy and noise drops of six runs, which differ in scale and seed, at four epochs."""
    found = []
    for (size, scale), seed, epoch in product(enumerate(("tiny", "small")), range(3), range(4)):
        run: dict[str, Any] = {"repo_id": f"me/{scale}-{seed}", "scale": scale, "seed": seed, "epoch": epoch}
        accuracy = 0.2 + 0.1 * epoch + 0.05 * size + 0.02 * seed
        found.append(row("zero_shot/x", "top1", accuracy, 0.02, **run))
        found.append(row("zero_shot/x", "top1", 0.125, role="chance", **run))
        for level in (0.1, 0.2, 0.4):
            drop = level * (1 - 0.1 * epoch) + 0.01 * seed
            at = {"condition": "gaussian", "level": level}
            found.append(row("noise/x", "chance_corrected_drop", drop, 0.02, **at, **run))
    return found


@pytest.fixture(scope="session")
def study() -> Callable[..., list[Row]]:
    """The made-up rows of one run: near chance at first, a texture phase, a turn, a shape phase."""
    return _study


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as the Parquet file that `clipdyn evaluate` would leave."""

    def write(rows: Sequence[Row], name: str = "results.parquet", **options: Any) -> Path:
        return write_rows(rows, tmp_path / name, **options)

    return write


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[..., Any]:
    """The study that a table of these rows gives."""
    from hf_clipdyn.report import read_study

    return lambda rows, **options: read_study(write(rows, **options))
