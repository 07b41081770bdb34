"""What the tables hold for the claims of a study: which runs count, where windows lie, contrasts of arms."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.statistics.alignment import Window, align, common_accuracy, locate
from hf_clipdyn.statistics.claims import Claims, ClaimTest, PartPlan
from hf_clipdyn.statistics.contrasts import Contrast, RunContrast, minus, run_contrasts
from hf_clipdyn.statistics.endpoints import Endpoint, arm_of
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["Evidence", "paired", "study_of"]


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
    held = {f"{one.kind}/{one.dataset}" for one in trajectories}
    shared = {name: len(claims.benchmarks(name) & held) for name in claims.studies}
    best = max(shared, key=lambda name: shared[name])
    if not shared[best]:
        known = sorted({one for name in claims.studies for one in claims.benchmarks(name)})
        raise ConfigError(
            f"The tables contain no benchmark of a claim: evaluate {', '.join(known)}, or name a study."
        )
    return best


@dataclass(frozen=True, eq=False)
class Evidence:
    """The trajectories of a study's tables, and which of its runs count.

    Attributes:
        claims, study: what is asked.
        trajectories: of all runs.
        errors: what items contribute; None without trials.
        parameters: number of parameters, by scale; to order the scales.
        trials: beside the tables.
    """

    claims: Claims
    study: str
    trajectories: Sequence[Trajectory]
    errors: KeptInfluences | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    trials: KeptTrials | None = None

    @property
    def confidence(self) -> float:
        """1 - α/k for the k claims that the study tests."""
        return 1 - self.claims.level / max(self.claims.n_testable(self.study), 1)

    @cached_property
    def places(self) -> dict[str, pd.DataFrame]:
        """The revisions of each run in training."""
        return align(self.trajectories)

    @cached_property
    def _of_run(self) -> dict[str, list[Trajectory]]:
        held: dict[str, list[Trajectory]] = {}
        for one in self.trajectories:
            held.setdefault(one.run, []).append(one)
        return held

    @cached_property
    def _counted(self) -> tuple[set[str], str]:
        """The runs that count, and why they give no verdict; empty if they do."""
        plan = self.claims.studies[self.study]
        seeds = {run: held[0].seed for run, held in self._of_run.items()}
        tuning = {run for run, seed in seeds.items() if seed in plan.tuning_seeds}
        registered = {
            run
            for run, seed in seeds.items()
            if (seed in plan.confirmatory_seeds if plan.confirmatory_seeds else run not in tuning)
        }
        main = {run for run, held in self._of_run.items() if not arm_of(held[0])}
        if registered & main or not main:
            return registered, ""
        if tuning & main:
            return tuning, "only seeds that tuned the world"
        listed = ", ".join(map(str, plan.confirmatory_seeds))
        return set(seeds), f"none of the registered seeds ({listed}) is in the tables"

    @property
    def why_not(self) -> str:
        """Why these runs can give no verdict; empty if they can."""
        return self._counted[1]

    @property
    def needs_seeds(self) -> bool:
        """Whether the study registers seeds: one seed then decides nothing."""
        return bool(self.claims.studies[self.study].confirmatory_seeds)

    @cached_property
    def left_out(self) -> str:
        """A note on runs of the main arm that do not count though they tuned nothing; empty if there are none."""
        plan = self.claims.studies[self.study]
        others = {
            held[0].seed
            for run, held in self._of_run.items()
            if run not in self._counted[0] and held[0].seed not in plan.tuning_seeds
        }
        if not others:
            return ""
        names = ", ".join(sorted("unknown" if seed is None else str(seed) for seed in others))
        return f"Not counted: runs of seed {names}, which is not registered."

    def runs(self, arm: str = "", *, tuning: bool = False) -> dict[str, list[Trajectory]]:
        """The trajectories of the runs of an arm that count, or of those that tuned the study, by run."""
        seeds = self.claims.studies[self.study].tuning_seeds
        return {
            run: held
            for run, held in self._of_run.items()
            if arm_of(held[0]) == arm and (held[0].seed in seeds if tuning else run in self._counted[0])
        }

    @property
    def arms(self) -> list[str]:
        """The other arms: those with at least one run that counts."""
        arms = dict.fromkeys(arm_of(held[0]) for run, held in self._of_run.items() if run in self._counted[0])
        return [one for one in arms if one]

    def holds(self, benchmark: str) -> bool:
        """Whether the tables hold a benchmark, ``kind/dataset``."""
        return any(f"{one.kind}/{one.dataset}" == benchmark for one in self.trajectories)

    def windows(self, test: ClaimTest) -> dict[str, Window]:
        """The windows of a claim, by name; those that the tuning seeds locate are where its first contrast has them.

        Raises:
            EvaluationError: the tables have no tuning seeds, or these do not show where a window lies.
        """
        found = self.claims.windows_of(self.study, test)
        for name in [name for name in found if self.claims.is_located(self.study, name, test)]:
            contrast = next((one for one in test.contrasts if name in one.weights), None)
            if contrast is not None:
                found[name] = self._located(found[name], contrast)
        return found

    def are_located(self, test: ClaimTest) -> bool:
        """Whether the tuning seeds locate a window of a claim."""
        names = {name for one in test.contrasts for name in one.weights}
        return any(self.claims.is_located(self.study, name, test) for name in names)

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
                [one for held in tuning.values() for one in held],
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
        errors: bool = True,
    ) -> list[RunContrast]:
        """A contrast in each run of an arm.

        Args:
            contrast: what is computed.
            windows: by name.
            arm: of the runs.
            scale: only the runs of this scale.
            errors: also what the items contribute.
        """
        benchmark = contrast.endpoint.benchmark
        listed: list[Trajectory] = []
        for held in self.runs(arm).values():
            if scale in (None, held[0].scale):
                own = [one for one in held if f"{one.kind}/{one.dataset}" == benchmark]
                listed += own or held[:1]  # a run without the benchmark says so itself
        influences = self.errors if errors else None
        return run_contrasts(contrast, list(windows.values()), listed, influences, places=self.places)

    def trials_of(self, endpoint: Endpoint) -> pd.DataFrame | None:
        """The trials of one cell that counts; None if there are none."""
        if self.trials is None:
            return None
        listed = [one for held in self.runs().values() for one in held]
        cells = [
            str(one.points["cell"].iloc[-1])
            for values in endpoint.of(listed).values()
            for one in values.parts
        ]
        found = (self.trials.of(cell) for cell in cells)
        return next((one for one in found if one is not None), None)

    def part(
        self, plan: PartPlan, windows: Mapping[str, Window], scale: str | None = None
    ) -> list[RunContrast]:
        """The contrast of a part in each run, or in each pair of runs of two arms."""
        if plan.minus_arm is None:
            return self.contrasts(plan.contrast, windows, plan.arm, scale=scale)
        if plan.equal == "accuracy":
            return self._at_equal_accuracy(plan, scale)
        first, second = (
            self.contrasts(plan.contrast, windows, arm, scale=scale) for arm in (plan.arm, plan.minus_arm)
        )
        return minus(*paired(first, second))

    def _at_equal_accuracy(self, plan: PartPlan, scale: str | None) -> list[RunContrast]:
        """The difference of two arms, seed by seed, each read where it reaches the highest accuracy of both."""
        assert plan.accuracy is not None
        assert plan.minus_arm is not None
        partners = {(held[0].scale, held[0].seed): held for held in self.runs(plan.minus_arm).values()}
        found = []
        for first in self.runs(plan.arm).values():
            second = partners.get((first[0].scale, first[0].seed))
            if second is None or scale not in (None, first[0].scale):
                continue
            sides = [align(one, accuracy=plan.accuracy) for one in (first, second)]
            target = common_accuracy([table for side in sides for table in side.values()])
            if not 0 <= target <= 1:
                found.append(_undefined(first, f"{plan.accuracy.benchmark} has no accuracy in both arms"))
                continue
            windows = [Window(name=name, accuracy=target) for name in plan.contrast.weights]
            contrasts = (
                run_contrasts(plan.contrast, windows, held, self.errors, places=side)
                for held, side in zip((first, second), sides, strict=True)
            )
            found += minus(*contrasts)
        return found

    def scales(self, runs: Iterable[Sequence[Trajectory]]) -> list[str]:
        """The scales of runs, the smallest first."""
        held = dict.fromkeys(one[0].scale for one in runs)
        return sorted(held, key=lambda scale: self.parameters.get(scale, 0.0))


def paired(
    first: Sequence[RunContrast], second: Sequence[RunContrast]
) -> tuple[list[RunContrast], list[RunContrast]]:
    """The runs whose scale and seed both arms have."""
    keys = {(one.scale, one.seed) for one in first} & {(one.scale, one.seed) for one in second}
    kept = [[one for one in side if (one.scale, one.seed) in keys] for side in (first, second)]
    return kept[0], kept[1]


def _undefined(held: Sequence[Trajectory], cause: str) -> RunContrast:
    one = held[0]
    return RunContrast(
        run=one.run, scale=one.scale, seed=one.seed, arm=arm_of(one), value=math.nan, cause=cause
    )
