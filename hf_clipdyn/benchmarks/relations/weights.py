"""How far do the weights move? Lengths of their steps, without a model."""

from collections.abc import Iterator, Sequence

from hf_clipdyn.benchmarks.relation import WEIGHTS, Relation, Scored, Seen, related
from hf_clipdyn.metrics.weight_path import weight_path
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import KindTerms, Term


class Weights(Relation):
    """How far the weights move during training: the whole model, each tower and each block.

    Layer normalisation makes the scale of many weights arbitrary: compare lengths within one part. The steps are those
    between the revisions, so they depend on how many there are.
    """

    name = "weights"
    terms = KindTerms(
        title="Weight trajectory",
        question="How far do the weights move?",
        rank=230,
        draws="weights",
        terms={
            "norm": Term(title="length of the weights", meaning="Euclidean length of all parameters."),
            "step": Term(
                title="step since the previous revision",
                meaning="Length of the difference from the weights of the previous revision.",
            ),
            "path": Term(title="length of the path", meaning="Sum of the lengths of all steps."),
            "distance": Term(
                title="distance from start to end",
                meaning="Length of the difference of the last from the first weights.",
            ),
        },
        subsets={"": "whole model", "image": "image encoder", "text": "text encoder"},
    )
    reads = WEIGHTS

    @classmethod
    def trace(cls, run: Sequence[Seen], seed: int) -> Iterator[Scored]:
        """The numbers of the whole model and of its parts, at each revision and in all."""
        del seed
        revisions = [revision.cell.revision for revision in run]
        for part, path in weight_path(revision.weights for revision in run).items():
            key = NumberKey(metric="", probe="", condition="", subset=part)
            for revision, length in zip(revisions, path["norms"], strict=True):
                yield related(key, "norm", length, at=revision)
            for revision, length in zip(revisions[1:], path["steps"], strict=True):
                yield related(key, "step", length, at=revision)
            for metric in ("path", "distance"):
                yield related(key, metric, path[metric])
