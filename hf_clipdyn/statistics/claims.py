"""Claims, and how each is tested: what `claims.yaml` registers before the runs that count.

The file of the package is read by default; a user's own has the same form. The form is these dataclasses: a key is a
field, and an unknown key is an error. Two things are there so that nothing is written twice:

- wherever an endpoint or a gate is expected, the name of one of the study's ``endpoints`` or ``gates`` will do;
- a claim may have a ``test``, with the keys of `ClaimTest`: what a study does not give itself is taken from there, but
  for a study that cannot test the claim (``testable: false``).

`registered_hash` is that of what a file registers without its words. So a file can be reworded after the runs and still
registers the same.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from hf_clipdyn.errors import ConfigError, UnknownNameError, closest_name, naming, shown
from hf_clipdyn.options import parse_yaml
from hf_clipdyn.statistics.contrasts import Contrast
from hf_clipdyn.statistics.rules import RULES, Rule, RuleName
from hf_clipdyn.statistics.windows import Endpoint, Form, Window

_FILE = "claims.yaml"
_WORDS = (
    "title",
    "statement",
    "notes",
    "cause",
    "deviations",
    "alternatives",
)  # fields that register nothing
_Text = Annotated[str, Field(max_length=2000)]
_Title = Annotated[str, Field(min_length=1, max_length=200)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]

GateRule = Literal[
    "interpretable", "above chance", "at least", "common conditions", "above baseline", "above null"
]
TestRule = Literal["all parts", "every scale", "first part first"]


@dataclass(frozen=True, kw_only=True)
class PartPlan(Form):
    """One contrast of a claim, or what a control arm must show: else the instrument is not trusted.

    Attributes:
        contrast: positive favours the claim.
        arm: of the runs; empty for the main arm.
        minus_arm: the contrast in the runs of this arm is subtracted, seed by seed; None for no other arm.
        equal: what the two arms have in common: `samples`, or `accuracy`: both are then read where they reach the
            highest accuracy that both have, instead of in the window.
        accuracy: the number that the two arms share; needed for equal accuracy.
        alternatives: other metrics of the benchmark with the same unit, direction and levels, which specification
            curves also show; they never enter a verdict.
        expects: of a control: `no effect`: the interval lies below δ; `reversed`: it lies below 0; `positive`: it lies
            above 0.
        arms: in place of ``arm`` and ``minus_arm``, the weights of several arms, by name; "" is the main one. The
            weighted sum is taken seed by seed.
        pairs: the endpoint of a run is a mean over its pairs with the other seeds of its arm. With ``minus_arm``, the
            mean over the pairs of unequal seeds of both arms is subtracted. The error of the seeds is the jackknife's.
        readout: the name of the way of reading that this part belongs to, if the claim has two side by side.
        asks: `effect`: the contrast must reach δ. `no opposite effect`: it must not fall to -δ.
    """

    contrast: Contrast
    arm: _Text = ""
    minus_arm: _Text | None = None
    arms: Mapping[_Text, float] = field(default_factory=dict)
    pairs: bool = False
    readout: _Text = ""
    asks: Literal["effect", "no opposite effect"] = "effect"
    equal: Literal["samples", "accuracy"] = "samples"
    accuracy: Endpoint | None = None
    alternatives: tuple[_Title, ...] = ()
    expects: Literal["no effect", "reversed", "positive"] | None = None

    def __post_init__(self) -> None:
        title = self.contrast.title
        if self.minus_arm == self.arm:
            raise ConfigError(f"minus_arm of {title!r} is its own arm: name another one.")
        if self.equal == "accuracy" and (self.accuracy is None or self.minus_arm is None):
            raise ConfigError(f"{title!r} compares at equal accuracy: give minus_arm and accuracy.")
        if self.equal == "accuracy" and len(self.contrast.weights) != 1:
            raise ConfigError(f"{title!r} compares at equal accuracy: it can have one window only.")

        if self.arms and (self.arm or self.minus_arm is not None or self.equal == "accuracy" or self.pairs):
            raise ConfigError(
                f"{title!r} has arms with weights: leave out arm, minus_arm, pairs, and equal accuracy."
            )
        if self.pairs and self.equal == "accuracy":
            raise ConfigError(f"{title!r} is a mean over pairs, which have equal samples: leave out equal.")

    @property
    def arm_weights(self) -> Mapping[str, float]:
        """By arm, what its contrast is multiplied with."""
        if self.arms:
            return self.arms
        return {self.arm: 1.0} if self.minus_arm is None else {self.arm: 1.0, self.minus_arm: -1.0}


@dataclass(frozen=True, kw_only=True)
class GatePlan(Form):
    """A condition for a claim to be testable, over fixed windows, in every seed of its arms.

    Attributes:
        title: in words.
        rule: `interpretable`: no value is marked as not interpretable. `above chance`: the mean in each window is
            ``at_least`` times the chance level. `at least`: it is ``at_least`` itself or more. `common conditions`: at
            least ``at_least`` conditions (or levels) have a value in all revisions. `above baseline`: the mean in each
            window is above all ``baselines``. `above null`: the mean in each window is better than the number's rows of
            role ``null``; lower if lower is better.
        endpoint: the number that is looked at.
        windows: names of windows.
        at_least: factor of chance, number of conditions, or the smallest mean.
        baselines: names in the column ``reference``.
        arms: whose runs must pass, by name; "" is the main one.
        readout: of the claim, if the gate concerns one of its readouts only.
    """

    title: _Title
    rule: GateRule
    endpoint: Endpoint
    windows: tuple[str, ...] = ()
    at_least: Annotated[float, Field(ge=0)] = 2.0
    baselines: tuple[str, ...] = ()
    arms: tuple[_Text, ...] = ("",)
    readout: _Text = ""

    def __post_init__(self) -> None:
        if not self.windows and self.rule != "common conditions":
            raise ConfigError(f"The gate {self.title!r} names no window: give at least one.")
        if self.rule == "above baseline" and not self.baselines:
            raise ConfigError(f"The gate {self.title!r} names no baseline: give at least one.")


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Form):
    """Another way to compute the parts of a claim: its words stand beside the verdict and never change it.

    Attributes:
        title: in words.
        readout: whose parts are changed; empty for all parts.
        endpoint: in place of that of the parts.
        windows: by the name of a window, the name of the one in its place.
        shift: by the name of a window, by how many revisions it is moved, to later ones if positive.
        items_fixed: the interval is over the seeds alone.
    """

    title: _Title
    readout: _Text = ""
    endpoint: Endpoint | None = None
    windows: Mapping[_Title, _Title] = field(default_factory=dict)
    shift: Mapping[_Title, int] = field(default_factory=dict)
    items_fixed: bool = False

    def __post_init__(self) -> None:
        if not (self.endpoint or self.windows or self.shift or self.items_fixed):
            raise ConfigError(
                f"The sensitivity {self.title!r} changes nothing: give endpoint, windows, shift or items_fixed."
            )


@dataclass(frozen=True, kw_only=True)
class ClaimTest(Form):
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
        family: the claims among which the level is shared; empty for those of no named family.
        sensitivities: computed beside the verdict.
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
    controls: tuple[PartPlan, ...] = ()
    fewest_runs: Annotated[int, Field(ge=0)] = 0
    observers: bool = False
    family: _Text = ""
    sensitivities: tuple[Sensitivity, ...] = ()

    def __post_init__(self) -> None:
        if self.testable and not self.parts:
            raise ConfigError(
                "A testable claim needs parts: give at least one, or testable: false with a cause."
            )
        if not self.testable and not self.cause:
            raise ConfigError("A claim that is not testable needs its cause.")
        if self.rule == "every scale" and len(self.parts) != 1:
            raise ConfigError(f"The rule 'every scale' compares one part; {len(self.parts)} are given.")
        for part in self.parts:
            if part.expects:
                raise ConfigError(
                    f"The part {part.contrast.title!r} expects {part.expects!r}: list it under controls."
                )
        for control in self.controls:
            if not (control.arm and control.expects):
                raise ConfigError(f"The control {control.contrast.title!r} needs an arm and what it expects.")
        self._check_readouts()

    def _check_readouts(self) -> None:
        readouts = self.readouts
        if len(readouts) > 2 or (len(readouts) == 2 and ("" in readouts or self.rule != "all parts")):
            raise ConfigError(
                f"A claim has one readout or two: the parts name {', '.join(map(repr, readouts))}, and the rule is "
                f"{self.rule!r}. Name two readouts, for all parts, with the rule 'all parts'."
            )
        named = {one.title: one.readout for one in self.gates}
        named |= {one.title: one.readout for one in self.sensitivities}
        for title, readout in named.items():
            if readout and readout not in readouts:
                raise UnknownNameError(f"readout (of {title!r})", readout, readouts)

    @property
    def readouts(self) -> tuple[str, ...]:
        """The names of the readouts, in the order of the parts; ("",) if none is named."""
        return tuple(dict.fromkeys(part.readout for part in self.parts))

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Of parts and controls."""
        return tuple(part.contrast for part in (*self.parts, *self.controls))

    @property
    def window_names(self) -> tuple[str, ...]:
        """The windows of its contrasts, then those of its gates and of its sensitivities."""
        names = [name for contrast in self.contrasts for name in contrast.weights]
        names += [name for gate in self.gates for name in gate.windows]
        names += [
            name for one in self.sensitivities for name in (*one.windows.values(), *one.windows, *one.shift)
        ]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, kw_only=True)
class Claim(Form):
    """One claim, and its test in each study."""

    number: Annotated[int, Field(ge=1)]
    title: _Title
    statement: _Text = ""
    studies: Mapping[str, ClaimTest]

    def test(self, study: str) -> ClaimTest:
        """Its test in a study; not testable if the file names none."""
        absent = ClaimTest(testable=False, cause="The claims' file names no test for this study.")
        return self.studies.get(study, absent)


@dataclass(frozen=True, kw_only=True)
class StudyPlan(Form):
    """A study: its seeds and windows, and what its tests may name.

    Attributes:
        title: in words.
        tuning_seeds: these located windows and set the world; they never enter a verdict.
        confirmatory_seeds: only these count; if empty, all other seeds count, also unknown ones.
        windows: in place of the shared windows of the same name.
        scale: the only scale whose runs count; empty for all.
        accuracy: the number that windows at an accuracy mean.
        endpoints, gates: by name.
        deviations: from the registered plan, as those of a `ClaimTest`: of all its testable claims.
    """

    title: _Title
    tuning_seeds: tuple[_Seed, ...] = ()
    confirmatory_seeds: tuple[_Seed, ...] = ()
    windows: tuple[Window, ...] = ()
    scale: _Text = ""
    accuracy: Endpoint | None = None
    endpoints: Mapping[_Title, Endpoint] = field(default_factory=dict, compare=False)
    gates: Mapping[_Title, GatePlan] = field(default_factory=dict, compare=False)
    deviations: tuple[_Text, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        both = set(self.tuning_seeds) & set(self.confirmatory_seeds)
        if both:
            raise ConfigError(f"Seed {min(both)} is both a tuning seed and a confirmatory seed: choose one.")


@dataclass(frozen=True, kw_only=True)
class Claims(Form):
    """A file of claims.

    Attributes:
        level: α, shared by the testable claims of a study, or of one of its families: each has intervals at 1 - α/k.
        rule: the words of the verdicts, and how intervals are made; one of `hf_clipdyn.statistics.rules.RULES`.
        readouts_count: whether a claim with two readouts counts twice in k, since either may give it a false word.
        windows: parts of training, by name.
        located: names of windows whose place the tuning seeds give: around the revision of their extreme between the
            window's start and end.
        studies: by name, the preferred one first.
        source: name of the file.
    """

    level: Annotated[float, Field(gt=0, le=0.5)]
    rule: RuleName = "five words"
    readouts_count: bool = False
    windows: tuple[Window, ...]
    located: tuple[str, ...] = ()
    studies: Mapping[str, StudyPlan]
    claims: tuple[Claim, ...]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        numbers = [claim.number for claim in self.claims]
        twice = next((number for number in numbers if numbers.count(number) > 1), None)
        if twice is not None:
            raise ConfigError(f"Claim {twice} is defined twice.")
        if not self.studies:
            raise ConfigError("studies is empty: name at least one.")
        for name in self.located:
            if name not in {window.name for window in self.windows if window.start is not None}:
                raise ConfigError(f"located names {name!r}, which is not a window with start and end.")
        for claim in self.claims:
            for study, test in claim.studies.items():
                if study not in self.studies:
                    raise UnknownNameError(f"study (of claim {claim.number})", study, self.studies)
                known = self.windows_of(study, test)
                for name in test.window_names:
                    if name not in known:
                        raise UnknownNameError(f"window (of claim {claim.number}, {study})", name, known)
                    if known[name].reached is not None and self.studies[study].accuracy is None:
                        raise ConfigError(
                            f"The window {name!r} is where an accuracy is reached: give the study {study!r} its "
                            "`accuracy`, an endpoint."
                        )
                self._check_rule(claim, test)

    def _check_rule(self, claim: Claim, test: ClaimTest) -> None:
        if self.rule == "five words":
            given = {
                "two readouts": len(test.readouts) > 1,
                "sensitivities": test.sensitivities,
                "asks": any(part.asks != "effect" for part in test.parts),
            }
            if used := [name for name, has in given.items() if has]:
                raise ConfigError(
                    f"Claim {claim.number} has {' and '.join(used)}, which the rule 'five words' does not know: set "
                    "rule: ten words."
                )
        elif test.rule != "all parts":
            raise ConfigError(
                f"Claim {claim.number} has the rule {test.rule!r}, which is one of 'five words'."
            )

    def windows_of(self, study: str, test: ClaimTest | None = None) -> dict[str, Window]:
        """The windows of a study, or of one of its tests, by name."""
        return {window.name: window for window in (*self.windows, *self._fixed(study, test))}

    def is_located(self, study: str, name: str, test: ClaimTest | None = None) -> bool:
        """Whether the tuning seeds give the place of that window: the study and the test fix none of that name."""
        return name in self.located and name not in {window.name for window in self._fixed(study, test)}

    def _fixed(self, study: str, test: ClaimTest | None) -> tuple[Window, ...]:
        return (*self.studies[study].windows, *(test.windows if test else ()))

    @property
    def decides(self) -> Rule:
        """The rule itself."""
        return RULES[self.rule]

    def n_testable(self, study: str, family: str = "") -> int:
        """k: how many claims of a family the study tests; a number of the file, not of the data."""
        tests = [claim.test(study) for claim in self.claims]
        return sum(test.testable and test.family == family for test in tests)

    def confidence(self, study: str, test: ClaimTest) -> float:
        """1 - α/k for the k testable claims, or readouts of claims, of the family of a test."""
        if not self.readouts_count:
            return 1 - self.level / max(self.n_testable(study, test.family), 1)
        tests = [claim.test(study) for claim in self.claims]
        k = sum(len(one.readouts) for one in tests if one.testable and one.family == test.family)
        return 1 - self.level / max(k, 1)

    def benchmarks(self, study: str) -> set[str]:
        """The benchmarks of all its endpoints."""
        tests = [claim.test(study) for claim in self.claims]
        return {contrast.endpoint.benchmark for test in tests for contrast in test.contrasts}


def read_claims(path: str | Path | None = None) -> Claims:
    """Read a file of claims; None reads the package's own.

    Raises:
        ConfigError: it cannot be read, is not YAML, or does not fit the form; the sentence names the place.
    """
    if path is None:
        return parse_claims(files("hf_clipdyn.statistics").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)
    with naming(path, ConfigError):
        return parse_claims(Path(path).read_text(encoding="utf-8"), str(path))


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
    claims: Claims = _checked(_CLAIMS, content, source)
    return claims


_CLAIMS, _STUDY = TypeAdapter(Claims), TypeAdapter(StudyPlan)


def _checked(form: TypeAdapter[Any], content: Any, where: str) -> Any:
    """The content in a form; ConfigError, which begins with ``where``, if it has another."""
    with naming(where, ConfigError):
        try:
            return form.validate_python(content)
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] == "unexpected_keyword_argument":
                    *place, key = map(str, problem["loc"])
                    forms = (
                        Claims,
                        Claim,
                        ClaimTest,
                        StudyPlan,
                        PartPlan,
                        GatePlan,
                        Contrast,
                        Endpoint,
                        Window,
                    )
                    close = closest_name(key, (one.name for form in forms for one in fields(form)))
                    hint = f" Did you mean {close}?" if close else ""
                    raise ConfigError(
                        f"{'.'.join(place) or 'the file'} has the unknown key {key}.{hint}"
                    ) from None
            raise


def _written_out(content: dict[str, Any], source: str) -> dict[str, Any]:
    """The content with whole tests and without names; what does not have the form is left to the check of the form."""
    plans, claims = content.get("studies"), content.get("claims")
    if not plans or not isinstance(plans, dict) or not isinstance(claims, list):
        return content
    studies = {name: _study(plan, _where(source, name)) for name, plan in plans.items()}
    return content | {"studies": studies, "claims": [_claim(claim, studies, source) for claim in claims]}


def _where(source: str, study: Any) -> str:
    return f"{source} (study {shown(study)})"


def _without(content: Any, key: str) -> Any:
    if not isinstance(content, dict):
        return content
    return {name: value for name, value in content.items() if name != key}


def _study(content: Any, where: str) -> StudyPlan:
    """A study. Its endpoints are read first, since its gates and its accuracy may name them."""

    first: StudyPlan = _checked(_STUDY, _without(_without(content, "gates"), "accuracy"), where)
    study: StudyPlan = _checked(_STUDY, _named(content, first, where), where)
    return study


def _claim(content: Any, studies: Mapping[Any, StudyPlan], source: str) -> Any:
    """A claim, each of whose studies has its whole test."""
    if not isinstance(content, dict) or not isinstance(content.get("studies"), dict):
        return content
    number, common = content.get("number"), content.get("test", {})
    if not isinstance(common, dict):
        raise ConfigError(f"test of claim {number} in {source} is {shown(common)}: give a mapping.")
    tests = {}
    for study, test in content["studies"].items():
        if study not in studies:
            raise UnknownNameError(f"study (of claim {number}, {source})", str(study), map(str, studies))
        if isinstance(test, dict) and test.get("testable") != "false":
            test = common | test
        tests[study] = _named(test, studies[study], _where(source, study))
    return _without(content, "test") | {"studies": tests}


def _named(content: Any, study: StudyPlan, where: str) -> Any:
    """Content of a study with its endpoints and gates in place of their names."""
    if isinstance(content, list):
        return [_named(item, study, where) for item in content]
    if not isinstance(content, dict):
        return content

    def definition(kind: str, known: Mapping[str, Endpoint | GatePlan], name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if not known:
            raise ConfigError(f"{where} names no {kind}s: define {shown(name)} under its {kind}s.")
        if name not in known:
            raise UnknownNameError(f"{kind} in {where}:", name, known)
        return known[name]

    content = {key: _named(value, study, where) for key, value in content.items()}
    for key in ("endpoint", "accuracy"):
        if key in content:
            content[key] = definition("endpoint", study.endpoints, content[key])
    if isinstance(gates := content.get("gates"), list):
        content["gates"] = [definition("gate", study.gates, gate) for gate in gates]
    return content


def registered_hash(claims: Claims, study: str) -> str:
    """SHA-256 of what the claims register for a study, 64 hexadecimal digits; empty if they have no such study.

    That is windows, contrasts, δ, gates, controls, seeds and level of the testable claims.
    """
    if study not in claims.studies:
        return ""
    plan = claims.studies[study]
    tests = {str(claim.number): claim.test(study) for claim in claims.claims}
    content = {
        "level": float(claims.level),
        "tuning_seeds": _plain(plan.tuning_seeds),
        "confirmatory_seeds": _plain(plan.confirmatory_seeds),
        "claims": {
            number: _registered(claims, study, test) for number, test in tests.items() if test.testable
        },
    }
    # Left out where the file gives none, so that what the first study registers keeps its hash.
    if claims.rule != Claims.rule:
        content["rule"] = claims.rule
    if claims.readouts_count:
        content["readouts_count"] = True
    if plan.scale:
        content["scale"] = plan.scale
    if plan.accuracy is not None:
        content["accuracy"] = _plain(plan.accuracy)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _registered(claims: Claims, study: str, test: ClaimTest) -> dict[str, Any]:
    """A test with the windows that it uses, wherever the file defines them."""
    names, windows = set(test.window_names), claims.windows_of(study, test)
    return {
        **_plain(test),
        "windows": {name: _plain(windows[name]) for name in names},
        "located": sorted(name for name in names if claims.is_located(study, name, test)),
    }


def _plain(value: Any) -> Any:
    """As JSON, without words; a default is left out, so that a field that is added later changes no hash."""
    if is_dataclass(value):
        values = {item.name: (getattr(value, item.name), item.default) for item in fields(value)}
        return {
            name: _plain(given)
            for name, (given, default) in values.items()
            if name not in _WORDS and given != {} and (default is MISSING or given != default)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
