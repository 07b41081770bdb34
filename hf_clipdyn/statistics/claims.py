"""A file of claims: what is registered before the runs that count, and how it is tested.

A file is about one study. It names parts of training (`Window`), numbers of the table (`Endpoint`), conditions
(`Gate`), and claims of one or several contrasts (`Part`). A key of the YAML file is a field of these models, and any
other key is an error.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hf_clipdyn.errors import ConfigError, check_known, naming
from hf_clipdyn.options import parse_yaml

EMBEDDED = Path(str(files("hf_clipdyn.statistics").joinpath("claims.yaml")))
"""The package's file of claims, about the embedded world: `clipdyn demo` has a run of it."""

_OF_CLAIM: Any = {"title": True, "notes": True, "cause": True, "parts": {"__all__": {"title"}}}
_WORDS: Any = {"title": True, "claims": {"__all__": _OF_CLAIM}}
"""Keys that register nothing."""
_Share = Annotated[float, Field(ge=0, le=1)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]
_Text = Annotated[str, Field(max_length=2000)]
_Title = Annotated[str, Field(min_length=1, max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, content: Any) -> Any:
        check_known("key", map(str, content if isinstance(content, dict) else ()), cls.model_fields)
        return content


class Window(_Model):
    """A part of training; exactly one of its ways to choose revisions is given.

    Attributes:
        shares: of the samples of training, from the first to the second, 0 to 1, both included.
        epochs: the revisions of these whole epochs.
        untrained: the revision before the first step.
        reached: from where the run has this accuracy at two revisions in a row, as many ``revisions``.
        revisions: of a window at ``reached``.
    """

    shares: tuple[_Share, _Share] | None = None
    epochs: tuple[Annotated[int, Field(ge=0)], ...] = ()
    untrained: bool = False
    reached: _Share | None = None
    revisions: Annotated[int, Field(ge=1)] = 4

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.shares is not None, bool(self.epochs), self.untrained, self.reached is not None]
        if sum(ways) != 1:
            raise ValueError(
                f"give exactly one of shares, epochs, untrained and reached; {sum(ways)} are given"
            )
        if self.shares is not None and self.shares[0] > self.shares[1]:
            raise ValueError(f"shares are {list(self.shares)}: give the smaller one first")
        return self


class Endpoint(_Model):
    """A number of the table, by its columns; with ``levels``, the mean over these levels."""

    kind: str
    dataset: str
    metric: str
    variant: str = ""
    probe: str = "projection"
    layer: int | None = None
    subset: str = ""
    condition: str = "none"
    levels: tuple[float, ...] = ()
    parameter: float | None = None
    texts: str = "own"
    reference: str = ""

    @property
    def benchmark(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind}/{self.dataset}"


class Gate(_Model):
    """A condition for a claim to be testable, in all runs of its arms that count.

    Attributes:
        endpoint: the name of what is looked at, in the windows with these names.
        above: without it, no value may be not interpretable. Else the mean over each window is at least this: a number,
            or the rows of the table with this role (``chance``, ``null``, …) or this name to which the values refer. If
            lower is better, the mean is at most that.
        times: what ``above`` is multiplied with.
        arms: by name; "" is the main one.
    """

    endpoint: str
    windows: Annotated[tuple[str, ...], Field(min_length=1)]
    above: Annotated[float | str | None, Field(union_mode="left_to_right")] = None
    times: Annotated[float, Field(gt=0)] = 1.0
    arms: tuple[_Text, ...] = ("",)


class Part(_Model):
    """A contrast: ``constant`` + the sum of weight times mean over a window; positive favours the claim.

    Attributes:
        title: in words.
        endpoint: the name of the number.
        weights: by the name of a window.
        arms: what the contrast of each arm is multiplied with, by its name; "" is the main one. The sum is taken over
            runs of one scale and seed, so that what they share cancels.
        smallest_effect: δ, in units of the endpoint.
    """

    title: _Title
    endpoint: str
    constant: float = 0.0
    weights: Annotated[dict[str, float], Field(min_length=1)]
    arms: Annotated[dict[_Text, float], Field(min_length=1)] = {"": 1.0}
    smallest_effect: Annotated[float, Field(gt=0)]


class Claim(_Model):
    """A claim with its test: it holds if all parts hold.

    Attributes:
        number: a text, unique in the file.
        title: in words.
        notes: what a reader must know in addition to the verdict.
        evidence: False for what holds by construction, such as a positive control.
        family: the claims that share the level; by default those of no named family.
        cause: why it is not testable; such a claim has no parts and does not count in its family.
        gates: names.
    """

    number: Annotated[str, Field(min_length=1, max_length=40, coerce_numbers_to_str=True)]
    title: _Title
    notes: tuple[_Text, ...] = ()
    evidence: bool = True
    family: _Text = ""
    cause: _Text = ""
    parts: tuple[Part, ...] = ()
    gates: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _parts_or_cause(self) -> Self:
        if bool(self.parts) == bool(self.cause):
            raise ValueError("give parts, or the cause why the claim is not testable, and not both")
        return self


class Claims(_Model):
    """A file of claims.

    Attributes:
        title: of the study.
        level: α, shared by the k testable claims of a family: each has intervals at 1 - α/k.
        one_t: all errors share the quantile of the seeds, as in the first study. It is wider where items dominate.
        tuning_seeds: they set windows and effects, and never enter a verdict.
        confirmatory_seeds: only these count, and one of them decides nothing; if empty, all but tuning seeds count.
        scale: the only scale whose runs count; empty for all.
        accuracy: the name of the endpoint that windows at ``reached`` mean.
        windows, endpoints, gates: by name.
    """

    title: _Text = ""
    level: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    one_t: bool = False
    tuning_seeds: tuple[_Seed, ...] = ()
    confirmatory_seeds: tuple[_Seed, ...] = ()
    scale: _Text = ""
    accuracy: str = ""
    windows: dict[_Title, Window]
    endpoints: dict[_Title, Endpoint]
    gates: dict[_Title, Gate] = {}
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names(self) -> Self:
        if both := set(self.tuning_seeds) & set(self.confirmatory_seeds):
            raise ValueError(f"seed {min(both)} is both a tuning seed and a confirmatory one")
        numbers = [claim.number for claim in self.claims]
        if twice := [number for number in numbers if numbers.count(number) > 1]:
            raise ValueError(f"claim {twice[0]} is defined twice")
        at_accuracy = [name for name, window in self.windows.items() if window.reached is not None]
        if at_accuracy and not self.accuracy:
            raise ValueError(f"the window {at_accuracy[0]} is at an accuracy: name the endpoint `accuracy`")
        if self.accuracy:
            check_known("endpoint (accuracy)", [self.accuracy], self.endpoints)
        for where, endpoint, windows in self._used():
            check_known(f"endpoint ({where})", [endpoint], self.endpoints)
            check_known(f"window ({where})", windows, self.windows)
        for claim in self.claims:
            check_known(f"gate (claim {claim.number})", claim.gates, self.gates)
        return self

    def _used(self) -> Iterable[tuple[str, str, Iterable[str]]]:
        for name, gate in self.gates.items():
            yield f"gate {name}", gate.endpoint, gate.windows
        for claim in self.claims:
            for part in claim.parts:
                yield f"claim {claim.number}", part.endpoint, part.weights

    def confidence(self, claim: Claim) -> float:
        """1 - α/k for the k testable claims of its family; a number of the file, not of the data."""
        k = sum(bool(other.parts) and other.family == claim.family for other in self.claims)
        return 1 - self.level / max(k, 1)


def read_claims(path: str | Path) -> Claims:
    """Read a file of claims.

    Raises:
        ConfigError: it cannot be read, or is not a file of claims; the sentence has the key, what was given and what is
            allowed.
    """
    with naming(path, ConfigError):
        return parse_claims(Path(path).read_text(encoding="utf-8"), str(path))


@lru_cache(maxsize=32)
def parse_claims(text: str, source: str) -> Claims:
    """The claims in the text of a file of that name; `ConfigError` as from `read_claims`."""
    with naming(source, ConfigError):
        return Claims.model_validate(parse_yaml(text, source))


def registered_hash(claims: Claims) -> str:
    """SHA-256 of what a file registers, 64 hexadecimal digits: all but titles, notes and causes.

    So a file can be reworded after the runs and still registers the same.
    """
    content = claims.model_dump(mode="json", exclude=_WORDS)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
