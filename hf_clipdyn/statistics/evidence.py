"""What the tables hold for the claims of a study: which runs count, where windows lie, contrasts of arms, people."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

import pandas as pd
from scipy import special

from hf_clipdyn.benchmarks.relation import WITHIN_ARM, with_arm
from hf_clipdyn.benchmarks.shape_scores import BY_IMAGE, BY_PERSON
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.table import Table
from hf_clipdyn.statistics.claims import Claims, ClaimTest, PartPlan, StudyPlan, read_claims
from hf_clipdyn.statistics.contrasts import (
    Contrast,
    Estimate,
    RunContrast,
    combine,
    jackknifed,
    minus,
    run_contrasts,
    weighted,
)
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.power import Error, half_width
from hf_clipdyn.statistics.trajectories import Trajectory, by_run, read_trajectories
from hf_clipdyn.statistics.windows import Endpoint, RunValues, Window, align, common_accuracy, locate

CONFIDENCE = 0.95
"""Level of the interval of each effect of an arm, by itself: a description is not corrected for the number of arms."""


def read_evidence(
    study_results: Table,
    claims: Claims | None = None,
    *,
    study: str | None = None,
    trajectories: Sequence[Trajectory] | None = None,
    show_progress: bool = True,
) -> "Evidence":
    """What the tables hold for the claims.

    Args:
        study_results: from `load`; item errors come from the trials beside its tables.
        claims: from `read_claims`; None for the package's own.
        study: name of the study; None for the one sharing most benchmarks with the tables.
        trajectories: of these results, if they were read before.
        show_progress: draw a progress bar if the item errors take longer than two seconds.

    Raises:
        UnknownNameError: there is no study of that name.
        ConfigError: the tables contain no benchmark of a claim.
    """
    claims = claims or read_claims()
    if trajectories is None:
        trajectories = read_trajectories(study_results)
    sizes = study_results.cells.groupby("scale")["parameters"].max().fillna(0)
    return Evidence(
        claims=claims,
        study=study_of(trajectories, claims, study),
        trajectories=trajectories,
        errors=KeptInfluences(study_results.files, show_progress=show_progress),
        parameters={str(scale): float(number) for scale, number in sizes.items()},
    )


def study_of(trajectories: Iterable[Trajectory], claims: Claims, wanted: str | None = None) -> str:
    """The study that the tables belong to: the one sharing most benchmarks with them; the first of equals.

    Args:
        trajectories: of the tables.
        claims: name the studies and their benchmarks.
        wanted: forces one.

    Raises:
        UnknownNameError: there is no study of that name.
        ConfigError: the tables hold none of the benchmarks.
    """
    if wanted is not None:
        if wanted not in claims.studies:
            raise UnknownNameError("study in the claims", wanted, claims.studies)
        return wanted
    measured = {"/".join(benchmark) for benchmark in {one.benchmark for one in trajectories}}
    shared = {name: len(claims.benchmarks(name) & measured) for name in claims.studies}
    best = max(shared, key=lambda name: shared[name])
    if not shared[best]:
        known = sorted(set[str]().union(*map(claims.benchmarks, claims.studies)))
        raise ConfigError(f"The tables contain no benchmark of a claim: evaluate {', '.join(known)}.")
    return best


@dataclass(frozen=True, eq=False)
class Evidence:
    """The trajectories of a study's tables, and which of its runs count.

    Attributes:
        claims, study: what is asked.
        trajectories: of all runs.
        errors: what items contribute; None without trials.
        parameters: number of parameters, by scale; to order the scales.
    """

    claims: Claims
    study: str
    trajectories: Sequence[Trajectory]
    errors: KeptInfluences | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    _values: dict[tuple[Endpoint, str], RunValues] = field(default_factory=dict, init=False, repr=False)
    _at: dict[Endpoint, dict[str, pd.DataFrame]] = field(default_factory=dict, init=False, repr=False)

    @property
    def plan(self) -> StudyPlan:
        """The seeds and windows of the study. If it registers seeds, one seed decides nothing."""
        return self.claims.studies[self.study]

    def combined(
        self, runs: Iterable[RunContrast], confidence: float, *, scales: Mapping[str, float] | None = None
    ) -> Estimate:
        """A contrast over seeds, with the intervals of the rule of the file; arguments as of `combine`."""
        separate = self.claims.decides.separate_errors
        return combine(runs, confidence, scales=scales, separate_errors=separate)

    def confidence(self, test: ClaimTest) -> float:
        """1 - α/k for the k claims of the test's family that the study tests."""
        return self.claims.confidence(self.study, test)

    @cached_property
    def places(self) -> dict[str, pd.DataFrame]:
        """The revisions of each run in training."""
        return align(self.trajectories, accuracy=self.plan.accuracy)

    def places_at(self, accuracy: Endpoint) -> dict[str, pd.DataFrame]:
        """The same with this accuracy."""
        if accuracy not in self._at:
            self._at[accuracy] = align(self.trajectories, accuracy=accuracy)
        return self._at[accuracy]

    def values(self, endpoint: Endpoint, runs: Iterable[str]) -> list[RunValues]:
        """An endpoint in some of the runs, each read once."""
        wanted = list(runs)
        for run in wanted:
            if (endpoint, run) not in self._values:
                # A run without the benchmark says so itself.
                own = self._by_benchmark.get((run, endpoint.benchmark)) or self._by_run[run][:1]
                self._values[endpoint, run] = endpoint.of(own)[run]
        return [self._values[endpoint, run] for run in wanted]

    @cached_property
    def benchmarks(self) -> set[str]:
        """The benchmarks in the tables, each ``kind/dataset``."""
        return {"/".join(one.benchmark) for one in self.trajectories}

    @cached_property
    def _by_run(self) -> dict[str, list[Trajectory]]:
        return by_run(self.trajectories)

    @cached_property
    def _by_benchmark(self) -> dict[tuple[str, str], list[Trajectory]]:
        numbers: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
        for number in self.trajectories:
            numbers[number.run, "/".join(number.benchmark)].append(number)
        return numbers

    @cached_property
    def _of_scale(self) -> dict[str, list[Trajectory]]:
        """The runs of the scale that the study registers."""
        wanted = self.plan.scale
        return {run: of for run, of in self._by_run.items() if not wanted or of[0].scale == wanted}

    @cached_property
    def _counted(self) -> tuple[set[str], str]:
        """The runs that count, and why they give no verdict; empty if they do."""
        first = {run: members[0] for run, members in self._of_scale.items()}
        tuning = {run for run, one in first.items() if one.seed in self.plan.tuning_seeds}
        registered = first.keys() - tuning
        if self.plan.confirmatory_seeds:
            registered = {run for run, one in first.items() if one.seed in self.plan.confirmatory_seeds}
        main = {run for run, one in first.items() if not one.arm}
        if registered & main or not main:
            return registered, ""
        if tuning & main:
            return tuning, "only seeds that tuned the world"
        seeds = ", ".join(map(str, self.plan.confirmatory_seeds))
        return set(first), f"none of the registered seeds ({seeds}) is in the tables"

    @property
    def why_not(self) -> str:
        """Why these runs can give no verdict; empty if they can."""
        return self._counted[1]

    @cached_property
    def left_out(self) -> str:
        """A note on runs of the main arm that do not count though they tuned nothing; empty if there are none."""
        ignored = {members[0].seed for run, members in self._of_scale.items() if run not in self._counted[0]}
        ignored -= set(self.plan.tuning_seeds)
        if not ignored:
            return ""
        names = ", ".join(sorted("unknown" if seed is None else str(seed) for seed in ignored))
        return f"Not counted: runs of seed {names}, which is not registered."

    def runs(
        self, arm: str = "", *, scale: str | None = None, tuning: bool = False
    ) -> dict[str, list[Trajectory]]:
        """The trajectories of the runs of an arm that count, by run.

        Args:
            arm: name of the arm; empty for the main one.
            scale: only the runs of this scale.
            tuning: the runs that tuned the study, instead of those that count.
        """
        return {
            run: members
            for run, members in self._of_scale.items()
            if members[0].arm == arm
            and scale in (None, members[0].scale)
            and (members[0].seed in self.plan.tuning_seeds if tuning else run in self._counted[0])
        }

    @property
    def arms(self) -> list[str]:
        """The other arms: those with at least one run that counts."""
        counted = (self._by_run[run][0].arm for run in self._by_run if run in self._counted[0])
        return list(dict.fromkeys(filter(None, counted)))

    def scales(self, arm: str = "") -> list[str]:
        """The scales of the runs of an arm that count, the smallest first."""
        scales = dict.fromkeys(members[0].scale for members in self.runs(arm).values())
        return sorted(scales, key=lambda scale: self.parameters.get(scale, 0.0))

    def windows(self, test: ClaimTest) -> dict[str, Window]:
        """The windows of a claim, by name; those that the tuning seeds locate are where its first contrast has them.

        Raises:
            EvaluationError: the tables have no tuning seeds, or these do not show where a window lies.
        """
        windows = self.claims.windows_of(self.study, test)
        for name in self.located(test):
            contrast = next(one for one in test.contrasts if name in one.weights)
            windows[name] = self._located(windows[name], contrast)
        return windows

    def located(self, test: ClaimTest) -> list[str]:
        """The names of the windows of a claim's contrasts that the tuning seeds locate."""
        names = dict.fromkeys(name for contrast in test.contrasts for name in contrast.weights)
        return [name for name in names if self.claims.is_located(self.study, name, test)]

    def _located(self, window: Window, contrast: Contrast) -> Window:
        tuning = self.runs(tuning=True)
        if not tuning:
            raise EvaluationError(
                f"no tuning seed is in the tables, so the window {window.name!r} cannot be located"
            )
        try:
            return locate(
                window.name,
                contrast.endpoint,
                [one for members in tuning.values() for one in members],
                highest=contrast.weights[window.name] > 0,
                start=window.start or 0.0,
                end=1.0 if window.end is None else window.end,
            )
        except EvaluationError as error:
            raise EvaluationError(str(error)[:1].lower() + str(error)[1:].removesuffix(".")) from error

    def contrasts(
        self,
        contrast: Contrast,
        windows: Mapping[str, Window],
        arm: str = "",
        *,
        scale: str | None = None,
        places: Mapping[str, pd.DataFrame] | None = None,
    ) -> list[RunContrast]:
        """A contrast in each run of an arm.

        Args:
            contrast: what is computed.
            windows: by name.
            arm: of the runs.
            scale: only the runs of this scale.
            places: the revisions of each run, in place of ``self.places``.
        """
        values = self.values(contrast.endpoint, self.runs(arm, scale=scale))
        return run_contrasts(contrast, windows.values(), values, self.errors, places=places or self.places)

    def part(
        self,
        plan: PartPlan,
        windows: Mapping[str, Window],
        scale: str | None = None,
        places: Mapping[str, pd.DataFrame] | None = None,
    ) -> list[RunContrast]:
        """The contrast of a part in each run, or in each pair of runs of two arms; arguments as of `contrasts`."""
        if plan.equal == "accuracy":
            return self._at_equal_accuracy(plan, scale)
        if plan.pairs:
            return self._over_pairs(plan, windows, scale, places)
        sides = [
            self.contrasts(plan.contrast, windows, arm, scale=scale, places=places)
            for arm in plan.arm_weights
        ]
        weights = list(plan.arm_weights.values())
        return sides[0] if weights == [1.0] else weighted(_paired(*sides), weights)

    def _over_pairs(
        self,
        plan: PartPlan,
        windows: Mapping[str, Window],
        scale: str | None,
        places: Mapping[str, pd.DataFrame] | None,
    ) -> list[RunContrast]:
        """The mean over pairs of seeds, perhaps minus that over pairs of two arms, as values of single seeds."""

        def side(arm: str, reference: str) -> list[RunContrast]:
            endpoint = replace(plan.contrast.endpoint, reference=reference)
            contrast = replace(plan.contrast, endpoint=endpoint)
            return self.contrasts(contrast, windows, arm, scale=scale, places=places)

        within = side(plan.arm, WITHIN_ARM)
        if plan.minus_arm is None:
            return jackknifed(within)
        return jackknifed(
            within, side(plan.arm, with_arm(plan.minus_arm)), side(plan.minus_arm, with_arm(plan.arm))
        )

    def _at_equal_accuracy(self, plan: PartPlan, scale: str | None) -> list[RunContrast]:
        """The difference of two arms, seed by seed, each read where it reaches the highest accuracy of both."""
        assert plan.accuracy is not None
        assert plan.minus_arm is not None
        partners = {(of[0].scale, of[0].seed): of for of in self.runs(plan.minus_arm, scale=scale).values()}
        differences, places = [], self.places_at(plan.accuracy)
        for members in self.runs(plan.arm, scale=scale).values():
            first = members[0]
            partner = partners.get((first.scale, first.seed))
            if partner is None:
                continue
            names = [side[0].run for side in (members, partner)]
            target = common_accuracy([places[name] for name in names])
            if not 0 <= target <= 1:
                undefined = RunContrast(
                    run=first.run,
                    scale=first.scale,
                    seed=first.seed,
                    arm=first.arm,
                    value=math.nan,
                    cause=f"{plan.accuracy.benchmark} has no accuracy in both arms",
                )
                differences.append(undefined)
                continue
            windows = [Window(name=name, accuracy=target) for name in plan.contrast.weights]
            contrasts = run_contrasts(
                plan.contrast, windows, self.values(plan.contrast.endpoint, names), self.errors, places=places
            )
            differences += minus(contrasts[:1], contrasts[1:])
        return differences

    def with_people(self, estimate: Estimate, endpoint: Endpoint) -> Estimate:
        """An estimate whose interval also has the variance of people, from what is kept of one run that counts."""
        keys = [
            NumberKey(metric=endpoint.metric, probe="", role="human", reference=reference).number_key
            for reference in (BY_IMAGE, BY_PERSON)
        ]
        parts = [part for values in self.values(endpoint, self.runs()) for part in values.parts]
        errors = self.errors or KeptInfluences([])
        for part in parts:
            cell = str(part.points["cell"].iloc[-1])
            known = errors.of(endpoint.kind, {cell: keys})
            by_image, by_person = (known[cell, key] for key in keys)
            if by_image.units and by_person.units:
                return with_people(estimate, by_image, by_person)
        return with_people(estimate)


def _paired(*sides: Sequence[RunContrast]) -> list[list[RunContrast]]:
    """The runs whose scale and seed all sides have."""
    keys = set.intersection(*({(one.scale, one.seed) for one in side} for side in sides))
    return [[one for one in side if (one.scale, one.seed) in keys] for side in sides]


@dataclass(frozen=True, kw_only=True)
class ArmEffect:
    """The mean of an endpoint over a window, in an arm and in the main arm: it is described, and never tested.

    Attributes:
        arm: name of the arm.
        endpoint: what was measured.
        window: name of the window of training.
        main: mean of the main arm, over the runs that have a partner.
        effect: the arm minus the main arm, paired by scale and seed, in units of the endpoint; ``n_seeds`` counts the
            pairs.
    """

    arm: str
    endpoint: Endpoint
    window: str
    main: float
    effect: Estimate


def arm_effects(evidence: Evidence) -> list[ArmEffect]:
    """What each arm changes in the endpoints of the testable claims, over the study's windows of trained revisions.

    A number that is undefined is NaN with its cause. Left out are a window in which it is undefined for every arm, and
    an arm that shares no scale and seed with the main arm.

    Returns:
        By endpoint, window and arm, in the order of the claims' file and of the tables.
    """
    windows = {
        name: window
        for name, window in evidence.claims.windows_of(evidence.study).items()
        if not window.untrained and not evidence.claims.is_located(evidence.study, name)
    }
    tests = [claim.test(evidence.study) for claim in evidence.claims.claims]
    endpoints = dict.fromkeys(
        contrast.endpoint for test in tests if test.testable for contrast in test.contrasts
    )
    described: list[ArmEffect] = []
    for endpoint, window in product(endpoints, windows):
        mean = Contrast(title=window, endpoint=endpoint, weights={window: 1.0}, smallest_effect=math.inf)
        main = evidence.contrasts(mean, windows)
        effects = [_effect(arm, mean, evidence.contrasts(mean, windows, arm), main) for arm in evidence.arms]
        if any(math.isfinite(one.effect.value) for one in effects):
            described += [one for one in effects if one.effect.n_seeds]
    return described


def _effect(arm: str, mean: Contrast, own: Sequence[RunContrast], main: Sequence[RunContrast]) -> ArmEffect:
    own, main = _paired(own, main)
    return ArmEffect(
        arm=arm,
        endpoint=mean.endpoint,
        window=mean.title,
        main=combine(main, CONFIDENCE).value,
        effect=combine(minus(own, main), CONFIDENCE),
    )


def with_people(
    estimate: Estimate, by_image: Influence | None = None, by_person: Influence | None = None
) -> Estimate:
    """An estimate whose interval also has the variance of people, over images and persons.

    Both variances are added as if people and model saw different images, which is too wide if the same images are hard
    for both. With one quantile for all errors, its degrees of freedom are at most those of the persons.

    Args:
        estimate: people's published value minus the model's.
        by_image, by_person: what each image and person contributes to people's mean; None if that is unknown.
    """
    if by_image is None or by_person is None or math.isnan(by_person.variance):
        note = (
            "the interval does not include the variation between people: neither trials nor influences "
            "beside the table have the answers of two persons"
        )
        return replace(estimate, notes=(*estimate.notes, note))
    if math.isnan(estimate.standard_error):
        return estimate
    variance, freedom = by_person.variance + max(by_image.variance, 0.0), by_person.n_clusters - 1
    degrees = min(estimate.degrees_of_freedom, freedom)
    error = math.sqrt(estimate.standard_error**2 + variance)
    errors = (*estimate.errors, Error("people", variance, freedom)) if estimate.errors else ()
    if errors:
        degrees, half = estimate.degrees_of_freedom, half_width(errors, estimate.confidence_level)
    else:
        half = float(special.stdtrit(degrees, (1 + estimate.confidence_level) / 2)) * error
    return replace(
        estimate,
        standard_error=error,
        errors=errors,
        degrees_of_freedom=float(degrees),
        ci_low=estimate.value - half,
        ci_high=estimate.value + half,
    )
