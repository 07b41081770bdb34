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
- repositories: runs of ever more revisions with small weights; `clipdyn revisions` and `clipdyn verify`.

Targets: slopes of at most 1.05; 10 times the images, revisions or runs: 1.05, 1.01 and 1.5 times the memory.
``--full`` goes to 10^7 rows and 10,000 revisions. That takes 20 GB of disk and hours.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file
from timing import Cost, cost_of

from hf_clipdyn.files import file_sha256
from hf_clipdyn.results.arrow import ENCODED_SCHEMA, SCHEMA
from hf_clipdyn.results.row import Cell
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row
from hf_clipdyn.revisions.names import epoch_name

STUDY = Path(__file__).parents[1] / "model_cards" / "study" / "results.parquet"
REPO = "bench/run"
CLIPDYN = (sys.executable, "-c", "import sys; from hf_clipdyn.cli import main; main(sys.argv[1:])")
STORE = (
    sys.executable,
    "-c",
    "import os, sys; from hf_clipdyn.results.cells import CellStore; store = CellStore(sys.argv[1]); "
    "os.remove(sys.argv[1]); store.rebuild()",
)
_REVISIONS_OF_A_RUN, _REVISIONS_AT_ONCE = 20, 100


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Of the logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def print_growth(what: str, unit: str, costs: dict[int, Cost]) -> None:
    """A line for each size, and one with the slopes."""
    sizes = list(costs)
    for size, cost in costs.items():
        print(f"{what:24s} {size:12,d} {unit:10s} {cost.processor:9.2f} s {cost.memory:8.0f} MB", flush=True)
    if len(sizes) < 2:
        return
    seconds = [costs[size].processor for size in sizes]
    tenth = min(sizes, key=lambda size: abs(np.log(10 * size / sizes[-1])))
    print(
        f"{what:24s} slope {slope(sizes, seconds):.2f}, last {slope(sizes[-2:], seconds[-2:]):.2f}; memory "
        f"{costs[sizes[-1]].memory / costs[tenth].memory:.3f} times for {sizes[-1] / tenth:g} times the {unit}\n",
        flush=True,
    )


Commands = Mapping[str, Sequence[str]]
"""The words of each command, by its name in the output."""


# --- tables --------------------------------------------------------------------------------------------------------


def of_rows(folder: Path, size: int) -> Commands:
    """The commands that read a table of about this number of rows, all of one run."""
    template = _template()
    return _of_table(write_table(folder / "results.parquet", template, 1, max(size // len(template), 1)))


def of_runs(folder: Path, size: int) -> Commands:
    """The commands that read a table of this number of runs, of 20 revisions each."""
    return _of_table(write_table(folder / "results.parquet", _template(), size, _REVISIONS_OF_A_RUN))


def _of_table(table: Path) -> Commands:
    report = [*CLIPDYN, "report", str(table), "--quiet"]
    return {
        "store": [*STORE, str(table)],
        "numbers": [*report, "--print", "numbers"],
        "report": [*report, "--output", str(table.parent / "report"), "--no-figures"],
    }


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
    of_cell = template.groupby(
        ["kind", "dataset", "data_fingerprint", "preprocess", "settings"], sort=False
    ).ngroup()
    firsts = template[[name for name in cells if name in template]].loc[~of_cell.duplicated()]
    stamps = {}
    for run in range(runs):
        for epoch in range(revisions):
            own = _own(run, epoch)
            for first in firsts.to_dict("records"):
                known = {name: value for name, value in (first | own).items() if value == value}
                stamps[Cell(**known).key] = {
                    "measured": 1e9 + epoch,
                    "file": None,
                    "package": "",
                    "began": "",
                }
    metadata = pq.read_schema(STUDY).metadata
    with pq.ParquetWriter(path, ENCODED_SCHEMA, store_schema=False) as writer:  # as `CellStore` writes it
        for run in range(runs):
            for start in range(0, revisions, _REVISIONS_AT_ONCE):
                epochs = range(start, min(start + _REVISIONS_AT_ONCE, revisions))
                writer.write_table(_rows(template, run, epochs, rng))
        writer.add_key_value_metadata({**metadata, b"hf_clipdyn.cells": json.dumps(stamps).encode()})
    return path


def _rows(template: pd.DataFrame, run: int, epochs: range, rng: np.random.Generator) -> pa.Table:
    """The template for each epoch of a run, in the columns of `ENCODED_SCHEMA`, with noise on the values."""
    own = pd.DataFrame([_own(run, epoch) for epoch in epochs])
    of_row = np.repeat(np.arange(len(epochs)), len(template))
    noise = 0.01 * rng.standard_normal(len(of_row))
    columns = []
    for field in SCHEMA:
        if field.name in own:
            values = pa.array(own[field.name], field.type).dictionary_encode().take(pa.array(of_row))
            values = values if pa.types.is_string(field.type) else values.dictionary_decode()
        elif field.name in template:
            once = pa.array(template[field.name], field.type, from_pandas=True)
            once = once.dictionary_encode() if pa.types.is_string(field.type) else once
            values = pa.concat_arrays([once] * len(epochs))
        else:
            values = pa.repeat("", len(of_row)).dictionary_encode()
        if field.name in ("value", "ci_low", "ci_high"):
            values = pa.array(values.to_numpy(zero_copy_only=False) + noise, from_pandas=True)
        columns.append(values)
    return pa.table(columns, schema=ENCODED_SCHEMA)


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


# --- repositories --------------------------------------------------------------------------------------------------


@patch("os.fsync")  # that is most of the time, and nobody needs these files after a power cut
def write_run(run: Path, n: int, _: object = None) -> Path:
    """The folder of a run with n revisions of small weights."""
    planned, rows = tuple(epoch_name(epoch) for epoch in range(n)), ""
    for epoch, name in enumerate(planned):
        folder = run / "revisions" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "clip"}')
        (folder / "preprocessor_config.json").write_text("{}")
        weights = folder / "model.safetensors"
        save_file({"weight": np.full(16, epoch, np.float32)}, weights)
        row = Row(
            name=name,
            epoch=epoch,
            step=epoch,
            samples_seen=64 * epoch,
            sha256=file_sha256(weights),
            size=weights.stat().st_size,
            loss=1.0,
            recipe_hash="0" * 64,
            versions={"torch": "2.13"},
        )
        # To write all rows again for each revision takes hours.
        alone = Manifest(run_id="bench", repo_id=REPO, revisions=(row,), planned=planned).dumps().decode()
        head, _, last = alone.partition('"revisions": [')
        rows += ("," if rows else "") + last.removesuffix("\n ]\n}\n")
        (folder / MANIFEST_FILE).write_text(f'{head}"revisions": [{rows}\n ]\n}}\n')
    return run


def of_repository(folder: Path, size: int) -> Commands:
    """The commands that read a run of this number of revisions."""
    run = write_run(folder / "run", size)
    return {name: [*CLIPDYN, name, str(run)] for name in ("revisions", "verify")}


# --- evaluation ----------------------------------------------------------------------------------------------------


def of_images(folder: Path, size: int) -> Commands:
    """The evaluation of two random models on this number of images."""
    return _of_evaluation(folder, revisions=2, images=size)


def of_revisions(folder: Path, size: int) -> Commands:
    """The evaluation of this number of random models on 200 images."""
    return _of_evaluation(folder, revisions=size, images=200)


def write_images(folder: Path, n: int) -> None:
    """n images of random pixels, in CIFAR-10's folders."""
    from PIL import Image

    from hf_clipdyn.data.sets.cifar import Cifar10

    rng = np.random.default_rng(0)
    for number in range(n):
        place = folder / "test" / Cifar10.classes[number % 10]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=0)


def _of_evaluation(folder: Path, *, revisions: int, images: int) -> Commands:
    from bench_evaluation import publish  # it takes a cache of its own for the Hub's files

    run = publish(folder / "run", "tiny", revisions)
    write_images(folder / "images", images)
    words = [
        *CLIPDYN,
        "evaluate",
        str(run),
        "--benchmarks",
        "zero_shot/cifar10",
        "--quiet",
    ]
    places = ["--data-dir", f"cifar10={folder / 'images'}", "--output", str(folder / "results.parquet")]
    return {"evaluate": [*words, *places], "again": [*words, *places]}


# --- all of them ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What grows.

    Attributes:
        unit: its name.
        commands: writes what the commands read into a folder, and names them.
        sizes: by default.
        full: with ``--full``.
    """

    unit: str
    commands: Callable[[Path, int], Commands]
    sizes: tuple[int, ...]
    full: tuple[int, ...]


PARTS = {
    "images": Part("images", of_images, (300, 1000, 3000), (1000, 3000, 10_000)),
    "revisions": Part("revisions", of_revisions, (4, 12, 40), (10, 30, 100, 300, 1000)),
    "rows": Part("rows", of_rows, (30_000, 100_000, 300_000), (10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7)),
    "runs": Part("runs", of_runs, (5, 15, 50), (5, 15, 50, 150)),
    "repositories": Part("revisions", of_repository, (100, 300, 1000), (300, 1000, 3000, 10_000)),
}


def main() -> None:
    """Print the costs and the slopes of the chosen parts; of all without a word."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--full", action="store_true", help="up to 10^7 rows and 10,000 revisions")
    parser.add_argument("--sizes", help="instead, with commas: the sizes of the chosen parts")
    parser.add_argument(
        "--folder", type=Path, help="where to write what is read; default: a temporary folder"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; give some of {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        part = PARTS[name]
        chosen = part.full if options.full else part.sizes
        sizes = list(map(int, options.sizes.split(","))) if options.sizes else chosen
        costs: dict[str, dict[int, Cost]] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="clipdyn-bench-", dir=options.folder) as scratch:
                home = Path(scratch) / "home"
                for command, words in part.commands(Path(scratch), size).items():
                    cost = cost_of(words, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_HOME=str(home))
                    costs.setdefault(command, {})[size] = cost
        for command, by_size in costs.items():
            print_growth(command, part.unit, by_size)


if __name__ == "__main__":
    main()
