"""Does each revision continue its neighbours and step 0? Answered from a few windows of each file of weights.

Twelve windows of 64 KiB a revision are compared between revisions. `r` is the correlation of the weights, `rho` of
three consecutive revisions `(|a-b|^2 + |b-c|^2) / |a-c|^2`: 0.5 on a straight line, 1 in a random walk, 2 around a
fixed point. Input embeddings of tokens that never occur only decay, so their norm is a clock. The thresholds come from
pilots with small models: see docs/explanation/continuity.md.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.revisions.repository import ReadableRepository
from hf_clipdyn.revisions.sampling import Sample, Window, layout_of, sample_of, windows_of
from hf_clipdyn.revisions.suite import SHARD, Finding, Position, State, numbered

__all__ = ["Continuity", "continuity_of", "judge"]

_UNRELATED = 0.06  # the largest correlation of one window between two seeds in the pilots
_LARGEST_OWN_RHO, _NOTED_RHO, _WRONG_RHO, _INFINITE = 1.1, 1.25, 2.0, 1000.0
_JUMP = 3.0
_ROUNDING = {"BF16": 1.7e-3, "F16": 2.2e-4, "F32": 1e-7}
_CLOCK_ERROR = {"BF16": 1.5e-4, "F16": 1e-5, "F32": 1e-6}
_DEAD = 1e-5  # 1 - cosine between the first and the last revision
_NEAREST = 64  # pairs of revisions by which two groups are compared

Numbers = NDArray[np.float64]


@dataclass
class Continuity:
    """What the windows of a repository's revisions say.

    Attributes:
        findings: what is wrong.
        notes: what may be right.
        positions: the statistics of each revision and shard.
        sentences: what is consistent, and what is not excluded.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def add(self, other: "Continuity") -> None:
        """Take in what another series says."""
        self.findings += other.findings
        self.notes += other.notes
        self.positions += other.positions
        self.sentences += other.sentences


def continuity_of(
    repository: ReadableRepository,
    states: Sequence[State],
    pool: Executor,
    steps: Mapping[str, int] | None,
) -> Continuity:
    """Read the windows of the revisions, and judge each series of them.

    Args:
        repository: of the revisions.
        states: in training order.
        pool: reads several files at once.
        steps: optimiser steps by name, from a manifest: then all revisions are of one run. None without a manifest:
            names that are equal apart from their number are a series, and the number is the step.

    Raises:
        RevisionError: the repository cannot be read in parts.
    """
    whole = Continuity()
    for series in _series(states, steps is not None):
        numbers = _numbers(series, steps or {})
        layouts = {}
        whole.add(_start(numbers))
        for state, (tensors, said) in zip(
            series, pool.map(partial(layout_of, repository), series), strict=True
        ):
            if said:
                whole.notes.append(Finding(state.name, "not-read", said))
            elif tensors:
                layouts[state.name] = tensors
        if not layouts:
            continue
        windows, rows = windows_of(layouts)

        def sample(state: State) -> Sample:
            return sample_of(repository, state, layouts[state.name], windows, rows, numbers[state.name])  # noqa: B023

        readable = [state for state in series if state.name in layouts]
        samples = list(pool.map(sample, readable))
        verdict = judge(samples, windows)
        whole.add(verdict)
        whole.notes += _incomplete(samples)
        if len(samples) > 2 and not verdict.findings:
            size = sum(state.weights.size for state in readable if state.weights is not None)
            whole.sentences.append(_conclusion(len(samples), sum(sample.size for sample in samples) / size))
    return whole


def _conclusion(number: int, share: float) -> str:
    return (
        f"{number} revisions are consistent with one run in this order. Not excluded: another run from the same "
        f"initialisation early on; errors outside the {100 * share:.2g} % read."
    )


def _series(states: Sequence[State], is_run: bool) -> list[list[State]]:
    """Revisions that follow each other: all of a run; else those whose names are equal apart from their number."""
    series: dict[tuple[str, str], list[State]] = defaultdict(list)
    for state in states:
        parts = numbered(state.name)
        if is_run or parts is not None:
            series[(parts.before, parts.after) if parts and not is_run else ("", "")].append(state)
    return [members for members in series.values() if len(members) > 1]


def _numbers(states: Sequence[State], steps: Mapping[str, int]) -> dict[str, int | None]:
    """The step of each revision, or the number that its name has."""
    parsed = {state.name: numbered(state.name) for state in states}
    return {name: steps.get(name, parts.number if parts else None) for name, parts in parsed.items()}


def _incomplete(samples: Sequence[Sample]) -> Iterator[Finding]:
    for sample in samples:
        lacking = sum(values is None for values in sample.values)
        if lacking:
            yield Finding(
                sample.name,
                "not-compared",
                f"{lacking} of {len(sample.values)} sampled tensors are absent, of another shape or not finite; the "
                "others were compared.",
            )


def _start(numbers: Mapping[str, int | None]) -> Continuity:
    """Does a series begin with the initialisation?"""
    known = sorted({number for number in numbers.values() if number is not None})
    if len(known) < 2 or known[0] == 0:
        return Continuity()
    name = next(name for name, number in numbers.items() if number == known[0])
    parts = numbered(name)
    word = parts.word if parts else "step"
    stride = known[1] - known[0]
    if known[0] <= stride:
        message = f"The series has no {word} 0 to compare with."
        return Continuity(notes=[Finding(name, "no-initialisation", message)])
    message = f"The series begins with {word} {known[0]:,} at a spacing of {stride:,}: its start is missing."
    return Continuity(findings=[Finding(name, "missing-start", message)])


# --- what it says -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shard:
    """The windows of one file of weights over the revisions of a series.

    Attributes:
        label: in messages; empty if the weights are one file.
        samples: in training order.
        columns: the windows by their index; those that never change are not among them.
    """

    label: str
    samples: Sequence[Sample]
    columns: tuple[int, ...]
    _pairs: dict[tuple[int, int], Numbers] = field(default_factory=dict)

    def _pair(self, a: int, b: int) -> Numbers:
        """For each window: the squared distance of two revisions, and the correlation of their weights."""
        key = (min(a, b), max(a, b))
        if key not in self._pairs:
            table = np.full((2, len(self.columns)), math.nan)
            for place, column in enumerate(self.columns):
                first, second = (self.samples[index].values[column] for index in key)
                if first is not None and second is not None:
                    x, y = first.astype(np.float64), second.astype(np.float64)
                    table[0, place] = ((x - y) ** 2).sum()
                    x -= x.mean()
                    y -= y.mean()
                    norm = math.sqrt((x @ x) * (y @ y))
                    table[1, place] = (x @ y) / norm if norm > 0 else math.nan
            self._pairs[key] = table
        return self._pairs[key]

    @cached_property
    def _norms(self) -> Numbers:
        """The squared norm of each window in each revision."""
        return np.array(
            [
                [
                    math.nan if (values := sample.values[column]) is None else float(np.vdot(values, values))
                    for column in self.columns
                ]
                for sample in self.samples
            ]
        )

    def r(self, a: int, b: int) -> float:
        """Correlation of two revisions, the median over the windows."""
        return _median(self._pair(a, b)[1])

    def pace(self, a: int, b: int) -> float:
        """Squared distance of two revisions for each step, relative to the norm; 0 if rounding could explain it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = _median(self._pair(a, b)[0] / self._norms[b])
        rounding = max(_ROUNDING[self.samples[index].dtype] for index in (a, b))
        return distance / _steps(self.samples, a, b) ** 2 if distance > 20 * rounding**2 else 0.0

    def rho(self, a: int, b: int, c: int) -> float:
        """Of three consecutive revisions, the median over the windows; NaN if rounding could explain all of it."""
        rounding = max(_ROUNDING[self.samples[index].dtype] for index in (a, b, c))
        least = 20 * rounding**2 * self._norms[c]
        ab, bc, ac = self._pair(a, b)[0], self._pair(b, c)[0], self._pair(a, c)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(ac > least, (ab + bc) / ac, np.where(ab > least, math.inf, math.nan))
        values[np.isnan(ab + bc + ac)] = math.nan
        return min(_median(values), _INFINITE)

    @cached_property
    def least_r(self) -> float:
        """The correlation below which two revisions have nothing in common."""
        counts = [
            len(values)
            for sample in self.samples
            for c in self.columns
            if (values := sample.values[c]) is not None
        ]
        return max(0.1, 6 / math.sqrt(np.median(counts))) if counts else 0.1


@dataclass(frozen=True)
class _Blame:
    """Why a revision is named in one shard.

    Attributes:
        kind: of the finding.
        index: of the revision.
        label: of the shard.
        value: how bad it is; of several shards the worst one is quoted.
        sentence: with `{of_shard}` for the shard, where not all shards say the same.
        is_note: it may be right.
    """

    kind: str
    index: int
    label: str
    value: float
    sentence: str
    is_note: bool = False


def judge(samples: Sequence[Sample], windows: Sequence[Window]) -> Continuity:
    """What the windows of one series of revisions, in training order, say of it."""
    frozen = {
        column
        for column in range(len(windows))
        if len({sample.contents[column] for sample in samples if sample.contents[column] is not None}) == 1
    }
    columns: dict[str, list[int]] = defaultdict(list)
    for column, window in enumerate(windows):
        if column not in frozen:
            columns[window.shard].append(column)
    files = list(dict.fromkeys(window.shard for window in windows))
    shards = [_Shard(_label(path, files), samples, tuple(columns[path])) for path in files if columns[path]]
    foreign = {shard.label: list(_foreign(shard)) for shard in shards}
    blames = [blame for of_shard in foreign.values() for blame in of_shard]
    for shard in shards:
        others = {blame.index for blame in foreign[shard.label]}
        blames += _off_path(shard, [index for index in range(len(samples)) if index not in others])
    named = {blame.index for blame in blames if not blame.is_note}
    blames += [blame for shard in shards for blame in _jumps(shard, named)]
    strangers = {blame.index for of_shard in foreign.values() for blame in of_shard}
    clock = _clock(samples, [index for index in range(len(samples)) if index not in strangers])
    blames += _clock_faults(samples, clock)
    named = {blame.index for blame in blames if not blame.is_note}
    blames = [blame for shard in shards for blame in _same_bytes(shard, named)] + blames
    result = _merged(blames, samples, {shard.label for shard in shards})
    result.positions += [
        Position(
            sample.name,
            shard.label,
            r=_number(shard.r(index - 1, index)) if index else None,
            r0=_number(shard.r(0, index)) if index else None,
            rho=_number(shard.rho(index - 1, index, index + 1)) if 0 < index < len(samples) - 1 else None,
            clock=_number(abs(clock.get(index, math.nan))),
        )
        for index, sample in enumerate(samples)
        for shard in shards
    ]
    return result


def _label(path: str, files: Sequence[str]) -> str:
    """Of a shard, for messages."""
    parts = SHARD.fullmatch(path)
    return "" if len(files) == 1 else f"shard {int(parts['index'])}" if parts else path


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _median(values: Numbers) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _merged(blames: Sequence[_Blame], samples: Sequence[Sample], labels: set[str]) -> Continuity:
    """One finding or note for each revision and kind, whatever the number of shards that say so."""
    by_kind: dict[tuple[str, int], list[_Blame]] = defaultdict(list)
    for blame in blames:
        by_kind[blame.kind, blame.index].append(blame)
    result = Continuity()
    for (kind, index), group in by_kind.items():
        wrong = [blame for blame in group if not blame.is_note] or group
        worst = max(wrong, key=lambda blame: blame.value)
        of_shards = sorted({blame.label for blame in wrong} & labels)
        of_shard = "" if len(of_shards) in (0, len(labels)) else f", {', '.join(of_shards)},"
        finding = Finding(samples[index].name, kind, worst.sentence.replace("{of_shard}", of_shard))
        (result.notes if worst.is_note else result.findings).append(finding)
    return result


def _same_bytes(shard: _Shard, named: set[int]) -> Iterator[_Blame]:
    """Revisions that share bytes; those that are named for other reasons, if there are any."""
    shared: dict[int, Counter[int]] = defaultdict(Counter)
    for column in shard.columns:
        groups: dict[bytes, list[int]] = defaultdict(list)
        for index, sample in enumerate(shard.samples):
            if (content := sample.contents[column]) is not None:
                groups[content].append(index)
        for group in groups.values():
            for index in [index for index in group if index in named] or group:
                shared[index].update(other for other in group if other != index)
    for index, others in sorted(shared.items()):
        if others:
            other, number = others.most_common(1)[0]
            sentence = (
                f"{shard.samples[index].name}{{of_shard}} has the bytes of {shard.samples[other].name} in {number} of "
                f"{len(shard.columns)} sampled windows."
            )
            yield _Blame("same-bytes", index, shard.label, number, sentence)


def _foreign(shard: _Shard) -> Iterator[_Blame]:
    """Revisions whose weights have nothing in common with those of the largest group."""
    groups = [[0]]
    for before, index in pairwise(range(len(shard.samples))):
        if shard.r(before, index) < shard.least_r:
            groups.append([])
        groups[-1].append(index)
    largest = max(groups, key=lambda group: (len(group), group[-1]))
    related, others = list(largest), [group for group in groups if group is not largest]
    while linked := [group for group in others if _are_related(shard, group, related)]:
        related += [index for group in linked for index in group]
        others = [group for group in others if group not in linked]
    names = [sample.name for sample in shard.samples]
    for group in others:
        for index in group:
            outside = group[0] - 1 if group[0] else group[-1] + 1
            early, late = sorted((index, outside))
            r = shard.r(early, late)
            sentence = (
                f"{names[late]}{{of_shard}} does not continue {names[early]}: sampled weights correlate by {r:.2f}; "
                f"unrelated models stay below {_UNRELATED}."
            )
            yield _Blame("other-initialisation", index, shard.label, -r, sentence)


def _are_related(shard: _Shard, group: Sequence[int], others: Sequence[int]) -> bool:
    pairs = sorted(product(group, others), key=lambda pair: abs(pair[0] - pair[1]))
    return any(shard.r(*pair) >= shard.least_r for pair in pairs[:_NEAREST])


class _Removals:
    """Names the revisions without which a series has less excess.

    Args:
        present: the series.
        width: of how many consecutive revisions the excess is asked.
        excess: 0 where they are in order.
    """

    def __init__(self, present: Sequence[int], width: int, excess: Callable[..., float]) -> None:
        self.present, self._width, self._excess = list(present), width, excess

    def parts(self, series: Sequence[int]) -> list[float]:
        """The excess of each part of a series."""
        return [
            self._excess(*series[start : start + self._width])
            for start in range(len(series) - self._width + 1)
        ]

    def best(self, starts: Iterable[int]) -> int:
        """The place in these parts whose removal leaves the least; of two swapped revisions the first."""

        def left(place: int) -> float:
            near = slice(max(0, place - self._width + 1), place + self._width)
            whole = self.present[near]
            others = [index for index in whole if index != self.present[place]]
            return round(sum(self.parts(others)) - sum(self.parts(whole)), 9)

        return min(sorted({start + step for start in starts for step in range(self._width)}), key=left)

    def above(self, limit: float) -> Iterator[tuple[int, float]]:
        """One place after the other, until no part is above a limit: and the largest excess that it is part of."""
        while max(parts := self.parts(self.present), default=0.0) > limit:
            place = self.best(start for start, value in enumerate(parts) if value > limit)
            yield place, max(parts[max(0, place - self._width + 1) : place + 1])
            del self.present[place]

    def rest(self) -> Iterator[tuple[int, float]]:
        """One place for each part that still has an excess, without removing any; a place is named once."""
        named: set[int] = set()
        parts = self.parts(self.present)
        for start in sorted(range(len(parts)), key=lambda start: -parts[start]):
            if parts[start] > 0 and named.isdisjoint(range(start, start + self._width)):
                named.add(place := self.best([start]))
                yield place, parts[start]


def _off_path(shard: _Shard, related: Sequence[int]) -> Iterator[_Blame]:
    """Revisions that are not on the way between their neighbours."""

    def excess(a: int, b: int, c: int) -> float:
        rho = shard.rho(a, b, c)
        return rho - _NOTED_RHO if rho > _NOTED_RHO else 0.0

    removals = _Removals(related, 3, excess)
    names = [sample.name for sample in shard.samples]

    def blame(place: int, worst: float, is_note: bool) -> _Blame:
        index, rho = removals.present[place], worst + _NOTED_RHO
        others = [names[other] for other in removals.present]
        if 0 < place < len(others) - 1:
            where = f"is not between {others[place - 1]} and {others[place + 1]}"
        else:
            where = f"is not on the path of {' and '.join(others[1:3] if place == 0 else others[-3:-1])}"
        sentence = (
            f"{names[index]}{{of_shard}} {where} (rho {rho:.1f}; at most {_LARGEST_OWN_RHO} in correct orders of our "
            "pilots)."
        )
        return _Blame("off-path", index, shard.label, rho, sentence, is_note)

    for place, worst in removals.above(_WRONG_RHO - _NOTED_RHO):
        yield blame(place, worst, is_note=False)
    for place, worst in removals.rest():
        yield blame(place, worst, is_note=True)


def _jumps(shard: _Shard, named: set[int]) -> Iterator[_Blame]:
    """Gaps that are larger than both gaps around them, for each step: there a block of other revisions may begin."""
    for b, c in pairwise(range(1, len(shard.samples) - 1)):
        if named & {b - 1, b, c, c + 1}:
            continue
        before, here, after = (shard.pace(*pair) for pair in ((b - 1, b), (b, c), (c, c + 1)))
        ratio = here / max(before, after) if max(before, after) > 0 else math.nan
        if ratio > _JUMP:
            names = [shard.samples[index].name for index in (b, c)]
            sentence = (
                f"{names[1]}{{of_shard}} is far from {names[0]}: the squared distance for each step is "
                f"{ratio:.1f} times those before and after it (at most 1.13 in correct orders of our pilots)."
            )
            yield _Blame("jump", c, shard.label, ratio, sentence, is_note=True)


def _clock(samples: Sequence[Sample], related: Sequence[int]) -> dict[int, float]:
    """The logarithm of the norm of unused input embeddings relative to the first revision, by revision.

    Empty if there are no such rows, or if they do not decay.
    """
    rows = {
        index: value.astype(np.float64) for index in related if (value := samples[index].rows) is not None
    }
    if len(rows) < 2:
        return {}
    first, last = next(iter(rows.values())), list(rows.values())[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = (first * first).sum(1)
        products = (first * last).sum(1)
        unused = 1 - products / np.sqrt(norms * (last * last).sum(1)) < _DEAD
        decay = np.log(products / norms)
    error = max(_CLOCK_ERROR[samples[index].dtype] for index in rows)
    if unused.any():  # a row that is used has a decay of its own
        unused &= np.abs(decay - np.median(decay[unused])) < 10 * error
    if unused.sum() < 2 or abs(np.median(decay[unused])) < 10 * error:
        return {}
    start = first[unused]
    scales = {index: float((value[unused] * start).sum() / (start**2).sum()) for index, value in rows.items()}
    return {index: math.log(scale) for index, scale in scales.items() if scale > 0}


def _clock_faults(samples: Sequence[Sample], clock: Mapping[int, float]) -> Iterator[_Blame]:
    """Revisions at which the clock goes back, or stands still while it goes on around them."""
    names = [sample.name for sample in samples]

    def error(a: int, b: int) -> float:
        return max(_CLOCK_ERROR[samples[index].dtype] for index in (a, b))

    def excess(a: int, b: int) -> float:
        back = clock[b] - clock[a]
        return back if back > error(a, b) else 0.0

    removals = _Removals(list(clock), 2, excess)
    for place, worst in removals.above(0.0):
        index, present = removals.present[place], removals.present
        beside = [other for other in (place - 1, place + 1) if 0 <= other < len(present)]
        others = " and ".join(f"{-clock[present[other]]:.4f} ({names[present[other]]})" for other in beside)
        sentence = (
            f"{names[index]} is not where its name says: unused input embeddings have decayed by {-clock[index]:.4f}, "
            f"beside {others}."
        )
        yield _Blame("clock", index, "", worst, sentence)
    left = removals.present
    for a, b, c, d in zip(left, left[1:], left[2:], left[3:], strict=False):
        rates = [(clock[x] - clock[y]) / _steps(samples, x, y) for x, y in ((a, b), (c, d))]
        if abs(clock[b] - clock[c]) <= error(b, c) and min(rates) * _steps(samples, b, c) > 20 * error(b, c):
            sentence = (
                f"{names[c]} is not older than {names[b]}: unused embeddings have decayed by {-clock[c]:.4f}."
            )
            yield _Blame("clock", c, "", 0.0, sentence)


def _steps(samples: Sequence[Sample], a: int, b: int) -> int:
    """Steps between two revisions; 1 if unknown."""
    first, last = samples[a].step, samples[b].step
    return 1 if first is None or last is None else max(1, last - first)
