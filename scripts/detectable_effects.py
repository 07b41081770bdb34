"""State which effects a study detects, from the items' variance on its tuning seeds: before the runs that count.

python scripts/detectable_effects.py runs/tuning/results.parquet --claims claims-2.yaml --study world --seeds 16 8

The sd between seeds is unknown: two tuning seeds give it within a factor of .6 to 8. So effects are stated for several
(`--sds`).
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hf_clipdyn.results.read import read_results
from hf_clipdyn.statistics.claims import PartPlan, read_claims
from hf_clipdyn.statistics.evidence import Evidence, read_evidence
from hf_clipdyn.statistics.power import Error, detectable_effect

SDS = (0.02, 0.04, 0.08)


def items_of(evidence: Evidence, plan: PartPlan, windows: dict) -> Error | None:
    """The error of the items in one run, the mean over the runs; None if it was not measured."""
    influences = [
        run.influence for run in evidence.part(plan, windows) if math.isfinite(run.influence.variance)
    ]
    if not influences:
        return None
    variance = float(np.mean([one.variance for one in influences]))
    return Error("items", variance, influences[0].n_clusters - 1)


def cells_of(items: Error | None, n_seeds: int, level: float, sds: Sequence[float]) -> list[str]:
    """The sd of the items, and for each sd between seeds the effect whose direction is found in 80 %."""
    if items is None:
        return ["not measured"] * (1 + len(sds))
    of_seeds = [[Error("seeds", sd**2 / n_seeds, n_seeds - 1), items] for sd in sds]
    return [f"{math.sqrt(items.variance):.4f}", *(f"{detectable_effect(one, level):.3f}" for one in of_seeds)]


def table(evidence: Evidence, n_seeds: int, sds: Sequence[float] = SDS) -> list[list[str]]:
    """A row for each registered contrast, under a head."""
    rows = [
        ["claim", "contrast", "δ", "level", "sd of the items", *(f"sd of the seeds {sd:g}" for sd in sds)]
    ]
    for claim in evidence.claims.claims:
        test = claim.test(evidence.study)
        level = evidence.confidence(test)
        for plan in test.parts if test.testable else ():
            items = items_of(evidence, plan, evidence.windows(test))
            title = ", ".join(filter(None, [plan.contrast.title, plan.readout]))
            delta = f"{plan.contrast.smallest_effect:g}"
            row = [f"{claim.number}", title, delta, f"{100 * level:.4g} %"]
            rows.append([*row, *cells_of(items, n_seeds, level, sds)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="tables of the tuning seeds, with their trials")
    parser.add_argument("--claims", type=Path)
    parser.add_argument("--study")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[5], help="numbers of seeds to state effects for"
    )
    parser.add_argument("--sds", type=float, nargs="+", default=SDS, help="of the seeds")
    given = parser.parse_args()
    evidence = read_evidence(read_results(given.results), read_claims(given.claims), study=given.study)
    for n_seeds in given.seeds:
        head, *rows = table(evidence, n_seeds, given.sds)
        print(f"With {n_seeds} seeds:\n")
        for row in (head, ["---"] * len(head), *rows):
            print(f"| {' | '.join(row)} |")
        print()


if __name__ == "__main__":
    main()
