"""The numbers and words of a study as one compact object for the page's program.

Numbers are integers with one decimal exponent for each trajectory: about 13 letters for a value with its interval.
Names stand once in a list of strings. `js/core.js` reads this form, and only that file knows it.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.report.axis import choose_axis, run_revisions
from hf_clipdyn.report.page.panels import FACETS, Number, facet_words, plan_choices
from hf_clipdyn.report.plan import RAMPS, groups_of_seeds
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import HUES, SHADES, THEME, look, twins
from hf_clipdyn.report.words import json_object, json_words
from hf_clipdyn.results.terms import Term
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare

_DIGITS = 5
"""Significant digits of the greatest number of a trajectory."""
_NUMBER = ("metric", "variant", *DETAILS, "role", "reference")
_SETUP = ("split", "preprocess", "settings", "dtype", "data_fingerprint")
_CLOCKS = ("epoch", "step", "samples_seen")
_MOST_SEEDS = 40
_ZERO_SHOT = "zero-shot-image-classification"
_AXES = {
    "epoch": "epochs",
    "step": "training steps",
    "samples": "samples seen",
    "logsamples": "samples seen, logarithmic",
    "logsteps": "training steps, logarithmic",
    "accuracy": "zero-shot accuracy",
    "order": "revisions in order",
}


def payload(study: Study) -> dict[str, Any]:
    """Everything that the page shows of the table itself: ``meta``, ``groups``, ``runs``, ``benchmarks``, ``series``.

    Returns:
        Built-in types only, without NaN, ready for `json.dumps`.
    """
    runs = _runs(study)
    groups = _groups(study, runs)
    names = benchmark_names(study)
    numbers = _numbers(study)
    return {
        "meta": _meta(study, runs),
        "groups": groups,
        "runs": runs,
        "benchmarks": [_benchmark(study, name, numbers.values()) for name in names],
        "overview": _overview(study),
        "series": _series(study, [run["name"] for run in runs], names, numbers),
    }


def anchor(benchmark: str) -> str:
    """The id of a benchmark's section."""
    return re.sub(r"[^a-z0-9]+", "-", benchmark.lower()).strip("-") or "benchmark"


def benchmark_names(study: Study) -> list[str]:
    """Kind and data set with a slash, in the order of the page: by the kind's rank, real images first."""
    first = {number.benchmark: number for number in reversed(study.trajectories)}
    kinds = list(dict.fromkeys(number.kind for number in study.trajectories))
    known = list(dict.fromkeys(number.benchmark for number in study.trajectories))
    known.sort(
        key=lambda name: (
            first[name].terms.rank,
            kinds.index(name[0]),
            first[name].dataset_terms.synthetic,
        )
    )
    return ["/".join(name) for name in known]


def _meta(study: Study, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    chosen = choose_axis(study.trajectories)
    clock = chosen.kind if chosen.kind in _CLOCKS else "order"
    names = {"epoch": "epoch", "samples_seen": "samples", "step": "step", "order": "order"}
    axes = [
        name
        for name, column in (
            *(("epoch", "epoch"), ("step", "step"), ("samples", "samples_seen")),
            *(("logsamples", "samples_seen"), ("accuracy", "accuracy")),
        )
        if any(len(_known(run[column])) > 1 for run in runs)
    ] or ["order"]
    default = names[clock]
    if chosen.log:
        default = "logsteps" if clock == "step" else "logsamples" if "logsamples" in axes else default
    return {
        "clock": clock,
        "stops": _stops(runs, clock),
        "axes": [[name, _AXES[name]] for name in dict.fromkeys([*axes, default])],
        "axis": default,
        "theme": {name: twins(colour) for name, colour in THEME.items()},
        "hues": [twins(colour) for colour in HUES],
        "shades": [twins(colour) for colour in SHADES],
        # Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom, for means over seeds.
        "student": [round(float(special.stdtrit(df, 0.975)), 4) for df in range(1, _MOST_SEEDS)],
        "overTraining": study.over_training,
    }


def _stops(runs: Sequence[dict[str, Any]], clock: str) -> list[dict[str, Any]]:
    """The places of the slider: every place of a revision of a run that has several, once."""
    several = [run for run in runs if len(run["revisions"]) > 1] or runs
    places = sorted({place for run in several for place in _places(run, clock) if place is not None})
    titles = {"epoch": "epoch", "samples_seen": "samples seen:", "step": "step", "order": "revision"}
    by_name = {
        place: name
        for run in reversed(several)
        for place, name in zip(_places(run, clock), run["revisions"], strict=True)
    }
    return [
        {"at": place, "label": f"{titles[clock]} {place:,.6g}", "revision": by_name[place]}
        for place in places
    ]


def _places(run: dict[str, Any], clock: str) -> list[Any]:
    return list(range(len(run["revisions"]))) if clock == "order" else run[clock]


def _runs(study: Study) -> list[dict[str, Any]]:
    accuracies = _accuracies(study.trajectories)
    arms = study.cells.groupby("run", sort=False)["arm"].first()
    first = {number.run: number for number in reversed(study.trajectories)}
    places = {
        run: group.sort_values("order") for run, group in run_revisions(study.trajectories).groupby("run")
    }
    runs = []
    for name in study.runs:
        revisions = places[name]
        clocks = {clock: _listed(revisions[clock]) for clock in _CLOCKS}
        accuracy = accuracies.get(name)
        runs.append(
            {
                "name": name,
                "scale": first[name].scale or "",
                "seed": first[name].seed,
                "arm": str(arms.get(name) or ""),
                "revisions": revisions["revision"].tolist(),
                **clocks,
                "accuracy": [
                    None if accuracy is None else accuracy.get(revision) for revision in revisions["revision"]
                ],
            }
        )
    return runs


def _accuracies(trajectories: Iterable[Trajectory]) -> dict[str, dict[str, float]]:
    """By run and revision, the zero-shot accuracy by which runs can be aligned: of the first such benchmark."""
    accuracies: dict[str, dict[str, float]] = {}
    for number in trajectories:
        is_accuracy = number.terms.task == _ZERO_SHOT and number.metric == next(
            iter(number.terms.terms), None
        )
        plain = number.is_value and number.texts == "own" and not number.subset and number.layer is None
        if is_accuracy and plain and number.run not in accuracies:
            usable = number.usable
            accuracies[number.run] = dict(zip(usable["revision"], usable["value"].round(5), strict=True))
    return accuracies


def _groups(study: Study, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in their seed only share a look; sets ``group`` and ``colour`` of each run."""
    by_name = {run["name"]: run for run in runs}
    groups = []
    for index, seeds in enumerate(groups_of_seeds(study.trajectories)):
        line = look(seeds.place)
        for name in seeds.runs:
            by_name[name] |= {"group": index, "colour": line.colours}
        title = seeds.title or "all seeds"
        groups.append({"title": title, "colour": line.colours, "dash": line.dash, "symbol": line.symbol})
    return groups


def _benchmark(study: Study, name: str, numbers: Iterable[Number]) -> dict[str, Any]:
    own = [number for number in study.trajectories if "/".join(number.benchmark) == name]
    first = own[0]
    terms, data = first.terms, first.dataset_terms
    metrics = list(dict.fromkeys(number.metric for number in own))
    order = [*terms.terms, *metrics]
    metrics.sort(key=order.index)
    values = [
        number
        for number in numbers
        if number.example.is_value and number.example.benchmark == first.benchmark
    ]
    return {
        "name": name,
        "anchor": anchor(name),
        "title": first.benchmark_title,
        "question": terms.question,
        "of": f"{terms.of or terms.title}: {first.dataset_title}",
        "synthetic": data.synthetic,
        "proxy": terms.proxy,
        "human": {metric: value for metric, value in data.human_reference.items() if metric in metrics},
        "terms": {metric: _term(first.vocabulary.term(first.kind, metric)) for metric in metrics},
        "panels": plan_choices(values, several_runs=len(study.runs) > 1),
    }


def _term(term: Term) -> dict[str, Any]:
    return {
        "title": term.title,
        "meaning": term.meaning,
        "unit": term.unit,
        "limits": list(term.limits) if term.limits else None,
        "better": term.better,
        "neutral": term.neutral,
        "neutralTitle": term.neutral_title,
        "poles": list(term.poles) if term.poles else None,
        "mirrors": term.mirrors,
        "log": term.log,
        "hide": term.hide_not_interpretable,
        "overview": term.overview and term.overview.rank,
    }


def _overview(study: Study) -> list[dict[str, Any]]:
    """The panels of the study at a glance, with the places of their trajectories in ``series``."""
    places = {id(number): index for index, number in enumerate(study.trajectories)}
    return [
        {
            "title": ", ".join(filter(None, [panel.first.metric_title, panel.first.special_detail])),
            "subtitle": panel.first.dataset_title,
            "series": [places[id(line.trajectory)] for line in panel.lines],
        }
        for panels in study.overview
        for panel in panels
    ]


class _Strings:
    """Texts by number: each text is written once."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))

    def listed(self) -> list[str]:
        return list(self._places)


def _words(facet: str, numbers: Iterable[Number]) -> dict[str, Any]:
    """The words of a facet, once for each value of a kind, and the place of each number's among them."""
    known: dict[tuple[Any, ...], tuple[int, str]] = {}
    places = []
    for number in numbers:
        of_condition = (
            number.facets["condition"] if facet in RAMPS else ""
        )  # conditions may have their own axis
        key = (number.example.kind, number.facets[facet], of_condition)
        places.append(known.setdefault(key, (len(known), facet_words(number, facet)))[0])
    return {"titles": [title for _, title in known.values()], "places": places}


_Key = tuple[str, tuple[Any, ...], str, str]


def _numbers(study: Study) -> dict[_Key, Number]:
    """What the trajectories show, whatever the run, in the order of the table.

    By benchmark, columns of `_NUMBER`, setup, and the title of a reference: one may have two titles for two metrics.
    """
    numbers: dict[_Key, Number] = {}
    for trajectory, setup in zip(study.trajectories, _setups(study.trajectories), strict=True):
        title = "" if trajectory.role in ("value", "diagnostic") else trajectory.reference_terms.title
        values = tuple(getattr(trajectory, name) for name in _NUMBER)
        key = ("/".join(trajectory.benchmark), values, setup, title)
        numbers.setdefault(key, Number(len(numbers), setup)).runs.append(trajectory)
    return numbers


def _series(
    study: Study, runs: Sequence[str], benchmarks: Sequence[str], numbers: Mapping[_Key, Number]
) -> dict[str, Any]:
    strings = _Strings()
    places = {id(number): index for index, number in enumerate(study.trajectories)}
    run_places = {name: index for index, name in enumerate(runs)}
    columns = ("benchmark", *_NUMBER, "setup", "title", "drawn")
    rows = [
        (
            benchmarks.index(benchmark),
            *(strings(value) if isinstance(value, str) else _number(value) for value in values),
            strings(setup),
            strings(title) if title else -1,
            int(not title or number.example.reference_terms.drawn),
        )
        for (benchmark, values, setup, title), number in numbers.items()
    ]
    shared = {id(run): number.place for number in numbers.values() for run in number.runs}
    return {
        "run": [run_places[number.run] for number in study.trajectories],
        "number": [shared[id(number)] for number in study.trajectories],
        "columns": dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)),
        "texts": [name for name in (*_NUMBER, "setup") if name not in ("layer", "level", "parameter")],
        "references": {
            index: [places[id(other)] for other in number.references]
            for index, number in enumerate(study.trajectories)
            if number.references
        },
        "points": [_points(number, strings) for number in study.trajectories],
        "strings": strings.listed(),
        "words": {name: _words(name, numbers.values()) for name in FACETS},
    }


def _setups(trajectories: Sequence[Trajectory]) -> list[str]:
    """What distinguishes the cells of a trajectory from others of its benchmark, in words; mostly nothing."""
    table = pd.DataFrame(
        {
            name: [getattr(number, name) for number in trajectories]
            for name in ("run", "kind", "dataset", "texts", *_SETUP)
        }
    )
    # The fingerprint contains the pixels at the model's resolution: only two within one run are two states of the data.
    of_run = table.groupby(["run", "kind", "dataset", "texts"], sort=False)["data_fingerprint"]
    table["edition"] = of_run.transform(lambda known: pd.factorize(known)[0])
    words = pd.Series("", index=table.index)
    for _, group in table.groupby(["kind", "dataset"], sort=False):
        parts = [group[name] for name in ("split", "preprocess", "dtype") if group[name].nunique() > 1]
        if group["settings"].nunique() > 1:
            settings = [json_object(text) or {} for text in group["settings"].unique()]
            shared = [
                SORT,  # the reference says it
                *(
                    name
                    for name, value in settings[0].items()
                    if all(one.get(name) == value for one in settings)
                ),
            ]
            parts.append(group["settings"].map(lambda text, shared=shared: bare(json_words(text, shared))))
        if group["edition"].nunique() > 1:
            parts.append("data " + group["data_fingerprint"].str[:12])
        for part in parts:
            words.loc[group.index] = (
                words.loc[group.index].where(words.loc[group.index] == "", words + ", ") + part
            )
    return words.tolist()


def _points(number: Trajectory, strings: _Strings) -> dict[str, Any]:
    """One trajectory: places ``r``, values ``v``, lower arms ``l`` and what upper ones add (``h``) in 10^-e, ``n``."""
    values, low, high = map(number.column, ("value", "ci_low", "ci_high"))
    defined, usable, order = map(number.column, ("defined", "usable", "order"))
    exponent = _exponent(values[defined])
    whole = np.round(values * 10.0**exponent)
    data: dict[str, Any] = {"e": exponent, "v": _integers(whole)}
    if not np.array_equal(order, np.arange(len(order))):
        data["r"] = order.tolist()
    if np.isfinite(low).any() or np.isfinite(high).any():
        lower, upper = whole - np.round(low * 10.0**exponent), np.round(high * 10.0**exponent) - whole
        data["l"], data["h"] = _integers(lower), _integers(upper - lower)
    for name, column in (("n", "n"), ("k", "n_clusters")):
        counts = number.column(column)
        data[name] = int(counts[0]) if (counts == counts[0]).all() else counts.tolist()
    hollow = np.flatnonzero(defined & ~usable)
    if len(hollow):
        data["x"] = hollow.tolist()
    notes = {index: strings(note) for index, note in enumerate(number.column("note")) if note}
    if notes:
        data["c"] = notes
    return data


def _exponent(values: NDArray[np.float64]) -> int:
    """Decimal places with which the greatest of some numbers has `_DIGITS` significant digits."""
    greatest = float(np.abs(values).max()) if len(values) else 0.0
    if greatest == 0.0:
        return 0
    return int(min(max(_DIGITS - 1 - math.floor(math.log10(greatest)), 0), 300))


def _integers(numbers: NDArray[np.float64]) -> list[int | None]:
    return [int(number) if math.isfinite(number) else None for number in numbers.tolist()]


def _listed(numbers: "pd.Series[Any]") -> list[Any]:
    """Numbers as they are shortest in JSON: whole ones without a point, null for NaN."""
    return [_number(number) for number in numbers.astype(float).tolist()]


def _number(value: Any) -> Any:
    if value is None:
        return None
    number = float(value)
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"  # JSON has no infinity
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else round(number, 9)


def _known(numbers: Sequence[Any]) -> list[Any]:
    return [number for number in numbers if isinstance(number, int | float)]
