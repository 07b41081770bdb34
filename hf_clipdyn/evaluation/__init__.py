"""Evaluation: revisions times benchmarks, planned, observed and scored, into one table of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig

if TYPE_CHECKING:
    import datasets

    from hf_clipdyn.benchmarks.kind import Benchmark
    from hf_clipdyn.revisions.names import Name
    from hf_clipdyn.revisions.series import Series

__all__ = ["evaluate_model", "evaluate_revisions"]


def evaluate_revisions(
    repo_id: "Name | Series | Sequence[Name]",
    benchmarks: "str | Benchmark | Sequence[str | Benchmark] | None" = None,
    **options: Any,
) -> "datasets.Dataset":
    """Measure benchmarks on revisions of one or several models, and collect all numbers in one table.

    A model is a run, a repository on the Hub, or a folder: ``["openai/clip-vit-base-patch32", "./mine", "runs/demo"]``.
    A benchmark is a name, or an object if it has settings: ``Noise.on("cifar100", stage="input")``.
    The arguments are the fields of `hf_clipdyn.evaluation.config.EvaluationConfig`, which `clipdyn evaluate --help-all`
    explains.

    With ``output`` the table is written to disk, and what it already contains is not measured again. The logger
    ``hf_clipdyn`` reports which revisions are done and what is left out. Terminals and notebooks show progress bars.

    Args:
        repo_id: what to evaluate, one or several.
        benchmarks: to run instead of the suite.
        options: further fields, and settings of kinds, such as ``noise_sigmas=(0, 0.1)``.

    Returns:
        One row per number, in the columns of `hf_clipdyn.results.row.Row`.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        RevisionNotFoundError: there is no such repository.
        ConfigError: a setting is out of its range, requires another setting, or is used by no selected benchmark.
        EvaluationError: data are missing (the message names all), or the output cannot be written.
        PublishError: the results could not be pushed; the output is complete.

    Examples:
        >>> from hf_clipdyn import evaluate_revisions
        >>> table = evaluate_revisions("runs/demo", "zero_shot/procedural", revisions="epoch-003")
        >>> sorted(set(table["metric"]))
        ['top1', 'top5']
    """
    return run(EvaluationConfig(repo_id=repo_id, benchmarks=benchmarks, **options))


def run(config: EvaluationConfig) -> "datasets.Dataset":
    """`evaluate_revisions` with the configuration of its arguments."""
    config.check_names()  # before torch is loaded
    from accelerate import PartialState
    from datasets import concatenate_datasets

    from hf_clipdyn.evaluation.evaluate import evaluate, evaluate_relations, follow, measure_each
    from hf_clipdyn.evaluation.publish import push_results
    from hf_clipdyn.hub import check_login, checked_repo_id
    from hf_clipdyn.progress import draws_bars, library_bars

    config = config.but(show_progress=config.show_progress and draws_bars())
    with library_bars(config.show_progress):
        if config.hub_model_id is not None:  # before hours of work
            repo_id = checked_repo_id(config.hub_model_id, what="hub_model_id", owner=True)
            check_login(f"The results cannot be pushed to {repo_id}", config.token)
        parts: list[datasets.Dataset] = []
        if config.selected:
            parts += measure_each(config, lambda one: follow(one) if one.watch else evaluate(one))
        if config.related:
            parts.append(evaluate_relations(config))
        results = parts[0] if len(parts) == 1 else concatenate_datasets(parts)
        if config.push_to_hub and PartialState().is_main_process:
            push_results(config)
    return results


def evaluate_model(
    model: Any,
    processor: Any,
    benchmarks: "str | Benchmark | Sequence[str | Benchmark] | None" = None,
    *,
    repo_id: str = "local/model",
    revision: str = "main",
    epoch: int | None = None,
    step: int | None = None,
    samples_seen: int | None = None,
    recorded: Mapping[str, float | None] | None = None,
    **options: Any,
) -> "datasets.Dataset":
    """Measure benchmarks on a model in memory; its weights are not saved.

    The model keeps its device and its mode, and no random state changes, so that training can continue.

    Args:
        model: a dual encoder, a vision model or an image classifier of transformers, in float32.
        processor: its processor; for a vision model its image processor.
        benchmarks: as in `evaluate_revisions`. Default: the suite.
        repo_id: the model's name in the table.
        revision: name of its state in the table; the commit there is a hash of the weights.
        epoch: epochs trained, if known.
        step: optimiser steps taken, if known.
        samples_seen: images shown so far, if known.
        recorded: what training has recorded, for the table: ``loss``, ``validation_loss``, ``learning_rate`` and
            ``logit_scale``, if known.
        options: further arguments of `evaluate_revisions`: ``suite``, ``output``, ``settings``, ``batch_size`` ….

    Returns:
        One row per number, in the columns of `hf_clipdyn.results.row.Row`.

    Raises:
        ConfigError: an option needs published revisions, the model is not in float32, or the model or the processor is
            not an object of transformers.
        UnknownNameError: an unknown suite, benchmark or data set.
        EvaluationError: data are missing (the message names all), or the output cannot be written.
        ModelError: the model is not an image encoder.

    Examples:
        >>> from transformers import CLIPModel, CLIPProcessor
        >>> from hf_clipdyn import evaluate_model
        >>> revision = "runs/demo/revisions/epoch-003"
        >>> model, processor = CLIPModel.from_pretrained(revision), CLIPProcessor.from_pretrained(revision)
        >>> table = evaluate_model(
        ...     model, processor, "zero_shot/procedural", repo_id="me/run", epoch=3
        ... )
        >>> table[0]["repo_id"], table[0]["epoch"], table[0]["metric"]
        ('me/run', 3, 'top1')
    """
    import torch

    from hf_clipdyn.evaluation.evaluate import evaluate
    from hf_clipdyn.evaluation.live_model import GivenModel, check_processor
    from hf_clipdyn.progress import draws_bars, library_bars
    from hf_clipdyn.revisions import Revision

    of_published = "relations revisions shard store from_open_clip watch rescore push_to_hub"
    for name in of_published.split():
        if options.get(name):
            raise ConfigError(f"`{name}` is for published revisions: use `evaluate_revisions`.")
    if not (isinstance(model, torch.nn.Module) and hasattr(model, "config") and hasattr(model, "dtype")):
        raise ConfigError(f"model is a {type(model).__name__}: give an image encoder of transformers.")
    check_processor(processor)
    if {options.get("dtype", "float32"), str(model.dtype).removeprefix("torch.")} - {"fp32"} != {"float32"}:
        raise ConfigError("The model is not in float32: give `copy.deepcopy(model).float()`.")
    size = sum(one.numel() for one in model.parameters())
    facts: dict[str, Any] = {"epoch": epoch, "step": step, "samples_seen": samples_seen, **(recorded or {})}
    state = Revision(revision, parameters=size, **facts)
    training = model.training
    try:
        with torch.random.fork_rng(), TemporaryDirectory(prefix="clipdyn-settings-") as folder:
            given = GivenModel(repo_id, model, processor, state, Path(folder))
            config = EvaluationConfig(repo_id=given, benchmarks=benchmarks, **options)
            config = config.but(show_progress=config.show_progress and draws_bars())
            with library_bars(config.show_progress):
                return evaluate(config)
    finally:
        model.train(training)
