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

import psutil  # noqa: E402
import pytest  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))  # tests/hub_server, the test Hub

import forked  # noqa: E402
from hub_server.fixtures import hub  # noqa: E402, F401
from in_browser import chromium  # noqa: E402
from skips import complete  # noqa: E402
from study_rows import filtered, read, report, study, write  # noqa: E402, F401

CHECKOUT = Path(__file__).resolve().parents[1]

# Tests of these files share a demo that takes minutes, a study, an evaluation, a browser and its pages, or build
# wheels in the checkout. In parallel, all tests of a group run in one process, one after another. (pytest 9.2
# ignores the names that `--dist loadgroup` gives to tests.) Groups of many tests are started first.
GROUPS = {
    "test_browser.py": "browser",
    "test_by_feature.py": "rendered",
    "test_claims_page.py": "browser",
    "test_demo.py": "demo",
    "test_docs.py": "demo",
    "test_parity.py": "parity",
    "test_public_names.py": "demo",
    "test_report_stimuli.py": "stimuli",
    "test_scripts.py": "wheel",
    "test_stimuli_view.py": "browser",
    "test_study.py": "study",
    "test_tryit_in_browser.py": "browser",
    "test_tutorial.py": "demo",
    "test_verdicts.py": "verdicts",
    "test_views_in_browser.py": "browser",
    "test_wheel.py": "wheel",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute single tests, and the groups above as a whole; `--dist` chooses another way."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].rpartition("/")[2]
            return GROUPS.get(file, nodeid)

    return GroupScheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The data sets of these rooms are small: of all that is warned about, a subset is what their tests expect."""
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


LAUNCHERS = {
    "accelerate": (
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes={}",
        "--main_process_port=0",
    ),
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc_per_node={}"),
}


@pytest.fixture(scope="session")
def launch() -> Callable[..., str]:
    """`launch(2, script, *arguments)`: what a script printed that ran in two processes on the CPU.

    The processes get the variables that torchrun sets; `launcher` starts them with that launcher itself, which takes
    much longer. If the script fails, the test fails with the end of stderr. If it hangs, the test prints the stack of
    each process and ends them all.
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
        if launcher is None:
            env = os.environ | fixed | (environment or {})
            with forked.ranks(count) as ranks:
                done = forked.run_ranks([sys.executable, script, *arguments], ranks, cwd=cwd, env=env)
            assert done.returncode == 0, done.stderr[-20000:]
            return done.stdout
        command = [part.format(count) for part in ("-m", *LAUNCHERS[launcher])]
        with subprocess.Popen(
            [sys.executable, *command, str(script), *arguments],
            env=os.environ | fixed | (environment or {}),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                printed, error = process.communicate(timeout=500)
            except subprocess.TimeoutExpired:
                for started in [*psutil.Process(process.pid).children(recursive=True), process]:
                    started.send_signal(signal.SIGABRT)
                error = "hung, and was aborted here:\n" + process.communicate()[1]
        assert process.returncode == 0, error[-20000:]
        return printed

    return run


@dataclass(frozen=True)
class QuickDemo:
    """A quick run in the demo's usual place below ``root``, and what its command printed at the end."""

    root: Path
    lines: list[str]

    command = (sys.executable, "-m", "hf_clipdyn.cli", "demo", "--quick", "--output-dir", "runs/demo")

    @property
    def folder(self) -> Path:
        return self.root / "runs" / "demo"

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of Python in ``root``."""
        return forked.run(command, cwd=self.root)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> QuickDemo:
    """A demo that was killed during training and started again, offline without being told so.

    Files with tests that use it belong to the group "demo" above, so that it runs once.
    """
    assert "HF_HUB_OFFLINE" not in os.environ
    root = tmp_path_factory.mktemp("demo")
    demo = QuickDemo(root, [])
    process = forked.start(demo.command, cwd=root)
    forked.wait_until(lambda: any(demo.folder.glob("checkpoints/epoch-*/progress.json")), process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = demo.run(demo.command)
    assert done.returncode == 0, done.stderr
    demo.lines.extend(done.stdout.strip().splitlines())
    return demo
