"""A study for the page in the browser: runs of several sizes and seeds that were never trained, with smooth curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from result_rows import row, write_rows

from hf_clipdyn.benchmarks.registry import parse_benchmark, vocabulary
from hf_clipdyn.results.row import Row

KINDS = ("shape_bias", "zero_shot", "noise", "psychophysics", "distortion")
NOISE = ("accuracy", "relative_drop", "chance_corrected_drop", "drop_when_right")


def _numbers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, metric and further columns of the numbers of a revision."""
    for metric in ("bias", "accuracy"):
        yield from (("shape_bias", f"{cue}_{metric}", {}) for cue in ("shape", "texture"))
    yield from (("shape_bias", name, {}) for name in ("cue_accuracy", "shape_preference"))
    yield "shape_bias", "cue_accuracy", {"role": "null"}
    for metric in ("top1", "top5"):
        yield from (("zero_shot", metric, {"role": role}) for role in ("value", "chance"))
    for level in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        yield from (("noise", name, {"condition": "gaussian", "level": level}) for name in NOISE)
    yield from (("noise", "accuracy", {"role": role}) for role in ("value", "chance"))
    yield "noise", "area", {"condition": "gaussian"}
    for condition in ("masking_contrast", "csf_achromatic"):
        place: dict[str, Any] = {"condition": condition, "variant": "cosine"}
        yield from (("psychophysics", name, place) for name in ("log_rmse", "alignment"))
        hidden = [place | {"probe": "hidden", "layer": layer} for layer in range(5)]
        yield from (("psychophysics", "log_rmse", columns) for columns in hidden)
    yield "distortion", "alignment_ssim", {"variant": "cosine"}


def write_table(path: Path, *, scales: int, seeds: int, revisions: int) -> Path:
    """The study as the file that `clipdyn evaluate` would leave."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for scale in (f"scale{number}" for number in range(scales)):
        for seed, epoch in np.ndindex(seeds, revisions):
            run = {"repo_id": f"bench/{scale}-seed{seed}", "scale": scale, "seed": seed}
            place = {"epoch": epoch, "samples_seen": 25_600 * epoch}
            rise = 1 - np.exp(-4 * epoch / max(revisions - 1, 1))
            for kind, metric, columns in _numbers():
                start, end = (len(metric) * step % 1 for step in (0.37, 0.61))
                is_value = columns.get("role", "value") == "value"
                value = start + (end - start) * rise + 0.03 * rng.normal() if is_value else 0.125
                half = 0.02 + 0.01 * rng.random() if is_value else np.nan
                named = f"{kind}/procedural", metric, value, half
                rows.append(row(*named, **run, **place, **columns))
    terms = vocabulary([parse_benchmark(f"{kind}/procedural") for kind in KINDS])
    return write_rows(rows, path, terms)
