"""What every test gets: caches of its own, no way out to a network, and the real data where they are."""

import atexit
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read at import by huggingface_hub, datasets and torch, hence set before any of them is loaded.
# Port 9 (discard) of the loopback is closed: every attempt to reach the Hub is refused at once.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="clipdyn-hf-home-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel processes already
# COLUMNS is the width of whoever started the tests.
for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "COLUMNS"):
    os.environ.pop(name, None)

gc.disable()  # until everything is imported, see below: it takes a third of that time

import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))  # tests/hub_server, the test Hub

import forked  # noqa: E402
from hub_server.fixtures import hub  # noqa: E402, F401
from in_browser import chromium  # noqa: E402
from planted import planted  # noqa: E402, F401
from skips import complete  # noqa: E402
from study_rows import read, study, write  # noqa: E402, F401

CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for the demo comes first, and with it the making of the demo.

    The data sets of the rooms below are small: of all that is warned about, a subset is what their tests expect.
    """
    items.sort(key=lambda item: "demo" not in getattr(item, "fixturenames", ()))
    mark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")
    for item in items:
        if item.path.parent.name in ("benchmarks", "data", "evaluation", "statistics"):
            item.add_marker(mark, append=False)  # a test's own filter comes after it and counts


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test is skipped for a reason that is listed, or fails."""
    return complete((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So is a file."""
    return complete((yield))


def pytest_collection_finish() -> None:
    """What the imports have made stays to the end: no collection looks at it again, which takes 0.25 s each time."""
    forked.hasten()
    gc.freeze()
    gc.enable()


@pytest.fixture
def clipdyn(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`clipdyn(*words)`: exit code, standard output and standard error of a command."""

    def run(*words: object) -> tuple[int, str, str]:
        from hf_clipdyn.cli import main

        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run


_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--no-first-run", "--disable-extensions"),
    # A webcam, and the leave to use it.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests of a process."""
    found = chromium()
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("osie")`: the folder of real data of that name; skips the test where it is absent."""
    roots = [Path(os.environ["CLIPDYN_DATA"])] if "CLIPDYN_DATA" in os.environ else []
    roots.append(CHECKOUT.parent / "shared" / "data")

    def find(name: str) -> Path:
        for root in roots:
            if (root / name).exists():
                return root / name
        pytest.skip(f"no real data {name!r}: set CLIPDYN_DATA to the folder that holds it")

    return find


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the committed random CLIP, ``model``, and of its ``results.parquet`` with cells and trials."""
    return CHECKOUT / "tests" / "goldens"


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """`tree("osie")`: a small data set of that name in its official layout."""

    def make(name: str) -> Path:
        from official_trees.trees import TREES

        root = tmp_path / f"{name}-official"
        root.mkdir()
        TREES[name](root)
        return root

    return make


@pytest.fixture(scope="session")
def launch() -> Callable[..., str]:
    """`launch(2, script, *arguments)`: what a script printed that ran in two processes on the CPU.

    The processes get the variables that torchrun sets; ``launcher="accelerate"`` starts them with that itself, which
    takes much longer. If the script fails or hangs, the test fails with the end of stderr.
    """

    def run(
        count: int,
        script: Path,
        *arguments: str,
        launcher: str | None = None,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> str:
        fixed = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONFAULTHANDLER": "1"}
        env, words = os.environ | fixed | (environment or {}), [script, *arguments]
        if launcher is None:
            with forked.ranks(count) as ranks:
                done = forked.run_ranks([sys.executable, *words], ranks, cwd=cwd, env=env)
        else:
            options = ["--multi_gpu", f"--num_processes={count}", "--main_process_port=0"]
            command = [sys.executable, "-m", "accelerate.commands.launch", *options, *map(str, words)]
            done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-20000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once("name", make)`: a folder for all workers; the first one that asks calls `make(folder)`, others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not (folder / "made").exists():
                folder.mkdir()
                make(folder)
                (folder / "made").touch()
        return folder

    return folder_of


@dataclass(frozen=True)
class QuickDemo:
    """A quick run in the demo's usual place below ``root``, and what its command printed at the end."""

    root: Path

    command = (sys.executable, "-m", "hf_clipdyn", "demo", "--quick", "--output-dir", "runs/demo")

    @property
    def folder(self) -> Path:
        return self.root / "runs" / "demo"

    @property
    def lines(self) -> list[str]:
        return (self.root / "printed").read_text(encoding="utf-8").strip().splitlines()

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of Python in ``root``."""
        return forked.run(command, cwd=self.root)

    def copy(self, root: Path) -> "QuickDemo":
        """The same in another folder, to be written to."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return QuickDemo(root)


@pytest.fixture(scope="session")
def demo(once: Callable[..., Path]) -> QuickDemo:
    """A demo that was killed during training and started again, offline without being told so; not to be changed."""

    def killed_and_resumed(root: Path) -> None:
        assert "HF_HUB_OFFLINE" not in os.environ
        demo = QuickDemo(root)
        process = forked.start(demo.command, cwd=root)
        forked.wait_until(lambda: any(demo.folder.glob("checkpoints/epoch-*/progress.json")), process)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        done = demo.run(demo.command)
        assert done.returncode == 0, done.stderr
        (root / "printed").write_text(done.stdout, encoding="utf-8")

    return QuickDemo(once("demo", killed_and_resumed))


@pytest.fixture(scope="session")
def reader(demo: QuickDemo, tmp_path_factory: pytest.TempPathFactory) -> QuickDemo:
    """A copy of the demo, in which a worker runs what the pages print."""
    return demo.copy(tmp_path_factory.mktemp("reader"))
