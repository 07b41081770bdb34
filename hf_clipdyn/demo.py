"""`clipdyn demo`: the whole study on the embedded world: train, publish, evaluate, report."""

from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import PublishError

__all__ = ["Demo", "run_demo"]


@dataclass(frozen=True)
class Demo:
    """What the demo leaves behind.

    Attributes:
        page: the report.
        store: folder of the revisions, the ``cache_dir`` of `from_pretrained`.
        results: the table of results.
        closing: three lines to print: where the page is, how to load an epoch, what was found.
    """

    page: Path
    store: Path
    results: Path
    closing: tuple[str, str, str]


def run_demo(
    output_dir: Path | None = None,
    *,
    quick: bool = False,
    overwrite_output_dir: bool = False,
    show_progress: bool = True,
) -> Demo:
    """Train a recipe, evaluate every revision and draw the report, or continue where an earlier call stopped.

    Nothing is downloaded: the world is rendered, and everything is read from the store on this disk.

    Args:
        output_dir: folder of the run; ``runs/demo``, or ``runs/quick`` for the quick recipe, by default.
        quick: three short epochs, to see every step work; too few for a turn to shape.
        overwrite_output_dir: delete an earlier run there and begin again.
        show_progress: progress bars.

    Raises:
        ConfigError: the folder holds a run of another recipe.
        PublishError: a revision could not be stored.
    """
    from hf_clipdyn.config import parse_training_config
    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.report import summarize, write_report
    from hf_clipdyn.training import output_folder, train

    flags = ["--config", "quick" if quick else "demo", "--disable_tqdm", str(not show_progress)]
    flags += ["--output_dir", str(output_dir)] if output_dir is not None else []
    flags += ["--overwrite_output_dir"] if overwrite_output_dir else ["--resume_from_checkpoint", "true"]
    config = parse_training_config(flags, prog="clipdyn demo")
    folder = output_folder(config)

    summary = train(config)
    assert summary is not None, "the demo runs in one process"
    if summary.missing:
        raise PublishError(summary.message)
    results = folder / "results.parquet"
    if overwrite_output_dir:
        results.unlink(missing_ok=True)
    evaluate_revisions(
        summary.repo_id, suite="embedded", store=summary.store, output=results, show_progress=show_progress
    )
    page = write_report(results, folder / "report")
    middle = summary.published[len(summary.published) // 2]
    return Demo(
        page=page,
        store=summary.store,
        results=results,
        closing=(
            f"Page:  {page}",
            f'Load:  CLIPModel.from_pretrained("{summary.repo_id}", revision="{middle}", '
            f'cache_dir="{summary.store}", local_files_only=True)',
            f"Found: {summarize(results)[0]}",
        ),
    )
