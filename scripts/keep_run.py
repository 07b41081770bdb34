"""Keep of a run of the study `photographs` what verdicts need: its numbers, and its answers at a byte an item.

python scripts/keep_run.py runs/photographs/photo-m-seed20 model_cards/second-study/photographs

Call it on the machine of the run, when the run is complete. It writes ``<run>/results.parquet`` (all rows),
``<run>/results.trials`` (answers of the benchmarks in `KEPT`, without the columns that no registered number needs),
``<run>/results.influences.parquet`` (what items contribute to the numbers in `INFLUENCES`) and ``<run>/origin.json``
(processor, threads, versions, commit, when training and measuring began). Weights stay where they are. It computes no
contrast and prints no number of the run.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.results.influences import Influences, combined_influences, write_influences
from hf_clipdyn.results.read import read_results
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.results.trials import trials_folder
from hf_clipdyn.statistics.influences import KeptInfluences

MOST = 2_000_000  # bytes
_WINDOWS = tuple(f"epoch-{epoch:03d}" for epoch in (1, 2, 3, 5, 6, 7))  # and their neighbours
_EPOCHS = tuple(f"epoch-{epoch:03d}" for epoch in range(8))
KEPT = {
    ("noise", "cifar10"): _EPOCHS,
    ("simplicity", "cifar10"): _WINDOWS,
}
"""The benchmarks whose answers are kept, and at which revisions. Answers of people are not: no licence is stated."""
INFLUENCES = {
    ("shape_bias", "cue_conflict_64"): (_WINDOWS, ("shape_preference", "shape_bias", "shape_accuracy")),
    ("learning_order-label_distribution", "cifar10h"): (
        _EPOCHS,
        ("order_of_people_within", "order_of_people_within_corrected", "order_of_people_given_pixels"),
    ),
    ("representation-geometry", "tiny_photographs"): (_EPOCHS, ("lower_minus_upper",)),
}
"""The numbers whose influences are kept, with those of people: at which revisions, and the metrics, by the default
prompts."""
UNREAD = (
    "distance",
    "mean_pairwise_distance",
    "human_accuracy",
    "amplitude_alone_clipped",
    "phase_alone_clipped",
)
"""Columns of trials that no registered number reads; they are kept empty."""


def slim(table: pa.Table) -> pa.Table:
    """Trials without what is not read, texts as numbers."""
    for place, field in enumerate(table.schema):
        if field.name in UNREAD:
            table = table.set_column(place, field, pa.nulls(len(table), field.type))
    return table


def recipe_of(run: Path) -> dict[str, Any]:
    """The recipe of a run, from its last checkpoint."""
    progress = next(run.glob("checkpoints/*/progress.json")).read_text(encoding="utf-8")
    recipe: dict[str, Any] = json.loads(progress)["recipe"]
    return recipe


def origin(table: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Where the numbers come from: the processor of this machine, and what the table says."""
    results = read_results(table)
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "num_threads": config.get("num_threads"),
        "python": platform.python_version(),
        "versions": json.loads(results.cells["versions"].iloc[0]),
        "runs": [
            {"run": one.run, "packages": list(one.packages), "began": one.began, "measured": one.measured}
            for one in results.origins
        ],
    }


def processor() -> str:
    """The name of the processor, as Linux gives it; elsewhere, as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def kept_cells(table: Path) -> Iterator[str]:
    """The key of each cell whose answers are kept."""
    cells = read_results(table).cells
    for row in cells[cells["texts"] == "own"].itertuples():
        if row.revision in KEPT.get((row.kind, row.dataset), ()):
            yield str(row.cell)


def kept_influences(table: Path) -> Iterator[tuple[str, Influences]]:
    """The influences on the numbers in `INFLUENCES`, by the key of their cell."""
    cells, known = read_results(table).cells, KeptInfluences([table])
    metric, variant = NUMBER_KEY.index("metric"), NUMBER_KEY.index("variant")
    for row in cells.itertuples():
        revisions, metrics = INFLUENCES.get((row.kind, row.dataset), ((), ()))
        if row.revision not in revisions:
            continue
        of_cell = known.of_cell(str(row.kind), str(row.cell))
        if isinstance(of_cell, str):
            sys.exit(f"{row.kind}/{row.dataset} at {row.revision}: {of_cell}")
        chosen = {
            key: one
            for key, one in of_cell.items()
            if key[metric] in metrics and (key[variant] == "" or row.kind != "shape_bias")
        }
        if chosen:
            yield str(row.cell), chosen


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep what verdicts need of a run.")
    parser.add_argument("run", type=Path, help="folder of the run, below that of the study")
    parser.add_argument("target", type=Path, help="folder that the kept runs share")
    arguments = parser.parse_args()
    source, target = arguments.run / "results.parquet", arguments.target / arguments.run.name
    shutil.rmtree(target, ignore_errors=True)
    trials_folder(target / source.name).mkdir(parents=True)
    pq.write_table(pq.read_table(source), target / source.name, compression="zstd", compression_level=19)
    for cell in kept_cells(source):
        name = f"{cell}.parquet"
        table = slim(pq.read_table(trials_folder(source) / name))
        pq.write_table(
            table, trials_folder(target / source.name) / name, compression="zstd", compression_level=19
        )
    write_influences(combined_influences(target / source.name), dict(kept_influences(source)))
    facts = json.dumps(origin(source, recipe_of(arguments.run)), indent=1)
    (target / "origin.json").write_text(f"{facts}\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"{target}: {size:,} bytes")
    if size > MOST:
        sys.exit(f"{target} has more than {MOST:,} bytes: keep fewer revisions.")


if __name__ == "__main__":
    main()
