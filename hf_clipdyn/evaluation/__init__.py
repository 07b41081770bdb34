"""Evaluation: revisions times benchmarks into one table of results."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError

if TYPE_CHECKING:
    import datasets

__all__ = ["WATCH_PATIENCE", "evaluate_revisions"]

WATCH_PATIENCE = 3600.0  # seconds; longer than an epoch of most runs


def evaluate_revisions(
    repo_id: str,
    suite: str = "embedded",
    benchmarks: str | Sequence[str] | None = None,
    revisions: str | Sequence[str] | None = None,
    store: str | Path | None = None,
    output: str | Path | None = None,
    data_dirs: Mapping[str, str | Path] | None = None,
    *,
    dtype: str = "float32",
    device: str | None = None,
    batch_size: int = 128,
    force: bool = False,
    rescore: bool = False,
    skip_missing: bool = False,
    keep_trials: bool = True,
    token: str | None = None,
    show_progress: bool = True,
    watch: bool = False,
    watch_patience: float = WATCH_PATIENCE,
    final_texts: bool = True,
    push_to_hub: str | None = None,
    private: bool = False,
    **settings: Any,
) -> "datasets.Dataset":
    """Measure benchmarks on the revisions of a run.

    Args:
        repo_id: ``owner/name`` of the run, or of any model on the Hub.
        suite: ``embedded`` (nothing to download), ``paper`` or ``full``.
        benchmarks: a name (``noise/cifar10``), kind (``noise``) or pattern in place of the whole suite, or several.
        revisions: a name or several; None for all.
        store: folder of a local store; None reads the Hub.
        output: Parquet table that is begun or continued, with the trials beside it; None: in memory.
        data_dirs: data set to the folder that holds it.
        dtype: ``float32`` (``fp32``), the reference, or ``bfloat16`` (``bf16``).
        device: ``cpu``, ``cuda`` …, or ``auto``, which spreads a large model; the accelerator by default where
            there is one.
        batch_size: images per forward pass.
        force: measure again what ``output`` already holds.
        rescore: compute the numbers of what ``output`` holds anew from the trials beside it, as with another
            ``n_resamples``; nothing is shown to the model again.
        skip_missing: leave out benchmarks whose data are absent, instead of stopping.
        keep_trials: keep the answer to every stimulus beside ``output``.
        token: for private repositories.
        show_progress: progress bars.
        watch: follow a run that is still training and measure each revision when it appears; needs ``output``.
        watch_patience: seconds without a new revision after which the run that is watched counts as over.
        final_texts: also ask each revision for classes with the text embeddings of the run's last one; the
            metrics' names then end in ``/final_text``.
        push_to_hub: data-set repository, ``owner/name``, that is to hold the table and the trials; needs ``output``.
            It is made at the end, when all is on the disk.
        private: make that repository private.
        **settings: fields of `hf_clipdyn.benchmarks.base.Settings`, as ``noise_stage="input"``; None keeps
            the default.

    Returns:
        One row per measurement, in the columns of `hf_clipdyn.evaluation.store.SCHEMA`.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        RevisionNotFoundError: there is no such repository.
        ConfigError: a setting that is out of its range, that no chosen benchmark reads, or that lacks another one.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        PublishError: the results could not be pushed; ``output`` is complete all the same.
    """
    from accelerate import PartialState
    from tqdm.auto import tqdm

    from hf_clipdyn.benchmarks.base import Settings
    from hf_clipdyn.evaluation.publish import check_push, push_results
    from hf_clipdyn.evaluation.runner import EvaluationConfig, evaluate
    from hf_clipdyn.evaluation.watch import follow

    known = {field.name for field in fields(Settings)}
    for name in settings.keys() - known:
        raise TypeError(f"evaluate_revisions() got an unexpected keyword argument {name!r}")
    chosen = {name: value for name, value in settings.items() if value is not None}
    config = EvaluationConfig(
        repo_id=repo_id,
        suite=suite,
        benchmarks=_several(benchmarks),
        revisions=_several(revisions),
        store=None if store is None else Path(store).absolute(),
        output=None if output is None else Path(output).absolute(),
        data_dirs={name: Path(path) for name, path in (data_dirs or {}).items()},
        settings=Settings(show_progress=show_progress, **chosen),
        dtype=dtype,
        device=device,
        batch_size=batch_size,
        force=force,
        rescore=rescore,
        skip_missing=skip_missing,
        keep_trials=keep_trials,
        token=token,
        final_texts=final_texts,
    )
    say = tqdm.write if show_progress else lambda _: None
    if push_to_hub is None and private:
        raise ConfigError("private is said of the repository that push_to_hub names: give both, or neither.")
    if push_to_hub is not None:
        if output is None:
            raise ConfigError(
                "push_to_hub needs an output: the results are on the disk before they are sent."
            )
        check_push(push_to_hub, token)
    if watch:
        if output is None or revisions is not None:
            raise ConfigError(
                "Watching a run needs an output, and takes all of its revisions: leave them out."
            )
        if not watch_patience >= 0:  # nor NaN, with which it would never end
            raise ConfigError(f"watch_patience is {watch_patience}: give seconds, 0 or more.")
        results = follow(config, watch_patience, say)
    else:
        results = evaluate(config, say)
    if push_to_hub is not None and config.output is not None and PartialState().is_main_process:
        url = push_results(config.output, push_to_hub, private=private, token=token, say=say)
        say(f"The results are pushed: {url}.")
    return results


def _several(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    return (names,) if isinstance(names, str) else tuple(names)
