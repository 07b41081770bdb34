"""Do the tests notice a wrong line? Change a sample of places in the code, one at a time, and run the tests.

python scripts/mutate.py --output mutants.tsv
python scripts/mutate.py hf_clipdyn/metrics --tests tests/metrics --count 50       # make mutate FOLDER=metrics

Places are comparisons, arithmetic, `and`, `or` and `not`, numbers, True and False, returned values and conditions in
the bodies of functions. One run of the tests shows which lines each of them executes and how long it takes. Then each
place gets a process of its own, forked when all tests are collected: it replaces the code of the function and runs the
tests that execute the line, those of the module's own file first and then the quickest, until one fails. No file
changes. Tests that start other processes notice nothing there, so the share is a lower bound.

The same seed draws the same places from the same files, from each file by its share and in a drawn order: Ctrl-C ends
the program with a summary of the places so far, which are a sample as well.
"""

import argparse
import ast
import gc
import importlib
import multiprocessing
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, TypeVar

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[0] = str(CHECKOUT)  # this folder has an evaluate.py of its own

import pytest  # noqa: E402

FOLDERS = ("metrics", "statistics", "revisions")
FILES = (*(f"hf_clipdyn/{name}" for name in FOLDERS), "hf_clipdyn/training/checkpoint.py")
_OF_CHECKPOINTS = ("training/test_resuming.py", "training/test_checkpoint.py", "hostile/test_checkpoints.py")
TESTS = tuple(f"tests/{name}" for name in (*FOLDERS, *_OF_CHECKPOINTS))

T = TypeVar("T")
FORKS = multiprocessing.get_context("fork")
SLOW = ("accelerate", "datasets", "evaluate", "matplotlib.pyplot", "transformers")
"""Modules that take seconds to import: once for all places."""

_PAIRS: tuple[tuple[type, type], ...] = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.And, ast.Or)),
)
OPPOSITE = dict(_PAIRS) | {second: first for first, second in _PAIRS}
OPPOSITE |= dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult), ast.Mult)


# --- places ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A node of a file's tree and what replaces it; ``lines``: its line, and that of its statement."""

    file: str
    lines: tuple[int, int]
    kind: str
    tree: ast.Module
    old: ast.expr
    new: ast.expr

    def change(self) -> None:
        """Replace the node in the tree, which cannot be undone."""
        _Replacement(self.old, ast.copy_location(self.new, self.old)).visit(self.tree)
        ast.fix_missing_locations(self.tree)


class _Replacement(ast.NodeTransformer):
    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """The kinds of change that a node allows: what is replaced, and by what."""
    match node:
        case ast.Compare(left, [first, *others], compared):
            yield "comparison", node, ast.Compare(left, [OPPOSITE[type(first)](), *others], compared)
        case ast.BinOp(left, op, right) if type(op) in OPPOSITE and not (_is_text(left) or _is_text(right)):
            yield "arithmetic", node, ast.BinOp(left, OPPOSITE[type(op)](), right)
        case ast.AugAssign(_, ast.Add() | ast.Sub(), value) if not _is_text(value):
            yield "arithmetic", value, ast.UnaryOp(ast.USub(), value)
        case ast.UnaryOp(ast.USub(), operand):
            yield "arithmetic", node, operand
        case ast.BoolOp(op, values):
            yield "boolean", node, ast.BoolOp(OPPOSITE[type(op)](), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield "boolean", node, operand
        case ast.Constant(bool() as value):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", node, ast.Constant(value + 1)
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", value, ast.Constant(None)
        case ast.If(test) | ast.IfExp(test) | ast.While(test):
            yield "condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.comprehension(_, _, tests):
            yield from (("condition", test, ast.UnaryOp(ast.Not(), test)) for test in tests)


def _code(node: ast.AST, line: int = 0) -> Iterator[tuple[ast.AST, int]]:
    """The nodes of functions' bodies with the line of their statement.

    Annotations have none, nor have texts with fields, whose places Python 3.11 does not know.
    """
    if line:
        yield node, line
    for name, value in ast.iter_fields(node):
        body = line or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == "body")
        for child in value if isinstance(value, list) else [value]:
            known = isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr)
            if known and name not in ("annotation", "returns"):
                yield from _code(child, child.lineno if body and isinstance(child, ast.stmt) else line)


def places(file: str) -> list[Place]:
    """All places of a file, in their order."""
    tree = ast.parse((CHECKOUT / file).read_bytes())
    found = [
        Place(file, (old.lineno, line), kind, tree, old, new)
        for node, line in _code(tree)
        for kind, old, new in _changes(node)
    ]
    where = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return sorted(found, key=lambda place: (*(getattr(place.old, name) for name in where), place.kind))


def sample(files: Sequence[str], count: int, seed: int) -> list[Place]:
    """So many places, from each file by its share (at least one), in an order drawn by the seed."""
    by_file = {file: all_places for file in files if (all_places := places(file))}
    total = sum(map(len, by_file.values()))
    chosen = []
    for file, all_places in by_file.items():
        share = min(len(all_places), max(1, round(count * len(all_places) / total)))
        chosen += random.Random(f"{seed} {file}").sample(all_places, share)
    random.Random(seed).shuffle(chosen)
    return chosen


# --- what the tests execute --------------------------------------------------------------------------------


def _processor_seconds() -> float:
    """What this process and its ended children used."""
    return sum(os.times()[:4])


class Recorder:
    """A plugin of pytest: which lines each test and fixture executes, and its seconds.

    Attributes:
        lines, seconds: of each test and each fixture.
        fixtures: of each test that passed.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = {str(CHECKOUT / file): file for file in files}
        self._now: set[tuple[str, int]] = set()
        self.lines: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)
        self.fixtures: dict[str, list[str]] = {}

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        file = self._files.get(frame.f_code.co_filename)
        if file and event != "call":
            self._now.add((file, frame.f_lineno))
        return self._step if file else None

    def _watch(self, name: str) -> Iterator[Any]:
        """Whatever runs within belongs to this test or fixture."""
        outer, self._now = self._now, self.lines[name]
        began = _processor_seconds()
        sys.settrace(self._step)
        threading.settrace(self._step)
        result = yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.seconds[name] += _processor_seconds() - began
        self._now = outer
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        return (yield from self._watch(f"{fixturedef.baseid}::{fixturedef.argname}"))

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: Any) -> Any:
        used = pyfuncitem._request._fixture_defs.values()
        self.fixtures[pyfuncitem.nodeid] = [f"{fixture.baseid}::{fixture.argname}" for fixture in used]
        return (yield from self._watch(pyfuncitem.nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.passed:
            self.fixtures.pop(report.nodeid, None)


def choose(place: Place, learned: Recorder, seconds: float) -> list[str]:
    """The tests that execute the place, in that many seconds: those named like its file first, then the quickest."""
    own = f"/test_{Path(place.file).stem.lstrip('_')}.py::"
    needed = {test: {test, *fixtures} for test, fixtures in learned.fixtures.items()}

    def executing(line: int) -> list[str]:
        names = {name for name, lines in learned.lines.items() if (place.file, line) in lines}
        return [test for test, parts in needed.items() if parts & names]

    def cost(test: str, ready: Collection[str] = ()) -> float:
        return sum(learned.seconds[part] for part in needed[test] - set(ready))

    chosen: list[str] = []
    ready: set[str] = set()
    tests = next(filter(None, map(executing, place.lines)), [])
    for test in sorted(tests, key=lambda test: (own not in test, cost(test))):
        if cost(test, ready) <= seconds:
            seconds -= cost(test, ready)
            chosen.append(test)
            ready |= needed[test]
    return chosen


# --- one place in a process of its own ---------------------------------------------------------------------


def fork(work: Callable[[], T], seconds: float, printed: str | Path = os.devnull) -> T | None:
    """What the work returns in a process of its own; None after so much processor time, or 20 times that otherwise."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as scratch:

        def answer() -> None:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 3))
            for stream in (1, 2):
                os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = tempfile.tempdir = scratch
            writer.send(work())

        reader, writer = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=answer)
        process.start()
        writer.close()  # so that its end here is the end
        try:
            return reader.recv() if reader.poll(20 * seconds) else None
        except EOFError:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it left behind
            process.join()


def run(items: Sequence[pytest.Item]) -> str:
    """Run tests until one fails; return the name of that one."""
    failed: list[str] = []

    class Failed:
        def pytest_runtest_logreport(self, report: Any) -> None:
            failed.extend([report.nodeid] if report.failed else [])

    items[0].config.pluginmanager.register(Failed())
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failed:
            return failed[0]
    return ""


def _pairs(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Code objects that differ, with those within them."""
    if old != new:
        yield old, new
        inner = ([one for one in code.co_consts if isinstance(one, CodeType)] for code in (old, new))
        for first, second in zip(*inner, strict=False):
            yield from _pairs(first, second)


@dataclass(eq=False)
class Mutations:
    """A plugin of pytest: in place of a run of all tests, changes the places one after another."""

    places: list[Place]
    files: list[str]
    seconds: float
    output: Path

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        # A file that is not loaded cannot change.
        package = importlib.import_module("hf_clipdyn")
        modules = [one.name for one in pkgutil.walk_packages(package.__path__, "hf_clipdyn.")]
        for name in (*SLOW, *(one for one in modules if not one.endswith("__main__"))):
            importlib.import_module(name)
        learned = self._learn(session)
        tests = {item.nodeid: item for item in session.items}
        functions = defaultdict(list)
        gc.unfreeze()  # what is frozen is not listed
        for function in gc.get_objects():
            if type(function) is FunctionType:  # `isinstance` would load what a lazy module names
                functions[function.__code__].append(function)
        gc.freeze()  # a collection would write to, hence copy, all that is shared
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        with self.output.open("w", encoding="utf-8") as table, suppress(KeyboardInterrupt):
            print("place", "kind", "before", "after", "outcome", "seconds", sep="\t", file=table)
            for place in self.places:
                began = _processor_seconds()
                chosen = [tests[name] for name in choose(place, learned, self.seconds) if name in tests]
                outcome = self._attempt(place, chosen, functions) if chosen else "not covered"
                for path in Path(os.environ["HF_HOME"]).iterdir():
                    shutil.rmtree(path, ignore_errors=True)
                texts = (" ".join(ast.unparse(node).split())[:60] for node in (place.old, place.new))
                words = (f"{place.file}:{place.lines[0]}", place.kind, *texts, outcome)
                print(*words, f"{_processor_seconds() - began:.1f}", sep="\t", file=table, flush=True)
                counts[str(Path(place.file).parent)][outcome.partition(" by ")[0]] += 1
        for name, ends in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
            noticed = (ends["killed"] + ends["timed out"]) / max(1, ends.total())
            print(f"{name}: {noticed:.1%} of {ends.total()} noticed ({dict(ends)})")
        print(f"processor time: {_processor_seconds() / 60:.1f} min")
        return True

    def _learn(self, session: pytest.Session) -> Recorder:
        def work() -> Recorder:
            recorder = Recorder(self.files)
            session.config.pluginmanager.register(recorder)
            for item, following in zip(session.items, [*session.items[1:], None], strict=True):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            return recorder

        log = self.output.with_suffix(".log")
        learned = fork(work, 3600, log)
        if learned is None:
            pytest.exit(f"The tests did not end: see {log}.", returncode=1)
        return learned

    def _attempt(self, place: Place, items: Sequence[pytest.Item], functions: dict[CodeType, Any]) -> str:
        def work() -> str:
            before = compile(place.tree, place.file, "exec", dont_inherit=True)
            place.change()
            after = compile(place.tree, place.file, "exec", dont_inherit=True)
            for old, new in _pairs(before, after):
                for function in functions.get(old, ()):
                    with suppress(ValueError):  # a function in another, which makes it again
                        function.__code__ = new
            return run(items)

        failed = fork(work, 2 * self.seconds + 10)
        if failed is None:
            return "timed out"
        return f"killed by {failed}" if failed else "survived"


def main() -> None:
    """Change the places of the chosen files, and print the share that tests notice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", default=FILES, help="files and folders to change")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="files and folders of tests")
    parser.add_argument("--count", type=int, default=320, help="number of places")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0, help="most seconds of tests for one place")
    parser.add_argument("--output", type=Path, default=Path("mutants.tsv"), help="table, a place a line")
    options = parser.parse_args()
    output = options.output.resolve()
    os.chdir(CHECKOUT)
    found = ((path, sorted(path.rglob("*.py"))) for path in map(Path, options.files))
    files = [str(file) for path, within in found for file in (within if path.is_dir() else [path])]
    chosen = sample(files, options.count, options.seed)
    print(f"{len(chosen)} places of {len(files)} files", flush=True)
    quiet = ("-q", "--no-header", "-s", "-p", "no:cacheprovider", "-p", "no:xdist")
    plugin = Mutations(chosen, files, options.seconds, output)
    sys.exit(pytest.main([*quiet, *filter(os.path.exists, options.tests)], plugins=[plugin]))


if __name__ == "__main__":
    main()
