"""Verdicts: what the tables say about each claim, by the rule that was registered before the runs.

Contrasts are oriented so that positive favours the claim. With [L, U] the interval at level 1 - α/k for the k testable
claims, and δ the smallest effect of interest:

=========================== =================================
holds                       L >= δ
right direction, size open  0 < L < δ <= U
negligible                  the interval lies inside (-δ, δ)
contradicted                U <= -δ
undecided                   else
=========================== =================================

Gates decide whether a claim is testable, over fixed windows; they never choose which revisions enter. Seeds that tuned
the world never enter. Correlations of two trajectories within a run are never tested: trends always correlate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add
from typing import Literal

from scipy import stats

from hf_clipdyn.errors import EvaluationError, counted
from hf_clipdyn.results.read import Results
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.statistics.alignment import Window
from hf_clipdyn.statistics.claims import Claim, Claims, ClaimTest, PartPlan, read_claims
from hf_clipdyn.statistics.contrasts import AgainstNull, Contrast, Estimate, RunContrast, combine
from hf_clipdyn.statistics.evidence import Evidence, study_of
from hf_clipdyn.statistics.gates import Gate, control, gate
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.people import with_people
from hf_clipdyn.statistics.trajectories import Trajectory, read_trajectories

__all__ = [
    "NO_VERDICT",
    "Part",
    "Verdict",
    "Word",
    "judge",
    "judge_evidence",
    "minimum_detectable_effect",
    "null_notes",
    "read_evidence",
    "word_of",
]

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

_POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Part:
    """One contrast of a claim, and what the rule says about it.

    Attributes:
        contrast: with δ in ``smallest_effect``; positive favours the claim.
        estimate: of the contrast, with its interval.
        verdict: by the rule above.
        minimum_detectable_effect: see the function of that name; NaN without a standard error.
        title: in words.
        scale: the only scale of the estimate; empty for all scales together.
    """

    contrast: Contrast
    estimate: Estimate
    verdict: Word
    minimum_detectable_effect: float
    title: str = ""
    scale: str = ""

    @property
    def sign(self) -> int | None:
        """1 if the interval lies above 0, -1 if it lies below, 0 if it includes 0; None without an interval."""
        low, high = self.estimate.ci_low, self.estimate.ci_high
        return None if math.isnan(low) else int(low > 0) - int(high < 0)

    @property
    def excludes_delta(self) -> str:
        """On which side the interval excludes effects of δ or more; empty without an interval.

        `favourable`: U < δ. `unfavourable`: L > -δ. `both`, or `neither`.
        """
        low, high, limit = self.estimate.ci_low, self.estimate.ci_high, self.contrast.smallest_effect
        if math.isnan(low):
            return ""
        names = {(True, True): "both", (True, False): "favourable", (False, True): "unfavourable"}
        return names.get((high < limit, low > -limit), "neither")

    @property
    def against_null(self) -> AgainstNull | None:
        """The values of all its runs beside the null of the number; None if there is none."""
        found = [one.against_null for one in self.estimate.runs if one.scale in self.estimate.scales]
        known = [one for one in found if one is not None]
        return reduce(add, known) if known and len(known) == len(found) else None

    @property
    def informative(self) -> bool:
        """False if most values that the contrast reads are no better than the null of their number."""
        found = self.against_null
        return found is None or 2 * found.n_no_better <= found.n

    @property
    def words(self) -> str:
        """The registered word, with "not informative" where that is so."""
        return self.verdict if self.informative else f"{self.verdict}, {_NOT_INFORMATIVE}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one study says about one claim.

    Attributes:
        claim: number, title and tests.
        study: its name in the claims' file.
        verdict: of all parts together.
        cause: why, if a gate failed, if it is not testable here, or if it is undecided; may be empty.
        parts: its contrasts; also where the verdict does not use them, such as from tuning seeds.
        gates: gates and control arms.
        evidence: False for a positive control, which holds by construction.
        notes: what a reader must know beside the verdict.
        deviations: from the registered plan, of the study and of the claim.
    """

    claim: Claim
    study: str
    verdict: Word
    cause: str = ""
    parts: tuple[Part, ...] = ()
    gates: tuple[Gate, ...] = ()
    evidence: bool = True
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The registered word, with "not informative" if that is so of all parts."""
        silent = self.verdict in NO_VERDICT or not self.parts or any(one.informative for one in self.parts)
        return self.verdict if silent else f"{self.verdict}, {_NOT_INFORMATIVE}"


def word_of(low: float, high: float, smallest_effect: float) -> Word:
    """The verdict of the rule for one interval; undecided for NaN.

    Args:
        low, high: the ends of the interval, oriented so that positive favours the claim.
        smallest_effect: δ, above 0.

    Examples:
        >>> from hf_clipdyn.statistics.judging import word_of
        >>> word_of(0.01, 0.09, 0.05)
        'right direction, size open'
    """
    if low >= smallest_effect:
        return "holds"
    if high <= -smallest_effect:
        return "contradicted"
    if -smallest_effect < low and high < smallest_effect:
        return "negligible"
    if low > 0 and smallest_effect <= high:
        return "right direction, size open"
    return "undecided"


def minimum_detectable_effect(standard_error: float, degrees_of_freedom: float, confidence: float) -> float:
    """The true effect that reaches L > 0 with a power of about 80 %: (t_{1-α/2} + t_{.8}) SE.

    L > 0 shows the direction; to reach L >= δ ("holds") with that power, the true effect must be δ larger. The sum of
    quantiles is an approximation, and the power is lower where there are few degrees of freedom, by the noncentral t:

    ================== ===== ===== =====
    degrees of freedom 2     4     12
    ================== ===== ===== =====
    intervals of 95 %  77 %  79 %  80 %
    intervals of 99 %  70 %  75 %  79 %
    ================== ===== ===== =====

    Args:
        standard_error: of the contrast.
        degrees_of_freedom: of Student's t.
        confidence: level of the interval, 1 - α.

    Returns:
        In units of the contrast; NaN without a standard error.
    """
    if not (math.isfinite(standard_error) and degrees_of_freedom > 0):
        return math.nan
    student = stats.t(degrees_of_freedom)
    return float((student.ppf((1 + confidence) / 2) + student.ppf(_POWER)) * standard_error)


def judge(
    study_results: Results,
    claims: Claims | None = None,
    *,
    study: str | None = None,
    trajectories: Sequence[Trajectory] | None = None,
    show_progress: bool = True,
) -> list[Verdict]:
    """The verdict on each claim, in the order of their numbers in the file.

    Args:
        study_results: from `read_results`; item errors come from the trials beside its tables.
        claims: from `read_claims`; None for the package's own.
        study: name of the study; None for the one sharing most benchmarks with the tables.
        trajectories: of these results, if they were read before.
        show_progress: draw a progress bar if the item errors take longer than two seconds.

    Raises:
        UnknownNameError: there is no study of that name.
        ConfigError: the tables contain no benchmark of a claim.
    """
    evidence = read_evidence(
        study_results, claims, study=study, trajectories=trajectories, show_progress=show_progress
    )
    return judge_evidence(evidence)


def read_evidence(
    study_results: Results,
    claims: Claims | None = None,
    *,
    study: str | None = None,
    trajectories: Sequence[Trajectory] | None = None,
    show_progress: bool = True,
) -> Evidence:
    """What the tables hold for the claims; the arguments are those of `judge`."""
    held = claims or read_claims()
    rows = study_results.rows
    listed = read_trajectories(rows, study_results.vocabulary) if trajectories is None else trajectories
    return Evidence(
        claims=held,
        study=study_of(listed, held, study),
        trajectories=listed,
        errors=KeptInfluences(study_results.tables, show_progress=show_progress),
        trials=KeptTrials(study_results.tables),
        parameters={
            str(scale): float(number)
            for scale, number in rows.groupby("scale")["parameters"].max().fillna(0).items()
        },
    )


def judge_evidence(evidence: Evidence) -> list[Verdict]:
    """The verdict on each claim."""
    return [_judged(claim, evidence) for claim in evidence.claims.claims]


def _judged(claim: Claim, evidence: Evidence) -> Verdict:
    test = claim.test(evidence.study)
    draft = Verdict(
        claim=claim, study=evidence.study, verdict=_NOT_HERE, evidence=test.evidence, notes=test.notes
    )
    if not test.testable:
        return replace(draft, cause=test.cause)
    for benchmark in dict.fromkeys(one.contrast.endpoint.benchmark for one in test.parts):
        if not evidence.holds(benchmark):
            return replace(draft, cause=f"{benchmark} is not in the tables")
    try:
        windows = evidence.windows(test)
    except EvaluationError as error:
        return replace(draft, cause=str(error))
    return _measured(draft, test, evidence, windows)


def _measured(draft: Verdict, test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window]) -> Verdict:
    """The verdict of a claim whose benchmarks are in the tables."""
    scale = _scale_of_arms(test, evidence, windows)
    gates = tuple(gate(one, evidence, windows, scale) for one in test.gates)
    controls = tuple(control(one, evidence, windows) for one in test.controls)
    parts = _RULES[test.rule](test, evidence, windows, scale)
    if evidence.why_not:
        parts = tuple(replace(one, verdict=_NOT_HERE) for one in parts)
    searched = _SEARCHED if evidence.why_not and evidence.are_located(test) else ""
    notes = (*draft.notes, *filter(None, [evidence.left_out, searched]), *_cautions(parts))
    draft = replace(draft, parts=parts, gates=(*gates, *controls), notes=(*notes, *null_notes(parts)))
    if not evidence.why_not:
        draft = replace(
            draft, deviations=(*evidence.claims.studies[evidence.study].deviations, *test.deviations)
        )
    word, cause = _whole(test, evidence, gates, controls, parts)
    return replace(draft, verdict=word, cause=cause)


_NOT_HERE: Word = "not testable here"
_NOT_INFORMATIVE = "not informative"
_SEARCHED = "The peak was searched in these seeds themselves, so its contrasts are too large."


def _cautions(parts: Sequence[Part]) -> list[str]:
    """What intervals leave out, each once."""
    return list(dict.fromkeys(note for part in parts for note in part.estimate.notes))


def null_notes(parts: Sequence[Part]) -> list[str]:
    """For each number, which contrasts read values that are mostly no better than its null."""
    silent: dict[str, list[str]] = {}
    for part in parts:
        if not part.informative and (found := part.against_null):
            endpoint = part.contrast.endpoint
            words = f"{endpoint.benchmark} {endpoint.metric} is no better than its null ({found.null})"
            silent.setdefault(words, []).append(f"{found.n_no_better} of {found.n} values of: {part.title}")
    return [
        f"{_NOT_INFORMATIVE.capitalize()}: {words} in {'; '.join(said)}." for words, said in silent.items()
    ]


def _scale_of_arms(test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window]) -> str | None:
    """Of a claim about two arms, the smallest scale of both that passes the gates; None for all scales."""
    arms = {arm for one in test.parts if one.minus_arm is not None for arm in (one.arm, one.minus_arm)}
    if not arms:
        return None
    scales = [set(evidence.scales(evidence.runs(arm).values())) for arm in arms]
    common = [
        scale for scale in evidence.scales(evidence.runs().values()) if all(scale in one for one in scales)
    ]
    for scale in common:
        if all(gate(one, evidence, windows, scale).passed for one in test.gates):
            return scale
    return common[0] if common else None


def _part(
    contrast: Contrast, found: Estimate, *, title: str = "", scale: str = "", needs_seeds: bool = False
) -> Part:
    word = word_of(found.ci_low, found.ci_high, contrast.smallest_effect)
    if math.isnan(found.value):
        word = _NOT_HERE
    elif needs_seeds and _has_one_seed(found):
        word = "undecided"
    effect = minimum_detectable_effect(found.standard_error, found.degrees_of_freedom, found.confidence_level)
    return Part(
        contrast=contrast,
        estimate=found,
        verdict=word,
        minimum_detectable_effect=effect,
        title=title or contrast.title,
        scale=scale,
    )


def _has_one_seed(found: Estimate) -> bool:
    """Whether the interval is one over items alone."""
    return found.n_seeds == len(found.scales)


def _all_parts(
    test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window], scale: str | None
) -> tuple[Part, ...]:
    def part(plan: PartPlan) -> Part:
        found = _combined(evidence.part(plan, windows, scale), evidence, plan)
        if test.observers:
            found = with_people(found, evidence.trials_of(plan.contrast.endpoint))
        return _part(plan.contrast, found, scale=scale or "", needs_seeds=evidence.needs_seeds)

    return tuple(map(part, test.parts))


def _combined(runs: Sequence[RunContrast], evidence: Evidence, plan: PartPlan) -> Estimate:
    """The estimate over runs; without any, the cause."""
    if runs:
        return combine(runs, evidence.confidence)
    arms = [arm for arm in (plan.arm, plan.minus_arm) if arm is not None]
    missing = next((arm for arm in arms if not evidence.runs(arm)), None)
    cause = f"no scale and seed has runs of both arms ({', '.join(arm or 'main' for arm in arms)})"
    if missing is not None:
        cause = f"no run of the arm {missing!r} counts" if missing else "no run of the main arm counts"
    return Estimate(value=math.nan, confidence_level=evidence.confidence, cause=cause)


def _every_scale(
    test: ClaimTest, evidence: Evidence, windows: Mapping[str, Window], scale: str | None
) -> tuple[Part, ...]:
    """The contrast over all scales, at each scale, and between any two scales.

    The variance between seeds is pooled within scales. A difference of two scales has δ = half of the pooled effect; it
    is negligible if its interval lies inside.
    """
    del scale
    (plan,) = test.parts
    contrast, runs = plan.contrast, evidence.part(plan, windows)
    pooled = _combined(runs, evidence, plan)
    parts = [_part(contrast, pooled, title=f"{contrast.title}, all scales", needs_seeds=evidence.needs_seeds)]
    scales = evidence.scales(evidence.runs(plan.arm).values())
    if math.isnan(pooled.value) or len(scales) < 2:
        return tuple(parts)
    for name in scales:
        found = _of_scales(runs, {name: 1.0}, evidence)
        title = f"{contrast.title}, {name}"
        parts.append(_part(contrast, found, title=title, scale=name, needs_seeds=evidence.needs_seeds))
    half = replace(contrast, constant=0.0, smallest_effect=max(abs(pooled.value) / 2, 1e-9))
    for smaller, larger in combinations(scales, 2):
        found = _of_scales(runs, {larger: 1.0, smaller: -1.0}, evidence)
        title = f"{larger} - {smaller}, within half of the effect"
        parts.append(_part(half, found, title=title, needs_seeds=evidence.needs_seeds))
    return tuple(parts)


def _of_scales(runs: Sequence[RunContrast], weights: Mapping[str, float], evidence: Evidence) -> Estimate:
    """A weighted sum of scales; its seeds and scales are those that have a weight."""
    found = combine(runs, evidence.confidence, scales=weights)
    return replace(
        found,
        n_seeds=sum(one.scale in weights for one in runs),
        scales=tuple(name for name in found.scales if name in weights),
    )


_RULES = {"all parts": _all_parts, "first part first": _all_parts, "every scale": _every_scale}


def _whole(
    test: ClaimTest,
    evidence: Evidence,
    gates: Sequence[Gate],
    controls: Sequence[Gate],
    parts: Sequence[Part],
) -> tuple[Word, str]:
    """The verdict of a whole claim, and its cause."""
    if evidence.why_not:
        return _NOT_HERE, evidence.why_not
    n_runs = len(evidence.runs())
    if n_runs < test.fewest_runs:
        return "undecided", (
            f"{counted(n_runs, 'independent run')}; results are only descriptive below {test.fewest_runs}"
        )
    for one in (*gates, *controls):
        if one.passed is None:
            return _NOT_HERE, f"{one.title}: {one.words}"
    for one in (*gates, *controls):
        if one.passed is False:
            return "gate failed", f"{one.title}: {one.words}"
    if test.rule == "every scale":
        return _same_at_every_scale(parts)
    first = [one for one in parts if one.contrast.endpoint == parts[0].contrast.endpoint]
    if test.rule == "first part first":
        failed = [one for one in first if one.verdict != "holds"]
        if failed and not any(one.verdict == _NOT_HERE for one in first):
            return "undecided", (
                f"{failed[0].title}: {failed[0].verdict}; the other parts require this one to hold"
            )
    return _together(parts)


def _together(parts: Sequence[Part]) -> tuple[Word, str]:
    """All parts must hold; one that is negligible or contradicted is enough against the claim."""
    for word in _AGAINST:
        if found := [one for one in parts if one.verdict == word]:
            return word, found[0].title if len(parts) > 1 else ""
    words = {one.verdict for one in parts}
    if _NOT_HERE in words:
        return _NOT_HERE, _cause_of(next(one for one in parts if one.verdict == _NOT_HERE))
    if words == {"holds"}:
        return "holds", ""
    if words <= {"holds", "right direction, size open"}:
        return "right direction, size open", ""
    return "undecided", _cause_of(next(one for one in parts if one.verdict == "undecided"))


_AGAINST: tuple[Word, ...] = ("contradicted", "negligible")


def _cause_of(part: Part) -> str:
    found = part.estimate
    cause = found.cause
    if not cause and part.verdict == "undecided" and _has_one_seed(found):
        cause = "one seed: the variance between seeds is unknown"
    return f"{part.title}: {cause}" if cause else ""


def _same_at_every_scale(parts: Sequence[Part]) -> tuple[Word, str]:
    """The effect has its direction at every scale, and no two scales differ by more than half of it."""
    pooled, rest = parts[0], parts[1:]
    if pooled.verdict == _NOT_HERE:
        return _NOT_HERE, _cause_of(pooled)
    if not rest:
        return _NOT_HERE, "the tables have one scale"
    scales = [one for one in rest if one.scale]
    differences = [one for one in rest if not one.scale]
    word, cause = _together(scales)
    if word in _AGAINST or any(not one.estimate.ci_low > 0 for one in scales):
        return word if word in _AGAINST else "undecided", cause
    apart = next((one for one in differences if _is_outside(one)), None)
    if apart is not None:
        return "contradicted", f"{apart.title}: the scales differ by more"
    if all(one.verdict == "negligible" for one in differences):
        return "holds", ""
    return "right direction, size open", (
        "the effect has its direction at every scale; how much the scales differ is open"
    )


def _is_outside(part: Part) -> bool:
    found, limit = part.estimate, part.contrast.smallest_effect
    return found.ci_low >= limit or found.ci_high <= -limit
