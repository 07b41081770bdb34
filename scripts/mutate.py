"""Do the tests notice a wrong line? Change a sample of places in the code, one at a time, and run the tests.

python scripts/mutate.py --output mutants.tsv
python scripts/mutate.py hf_clipdyn/metrics --tests tests/metrics --count 50

The tests run once to learn which lines each of them executes and how long it takes. For each place, the tests that
execute its line run against the changed package, the quickest first, until one fails. A copy of the checkout is
changed, never the checkout. The same seed draws the same places from the same files. Ctrl-C ends it with the summary
of what is done: places come in an order drawn by the seed, so the first of them are a sample as well.
"""

import argparse
import ast
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = (
    "hf_clipdyn/metrics",
    "hf_clipdyn/statistics",
    "hf_clipdyn/revisions",
    "hf_clipdyn/training/checkpoint.py",
)
TESTS = ("tests/metrics", "tests/statistics", "tests/revisions", "tests/training/test_resuming.py")
# Loaded before the forks, so that a mutant costs no start of them. The package itself is loaded by each fork.
LIBRARIES = {
    "accelerate": (),
    "datasets": (),
    "evaluate": (),
    "huggingface_hub": ("HfApi",),
    "hypothesis": (),
    "matplotlib.pyplot": (),
    "pandas": (),
    "pytest": (),
    "scipy.optimize": (),
    "scipy.stats": (),
    "torch": (),
    "transformers": ("CLIPModel", "CLIPProcessor", "CLIPTokenizerFast", "Trainer"),
}
# What tests/conftest.py sets, too: these variables are read when the libraries above are loaded.
ENVIRONMENT = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Place:
    """A span of a file and what replaces it."""

    file: str
    line: int
    """Line of the span, which a test must execute."""
    span: tuple[int, int]
    """First byte, and the byte after the last."""
    kind: str
    before: str
    after: str

    def change(self, source: bytes) -> bytes:
        """The file's bytes with the change."""
        return source[: self.span[0]] + self.after.encode() + source[self.span[1] :]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, ast.expr | ast.stmt]]:
    """The kinds of change that a node allows: what is replaced, and by what."""
    match node:
        case ast.Compare(ops=[first, *others]) if type(first) in COMPARED:
            other = COMPARED[type(first)]()
            yield "comparison", node, ast.Compare(node.left, [other, *others], node.comparators)
        case ast.BinOp(left, op, right) if type(op) in COMPUTED and not (_is_text(left) or _is_text(right)):
            yield "arithmetic", node, ast.BinOp(left, COMPUTED[type(op)](), right)
        case ast.AugAssign(target, op, value) if type(op) in COMPUTED and not _is_text(value):
            yield "arithmetic", node, ast.AugAssign(target, COMPUTED[type(op)](), value)
        case ast.UnaryOp(ast.USub(), operand):
            yield "arithmetic", node, operand
        case ast.BoolOp(op, values):
            yield "boolean", node, ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield "boolean", node, operand
        case ast.Constant(bool() as value):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", node, ast.Constant(value + 1)
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", node, ast.Return(ast.Constant(None))
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition", node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "condition", test, ast.UnaryOp(ast.Not(), test)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, without annotations and texts with fields (Python 3.11 misplaces what is in them)."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            alias = (
                isinstance(node, ast.Module) and isinstance(child, ast.Assign) and "|" in ast.unparse(child)
            )
            if isinstance(child, ast.AST) and not (isinstance(child, ast.JoinedStr) or typing or alias):
                yield from _code(child)


def places(root: Path, file: str) -> list[Place]:
    """All places of a file, in their order."""
    source = (root / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in _code(ast.parse(source)):
        for kind, old, new in _changes(node):
            assert old.end_lineno is not None
            assert old.end_col_offset is not None
            span = starts[old.lineno - 1] + old.col_offset, starts[old.end_lineno - 1] + old.end_col_offset
            text = ast.unparse(ast.fix_missing_locations(new))
            after = text if isinstance(new, ast.stmt) else f"({text})"
            found.append(Place(file, old.lineno, span, kind, ast.unparse(old), after))
    return sorted(found, key=lambda place: (place.span, place.kind))


def sample(root: Path, files: Sequence[str], count: int, seed: int) -> list[Place]:
    """So many places of all files, from each file by its share (at least one), in an order drawn by the seed."""
    by_file = {file: places(root, file) for file in files}
    total = sum(map(len, by_file.values()))
    chosen = []
    for file, all_places in by_file.items():
        share = min(len(all_places), max(1, round(count * len(all_places) / total)))
        chosen += random.Random(f"{seed} {file}").sample(all_places, share)
    random.Random(seed).shuffle(chosen)
    return chosen


def _processor_seconds() -> float:
    """What this process and its ended children used."""
    return sum(os.times()[:4])


@dataclass
class Recorder:
    """A plugin of pytest: which lines each passed test executes, itself or in its fixtures, and the seconds."""

    files: dict[str, str]
    """Absolute paths of the files to watch, and their names."""
    lines: dict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    fixtures: dict[str, list[str]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    _fixture: str = ""
    _now: set[tuple[str, int]] = field(default_factory=set)

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self._step if frame.f_code.co_filename in self.files else None

    def _step(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        self._now.add((self.files[frame.f_code.co_filename], frame.f_lineno))
        return self._step

    def _watch(self, name: str) -> Iterator[Any]:
        """Whatever runs within belongs to this test or fixture."""
        outer, self._now = self._now, self.lines[name]
        began = _processor_seconds()
        sys.settrace(self._enter)
        threading.settrace(self._enter)
        result = yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.seconds[name] += _processor_seconds() - began
        self._now = outer
        return result

    def plugin(self) -> Any:
        import pytest

        recorder = self

        class Plugin:
            @pytest.hookimpl(wrapper=True)
            def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
                name = f"{fixturedef.baseid}::{fixturedef.argname}"
                recorder.fixtures.setdefault(request._pyfuncitem.nodeid, []).append(name)
                return (yield from recorder._watch(name))

            @pytest.hookimpl(wrapper=True)
            def pytest_pyfunc_call(self, pyfuncitem: Any) -> Any:
                definitions = pyfuncitem._request._fixture_defs.values()
                recorder.fixtures[pyfuncitem.nodeid] = [f"{one.baseid}::{one.argname}" for one in definitions]
                return (yield from recorder._watch(pyfuncitem.nodeid))

            def pytest_runtest_logreport(self, report: Any) -> None:
                if not report.passed:
                    recorder.failed.add(report.nodeid)

        return Plugin()

    def save(self, path: Path) -> None:
        tests = self.fixtures.keys() - self.failed
        path.write_text(
            json.dumps(
                {
                    test: {
                        "seconds": self.seconds[test],
                        "fixtures": {name: self.seconds[name] for name in self.fixtures[test]},
                        "lines": sorted(
                            self.lines[test].union(*(self.lines[n] for n in self.fixtures[test]))
                        ),
                    }
                    for test in sorted(tests)
                }
            )
        )


@dataclass(eq=False)
class Chosen:
    """A plugin of pytest: run these tests alone, in this order; remember the first that fails."""

    tests: list[str]
    failed: str = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        order = {test: number for number, test in enumerate(self.tests)}
        items[:] = sorted(
            (item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid]
        )

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} (import)"


class Copy:
    """A copy of the checkout to change, and processes that run tests of it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self._home = folder / "home"
        self._scratch = folder / "scratch"
        self.printed = folder / "printed.txt"
        skipped = shutil.ignore_patterns(".*", "runs", "site", "__pycache__", "*.egg-info", "node_modules")
        shutil.copytree(CHECKOUT, self.root, ignore=skipped, symlinks=True)
        shared = CHECKOUT.parent / "shared" / "data"
        if shared.exists():
            os.environ.setdefault("CLIPDYN_DATA", str(shared))
        os.environ.update(ENVIRONMENT | {"HF_HOME": str(self._home), "PYTHONPATH": str(self.root)})
        os.chdir(self.root)
        sys.path[0] = str(self.root)  # this folder has an evaluate.py of its own
        for library, names in LIBRARIES.items():
            module = importlib.import_module(library)
            for name in names:
                getattr(module, name)
        assert "hf_clipdyn" not in sys.modules

    def run(self, work: Callable[[], str], seconds: float) -> str | None:
        """What the work returns in its own process; None if it takes too long (20 times so by the clock)."""
        for folder in (self._home, self._scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        read, write = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(read)
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 3))
                output = os.open(self.printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.environ["TMPDIR"] = tempfile.tempdir = str(self._scratch)
                os.write(write, work().encode())
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(write)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(process, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 20 * seconds)
        try:
            with os.fdopen(read, "rb") as pipe:
                answer = pipe.read().decode()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)  # and what it left behind
            status = os.waitpid(process, 0)[1]
        return answer if answer or not os.WIFSIGNALED(status) else None

    def pytest(self, plugin: Any, tests: Sequence[str], *options: str) -> int:
        """Run tests in this process; return the exit code."""
        import pytest

        kept = os.environ["HF_HOME"]

        class Home:
            def pytest_configure(self) -> None:
                os.environ["HF_HOME"] = kept  # tests/conftest.py has made another

        usual = (
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
        )
        return pytest.main([*usual, *options, *tests], plugins=[plugin, Home()])


def learn(copy: Copy, files: Sequence[str], tests: Sequence[str]) -> dict[str, Any]:
    """Of each test that passes: its seconds, its fixtures with theirs, and the lines that it executes."""
    kept = copy.root / "learned.json"

    def work() -> str:
        recorder = Recorder({str(copy.root / file): file for file in files})
        copy.pytest(recorder.plugin(), tests)
        recorder.save(kept)
        return "done"

    if copy.run(work, 3600) != "done":
        sys.exit(f"The tests did not end. They printed:\n{copy.printed.read_text()[-5000:]}")
    learned: dict[str, Any] = json.loads(kept.read_text())
    return learned


def choose(place: Place, learned: dict[str, Any], seconds: float) -> list[str]:
    """The tests that execute the line: those of its file's own module first, then the quickest, so many seconds long.

    A line that runs only at import counts as executed by each test that executes any line of the file.
    """
    of_file = {
        test for test, known in learned.items() if any(file == place.file for file, _ in known["lines"])
    }
    of_line = {test for test in of_file if [place.file, place.line] in learned[test]["lines"]}
    own = f"test_{Path(place.file).stem.lstrip('_')}.py"

    def order(test: str) -> tuple[bool, float]:
        known = learned[test]
        return f"/{own}::" not in test, known["seconds"] + sum(known["fixtures"].values())

    chosen: list[str] = []
    ready: set[str] = set()
    total = 0.0
    for test in sorted(of_line or (of_file if place.kind == "constant" else ()), key=order):
        known = learned[test]
        cost = known["seconds"] + sum(known["fixtures"][name] for name in known["fixtures"].keys() - ready)
        if total + cost <= seconds:
            chosen.append(test)
            ready |= known["fixtures"].keys()
            total += cost
    return chosen


def attempt(copy: Copy, number: int, place: Place, tests: Sequence[str], seconds: float) -> str:
    """Apply a change and say how it ended: "killed by …", "survived", "timed out" or "not covered"."""
    if not tests:
        return "not covered"
    path = copy.root / place.file
    source = path.read_bytes()

    def work() -> str:
        chosen = Chosen(list(tests))
        code = copy.pytest(chosen, sorted({test.partition("::")[0] for test in tests}), "-x", "--tb=line")
        failed = chosen.failed or (f"exit code {code}" if code else "")
        return f"killed by {failed}" if failed else "survived"

    path.write_bytes(place.change(source))
    os.utime(path, (number, number))  # compiled code is recognised by the second and the size of its source
    try:
        answer = copy.run(work, 2 * seconds + 10)
    finally:
        path.write_bytes(source)
    if answer is None:
        return "timed out"
    return answer or "killed by the end of the process"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", default=FILES, help="files and folders to change")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="files and folders of tests")
    parser.add_argument("--count", type=int, default=320, help="number of places")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0, help="most seconds of tests for one place")
    parser.add_argument("--output", type=Path, default=Path("mutants.tsv"), help="table, a place a line")
    parser.add_argument("--learned", type=Path, help="keep here, or read, which tests execute which lines")
    options = parser.parse_args()
    output, kept = options.output.resolve(), options.learned and options.learned.resolve()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        files = []
        for name in options.files:
            path = copy.root / name
            found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            files += [str(file.relative_to(copy.root)) for file in found]
        chosen = sample(copy.root, files, options.count, options.seed)
        if kept and kept.exists():
            learned = json.loads(kept.read_text())
        else:
            learned = learn(copy, files, [test for test in options.tests if (copy.root / test).exists()])
            if kept:
                kept.write_text(json.dumps(learned))
        print(f"{len(learned)} tests, {len(chosen)} places of {len(files)} files", flush=True)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        with output.open("w", encoding="utf-8") as table, suppress(KeyboardInterrupt):
            print("place\tkind\tbefore\tafter\toutcome\tseconds", file=table, flush=True)
            for number, place in enumerate(chosen, start=1):
                began = _processor_seconds()
                tests = choose(place, learned, options.seconds)
                outcome = attempt(copy, number, place, tests, options.seconds)
                where = f"{place.file}:{place.line}"
                texts = (" ".join(text.split())[:60] for text in (place.before, place.after))
                seconds = f"{_processor_seconds() - began:.1f}"
                print(where, place.kind, *texts, outcome, seconds, sep="\t", file=table, flush=True)
                counts[str(Path(place.file).parent)]["killed" if "killed" in outcome else outcome] += 1
    counts["all"] = sum(counts.values(), Counter())
    for name, ends in sorted(counts.items()):
        noticed = ends["killed"] + ends["timed out"]
        print(f"{name}: {noticed / max(1, ends.total()):.1%} of {ends.total()} noticed ({dict(ends)})")
    print(f"processor time: {_processor_seconds() / 60:.1f} min")


if __name__ == "__main__":
    main()
