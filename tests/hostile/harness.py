"""One hostile call in a child process under limits, and what it must never do.

The child is forked from a server that has the heavy libraries loaded, so that a call costs milliseconds
and what it breaks ends with it.
"""

import os
import pickle
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import forked

SECRET = "hf_" + "sEcReTsEcReTsEcReTsEcReTsEcReTsEcR"  # in the form of a token; never to be printed
GIB = 2**30


@dataclass(frozen=True)
class Outcome:
    """How a call ended: its exit code (negative: a signal; None: it hung and was killed), and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one error that the call printed; fails where it ended otherwise than with one sentence."""
        self.assert_decent()
        lines = [line for line in self.err.splitlines() if line.startswith("clipdyn: error: ")]
        assert len(lines) == 1, f"not one error but {len(lines)}:\n{self.err}"
        assert self.code in (1, 2), f"exit code {self.code}:\n{self.err}"
        text = lines[0].removeprefix("clipdyn: error: ")
        assert 10 < len(text) < 1000, text
        return text

    def assert_decent(self) -> None:
        """No hang, no crash, no traceback, no secret."""
        everything = self.out + self.err
        assert self.code is not None, f"it hung:\n{everything[-2000:]}"
        assert self.code >= 0, f"it died of signal {-self.code}:\n{everything[-2000:]}"
        assert "Traceback (most recent call last)" not in everything, everything[-4000:]
        assert SECRET not in everything, "a secret was printed"


Run = Callable[..., Outcome]
"""The fixture `clipdyn`."""
Write = Callable[..., Path]
"""The fixture `write_table`."""


class Victim:
    """Files beside the attacked folder that no call may read aloud, change or delete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sub").mkdir(parents=True)
        (folder / "secret.txt").write_text(SECRET)
        (folder / "sub" / "data.bin").write_bytes(bytes(range(256)))
        self._before = self._state()

    def _state(self) -> dict[str, bytes]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def assert_untouched(self) -> None:
        """Every file is there with its content, and none was added."""
        assert self._state() == self._before, f"{self.folder} was changed"


class Bomb:
    """Unpickled without restrictions, it makes a folder."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._folder,)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Every larger file fails to be written, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


HARMS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "grown": lambda path: path.write_bytes(path.read_bytes() + bytes(100)),
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "garbled": lambda path: path.write_bytes(b"\xff" * path.stat().st_size),  # in the size that it had
    "removed": lambda path: path.unlink(),
    "a folder": _instead(lambda path: path.mkdir()),
    "a pipe": _instead(os.mkfifo),
    "a device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
    "a link to the victim": _instead(lambda path: path.symlink_to(victim_beside(path))),
}
"""What may have been done to a file, by a bad disk or by somebody."""


def victim_beside(path: Path) -> Path:
    """The victim's secret, from a file of the attacked folder."""
    return next(folder / "victim" for folder in path.parents if (folder / "victim").is_dir()) / "secret.txt"


def run_pickled(path: str, memory: int) -> None:
    """In the child: run the function with the arguments that the file holds, below a limit of memory."""
    # Buffered by block, what a killed process printed would be lost.
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    function, arguments = pickle.loads(Path(path).read_bytes())
    Path(path).unlink()
    function(*arguments)


def call(
    function: Callable[..., None],
    *arguments: object,
    printed: Path,
    seconds: float = 300.0,
    memory: int = 2 * GIB,
) -> Outcome:
    """Run an importable function in a child that may take this long and map this much more memory.

    Args:
        function: what to run; it and its arguments travel by pickle.
        printed: existing folder for what the child prints.
        seconds: wall-clock time after which the child is killed as hung.
        memory: bytes that the child may map beyond what is loaded.
    """
    (printed / "call").write_bytes(pickle.dumps((function, arguments)))
    code = f"import sys; sys.path[:0] = {sys.path}; from hostile.harness import run_pickled;"
    code += f"run_pickled({str(printed / 'call')!r}, {memory})"
    with (printed / "out").open("wb") as out, (printed / "err").open("wb") as err:
        streams = {"stdout": out.fileno(), "stderr": err.fileno()}
        ended = forked.start([sys.executable, "-c", code], **streams).wait(seconds)
    texts = [(printed / name).read_text(errors="replace") for name in ("out", "err")]
    return Outcome(ended, *texts)


def _main(argv: Sequence[str], cwd: Path) -> None:
    from hf_clipdyn.cli import main

    os.chdir(cwd)
    main(argv)


def command(
    *argv: str | Path, cwd: Path, printed: Path, seconds: float = 300.0, memory: int = 2 * GIB
) -> Outcome:
    """Run `clipdyn ARGV` in ``cwd``, as `call` does."""
    return call(_main, [str(text) for text in argv], cwd, printed=printed, seconds=seconds, memory=memory)
