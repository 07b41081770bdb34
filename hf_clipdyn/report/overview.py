"""Which numbers stand for a benchmark, and which for the whole study: what tables, cards and sentences are about.

Each choice is one number (metric, variant, probe, condition, level), and holds a trajectory for each run that has it.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from hf_clipdyn.statistics.trajectories import Trajectory

Key = TypeVar("Key", bound=Hashable)
Numbers = list[Trajectory]
"""The same number of several runs, in the order of the table."""


def overview_numbers(trajectories: Iterable[Trajectory]) -> list[Numbers]:
    """The study at a glance: a number for each rank of the overview, first on real images, then on synthetic ones."""
    ranked = [number for number in ordered(trajectories) if number.term.overview]
    by_rank = _grouped(((_is_synthetic(number), _rank(number)), number) for number in ranked)
    return [main_number(by_rank[place]) for place in sorted(by_rank)]


def main_numbers(trajectories: Iterable[Trajectory]) -> dict[str, list[Numbers]]:
    """A number for each main metric of each benchmark, by its name ``kind/dataset``."""
    by_benchmark = _grouped(("/".join(number.benchmark), number) for number in ordered(trajectories))
    chosen = {}
    for name, values in by_benchmark.items():
        by_metric = _grouped((number.metric, number) for number in values)
        metrics = values[0].terms.main_metrics(list(by_metric))
        chosen[name] = [main_number(by_metric[metric]) for metric in metrics]
    return chosen


def every_number(trajectories: Iterable[Trajectory]) -> list[Numbers]:
    """All values: layers, levels, subsets."""
    values = (number for number in trajectories if number.is_value)
    return list(_grouped(((*_same(number), number.settings), number) for number in values).values())


def ordered(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """The values that get a chart, by kind, real images before synthetic ones, and metric."""
    values = [number for number in trajectories if number.is_value]
    kinds = _places(number.kind for number in values)
    datasets = _places(number.dataset for number in values)

    def place(number: Trajectory) -> tuple[object, ...]:
        metrics = [*number.terms.terms, number.metric]
        where = kinds[number.kind], _is_synthetic(number), datasets[number.dataset]
        return number.terms.rank, *where, metrics.index(number.metric)

    return sorted((number for number in values if not number.term.mirrors), key=place)


def main_number(offered: Sequence[Trajectory]) -> Numbers:
    """The number that stands for a question: of its first metric and variant with a value, the nearest one.

    Nearest to what its term puts into the overview: the revision's own texts, that condition and level, all items, no
    layer. ``offered`` are values in the order of preference, at least one.
    """
    first = next((number for number in offered if number.column("defined").any()), offered[0])
    question = first.benchmark, first.metric, first.variant
    alike = [number for number in offered if (number.benchmark, number.metric, number.variant) == question]
    nearest = min(alike, key=_remoteness)
    of_runs: dict[str, Trajectory] = {}
    for number in offered:
        if _same(number) == _same(nearest):
            of_runs.setdefault(number.run, number)
    return list(of_runs.values())


def _remoteness(number: Trajectory) -> tuple[float, ...]:
    place = number.term.overview
    condition, level = (place.condition, place.level) if place else ("", None)
    return (
        number.texts != "own",
        number.condition != condition if condition else number.condition not in ("", "none"),
        bool(number.subset),
        0.0 if level is None or number.level is None else abs(number.level - level),
        number.layer is not None,
    )


def _same(number: Trajectory) -> tuple[object, ...]:
    return *number.benchmark, number.texts, *number.number_key


def _is_synthetic(number: Trajectory) -> bool:
    # Gratings are drawn as the images of the embedded world are: neither belongs beside photographs.
    return number.dataset_terms.synthetic or bool(number.terms.draws)


def _rank(number: Trajectory) -> float:
    return number.term.overview.rank if number.term.overview else 0.0


def _places(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _grouped(pairs: Iterable[tuple[Key, Trajectory]]) -> dict[Key, list[Trajectory]]:
    groups: dict[Key, list[Trajectory]] = defaultdict(list)
    for key, number in pairs:
        groups[key].append(number)
    return dict(groups)
