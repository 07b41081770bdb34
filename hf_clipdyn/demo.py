"""`clipdyn demo`: the whole study on the embedded world: train, evaluate, report.

Training takes one core. On a second one, another process, `clipdyn evaluate --watch`, measures the revisions as they
appear.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hf_clipdyn.bundled import recipe_path
from hf_clipdyn.files import delete
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.options import read_yaml
from hf_clipdyn.training.config import TrainingConfig

_SUITES = ("embedded", "dynamics")
_SECONDS_TO_END = 60.0
_CHILD = """
from hf_clipdyn.cli import main
from hf_clipdyn.interrupts import end_with_standard_input
end_with_standard_input()
main()
"""


@contextmanager
def evaluation_beside(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`clipdyn evaluate` in a process that ends when the block or this process does, however that ends.

    It only reads the revisions, so the training computes the same weights with it and without it. If it dies, what it
    has not measured is measured afterwards.
    """
    # This package as this process found it; the current folder may hold a file with the name of a package.
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", _CHILD, "evaluate", *words]
    with (
        log.open("ab") as output,
        subprocess.Popen(  # its standard input ends with this process
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()  # it loses the cell in work
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
            process.kill()


def run_demo(
    output_dir: Path | None = None,
    *,
    quick: bool = False,
    overwrite_output_dir: bool = False,
    quiet: bool = False,
) -> str:
    """Train a recipe, evaluate every revision and draw the report, or continue where an earlier call stopped.

    Nothing is downloaded: the world is rendered, and everything is read from this disk.

    Args:
        output_dir: folder of the run; ``runs/demo``, or ``runs/quick`` for the quick recipe, by default.
        quick: three short epochs, to see every step work; too few for a turn to shape.
        overwrite_output_dir: delete an earlier run there and begin again.
        quiet: print warnings and errors only.

    Returns:
        Three lines: where the page is, how to load an epoch, what was found.

    Raises:
        ConfigError: the folder contains a run of another recipe, or of version 0.3.
    """
    import torch

    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.report import headline, read_study, write_cards, write_report
    from hf_clipdyn.results.cells import cells_folder
    from hf_clipdyn.results.influences import influences_folder
    from hf_clipdyn.results.trials import trials_folder
    from hf_clipdyn.revisions import epoch_name
    from hf_clipdyn.revisions.store import Store, check_version
    from hf_clipdyn.training import delete_run, output_folder, train
    from hf_clipdyn.training.callbacks import Callback, Training
    from hf_clipdyn.training.device import torch_threads

    recipe = read_yaml(recipe_path("quick" if quick else "demo")) | {"quiet": quiet}
    recipe |= {} if output_dir is None else {"output_dir": output_dir}
    config = TrainingConfig(**recipe, resume_from_checkpoint="true")
    folder = output_folder(config)
    results = folder / "results.parquet"
    check_version(folder)
    if overwrite_output_dir:
        delete_run(folder)
        # A table without its cells may be a person's.
        of_table = (results, cells_folder(results), trials_folder(results), influences_folder(results))
        for path in of_table if cells_folder(results).is_dir() else ():
            delete(path)
    # A GPU is faster than a second core, but is free only after the training.
    is_beside = (
        usable_cores() >= 2
        and not torch.cuda.is_available()
        and epoch_name(config.num_train_epochs) not in Store(folder).names()
    )
    words = [str(folder), "--suite", ",".join(_SUITES), "--output", str(results), "--device", "cpu"]
    words += ["--watch", "--quiet"]

    with ExitStack() as stack:

        class Beside(Callback):
            process: subprocess.Popen[bytes] | None = None

            def run_begins(self, training: Training) -> None:  # noqa: ARG002  (as every callback)
                if is_beside:  # only now: a run that is refused is not measured
                    self.process = stack.enter_context(evaluation_beside(words, folder / "evaluate.log"))

        beside = Beside()
        train(config, [beside])
        if beside.process is not None:
            beside.process.wait()  # until it has measured the last revision, or has died
    with torch_threads(1):  # as many as beside the training: a different thread count changes rounding
        evaluate_revisions(folder, suite=_SUITES, output=results, show_progress=not quiet)
        study = read_study(results)
        page = write_report(study, folder / "report", try_it=True)
    write_cards(study, folder / "report")
    revisions = Store(folder)
    middle = revisions.folder / revisions.names()[config.num_train_epochs // 2]
    load = f'CLIPModel.from_pretrained("{middle}")'
    return f"Page:  {page}\nLoad:  {load}\nFound: {headline(study)}"
