"""`clipdyn demo`: the whole study on the embedded world: train, evaluate, report.

Training takes one core. On a second one, another process, `clipdyn evaluate --watch`, measures the revisions as they
appear.
"""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import PublishError
from hf_clipdyn.files import delete

_SUITES = ("embedded", "dynamics")
_SECONDS_TO_END = 60.0
_CHILD = """
from hf_clipdyn.cli import main
from hf_clipdyn.interrupts import end_with_standard_input
end_with_standard_input()
main()
"""


@dataclass(frozen=True)
class Demo:
    """What the demo leaves behind.

    Attributes:
        page: the report.
        folder: of the run; its revisions are the folders below `revisions`.
        results: the table of results.
        closing: three lines to print: where the page is, how to load an epoch, what was found.
    """

    page: Path
    folder: Path
    results: Path
    closing: tuple[str, str, str]


class _Evaluation:
    """`clipdyn evaluate` in a process that ends when this one does, however this one ends.

    It only reads the revisions, so the training computes the same weights with it and without it. If it dies, what it
    has not measured is measured afterwards.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, words: list[str], log: Path) -> None:
        # This package as this process found it; the current folder may hold a file with the name of a package.
        paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": "1",
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, "evaluate", *words],
                stdin=subprocess.PIPE,  # which ends with this process
                stdout=output,
                stderr=output,
                env=environment,
            )

    def wait(self) -> None:
        """Until it has measured the last revision, or has died."""
        if self._process is not None:
            self._process.wait()

    def close(self) -> None:
        """End it: it loses the cell in work."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def run_demo(
    output_dir: Path | None = None,
    *,
    quick: bool = False,
    overwrite_output_dir: bool = False,
    quiet: bool = False,
) -> Demo:
    """Train a recipe, evaluate every revision and draw the report, or continue where an earlier call stopped.

    Nothing is downloaded: the world is rendered, and everything is read from this disk.

    Args:
        output_dir: folder of the run; ``runs/demo``, or ``runs/quick`` for the quick recipe, by default.
        quick: three short epochs, to see every step work; too few for a turn to shape.
        overwrite_output_dir: delete an earlier run there and begin again.
        quiet: print warnings and errors only.

    Raises:
        ConfigError: the folder contains a run of another recipe.
        PublishError: a revision could not be stored.
    """
    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.report import headline, read_study, write_cards, write_report
    from hf_clipdyn.results.cells import cells_folder
    from hf_clipdyn.results.influences import influences_folder
    from hf_clipdyn.results.trials import trials_folder
    from hf_clipdyn.revisions import epoch_name
    from hf_clipdyn.training import delete_run, output_folder, train
    from hf_clipdyn.training.callbacks import Callback, Training
    from hf_clipdyn.training.config import TrainingConfig
    from hf_clipdyn.training.device import torch_threads

    flags = ["--config", "quick" if quick else "demo", "--quiet", str(quiet)]
    flags += ["--output_dir", str(output_dir)] if output_dir is not None else []
    flags += ["--resume_from_checkpoint", "true"]
    config = TrainingConfig.read(flags)
    folder = output_folder(config)
    results = folder / "results.parquet"
    if overwrite_output_dir:
        delete_run(folder)
        for path in (results, cells_folder(results), trials_folder(results), influences_folder(results)):
            delete(path)

    words = [str(folder), "--suite", ",".join(_SUITES), "--output", str(results)]
    words += ["--device", "cpu", "--watch", "--quiet"]
    is_beside = _has_free_core() and not _has_revision(folder, epoch_name(config.num_train_epochs))
    with closing(_Evaluation()) as evaluation:

        class Beside(Callback):
            def run_begins(self, training: Training) -> None:  # noqa: ARG002  (as every callback)
                if is_beside:  # only now: a run that is refused is not measured
                    evaluation.start(words, folder / "evaluate.log")

        summary = train(config, [Beside()])
        assert summary is not None, "the demo runs in one process"
        if summary.missing:
            raise PublishError(summary.message)
        evaluation.wait()
    with torch_threads(1):  # as many as beside the training: a different thread count changes rounding
        evaluate_revisions(
            folder,
            suite=_SUITES,
            output=results,
            show_progress=not quiet,
        )
    study = read_study(results)
    with torch_threads(1):
        page = write_report(study, folder / "report", try_it=True)
    write_cards(study, folder / "report")
    middle = summary.published[len(summary.published) // 2]
    return Demo(
        page=page,
        folder=folder,
        results=results,
        closing=(
            f"Page:  {page}",
            f'Load:  CLIPModel.from_pretrained("{folder}/revisions/{middle}")',
            f"Found: {headline(study)}",
        ),
    )


def _has_revision(folder: Path, name: str) -> bool:
    return (folder / "revisions" / name).is_dir()


def _has_free_core() -> bool:
    """Whether the revisions can be measured beside the training; a GPU is faster, but is free only afterwards."""
    import torch

    from hf_clipdyn.machine import usable_cores

    return usable_cores() >= 2 and not torch.cuda.is_available()
