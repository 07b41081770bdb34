"""Evaluation: revisions times benchmarks, planned, observed and scored, into one table of results."""

from pathlib import Path
from typing import TYPE_CHECKING

from hf_clipdyn.evaluation.config import EvaluationConfig, called_with

if TYPE_CHECKING:
    import datasets

__all__ = ["evaluate_revisions"]


@called_with(EvaluationConfig)
def evaluate_revisions(config: EvaluationConfig) -> "datasets.Dataset":
    """Measure benchmarks on the revisions of a run, or of any model on the Hub.

    The arguments are the fields of `hf_clipdyn.evaluation.config.EvaluationConfig`, the first two also by position.

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
    from tqdm.auto import tqdm

    from hf_clipdyn.evaluation.evaluate import evaluate
    from hf_clipdyn.evaluation.watch import follow

    say = tqdm.write if config.show_progress else lambda _: None
    if config.push_to_hub is None:
        return follow(config, say) if config.watch else evaluate(config, say)

    from hf_clipdyn.evaluation.publish import check_push, push_results

    check_push(config.push_to_hub, config.token)
    results = follow(config, say) if config.watch else evaluate(config, say)
    if PartialState().is_main_process:
        assert isinstance(config.output, Path)
        url = push_results(
            config.output, config.push_to_hub, private=config.private, token=config.token, say=say
        )
        say(f"The results are pushed: {url}.")
    return results
