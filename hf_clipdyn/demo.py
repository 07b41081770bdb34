"""`clipdyn demo`: the whole study on the embedded world: train, publish, evaluate, report.

Training takes one core. On a second one, another process (`_follow`) measures the revisions as they appear.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import ClipDynError, PublishError
from hf_clipdyn.files import delete

__all__ = ["Demo", "run_demo"]

_SUITE, _DYNAMICS = "embedded", "dynamics"


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
    quiet: bool = False,
) -> Demo:
    """Train a recipe, evaluate every revision and draw the report, or continue where an earlier call stopped.

    Nothing is downloaded: the world is rendered, and everything is read from the store on this disk.

    Args:
        output_dir: folder of the run; ``runs/demo``, or ``runs/quick`` for the quick recipe, by default.
        quick: three short epochs, to see every step work; too few for a turn to shape.
        overwrite_output_dir: delete an earlier run there and begin again.
        quiet: print warnings and errors only.

    Raises:
        ConfigError: the folder contains a run of another recipe.
        PublishError: a revision could not be stored.
    """
    from hf_clipdyn.config import parse_training_config
    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.report import headline, read_study, write_cards, write_report
    from hf_clipdyn.results.cells import cells_folder
    from hf_clipdyn.results.influences import influences_folder
    from hf_clipdyn.results.trials import trials_folder
    from hf_clipdyn.revisions import epoch_name
    from hf_clipdyn.training import delete_run, output_folder, repository, train
    from hf_clipdyn.training.device import torch_threads

    flags = ["--config", "quick" if quick else "demo", "--quiet", str(quiet)]
    flags += ["--output_dir", str(output_dir)] if output_dir is not None else []
    flags += ["--resume_from_checkpoint", "true"]
    config = parse_training_config(flags)
    folder = output_folder(config)
    results = folder / "results.parquet"
    if overwrite_output_dir:
        delete_run(folder)
        for path in (results, cells_folder(results), trials_folder(results), influences_folder(results)):
            delete(path)

    run, store = repository(config), folder / "hub"
    trained = _has_revision(run, store, epoch_name(config.num_train_epochs))
    with nullcontext() if trained else _measured_meanwhile(run, store, results):
        summary = train(config)
    assert summary is not None, "the demo runs in one process"
    if summary.missing:
        raise PublishError(summary.message)
    with torch_threads(1):  # as many as `_follow` took: a different thread count changes rounding
        for suite in (_SUITE, _DYNAMICS):
            evaluate_revisions(
                summary.repo_id, suite=suite, store=summary.store, output=results, show_progress=not quiet
            )
    study = read_study(results)
    with torch_threads(1):
        page = write_report(study, folder / "report", try_it=True, store=summary.store)
    write_cards(study, folder / "report")
    middle = summary.published[len(summary.published) // 2]
    return Demo(
        page=page,
        store=summary.store,
        results=results,
        closing=(
            f"Page:  {page}",
            f'Load:  CLIPModel.from_pretrained("{summary.repo_id}", revision="{middle}", '
            f'cache_dir="{summary.store}", local_files_only=True)',
            f"Found: {headline(study)}",
        ),
    )


def _has_revision(repo_id: str, store: Path, name: str) -> bool:
    from hf_clipdyn.revisions import list_revisions

    try:
        return any(one.name == name for one in list_revisions(repo_id, store=store))
    except ClipDynError:  # nothing is published yet
        return False


@contextmanager
def _measured_meanwhile(repo_id: str, store: Path, results: Path) -> Iterator[None]:
    """Measure the revisions that appear within the block in another process, if a core is free for it.

    The caller's own evaluation measures what that process does not finish, and says why it failed. At the end of
    the block the process completes its current revision; if the block fails or this process is killed, it ends at
    once. In both cases the table of results is whole.
    """
    import torch

    from hf_clipdyn.machine import usable_cores

    if usable_cores() < 2 or torch.cuda.is_available():
        yield
        return
    # This package as this process found it; the current folder may hold a file with the name of a package.
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "hf_clipdyn.demo", repo_id, str(store), str(results)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal is for this process, which tells the other one
    ) as follower:
        assert follower.stdin is not None
        try:
            yield
            with suppress(BrokenPipeError):  # it has ended already
                follower.stdin.write(b"x")
                follower.stdin.flush()
            follower.wait()
        finally:
            with suppress(BrokenPipeError):
                follower.stdin.close()


def _follow(repo_id: str, store: Path, results: Path) -> None:
    """Measure each revision when it appears, on one thread, until standard input delivers a byte.

    If standard input ends without a byte, the training process has died.
    """
    trained = threading.Event()

    def listen() -> None:
        if not sys.stdin.buffer.read(1):
            os._exit(1)  # a cell is written whole or not at all
        trained.set()

    threading.Thread(target=listen, daemon=True).start()

    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.revisions import list_revisions
    from hf_clipdyn.training.device import torch_threads

    measured: set[tuple[str, str]] = set()
    with torch_threads(1):
        while not trained.is_set():
            try:
                listed = [(one.name, one.commit) for one in list_revisions(repo_id, store=store)]
                new = next((one for one in listed if one not in measured), None)
                if new is not None:
                    evaluate_revisions(
                        repo_id,
                        suite=_SUITE,
                        revisions=[new[0]],
                        store=store,
                        output=results,
                        show_progress=False,
                        final_texts=False,
                    )
                    measured.add(new)
                    continue
            except ClipDynError:  # nothing is published yet
                pass
            trained.wait(1)


if __name__ == "__main__":
    _follow(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
