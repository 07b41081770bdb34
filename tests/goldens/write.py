"""Write the goldens: what may not change while the code is rearranged. `test_goldens.py` compares with them.

Run it only for a change of numbers, names or defaults that is meant, and say in the commit what changed and why::

    python tests/goldens/write.py

The model is a random CLIP of 66,000 weights, and the data sets are made-up trees in their official layouts. Nothing is
trained.
"""

import gzip
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the tests' own modules

BENCHMARKS = (
    "classification/model_vs_human",
    "decodability/cue_conflict",
    "distortion/procedural",
    "geometry/flickr8k",
    "jnd/bapps",
    "label_distribution/cifar10h",
    "noise/cifar10",
    "odd_one_out/things",
    "psychophysics/procedural",
    "quality/tid2013",
    "representation/objects92",
    "retrieval/flickr8k",
    "saliency/osie",
    "shape_bias/cue_conflict",
    "similarity/nights",
    "zero_shot/cifar10",
)
"""A benchmark of every kind."""

FLAGS = ([], ["--seed", "3", "--learning_rate=5e-4"], ["--bf16", "false", "--publish", "log2"])
"""Flags under which every recipe is hashed."""


def evaluated(folder: Path) -> pd.DataFrame:
    """The committed model on all benchmarks; table, cells and trials are in ``folder``."""
    from official_trees.trees import TREES

    from hf_clipdyn.evaluation import evaluate_revisions

    data_dirs = {}
    for name in dict.fromkeys(one.partition("/")[2] for one in BENCHMARKS):
        if name in TREES:
            data_dirs[name] = folder / "data" / name
            TREES[name](data_dirs[name])
    evaluate_revisions(
        HERE / "model",
        benchmarks=BENCHMARKS,
        output=folder / "results.parquet",
        data_dirs=data_dirs,
        device="cpu",
        show_progress=False,
    )
    return pd.read_parquet(folder / "results.parquet")


def recipes() -> dict[str, list[str]]:
    """The hash of every recipe, without flags and under each of `FLAGS`."""
    from hf_clipdyn.bundled import recipe_names
    from hf_clipdyn.training.config import TrainingConfig

    return {
        name: [TrainingConfig.read(["--config", name, *flags]).recipe_hash() for flags in FLAGS]
        for name in recipe_names()
    }


def kinds() -> dict[str, dict[str, Any]]:
    """What every kind declares that cells and tables depend on."""
    from hf_clipdyn.benchmarks.registry import kinds as registered

    return {
        kind.name: {
            "settings": kind.settings().in_key(),
            "schemas": kind.schemas,
            "observe_version": kind.observe_version,
            "score_version": kind.score_version,
            "metrics": list(kind.terms.terms),
        }
        for kind in registered().values()
    }


def options() -> dict[str, dict[str, Any]]:
    """Every option of every command with its default, as text."""
    from hf_clipdyn.cli import command_class, command_names
    from hf_clipdyn.options import default_of

    found: dict[str, dict[str, Any]] = {}
    for name in sorted(command_names()):
        command = command_class(name)
        found[name] = {
            key if key in command.positional else f"--{key}": default_of(field)
            for key, field in command.option_fields().items()
        }
    return found


def planted(folder: Path) -> Path:
    """The table of a planted study of five seeds, whose answers are made up."""
    from planted import Planted, Run, turn, write_study

    turning = Planted(bias=turn(0.2, 0.8), drop=turn(0.45, 0.25), error=turn(0.4, 0.2))
    runs = [Run(scale="tiny", seed=seed, planted=turning) for seed in range(10, 15)]
    return write_study(folder / "planted.parquet", runs, shares=[0, 0.065, 0.15, 1.0])


def verdicts(table: Path) -> pd.DataFrame:
    """The verdicts on a table."""
    from hf_clipdyn.statistics.claims import EMBEDDED
    from hf_clipdyn.statistics.verdicts import verdicts as judge

    return judge(table, EMBEDDED, show_progress=False)


def page(table: Path) -> dict[str, Any]:
    """What the page's program draws from a table."""
    from hf_clipdyn.report import read_study
    from hf_clipdyn.report.page.payload import payload, story

    study = read_study(table)
    return payload(study.planner, {}, story(study.planner))


def main() -> None:
    from hf_clipdyn.results.trials import trials_folder

    for make in (recipes, kinds, options):
        (HERE / f"{make.__name__}.json").write_text(json.dumps(make(), indent=1) + "\n")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        evaluated(folder)
        kept = HERE / "results.parquet"
        shutil.copy(folder / "results.parquet", kept)
        shutil.rmtree(trials_folder(kept), ignore_errors=True)
        shutil.copytree(trials_folder(folder / "results.parquet"), trials_folder(kept))
        table = planted(folder)
        verdicts(table).to_parquet(HERE / "verdicts.parquet")
        drawn = json.dumps(page(table), separators=(",", ":"))
    (HERE / "page.json.gz").write_bytes(gzip.compress(drawn.encode(), mtime=0))


if __name__ == "__main__":
    main()
