"""Claims, and how each is tested: what `claims.yaml` registers before the runs that count.

The file of the package is read by default; a user's own has the same form. The form is these dataclasses: a key is a
field, and an unknown key is an error. Beyond them, so that nothing is written twice,

- a study may name its ``endpoints`` and its ``gates``; wherever an endpoint or a gate is expected, its name will do;
- a claim may have a ``test``, with the keys of `ClaimTest`: what a study does not give itself is taken from there, but
  for a study that cannot test the claim (``testable: false``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from hf_clipdyn.errors import ConfigError, UnknownNameError, shown
from hf_clipdyn.schema import Count, Matches, Within, load_json, parse_yaml, read_text
from hf_clipdyn.statistics.alignment import Window
from hf_clipdyn.statistics.contrasts import Contrast, Endpoint

__all__ = [
    "Claim",
    "ClaimTest",
    "Claims",
    "ControlPlan",
    "GatePlan",
    "PartPlan",
    "StudyPlan",
    "parse_claims",
    "read_claims",
]

_FILE = "claims.yaml"
_MOST_STUDIES = 20  # a common test is read once for each
_LONGEST_DEFINITION = 2000  # characters
_Text = Annotated[
    str,
    Matches(
        lambda text: text.isprintable() and len(text) <= 2000, "printable text of at most 2,000 characters"
    ),
]
_Title = Annotated[
    str,
    Matches(lambda text: text.isprintable() and 0 < len(text) <= 200, "a title of at most 200 characters"),
]
_Seed = Annotated[int, Within(0, 2**32 - 1)]

GateRule = Literal["interpretable", "above chance", "common conditions", "above baseline", "above null"]
TestRule = Literal["all parts", "every scale", "first part first"]


@dataclass(frozen=True, kw_only=True)
class PartPlan:
    """One contrast of a claim.

    Attributes:
        contrast: positive favours the claim.
        arm: of the runs; empty for the main arm.
        minus_arm: the contrast in the runs of this arm is subtracted, seed by seed; None for no other arm.
        equal: what the two arms have in common: `samples`, or `accuracy`: both are then read where they reach the
            highest accuracy that both have, instead of in the window.
        accuracy: the number that the two arms share; needed for equal accuracy.
        alternatives: other metrics of the benchmark with the same unit, direction and levels, which specification
            curves also show; they never enter a verdict.
    """

    contrast: Contrast
    arm: _Text = ""
    minus_arm: _Text | None = None
    equal: Literal["samples", "accuracy"] = "samples"
    accuracy: Endpoint | None = None
    alternatives: tuple[_Title, ...] = ()

    def __post_init__(self) -> None:
        title = self.contrast.title
        if self.minus_arm == self.arm:
            raise ConfigError(f"minus_arm of {title!r} is its own arm: name another one.")
        if self.equal == "accuracy" and (self.accuracy is None or self.minus_arm is None):
            raise ConfigError(f"{title!r} compares at equal accuracy: give minus_arm and accuracy.")
        if self.equal == "accuracy" and len(self.contrast.weights) != 1:
            raise ConfigError(f"{title!r} compares at equal accuracy: it can have one window only.")


@dataclass(frozen=True, kw_only=True)
class GatePlan:
    """A condition for a claim to be testable, over fixed windows, in every seed of the main arm.

    Attributes:
        title: in words.
        rule: `interpretable`: no value is marked as not interpretable. `above chance`: the mean in each window is
            ``at_least`` times the chance level. `common conditions`: at least ``at_least`` conditions (or levels) have
            a value in all revisions. `above baseline`: the mean in each window is above all ``baselines``. `above
            null`: the mean in each window is better than the number's rows of role ``null``; lower if lower is better.
        endpoint: the number that is looked at.
        windows: names of windows.
        at_least: factor of chance, or number of conditions.
        baselines: names in the column ``reference``.
    """

    title: _Title
    rule: GateRule
    endpoint: Endpoint
    windows: tuple[str, ...] = ()
    at_least: Annotated[float, Within(0, 1e6)] = 2.0
    baselines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.windows and self.rule != "common conditions":
            raise ConfigError(f"The gate {self.title!r} names no window: give at least one.")
        if self.rule == "above baseline" and not self.baselines:
            raise ConfigError(f"The gate {self.title!r} names no baseline: give at least one.")


@dataclass(frozen=True, kw_only=True)
class ControlPlan:
    """What a control arm must show, or the instrument is not trusted.

    Attributes:
        arm: of the runs.
        contrast: as of a part.
        expects: `no effect`: the interval lies below δ; `reversed`: it lies below 0.
    """

    arm: _Title
    contrast: Contrast
    expects: Literal["no effect", "reversed"]


@dataclass(frozen=True, kw_only=True)
class ClaimTest:
    """How one study tests a claim.

    Attributes:
        testable: False if the study cannot test the claim, for the ``cause``.
        evidence: False for a positive control, which holds by construction.
        cause: why it is not testable.
        notes: what a reader must know beside the verdict.
        deviations: from the registered plan, listed beside the verdict. They may be added at any time: they are not
            part of what is registered, so tests that differ in them alone are equal.
        windows: in place of the study's windows of the same name.
        rule: `all parts`: the claim holds if all parts hold. `every scale`: the one part has L > 0 at every scale, and
            every difference of scales is within half of the pooled effect. `first part first`: as `all parts`, but
            undecided unless the first part holds.
        fewest_runs: below this number of independent runs the claim is undecided.
        observers: m is subtracted from the people's value; their trials give its interval over images and observers.
    """

    testable: bool = True
    evidence: bool = True
    cause: _Text = ""
    notes: tuple[_Text, ...] = ()
    deviations: tuple[_Text, ...] = field(default=(), compare=False)
    windows: tuple[Window, ...] = ()
    rule: TestRule = "all parts"
    parts: tuple[PartPlan, ...] = ()
    gates: tuple[GatePlan, ...] = ()
    controls: tuple[ControlPlan, ...] = ()
    fewest_runs: Count = 0
    observers: bool = False

    def __post_init__(self) -> None:
        if self.testable and not self.parts:
            raise ConfigError(
                "A testable claim needs parts: give at least one, or testable: false with a cause."
            )
        if not self.testable and not self.cause:
            raise ConfigError("A claim that is not testable needs its cause.")
        if self.rule == "every scale" and len(self.parts) != 1:
            raise ConfigError(f"The rule 'every scale' compares one part; {len(self.parts)} are given.")

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Of parts and controls."""
        return (*(one.contrast for one in self.parts), *(one.contrast for one in self.controls))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, and its test in each study."""

    number: Annotated[int, Within(1, 10_000)]
    title: _Title
    statement: _Text = ""
    studies: Mapping[str, ClaimTest]

    def test(self, study: str) -> ClaimTest:
        """Its test in a study; not testable if the file names none."""
        found = self.studies.get(study)
        return found or ClaimTest(testable=False, cause="The claims' file names no test for this study.")


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study: its seeds and windows.

    Attributes:
        title: in words.
        tuning_seeds: these located windows and set the world; they never enter a verdict.
        confirmatory_seeds: only these count; if empty, all other seeds count, also unknown ones.
        windows: in place of the shared windows of the same name.
        deviations: from the registered plan, as those of a `ClaimTest`: of all its testable claims.
    """

    title: _Title
    tuning_seeds: tuple[_Seed, ...] = ()
    confirmatory_seeds: tuple[_Seed, ...] = ()
    windows: tuple[Window, ...] = ()
    deviations: tuple[_Text, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        both = set(self.tuning_seeds) & set(self.confirmatory_seeds)
        if both:
            raise ConfigError(f"Seed {min(both)} is both a tuning seed and a confirmatory seed: choose one.")


@dataclass(frozen=True, kw_only=True)
class Claims:
    """A file of claims.

    Attributes:
        level: α, shared by the testable claims of a study: each has intervals at 1 - α/k.
        windows: parts of training, by name.
        located: names of windows whose place the tuning seeds give: around the revision of their extreme between the
            window's start and end.
        studies: by name, the preferred one first.
        source: name of the file.
    """

    level: Annotated[float, Within(1e-6, 0.5)]
    windows: tuple[Window, ...]
    located: tuple[str, ...] = ()
    studies: Mapping[str, StudyPlan]
    claims: tuple[Claim, ...]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        numbers = [one.number for one in self.claims]
        twice = next((number for number in numbers if numbers.count(number) > 1), None)
        if twice is not None:
            raise ConfigError(f"Claim {twice} is defined twice.")
        if not self.studies:
            raise ConfigError("studies is empty: name at least one.")
        for name in self.located:
            if name not in {one.name for one in self.windows if one.start is not None}:
                raise ConfigError(f"located names {name!r}, which is not a window with start and end.")
        for claim in self.claims:
            for study, test in claim.studies.items():
                self._check(claim, study, test)

    def _check(self, claim: Claim, study: str, test: ClaimTest) -> None:
        if study not in self.studies:
            raise UnknownNameError(f"study (of claim {claim.number})", study, self.studies)
        known = self.windows_of(study, test)
        used = [name for one in test.contrasts for name in one.weights]
        for name in [*used, *(name for gate in test.gates for name in gate.windows)]:
            if name not in known:
                raise UnknownNameError(f"window (of claim {claim.number}, {study})", name, known)

    def windows_of(self, study: str, test: ClaimTest | None = None) -> dict[str, Window]:
        """The windows of a study, or of one of its tests, by name."""
        own = test.windows if test else ()
        return {one.name: one for one in (*self.windows, *self.studies[study].windows, *own)}

    def is_located(self, study: str, name: str, test: ClaimTest | None = None) -> bool:
        """Whether the tuning seeds give the place of that window: the study and the test fix none of that name."""
        fixed = (*self.studies[study].windows, *(test.windows if test else ()))
        return name in self.located and name not in {one.name for one in fixed}

    def n_testable(self, study: str) -> int:
        """k: how many claims the study tests; a number of the file, not of the data."""
        return sum(one.test(study).testable for one in self.claims)

    def benchmarks(self, study: str) -> set[str]:
        """The benchmarks of all its endpoints."""
        tests = [one.test(study) for one in self.claims]
        return {one.endpoint.benchmark for test in tests for one in test.contrasts}


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What a study names, checked; its gates have their endpoints."""

    endpoints: Mapping[_Title, Endpoint] = field(default_factory=dict)
    gates: Mapping[_Title, GatePlan] = field(default_factory=dict)


def read_claims(path: str | Path | None = None) -> Claims:
    """Read a file of claims; None reads the package's own.

    Raises:
        ConfigError: it cannot be read, is not YAML, or does not fit the form; the sentence names the place.
    """
    if path is None:
        return parse_claims(files("hf_clipdyn.statistics").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)
    return parse_claims(read_text(Path(path)), str(path))


@lru_cache(maxsize=32)
def parse_claims(text: str, source: str) -> Claims:
    """The claims in the text of a file.

    Args:
        text: of the file.
        source: its name.

    Raises:
        ConfigError: as `read_claims`.
    """
    content = parse_yaml(text, source)
    if isinstance(content, dict):
        content = _written_out(content, source) | {"source": source}
    return load_json(Claims, content, where=source, error=ConfigError, closed=True)


def _written_out(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The content without names and common tests; what has not the form is left to the check of the form."""
    studies, claims = content.get("studies"), content.get("claims")
    if not studies or not isinstance(studies, dict) or not isinstance(claims, list):
        return dict(content)
    if len(studies) > _MOST_STUDIES:
        raise ConfigError(f"{source} has {len(studies)} studies: at most {_MOST_STUDIES} are allowed.")
    names = {name: _Names.of(name, plan, source) for name, plan in studies.items()}
    return dict(content) | {
        "studies": {name: _without(plan, "endpoints", "gates") for name, plan in studies.items()},
        "claims": [_claim_written_out(one, names, source) for one in claims],
    }


def _without(held: Any, *keys: str) -> Any:
    return {key: value for key, value in held.items() if key not in keys} if isinstance(held, dict) else held


def _claim_written_out(claim: Any, names: "Mapping[Any, _Names]", source: str) -> Any:
    """A claim, each of whose studies has its whole test."""
    if not isinstance(claim, dict) or not isinstance(claim.get("studies"), dict):
        return claim
    common = claim.get("test", {})
    if not isinstance(common, dict):
        raise ConfigError(
            f"test of claim {shown(claim.get('number'))} in {source} is {shown(common)}: give a mapping."
        )
    tests = {}
    for study, own in claim["studies"].items():
        if study not in names:
            kind = f"study (of claim {shown(claim.get('number'))}, {source})"
            raise UnknownNameError(kind, str(study), map(str, names))
        if isinstance(own, dict):
            tests[study] = names[study].test(own if own.get("testable") is False else common | own)
        else:
            tests[study] = own
    return _without(claim, "test") | {"studies": tests}


@dataclass(frozen=True)
class _Names:
    """What the file says under the names of one study, as it was read.

    Attributes:
        endpoints, gates: by name.
        where: ends the message of an error.
    """

    endpoints: Mapping[str, Any]
    gates: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, study: Any, plan: Any, source: str) -> "_Names":
        """The names of a study.

        Raises:
            ConfigError: a definition is none, or is too long: a name may stand in many places.
        """
        where = f"{source} (study {shown(study)})"
        held = plan if isinstance(plan, dict) else {}
        endpoints, gates = held.get("endpoints", {}), held.get("gates", {})
        _check_definitions({"endpoints": endpoints}, where)
        found = cls(endpoints, {}, where)
        if isinstance(gates, dict):
            gates = {name: found.with_endpoint(gate) for name, gate in gates.items()}
        _check_definitions({"gates": gates}, where)
        return cls(endpoints, gates, where)

    def test(self, test: Mapping[str, Any]) -> dict[str, Any]:
        """A test with endpoints and gates in place of their names."""
        found = dict(test)
        for key in ("parts", "controls"):
            if isinstance(test.get(key), list):
                found[key] = [self._part(one) for one in test[key]]
        if isinstance(test.get("gates"), list):
            found["gates"] = [self.with_endpoint(self._found("gate", one)) for one in test["gates"]]
        return found

    def with_endpoint(self, holder: Any, key: str = "endpoint") -> Any:
        """A contrast, gate or part whose endpoint may be a name."""
        if not isinstance(holder, dict) or key not in holder:
            return holder
        return holder | {key: self._found("endpoint", holder[key])}

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict) or "contrast" not in part:
            return part
        return self.with_endpoint(part, "accuracy") | {"contrast": self.with_endpoint(part["contrast"])}

    def _found(self, kind: str, given: Any) -> Any:
        """What a name stands for; anything else is returned as it is."""
        if not isinstance(given, str):
            return given
        known = self.endpoints if kind == "endpoint" else self.gates
        if not known:
            raise ConfigError(f"{self.where} names no {kind}s: define {shown(given)} under its {kind}s.")
        if given not in known:
            raise UnknownNameError(f"{kind} in {self.where}:", given, known)
        return known[given]


def _check_definitions(held: Mapping[str, Any], where: str) -> None:
    load_json(_Named, held, where=where, error=ConfigError, closed=True)
    for definitions in held.values():
        for name, one in definitions.items():
            if len(str(one)) > _LONGEST_DEFINITION:
                raise ConfigError(
                    f"{shown(name)} in {where} is longer than {_LONGEST_DEFINITION:,} characters: shorten it."
                )
