"""How far and how straight do the weights move? Lengths and directions of their steps, without a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.relation import WEIGHTS, Relation, Seen, related
from hf_clipdyn.metrics.weight_path import weight_path
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Term

_BY_REVISION = {  # metric of the table, by the list of `weight_path` and the revision of its first number
    ("norms", 0): "norm",
    ("steps", 1): "step",
    ("cosines", 2): "cosine_with_previous_step",
    ("cosines_with_whole", 1): "cosine_with_whole",
}
_OF_RUN = ("path", "distance", "straightness", "relative_distance")
_COSINE: dict[str, Any] = {"limits": (-1.0, 1.0), "neutral": 0.0, "neutral_title": "at right angles"}


class Weights(Relation):
    """The way of the weights through training, of the whole model, of each tower and of each block.

    Layer normalisation makes the scale of many weights arbitrary: compare lengths within one part, and prefer cosines.
    The steps are those between the revisions, so they depend on how many there are.
    """

    name = "weights"
    terms = KindTerms(
        title="Way of the weights",
        question="How far and how straight do the weights move?",
        rank=230,
        draws="weights",
        terms={
            "norm": Term(title="length of the weights", meaning="Euclidean length of all parameters."),
            "step": Term(
                title="step since the previous revision",
                meaning="Length of the difference from the weights of the previous revision.",
            ),
            "cosine_with_previous_step": Term(
                title="direction against the previous step",
                meaning="Cosine of the angle between this step and the one before: 1 for going straight on.",
                **_COSINE,
            ),
            "cosine_with_whole": Term(
                title="direction against the whole way",
                meaning="Cosine of the angle between this step and the difference of the last from the first weights.",
                **_COSINE,
            ),
            "path": Term(title="length of the path", meaning="Sum of the lengths of all steps."),
            "distance": Term(
                title="distance from start to end",
                meaning="Length of the difference of the last from the first weights.",
            ),
            "straightness": Term(
                title="straightness",
                meaning="Distance from start to end divided by the length of the path.",
                limits=(0.0, 1.0),
            ),
            "relative_distance": Term(
                title="distance relative to the start",
                meaning="Distance from start to end divided by the length of the first weights.",
            ),
        },
        subsets={"": "whole model", "image": "image encoder", "text": "text encoder"},
    )
    reads = WEIGHTS

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The numbers of the whole model and of its parts, at each revision and in all."""
        del common
        result = weight_path(_States(run))
        causes, names = result["causes"], [one.cell.revision for one in run]
        for part, path in {"": result, **result["parts"]}.items():
            key = NumberKey(metric="", probe="", condition="", subset=part)
            for (listed, start), metric in _BY_REVISION.items():
                for name, value in zip(names[start:], path[listed], strict=True):
                    yield related(key, metric, value, at=name, note=_note(value, causes.get(listed, "")))
            for metric in _OF_RUN:
                yield related(key, metric, path[metric], note=_note(path[metric], causes.get(metric, "")))


def _note(value: float, cause: str) -> str:
    return "" if value == value else cause or "these weights do not move"


class _States(Sequence[Mapping[str, NDArray[Any]]]):
    """The weights of a run, each read when it is asked for."""

    def __init__(self, run: Sequence[Seen]) -> None:
        self._run = run

    def __len__(self) -> int:
        return len(self._run)

    @overload
    def __getitem__(self, at: int) -> Mapping[str, NDArray[Any]]: ...
    @overload
    def __getitem__(self, at: slice) -> "_States": ...
    def __getitem__(self, at: int | slice) -> "Mapping[str, NDArray[Any]] | _States":
        return _States(self._run[at]) if isinstance(at, slice) else self._run[at].weights
