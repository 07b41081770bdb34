"""An `evaluate` module from a metric: its docstring, its annotations and the packaged BibTeX say everything.

`scripts/push_metrics.py` copies it into each Space.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import datasets
import evaluate

from hf_clipdyn.references import reference

_SECTIONS = re.compile(r"\n(Args|Returns|Raises|Examples|References):\n")
_FORMER = ("n_resamples", "confidence_level", "seed")
_FOR_INTERVALS = {
    "groups": "what rows have in common: a name for each row, or a list of names in several crossed ways.",
    "images": "instead, names of the images that each row shows; rows with a common image depend on each other.",
    "level": "confidence level of the intervals, by default 0.95.",
}


class UndefinedMetricWarning(UserWarning):
    """A value of a metric is NaN, since it is not defined on the given input.

    Attributes:
        names: keys of the result that are NaN.
        cause: why, as a clause ("the predictions are constant").
    """

    def __init__(self, names: Sequence[str], cause: str) -> None:
        self.names = tuple(names)
        self.cause = cause
        super().__init__(f"{', '.join(self.names)} undefined (NaN): {cause}.")


def module_of(function: Callable[..., Any]) -> type[evaluate.Metric]:
    """The `evaluate.Metric` that computes a metric, with an interval for each value.

    It warns of undefined values, with an `UndefinedMetricWarning` for each cause.

    Args:
        function: from arrays to `hf_clipdyn.metrics.scores.Scores`. Its arguments with a value in every row are
            annotated with their type: ``Annotated[ArrayLike, "float64"]``, or ``["float64"]`` for a list of them. The
            section *References* of its docstring has keys of the packaged BibTeX.

    Examples:
        >>> from hf_clipdyn.metric_module import module_of
        >>> from hf_clipdyn.metrics.jnd_map import jnd_map
        >>> module_of(jnd_map)().features
        {'distances': Value('float64'), 'same': Value('float64')}
    """
    description, *parts = _SECTIONS.split(inspect.getdoc(function) or "")
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    citation = "\n\n".join(map(reference, sections.pop("References", "").split()))
    hints = get_type_hints(function, include_extras=True)
    rows = {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}
    features = datasets.Features({name: _feature(kind) for name, kind in rows.items()})
    parameters = inspect.signature(function).parameters
    added = [f"    {name}: {text}" for name, text in _FOR_INTERVALS.items() if name not in parameters]
    sections["Args"] = "\n".join([sections["Args"].rstrip(), *added])

    def info(_: evaluate.Metric) -> evaluate.MetricInfo:
        described = [f"{name}:\n{text.rstrip()}" for name, text in sections.items()]
        return evaluate.MetricInfo(
            description=description,
            citation=citation,
            inputs_description="\n\n".join(described),
            features=features,
        )

    def compute(_: evaluate.Metric, *, level: float = 0.95, **inputs: Any) -> dict[str, Any]:
        for name in _FORMER:
            if name in inputs and name not in parameters:
                del inputs[name]
                warnings.warn(f"{name} has no effect: no interval is resampled.", FutureWarning, stacklevel=3)
        shared = {name: inputs.get(name) for name in ("groups", "images") if name not in rows}
        given = {name: value for name, value in inputs.items() if name in parameters or name not in shared}
        found = function(**given)
        result: dict[str, Any] = found.report(level=level, **shared)
        names: dict[str, list[str]] = {}
        for name, cause in result.pop("causes").items():
            value = result.get(name)
            if not isinstance(value, float) or value != value:  # else it is a caution
                names.setdefault(cause, []).append(name)
        for cause, undefined in names.items():
            warnings.warn(UndefinedMetricWarning(undefined, cause), stacklevel=3)  # the caller of `compute`
        return result

    members = {"_info": info, "_compute": compute, "__doc__": inspect.getdoc(function)}
    # `evaluate` looks for the module's files there, and calls the module like its file.
    place = inspect.stack()[1].frame.f_globals["__name__"]
    name = place.rpartition(".")[2] if place.startswith("evaluate_modules.") else function.__name__
    metric = type("".join(map(str.title, name.split("_"))), (evaluate.Metric,), members)
    metric.__module__ = place
    return metric


def _feature(kind: Any) -> Any:
    return datasets.List(_feature(kind[0])) if isinstance(kind, list) else datasets.Value(kind)
