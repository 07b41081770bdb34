"""All relations of a run, compared with the measurement of the benchmarks that they read.

python scripts/bench_relations.py [--revisions 8]

The run has random models, which are measured on a part of the suites ``embedded`` and ``dynamics``, with its trials
kept. A relation takes as long whatever its numbers are.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from bench_evaluation import publish, scratch
from timing import in_turn, main, row

from hf_clipdyn.benchmarks.registry import suite_relations
from hf_clipdyn.evaluation import evaluate_revisions

READ = ("decodability/procedural", "geometry/procedural", "shape_bias/procedural", "zero_shot/procedural")


def measure(options: argparse.Namespace) -> Iterator[str]:
    """A row for all relations, and one for each."""
    with scratch(options) as folder:
        run = publish(folder / "run", "tiny", 2 if options.quick else options.revisions)
        shared = {"output": folder / "results.parquet", "show_progress": False, "force": True}

        def relate(*names: str) -> None:
            evaluate_revisions(run, relations=list(names), **shared)

        relations = suite_relations("dynamics")
        work = {"evaluation": lambda: evaluate_revisions(run, list(READ), **shared)}
        work |= {"all relations": lambda: relate(*relations)}
        work |= {f"`{name}`": lambda name=name: relate(name) for name in relations}
        taken = in_turn(work, options.rounds)
        for name in list(work)[1:]:
            title = f"{name} of {len(list((Path(run) / 'revisions').glob('epoch-*')))} revisions"
            yield row(title, "measuring what they read", taken[name], taken["evaluation"])


if __name__ == "__main__":
    main(__doc__, measure, rounds=3, revisions=8)
