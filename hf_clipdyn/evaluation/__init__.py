"""Evaluation: revisions times benchmarks, planned, observed and scored, into one table of results."""

from dataclasses import replace
from typing import TYPE_CHECKING

from hf_clipdyn.evaluation.config import EvaluationConfig, called_with
from hf_clipdyn.progress import draws_bars, library_bars

if TYPE_CHECKING:
    import datasets

__all__ = ["evaluate_revisions"]


@called_with(EvaluationConfig)
def evaluate_revisions(config: EvaluationConfig) -> "datasets.Dataset":
    """Measure benchmarks on the revisions of a run, or of any model on the Hub.

    The arguments are the fields of `hf_clipdyn.evaluation.config.EvaluationConfig`, the first two also by position.
    The logger ``hf_clipdyn`` says which revisions are done and what is left out. Bars are drawn on a terminal and in a
    notebook.

    Example::

        evaluate_revisions("me/run", ["zero_shot/cifar10", Noise.on("cifar100", stage="input")], output="r.parquet")

    Returns:
        One row per number, in the columns of `hf_clipdyn.results.row.Row`.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        RevisionNotFoundError: there is no such repository.
        ConfigError: a setting that is out of its range, that no chosen benchmark uses, or that lacks another one.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        PublishError: the results could not be pushed; the output is complete all the same.
    """
    from accelerate import PartialState

    from hf_clipdyn.evaluation.evaluate import evaluate
    from hf_clipdyn.evaluation.publish import check_push, push_results
    from hf_clipdyn.evaluation.watch import follow

    config = replace(config, show_progress=config.show_progress and draws_bars())
    with library_bars(config.show_progress):
        if config.push_to_hub is not None:
            check_push(config.push_to_hub, config.token)
        results = follow(config) if config.watch else evaluate(config)
        if config.push_to_hub is not None and PartialState().is_main_process:
            push_results(config)
    return results
