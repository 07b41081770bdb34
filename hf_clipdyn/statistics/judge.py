"""Verdicts: what a table says about each claim of a file, by the rule that was registered before the runs.

A contrast has an interval [L, U] at level 1 - α/k and a smallest effect δ, and is oriented so that positive favours the
claim. The words:

=========================== ===================
holds                       L >= δ
right direction, size open  0 < L < δ <= U
negligible                  -δ < L and U < δ
contradicted                U <= -δ
undecided                   else
=========================== ===================

Gates come first. Seeds that tuned the study never enter. A window has the revisions at which the number was measured;
one at which it is undefined or not interpretable makes the contrast undefined, since to leave it out would choose which
revisions enter. Correlations of two trajectories within a run are never tested: trends always correlate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.errors import counted
from hf_clipdyn.metrics.influence import weighted_sum
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.table import CLOCKS, Table
from hf_clipdyn.revisions.names import epoch_of, step_of
from hf_clipdyn.statistics.claims import Claim, Claims, Gate, Part, Window
from hf_clipdyn.statistics.contrasts import Estimate, RunValue, combine, weighted
from hf_clipdyn.statistics.errors import Errors

Word = Literal[
    "holds",
    "right direction, size open",
    "negligible",
    "contradicted",
    "undecided",
    "gate failed",
    "not testable here",
]
NO_VERDICT: tuple[Word, ...] = ("not testable here", "gate failed")
"""The words that judge nothing."""
NOT_HERE, GATE_FAILED = NO_VERDICT

_DECIDING: tuple[Word, ...] = (
    "contradicted",
    "negligible",
    NOT_HERE,
    "undecided",
    "right direction, size open",
    "holds",
)
"""A claim has the first of these words that one of its parts has."""
_NEAR = 1e-6  # shares are quotients


@dataclass(frozen=True, kw_only=True)
class JudgedPart:
    """A part of a claim, its estimate, and the word of the rule."""

    part: Part
    estimate: Estimate
    word: Word

    @property
    def words(self) -> str:
        """The word, and that the interval lies below 0 where none of the five words says so."""
        is_below = self.word == "undecided" and self.estimate.sign == -1
        return f"{self.word}, below 0" if is_below else self.word


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """A gate by its name: whether it passed (None if it was not measured), and what was seen, in words."""

    title: str
    passed: bool | None
    words: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a table says about one claim.

    Attributes:
        claim: with its parts and gates.
        word: of all parts together.
        cause: why the word is not ``holds``, where that is not seen from the parts; may be empty.
        parts: its contrasts; also where the verdict does not use them, as those of tuning seeds.
        gates: its gates.
        notes: what a reader must know in addition to the verdict.
    """

    claim: Claim
    word: Word
    cause: str = ""
    parts: tuple[JudgedPart, ...] = ()
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_tested(self) -> bool:
        """Whether the table gives an estimate."""
        return any(math.isfinite(part.estimate.value) for part in self.parts)


class _Measured(NamedTuple):
    """An endpoint in one run, by revision in the order of training.

    Attributes:
        rows: of the table, one for each level of each revision at which all were measured.
        values: a row a revision: the mean over levels (NaN if one is undefined or not interpretable), and its place.
    """

    rows: pd.DataFrame
    values: pd.DataFrame

    @classmethod
    def of(cls, rows: pd.DataFrame, places: pd.DataFrame, n_levels: int) -> Self:
        """From the rows of a run, and the places of its revisions."""
        rows = rows.set_index(rows["revision"].astype(str)).sort_values("order", kind="stable")
        by_revision = rows.groupby(level=0, sort=False)
        means = by_revision["value"].mean().where(by_revision["usable"].all())
        means = means[by_revision.size() == n_levels]
        return cls(rows.loc[means.index], places.loc[means.index].assign(value=means))


def word_of(low: float, high: float, smallest_effect: float) -> Word:
    """The word for an interval; undecided for NaN.

    Args:
        low, high: its ends, oriented so that positive favours the claim.
        smallest_effect: δ, above 0.

    Examples:
        >>> from hf_clipdyn.statistics.judge import word_of
        >>> word_of(0.01, 0.09, 0.05), word_of(0.01, 0.04, 0.05)
        ('right direction, size open', 'negligible')
    """
    if low >= smallest_effect:
        return "holds"
    if high <= -smallest_effect:
        return "contradicted"
    if -smallest_effect < low and high < smallest_effect:
        return "negligible"
    return "right direction, size open" if low > 0 else "undecided"


class Judge:
    """Reads a table for the claims of one file.

    Args:
        table: of all seeds, scales and arms.
        claims: what is asked.
        errors: what items contribute; None for the files beside the table.

    Attributes:
        counted: scale, seed and arm of the runs that count, by their names.
        why_not: why these runs can give no verdict; empty if they can.
    """

    def __init__(self, table: Table, claims: Claims, errors: Errors | None = None) -> None:
        self.table, self.claims = table, claims
        self.errors = errors or Errors(table.files)
        self._read: dict[str, dict[str, _Measured]] = {}
        self._contrasts: dict[tuple[object, ...], list[RunValue]] = {}
        runs = table.courses.drop_duplicates("run").set_index("run")[["scale", "seed", "arm"]]
        self._runs = runs[runs["scale"] == claims.scale] if claims.scale else runs
        self.counted, self.why_not = self._counting()

    def verdicts(self) -> list[Verdict]:
        """The verdict on each claim, in the order of the file."""
        return [self._verdict(claim) for claim in self.claims.claims]

    # --- which runs count, and where their revisions lie ---

    def _counting(self) -> tuple[pd.DataFrame, str]:
        """The runs that count, and why they give no verdict; empty if they do."""
        runs, seeds = self._runs, self.claims.confirmatory_seeds
        tuning, main = runs["seed"].isin(self.claims.tuning_seeds), runs["arm"] == ""
        registered = runs["seed"].isin(seeds) if seeds else ~tuning
        if (registered & main).any() or not main.any():
            return runs[registered], ""
        if (tuning & main).any():
            return runs[tuning], "only seeds that tuned the study"
        return runs, f"none of the registered seeds ({', '.join(map(str, seeds))}) is in the tables"

    @cached_property
    def _left_out(self) -> list[str]:
        """A note on runs that do not count though they tuned nothing."""
        seeds = self._runs["seed"][~self._runs.index.isin(self.counted.index)]
        seeds = seeds[~seeds.isin(self.claims.tuning_seeds)]
        names = sorted({"unknown" if pd.isna(seed) else f"{seed:.0f}" for seed in seeds})
        return [f"Not counted: runs of seed {', '.join(names)}, which is not registered."] if names else []

    @cached_property
    def _places(self) -> dict[str, pd.DataFrame]:
        """By run and revision the clocks, and the share of training.

        The whole is the longest run of the same scale and arm, so a run that was cut short does not reach 1; a run of
        no named scale is compared with itself. Shares are of the first clock that a run has at all revisions.
        """
        rows = self.table.rows.drop_duplicates(["run", "revision"])
        alone = rows["run"].astype(object).where(rows["scale"] == "", "")
        clocks = rows[list(CLOCKS)].astype(float)
        lengths = clocks.groupby([alone, rows["scale"], rows["arm"]], observed=True, dropna=False)
        incomplete = clocks.isna().groupby(rows["run"], observed=True).transform("any")
        shares = (clocks / lengths.transform("max")).mask(incomplete).bfill(axis=1).iloc[:, 0]
        # A revision inside an epoch may carry the number of that epoch.
        names = rows["revision"].astype(str)
        inner = names.map(lambda name: step_of(name) is not None and epoch_of(name) is None)
        places = clocks.assign(epoch=clocks["epoch"].mask(inner), share=shares)
        by_run = places.set_index(names).groupby(rows["run"].to_numpy(object))
        return {str(run): own for run, own in by_run}

    # --- an endpoint in windows ---

    def _measured(self, name: str, run: str) -> "_Measured | None":
        """An endpoint in a run; None for a run that has not each of its levels once."""
        if name not in self._read:
            endpoint, table = self.claims.endpoints[name], self.table.rows
            fits = table["role"] == "value"
            for column, wanted in endpoint.model_dump(exclude={"levels"}).items():
                fits &= table[column].isna() if wanted is None else table[column] == wanted
            fits &= table["level"].isin(endpoint.levels) if endpoint.levels else table["level"].isna()
            n_levels = max(len(endpoint.levels), 1)
            counts = table[fits].groupby("run", observed=True)[["course", "level"]].nunique(dropna=False)
            whole = fits & table["run"].isin(counts.index[(counts == n_levels).all(axis=1)])
            self._read[name] = {
                str(run): _Measured.of(rows, self._places[str(run)], n_levels)
                for run, rows in table[whole].groupby("run", observed=True, sort=False)
            }
        return self._read[name].get(run)

    def _weights(
        self, endpoint: str, windows: Mapping[str, float], run: str
    ) -> "tuple[pd.Series[float], str]":
        """The weight of each revision in a sum of means over windows; without one, the cause."""
        measured = self._measured(endpoint, run)
        if measured is None:
            named = self.claims.endpoints[endpoint]
            cause = f"{named.benchmark} {named.metric} was not measured, or not in one way"
            return pd.Series(dtype=float), cause
        values = measured.values
        weights = pd.Series(math.nan, values.index, float)
        for name, weight in windows.items():
            inside = self._inside(self.claims.windows[name], values, run)
            if not inside.any():
                return weights, f"the run has no revisions for the window {name}"
            weights[inside] = weights[inside].fillna(0.0) + weight / inside.sum()
        weights = weights.dropna()
        undefined = weights.index[values.loc[weights.index, "value"].isna()]
        if len(undefined):
            row = measured.rows.loc[[undefined[0]]].query("not usable").iloc[0]
            said = row["note"] or "undefined" if math.isnan(row["value"]) else "not interpretable"
            return weights, f"{undefined[0]}: {said}"
        return weights, ""

    def revisions(self, endpoint: str, window: str, run: str) -> list[str]:
        """Names of the revisions of a run in a window, at which the endpoint was measured."""
        return [str(name) for name in self._weights(endpoint, {window: 1.0}, run)[0].dropna().index]

    def _inside(self, window: Window, values: pd.DataFrame, run: str) -> NDArray[np.bool_]:
        """Which of the revisions are in a window; none of them if it is not whole."""
        if window.untrained:
            return (values[list(CLOCKS)] == 0).any(axis=1).to_numpy(bool)
        if window.epochs:
            inside = values["epoch"].isin(window.epochs) & set(window.epochs).issubset(values["epoch"])
            return inside.to_numpy(bool)
        if window.shares:
            first, last = window.shares
            return values["share"].between(first - _NEAR, last + _NEAR).to_numpy(bool)
        accuracy = self._measured(self.claims.accuracy, run)
        reached = np.zeros(len(values), bool)
        if accuracy is not None:
            reached = accuracy.values["value"].reindex(values.index).to_numpy() >= window.reached
        start = min(np.flatnonzero(reached[:-1] & reached[1:]), default=len(reached))
        places, end = np.arange(len(reached)), start + window.revisions
        return (places >= start) & (places < end) & (end <= len(reached))

    # --- contrasts ---

    def contrast(self, part: Part, arm: str) -> list[RunValue]:
        """The contrast of a part in each run of an arm that counts, without the part's weight for that arm."""
        asked = part.endpoint, tuple(part.weights.items()), part.constant, arm
        if asked not in self._contrasts:  # the main arm is beside each of the others
            self._contrasts[asked] = self._of_arm(part, arm)
        return self._contrasts[asked]

    def _of_arm(self, part: Part, arm: str) -> list[RunValue]:
        found = []
        runs = self.counted[self.counted["arm"] == arm]
        # One of two runs of a scale and seed would count twice.
        twice = runs.duplicated(["scale", "seed"], keep=False) & runs["seed"].notna()
        for run, scale, seed, _ in self.errors.progress(runs.itertuples(), part.title):
            value = RunValue(run=run, scale=scale, seed=None if pd.isna(seed) else int(seed))
            weights, cause = self._weights(part.endpoint, part.weights, run)
            if twice[run]:
                cause = f"several runs have scale {scale or 'unknown'} and seed {value.seed}: name one"
            found.append(replace(value, cause=cause) if cause else self._sum(part, value, weights))
        return found

    def _sum(self, part: Part, value: RunValue, weights: "pd.Series[float]") -> RunValue:
        endpoint = self.claims.endpoints[part.endpoint]
        measured = self._measured(part.endpoint, value.run)
        assert measured is not None  # it has weights
        rows = measured.rows.loc[weights.index]
        factors = weights.reindex(rows.index) / max(len(endpoint.levels), 1)
        key = NumberKey(**endpoint.model_dump(exclude={"kind", "dataset", "texts", "levels"}))
        levels = [None if math.isnan(level) else level for level in rows["level"]]
        influence = weighted_sum(
            [
                self.errors.of(endpoint.kind, str(cell), replace(key, level=level).number_key)
                for cell, level in zip(rows["cell"], levels, strict=True)
            ],
            factors.tolist(),
        )
        return replace(
            value,
            value=part.constant + float(factors.to_numpy() @ rows["value"].to_numpy()),
            influence=influence,
            n=int(rows["n"].max()),
            n_clusters=influence.n_clusters or int(rows["n_clusters"].max()),
        )

    def estimate(self, part: Part, confidence: float) -> Estimate:
        """The contrast of a part over the runs that count; of several arms, over pairs of one scale and seed."""
        sides = {arm: self.contrast(part, arm) for arm in part.arms}
        runs = weighted([(part.arms[arm], side) for arm, side in sides.items()])
        if runs:
            return combine(runs, confidence, one_t=self.claims.one_t)
        empty = [f"the arm {arm!r}" if arm else "the main arm" for arm, side in sides.items() if not side]
        cause = f"no run of {empty[0]} counts" if empty else "no scale and seed has runs of all arms"
        return Estimate(confidence=confidence, cause=cause)

    # --- gates and words ---

    def gate(self, name: str) -> GateResult:
        """A gate in all runs of its arms that count; each of them must pass."""
        plan = self.claims.gates[name]
        endpoint, arms = self.claims.endpoints[plan.endpoint], self.counted["arm"]
        runs = self.counted.index[arms.isin(plan.arms)]
        absent = [f"the arm {arm!r}" if arm else "the main arm" for arm in plan.arms if arm not in set(arms)]
        missing = [run for run in runs if self._measured(plan.endpoint, run) is None]
        if absent or missing:
            words = f"not measured: no run of {absent[0]} counts" if absent else ""
            words = words or f"not measured in {missing[0]}: {endpoint.benchmark} {endpoint.metric}"
            return GateResult(title=name, passed=None, words=words)
        failures = [f"{run}: {cause}" for run in runs if (cause := self._failure(plan, run))]
        more = f", and in {counted(len(failures) - 1, 'other run')}" if len(failures) > 1 else ""
        words = f"failed in {failures[0]}{more}" if failures else f"passed in {counted(len(runs), 'run')}"
        return GateResult(title=name, passed=not failures, words=words)

    def _failure(self, plan: Gate, run: str) -> str:
        """Why a run does not pass; empty if it does."""
        for name in plan.windows:
            weights, cause = self._weights(plan.endpoint, {name: 1.0}, run)
            measured = self._measured(plan.endpoint, run)
            if measured and not cause and plan.above is not None:
                cause = self._below(plan, plan.above, measured.rows.loc[weights.index])
            if cause:
                return f"{cause} ({name})"
        return ""

    def _below(self, plan: Gate, above: float | str, rows: pd.DataFrame) -> str:
        """Why the mean of the rows in a window is below what the gate names; empty if it is not."""
        mean, named, lower_is_better = float(rows["value"].mean()), "", False
        if isinstance(above, str):
            named = above if plan.times == 1 else f"{plan.times:g} times {above}"
            lower_is_better = not rows["higher_is_better"].fillna(True).any()
            above = self._height(above, rows)
        level = plan.times * above
        if math.isnan(level):
            return f"{named} was not measured"
        if mean <= level if lower_is_better else mean >= level:
            return ""
        return f"{mean:.3g} does not reach {f'{named}, ' if named else ''}{level:.3g}"

    def _height(self, name: str, rows: pd.DataFrame) -> float:
        """The reference with that role or name, at the same revisions; NaN if there is none."""
        table = self.table.rows
        others = table[table["cell"].isin(rows["cell"]) & (table["role"] != "value")]
        others = others[(others["role"] == name) | (others["reference"] == name)]
        if others.empty:
            return math.nan
        first = others.iloc[0]
        declared = self.table.words.kind(str(first["kind"])).reference(first["role"], first["reference"])
        columns = ["cell", *(declared.joins if declared else _UNDECLARED)]
        return float(rows[columns].merge(others[[*columns, "value"]], on=columns)["value"].mean())

    def _verdict(self, claim: Claim) -> Verdict:
        draft = Verdict(claim=claim, word=NOT_HERE, cause=claim.cause, notes=claim.notes)
        measured = set(self.table.courses[["kind", "dataset"]].itertuples(index=False, name=None))
        for endpoint in (self.claims.endpoints[part.endpoint] for part in claim.parts):
            if (endpoint.kind, endpoint.dataset) not in measured:
                return replace(draft, cause=f"{endpoint.benchmark} is not in the tables")
        if not claim.parts:
            return draft
        gates = tuple(map(self.gate, claim.gates))
        parts = tuple(self._judged(part, self.claims.confidence(claim)) for part in claim.parts)
        word, cause = (NOT_HERE, self.why_not) if self.why_not else _together(gates, parts)
        # What intervals leave out is said once.
        cautions = dict.fromkeys(note for part in parts for note in part.estimate.notes)
        notes = (*claim.notes, *self._left_out, *cautions)
        return replace(draft, word=word, cause=cause, parts=parts, gates=gates, notes=notes)

    def _judged(self, part: Part, confidence: float) -> JudgedPart:
        estimate = self.estimate(part, confidence)
        word = word_of(estimate.ci_low, estimate.ci_high, part.smallest_effect)
        if math.isnan(estimate.value) or self.why_not:
            word = NOT_HERE
        elif self.claims.confirmatory_seeds and estimate.has_one_seed:
            word = "undecided"
        return JudgedPart(part=part, estimate=estimate, word=word)


_UNDECLARED = ("metric", "variant", "subset", "condition", "level", "parameter")
"""What a reference joins if its kind does not declare it."""


def _together(gates: Sequence[GateResult], parts: Sequence[JudgedPart]) -> tuple[Word, str]:
    """The word of a claim, and its cause: all parts must hold, and one that speaks against it is enough."""
    for passed, word in ((None, NOT_HERE), (False, GATE_FAILED)):
        for gate in gates:
            if gate.passed is passed:
                return word, f"{gate.title}: {gate.words}"
    first = min(parts, key=lambda part: _DECIDING.index(part.word))
    cause, is_shown = first.estimate.cause, first.word in ("contradicted", "negligible") and len(parts) > 1
    if first.word == "undecided" and first.estimate.has_one_seed and not cause:
        cause = "one seed: the variance between seeds is unknown"
    return first.word, ": ".join([first.part.title, cause] if cause else [first.part.title] * is_shown)
