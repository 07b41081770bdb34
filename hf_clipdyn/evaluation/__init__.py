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
    """Measure benchmarks on the revisions of runs, of models on the Hub and of models in folders, into one table.

    The arguments are the fields of `hf_clipdyn.evaluation.config.EvaluationConfig`, the first two also by position.
    The logger ``hf_clipdyn`` says which revisions are done and what is left out. Bars are drawn on a terminal and in a
    notebook.

    Example::

        evaluate_revisions("me/run", ["zero_shot/cifar10", Noise.on("cifar100", stage="input")], output="r.parquet")
        evaluate_revisions(["openai/clip-vit-base-patch32", "./mine", "runs/demo"], output="r.parquet")

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
    from datasets import concatenate_datasets

    from hf_clipdyn.evaluation.evaluate import evaluate
    from hf_clipdyn.evaluation.publish import check_push, push_results
    from hf_clipdyn.evaluation.watch import follow

    config = replace(config, show_progress=config.show_progress and draws_bars())
    with library_bars(config.show_progress):
        if config.push_to_hub is not None:
            check_push(config.push_to_hub, config.token)
        each = config.each
        for one in each if len(each) > 1 and not config.rescore else ():
            one.series.revisions()  # what does not exist is an error before the first is measured
        parts = [follow(one) if one.watch else evaluate(one) for one in each]
        results = parts[0] if len(parts) == 1 else concatenate_datasets(parts)
        if config.push_to_hub is not None and PartialState().is_main_process:
            push_results(config)
    return results
