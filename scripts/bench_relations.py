# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""What all relations of the suite `dynamics` cost, on the demo and on a study of 45 runs.

python scripts/bench_relations.py [demo] [study] [--demo runs/demo] [--scratch FOLDER]

``demo`` relates the revisions of the demo (`clipdyn demo` writes it) again. Target: 15 s.

``study`` has the runs of the embedded study: three sizes with five seeds and 19 revisions each, and ten arms with three
seeds and eight revisions each. Nothing is trained: their trials are those of the demo, with a tenth of the decisions
exchanged and noise on the embeddings, anew in each run. Target: 180 s.

All relations are computed in one process, whose start does not count. Seconds are those of the processor; of a single
relation they are wall seconds, without what reads and writes cells. Memory is what the process takes at most beyond its
start; what is read of revisions is kept up to 256 MB, and of two revisions in any case.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.registry import kinds, suite_relations
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, read_manifest

_SCALES, _SEEDS, _REVISIONS = ("mini", "tiny", "micro"), range(10, 15), 19
_ARMS, _ARM_SEEDS, _SHARES = range(1, 11), range(10, 13), (0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 1)
_SAMPLES = 128_000
_TARGETS = {"demo": 15, "study": 180}
_TIMED = """
import json, resource, sys, time, warnings
import hf_clipdyn.evaluation.evaluate
from hf_clipdyn.evaluation import evaluate_revisions
warnings.simplefilter("ignore")
names, relations, output = json.loads(sys.argv[1])
unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB on Linux
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
start = time.process_time()
options = {"output": output, "force": True, "show_progress": False}
table = evaluate_revisions(names, relations=relations, **options)
seconds = time.process_time() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit - before
rows = table.select_columns(["kind", "dataset", "repo_id", "revision", "settings", "seconds"]).to_pandas()
rows["relation"] = rows["kind"].str.partition("-")[0]
# The cells of a whole run were computed together, and each has the seconds of all.
rows["place"] = rows["revision"].where(~rows["settings"].str.contains('"with": "run'), "")
once = rows.drop_duplicates(["kind", "dataset", "repo_id", "place", "settings"])
found = {"seconds": once.groupby("relation")["seconds"].sum(), "rows": rows.groupby("relation").size()}
print(json.dumps([seconds, memory, {name: one.to_dict() for name, one in found.items()}]))
"""


@dataclass(frozen=True)
class Room:
    """A table with trials beside it, and the folders of the runs in it."""

    output: Path
    names: list[str]


def costs(room: Room) -> tuple[float, float, dict[str, dict[str, float]]]:
    """Processor seconds and memory in MB of all relations, and the wall seconds and rows of each."""
    asked = json.dumps([room.names, suite_relations("dynamics"), str(room.output)])
    process = subprocess.run(
        [sys.executable, "-c", _TIMED, asked],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if process.returncode:
        raise SystemExit(process.stderr)
    seconds, memory, each = json.loads(process.stdout.splitlines()[-1])
    return seconds, memory, each


def demo_room(demo: Path) -> Room:
    """The demo."""
    output = demo / "results.parquet"
    return Room(output, [str(demo)])


def study_room(demo: Path, folder: Path) -> Room:
    """A study of 45 runs, made from the trials of the demo."""
    source, target = CellStore(demo / "results.parquet"), CellStore(folder / "results.parquet")
    cells = [one for one in newest(source.cells()) if one.kind in kinds() and one.texts == "own"]
    by_kind: dict[str, list[Cell]] = {}
    for one in sorted(cells, key=lambda cell: cell.samples_seen or 0):
        by_kind.setdefault(one.kind, []).append(one)
    by_kind.pop("psychophysics", None)  # no relation reads it
    of_runs = list(runs(by_kind["zero_shot"][0]))
    for kind, revisions in by_kind.items():
        trials = [source.trials(one.key) for one in revisions]
        for number, run in enumerate(of_runs):
            shares = _SHARES if run.arm else np.linspace(0, 1, _REVISIONS)
            for at, share in enumerate(shares):
                nearest = round(share * (len(revisions) - 1))
                seen = trials[nearest]
                assert seen is not None, f"the demo has no trials of {kind}"
                cell = replace(
                    revisions[nearest],
                    **{name: getattr(run, name) for name in ("repo_id", "scale", "arm", "seed")},
                    revision=f"epoch-{at:03d}",
                    commit=f"{number:020d}{at:020d}",
                    epoch=at,
                    step=None,
                    samples_seen=round(share * _SAMPLES),
                )
                rows = rows_of(source, revisions[nearest], cell)
                target.write(cell, rows, varied(seen, number), Vocabulary())
    target.rebuild()
    for run in of_runs:
        renamed(demo, folder / run.repo_id, run.repo_id)
    return Room(folder / "results.parquet", [str(folder / run.repo_id) for run in of_runs])


def renamed(demo: Path, folder: Path, repo_id: str) -> None:
    """The revisions of the demo under another name; the weights are links."""
    for revision in (demo / "revisions").glob("[!.]*"):
        to = folder / "revisions" / revision.name
        to.mkdir(parents=True)
        for file in revision.iterdir():
            (to / file.name).symlink_to(file.resolve())
        (to / MANIFEST_FILE).unlink()
        manifest = read_manifest(revision).model_copy(update={"repo_id": repo_id})
        (to / MANIFEST_FILE).write_bytes(manifest.dumps())


def runs(cell: Cell) -> Iterator[Cell]:
    """A cell of each run."""
    for scale in _SCALES:
        for seed in _SEEDS:
            yield replace(cell, repo_id=f"bench/{scale}-{seed}", scale=scale, arm="", seed=seed)
    for arm in _ARMS:
        for seed in _ARM_SEEDS:
            yield replace(cell, repo_id=f"bench/arm{arm}-{seed}", scale="tiny", arm=f"arm{arm}", seed=seed)


def rows_of(store: CellStore, of: Cell, cell: Cell) -> list[Row]:
    """The numbers of a cell, as if they were another's."""
    rows = store.rows(of.key)
    assert rows is not None
    return [Row(**row | vars(cell)) for row in rows.to_pylist()]


def varied(trials: pd.DataFrame, run: int) -> pd.DataFrame:
    """The trials of a run that was never trained."""
    rng = np.random.default_rng(run)
    columns = {}
    for name in {"decision", "ranking"} & set(trials):
        values = trials[name].to_numpy(copy=True)
        chosen = np.flatnonzero((rng.random(len(values)) < 0.1) & trials[name].notna())
        values[chosen] = values[rng.permutation(chosen)]
        columns[name] = pd.Series(values, trials.index, trials[name].dtype)
    if "vector" in trials:
        lengths = trials["vector"].str.len()
        for _, rows in trials.groupby(lengths, sort=False):
            vectors = np.stack(rows["vector"].to_list()).astype(np.float32)
            noise = 0.1 * vectors.std() * rng.standard_normal(vectors.shape, np.float32)
            columns.setdefault("vector", trials["vector"].copy())[rows.index] = list(
                (vectors + noise).astype(np.float16)
            )
    return trials.assign(**columns)


def print_costs(name: str, room: Room) -> None:
    """A line for each relation, and their sum."""
    seconds, memory, each = costs(room)
    for relation in suite_relations("dynamics"):
        of = {column: values.get(relation, 0) for column, values in each.items()}
        print(f"{name:8s}{relation:20s}{'':12s}{'':8s}{of['seconds']:8.1f}{'':11s}{of['rows']:10,.0f}")
    rows = sum(each["rows"].values())
    print(
        f"{name:8s}{'all':20s}{seconds:12.1f}{_TARGETS[name]:8d}{'':8s}{memory:11.0f}{rows:10,.0f}\n",
        flush=True,
    )


def main() -> None:
    """Print what was asked for; everything without a word."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="demo, study; default: both")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    parser.add_argument("--scratch", type=Path, help="keep the study in this folder")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(_TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; give some of {', '.join(_TARGETS)}")
    if not (options.demo / "results.parquet").exists():
        print(
            f"There is no {options.demo}/results.parquet: run `clipdyn demo`, or give its folder as --demo."
        )
        return
    print(f"{'':28s}{'processor s':>12s}{'target':>8s}{'wall s':>8s}{'memory MB':>11s}{'rows':>10s}")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) if options.scratch is None else options.scratch
        for name in options.parts or _TARGETS:
            if name == "demo":
                print_costs(name, demo_room(options.demo))
            else:
                made = (scratch / "results.parquet").exists()
                print_costs(name, _again(scratch) if made else study_room(options.demo, scratch))


def _again(folder: Path) -> Room:
    names = {cell.repo_id for cell in CellStore(folder / "results.parquet").cells()}
    return Room(folder / "results.parquet", [str(folder / name) for name in sorted(names)])


if __name__ == "__main__":
    main()
