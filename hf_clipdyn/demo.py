"""`clipdyn demo`: the whole study on the embedded world: train, evaluate, report.

Training takes one core. On a second one, another process, `clipdyn evaluate --watch`, measures the revisions as they
appear.
"""

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from hf_clipdyn import interrupts
from hf_clipdyn.bundled import recipe_path
from hf_clipdyn.files import delete
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.options import read_yaml
from hf_clipdyn.training.config import TrainingConfig

_SUITES = ("embedded", "dynamics")
_CHILD = "from hf_clipdyn import cli, demo; demo.wait_for_the_run(); cli.main()"


def evaluation_beside(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """`clipdyn evaluate` in a process that ends when its standard input is closed, or this process ends in any way.

    As a context manager it is ended at the end of the block, and loses the cell in work. It only reads the revisions,
    so the training computes the same weights with it and without it. If it dies, what it has not measured is measured
    afterwards.
    """
    # This package as this process found it; the current folder may hold a file with the name of a package.
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", _CHILD, "evaluate", *words]
    with log.open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment)


def wait_for_the_run() -> None:
    """Wait, in that process, until the run's folder has its configuration; import and draw the benchmarks meanwhile."""
    interrupts.end_with_standard_input()
    import torch

    from hf_clipdyn.benchmarks.registry import select_benchmarks
    from hf_clipdyn.benchmarks.sources import open_sources
    from hf_clipdyn.progress import library_bars

    if torch.cuda.is_available():  # faster than a second core, and free only after the training
        sys.exit("The revisions are measured after the training, on the GPU.")
    import_module("hf_clipdyn.evaluation.evaluate")
    with library_bars(False):
        open_sources(select_benchmarks(_SUITES), {})
    _, _, folder, *_ = sys.argv
    while not (Path(folder) / "config.yaml").exists():
        time.sleep(0.1)


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
        quick: three short epochs, to see every step work; too few for the shift to shape.
        overwrite_output_dir: delete an earlier run there and begin again.
        quiet: print warnings and errors only.

    Returns:
        Three lines: where the page is, how to load an epoch, what was found.

    Raises:
        ConfigError: the folder contains a run of another recipe, or of version 0.3.
    """
    from hf_clipdyn.revisions.names import epoch_name
    from hf_clipdyn.revisions.store import Store, check_version

    recipe = read_yaml(recipe_path("quick" if quick else "demo"))
    recipe |= {} if output_dir is None else {"output_dir": output_dir}
    config = TrainingConfig(**recipe | {"quiet": quiet, "resume_from_checkpoint": "true"})
    folder = Path(str(config.output_dir)).expanduser()
    revisions, table = Store(folder), folder / "results.parquet"
    check_version(folder)
    if overwrite_output_dir:
        from hf_clipdyn.training import delete_run

        delete_run(folder)
        parts = [folder / f"results{end}" for end in (".cells", ".parquet", ".trials", ".influences")]
        for path in parts if parts[0].is_dir() else ():  # a table without its cells may be a person's
            delete(path)
    words = [str(folder), "--device=cpu", "--watch", "--quiet"]
    words += [f"--suite={','.join(_SUITES)}", f"--output={table}"]
    trained = epoch_name(config.num_train_epochs) in revisions.names()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "evaluate.log"
    has_room = usable_cores() >= 2 and not trained
    with evaluation_beside(words, log) if has_room else nullcontext() as process:
        from hf_clipdyn.training import train  # takes seconds, in which the other process begins

        train(config)
        from hf_clipdyn.evaluation import evaluate_revisions
        from hf_clipdyn.report import headline, read_study, write_cards, write_report
        from hf_clipdyn.statistics.claims import EMBEDDED
        from hf_clipdyn.training.device import torch_threads

        if process is not None:
            process.wait()  # until it has measured the last revision, or has died
    with torch_threads(1):  # as many as beside the training: a different thread count changes rounding
        if process is None or process.returncode:
            evaluate_revisions(folder, suite=_SUITES, output=table, show_progress=not quiet)
        study = read_study(table, claims=EMBEDDED)
        page = write_report(study, folder / "report", try_it=True)
    write_cards(study, folder / "report")
    middle = revisions.folder / revisions.names()[config.num_train_epochs // 2]
    load = f'CLIPModel.from_pretrained("{middle}")'
    return f"Page:  {page}\nLoad:  {load}\nFound: {headline(study)}"
