# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""How time and memory grow with the images, the revisions, the runs and the rows of a table.

python scripts/bench_scale.py [images] [revisions] [rows] [runs] [repositories] [--full] [--folder DIR]

Each size is a real command in a process of its own, with its peak of resident memory and its processor seconds. The
slope is that of the logarithms of the seconds over those of the sizes: 1 is linear. ``last`` is the slope between the
two largest sizes, where the time that each command takes to start counts least. ``memory`` is the largest size's peak
over that of a tenth of it, or of the size next to that.

- images, revisions: `clipdyn evaluate` measures random models (zero-shot, on random images in CIFAR-10's folders).
- rows, runs: tables with the columns, texts and benchmarks of the committed study, of one run with ever more revisions,
  or of ever more runs of 20 revisions. `clipdyn report --print numbers` and `clipdyn report` read them; ``store`` is
  what `clipdyn evaluate` does with its table: read all cells, and write the table again.
- repositories: stores of ever more revisions with small weights; `clipdyn revisions` and `clipdyn verify`.

Targets: slopes of at most 1.05; 10 times the images, revisions or runs: 1.05, 1.01 and 1.5 times the memory.
``--full`` goes to 10^7 rows and 10,000 revisions. That takes 20 GB of disk and hours.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from hf_clipdyn.results.row import SCHEMA, Cell
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.manifest import Manifest, ManifestRow
from hf_clipdyn.revisions.names import epoch_name
from hf_clipdyn.revisions.repository import MAIN

STUDY = Path(__file__).parents[1] / "model_cards" / "study" / "results.parquet"
REPO = "bench/run"
CLIPDYN = (sys.executable, "-c", "import sys; from hf_clipdyn.cli import main; main(sys.argv[1:])")
STORE = (
    sys.executable,
    "-c",
    "import sys; from hf_clipdyn.results.cells import CellStore; store = CellStore(sys.argv[1]); store._build()",
)
_REVISIONS_OF_A_RUN = 20


@dataclass(frozen=True)
class Cost:
    """What a command took: processor seconds, and its peak of resident memory in MB."""

    seconds: float
    memory: float


def cost_of(words: Sequence[str]) -> Cost:
    """Run a command in a process of its own, on one thread."""
    threads = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, **threads})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {os.waitstatus_to_exitcode(status)}.")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB on Linux
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Of the logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def print_growth(what: str, unit: str, costs: dict[int, Cost]) -> None:
    """A line for each size, and one with the slopes."""
    sizes = list(costs)
    for size, cost in costs.items():
        print(f"{what:24s} {size:12,d} {unit:10s} {cost.seconds:9.2f} s {cost.memory:8.0f} MB", flush=True)
    if len(sizes) < 2:
        return
    seconds = [costs[size].seconds for size in sizes]
    tenth = min(sizes, key=lambda size: abs(np.log(10 * size / sizes[-1])))
    print(
        f"{what:24s} slope {slope(sizes, seconds):.2f}, last {slope(sizes[-2:], seconds[-2:]):.2f}; memory "
        f"{costs[sizes[-1]].memory / costs[tenth].memory:.3f} times for {sizes[-1] / tenth:g} times the {unit}\n",
        flush=True,
    )


# --- tables --------------------------------------------------------------------------------------------------------


def tables(folder: Path, sizes: Sequence[int], *, runs: bool) -> Iterator[tuple[int, Path]]:
    """A table for each number of rows, or of runs."""
    template = _template()
    for size in sizes:
        n_runs, n_revisions = (size, _REVISIONS_OF_A_RUN) if runs else (1, -(-size // len(template)))
        path = folder / f"{size}" / "results.parquet"
        path.parent.mkdir()
        yield size, write_table(path, template, n_runs, n_revisions)


def _template() -> pd.DataFrame:
    """The rows of one revision of the committed study, asked with its own texts."""
    rows: pd.DataFrame = pq.read_table(STUDY).to_pandas()
    is_own = (rows["repo_id"] == rows["repo_id"].iloc[0]) & (rows["texts"] == "own")
    last = rows.loc[is_own, "revision"].max()
    return rows[is_own & (rows["revision"] == last)].reset_index(drop=True)


def write_table(path: Path, template: pd.DataFrame, runs: int, revisions: int) -> Path:
    """A table of runs that were never trained: each revision has the template's rows with noise on their values."""
    rng = np.random.default_rng(0)
    cells = [column.name for column in fields(Cell)]
    of_cell = template.groupby(["kind", "dataset", "data_fingerprint", "preprocess", "settings"], sort=False).ngroup()
    firsts = template[[name for name in cells if name in template]].loc[~of_cell.duplicated()]
    metadata, schema = pq.read_schema(STUDY).metadata, SCHEMA
    stamps = {}
    for run in range(runs):
        for epoch in range(revisions):
            own = _own(run, epoch)
            for first in firsts.to_dict("records"):
                known = {name: value for name, value in (first | own).items() if value == value}
                stamps[Cell(**known).key] = {"measured": 1e9 + epoch, "file": None, "package": "", "began": ""}
    schema = SCHEMA.with_metadata({**metadata, b"hf_clipdyn.cells": json.dumps(stamps).encode()})
    with pq.ParquetWriter(path, schema) as writer:
        for run in range(runs):
            for start in range(0, revisions, 100):
                epochs = range(start, min(start + 100, revisions))
                rows = pd.concat([template.assign(**_own(run, epoch)) for epoch in epochs], ignore_index=True)
                noise = 0.01 * rng.standard_normal(len(rows))
                rows = rows.assign(**{name: rows[name] + noise for name in ("value", "ci_low", "ci_high")})
                arrays = [
                    pa.array(rows[field.name], field.type, from_pandas=True)
                    if field.name in rows
                    else pa.repeat(pa.scalar("", field.type), len(rows))
                    for field in SCHEMA
                ]
                writer.write_table(pa.table(arrays, schema=schema))
    return path


def _own(run: int, epoch: int) -> dict[str, Any]:
    """The columns in which revisions differ."""
    name = f"bench/small-seed{run}"
    return {
        "repo_id": name,
        "revision": epoch_name(epoch),
        "commit": hashlib.sha1(f"{name} {epoch}".encode(), usedforsecurity=False).hexdigest(),
        "epoch": epoch,
        "step": 400 * epoch,
        "samples_seen": 25_600 * epoch,
        "seed": run,
        "arm": "",
    }
