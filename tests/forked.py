"""`run([sys.executable, …])` without nine seconds of imports: a process forked from one that has all modules loaded.

Each call has a process of its own. It ends as an interpreter does, except that it does not free its memory, which took
longer than most calls. Use `subprocess` for a test about what a start imports or an end destroys, and for an
environment with other variables of the Hub: they are read at import.
"""

import atexit
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

LOADED = {
    "accelerate": (),
    "datasets": (),
    "evaluate": (),
    "matplotlib.backends.backend_pdf": (),
    "matplotlib.backends.backend_svg": (),
    "matplotlib.pyplot": (),
    "pandas": (),
    "rich.progress": (),
    "rich.table": (),
    "torch.distributed.algorithms.ddp_comm_hooks.default_hooks": (),
    "transformers": ("CLIPModel", "CLIPProcessor", "CLIPTokenizerFast", "AutoImageProcessor", "pipeline"),
}
READ_AT_IMPORT = ("HF_", "HUGGINGFACE_", "TQDM_", "TRANSFORMERS_")


class Process:
    """A running command; its ``returncode`` is None until `wait` has seen the end."""

    def __init__(self, reply: IO[bytes]) -> None:
        self._reply = reply
        self.pid = int(reply.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code if it has ended."""
        ended = self.returncode is not None or select.select([self._reply], [], [], 0)[0]
        return self.wait() if ended else None

    def wait(self, seconds: float | None = None, by: int = signal.SIGKILL) -> int | None:
        """Wait for the end and return the exit code, or the negative number of the signal.

        A process that has not ended after ``seconds`` is killed ``by`` a signal; the answer is None.
        """
        if self.returncode is None:
            if seconds is not None and not select.select([self._reply], [], [], seconds)[0]:
                os.kill(self.pid, by)
                self.wait()
                return None
            with self._reply:
                self.returncode = int(self._reply.readline())
        return self.returncode


class _Server:
    """The process that waits, started by the first command; it ends with this process."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, __file__, str(other.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()

    def start(
        self,
        command: Sequence[str | Path],
        stdout: int,
        stderr: int,
        cwd: str | Path | None,
        env: Mapping[str, str] | None,
    ) -> Process:
        environment = dict(os.environ if env is None else env)
        for name in environment.keys() | self._environment.keys():
            if name.startswith(READ_AT_IMPORT) and name != "HF_TOKEN":
                same = environment.get(name) == self._environment.get(name)
                assert same, f"{name} is read at import: start this command with subprocess"
        assert command[0] == sys.executable
        words = [str(word) for word in command[1:]]
        request = {"words": words, "cwd": str(cwd or Path.cwd()), "environment": environment}
        read, write = os.pipe()
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [write, stdout, stderr])
        finally:
            os.close(write)
        return Process(open(read, "rb", buffering=0))  # noqa: PTH123  (`wait` closes it)


_servers: list[_Server] = []


def start(
    command: Sequence[str | Path],
    *,
    stdout: int = 1,
    stderr: int = 2,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Start a command of Python: a script, ``-m module`` or ``-c code``; it prints to these descriptors."""
    if not _servers:
        _servers.append(_Server())
    return _servers[0].start(command, stdout, stderr, cwd, env)


def run_ranks(
    command: Sequence[str | Path],
    ranks: Sequence[Mapping[str, str]],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 500,
) -> subprocess.CompletedProcess[str]:
    """Run a command once for each rank's variables, all at a time; what they printed stands together.

    After ``timeout`` seconds they print their stacks and end.
    """
    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        environment = dict(os.environ if env is None else env)
        streams = {"stdout": out.fileno(), "stderr": err.fileno()}
        processes = [start(command, **streams, cwd=cwd, env=environment | rank) for rank in ranks]
        for process in processes:
            process.wait(timeout, signal.SIGABRT)
        codes = [process.returncode for process in processes]
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess(list(command), next(filter(None, codes), 0), *printed)


def run(
    command: Sequence[str | Path],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run(command, capture_output=True, text=True)` for a command of Python."""
    return run_ranks(command, [{}], cwd=cwd, env=env, timeout=timeout)


def wait_until(condition: Callable[[], object], process: Any, said: Callable[[], object] = str) -> None:
    """Until the condition is true; fails, with what is said, if the process ends before or it takes five minutes."""
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, said()
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


@contextmanager
def ranks(count: int) -> Iterator[list[dict[str, str]]]:
    """The variables that torchrun sets for each of so many processes on this machine; they meet at this process."""
    from torch.distributed import TCPStore

    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    together = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    yield [{"RANK": str(rank), "LOCAL_RANK": str(rank)} | together for rank in range(count)]
    del meeting


def hasten() -> None:
    """Leave out what takes long in this process and what no test can see."""
    from fontTools.subset import Options

    # The tables of layout in fonts, which no PDF uses: to cut them down took a third of the time of a report.
    Options._drop_tables_default = [*Options._drop_tables_default, "GDEF", "GPOS", "GSUB"]
    os.fsync = lambda descriptor: (
        None
    )  # 4 ms or more; what a killed process wrote is there, unless power is lost


def _load() -> None:
    hasten()
    for module, names in LOADED.items():
        loaded = importlib.import_module(module)
        for name in names:
            getattr(loaded, name)
    package = importlib.import_module("hf_clipdyn")
    for module in pkgutil.walk_packages(package.__path__, "hf_clipdyn."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request; return the request in the process that is to fulfil it."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        with suppress(ChildProcessError):  # there is none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            os._exit(0)
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        requests.close()
        reply, stdout, stderr = descriptors
        child = os.fork()
        if child:
            os.write(reply, b"%d\n" % child)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(reply, b"%d\n" % status)
            os._exit(0)
        os.close(reply)
        for descriptor, to in ((stdout, 1), (stderr, 2)):
            os.dup2(descriptor, to)
            os.close(descriptor)
        return json.loads(message)


def _prepare(request: dict[str, Any]) -> None:
    """Bring the process to where an interpreter is before it runs its first line."""
    environment = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["cwd"])
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        line = os.isatty(descriptor) or descriptor == 2
        setattr(sys, name, open(descriptor, "w", buffering=1 if line else -1, closefd=False))  # noqa: SIM115
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    for action in filter(None, environment.get("PYTHONWARNINGS", "").split(",")):
        warnings.simplefilter(action)


def _execute(words: list[str]) -> None:
    kind, *rest = words
    if kind == "-m":
        module, *arguments = rest
        sys.path.insert(0, "")
        sys.argv = [module, *arguments]
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if kind == "-c":
        code, *arguments = rest
        sys.path.insert(0, "")
        sys.argv = ["-c", *arguments]
        exec(compile(code, "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path(kind).parent))
        sys.argv = words
        main.__file__ = kind
        exec(compile(Path(kind).read_bytes(), kind, "exec"), main.__dict__)


def _end(code: object) -> NoReturn:
    """What an interpreter does at its end, but for the destruction of each module."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # waits for the threads that are no daemons
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120  # as an interpreter
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def read_terminal(terminal: int) -> bytes:
    """All that is printed on a pseudo-terminal until its other side is closed; this side is closed, too."""
    printed = b""
    try:
        while block := os.read(terminal, 65536):
            printed += block
    except OSError:  # the other side is closed
        pass
    os.close(terminal)
    return printed


if __name__ == "__main__":
    gc.disable()  # a third of the time of the imports
    _load()
    gc.freeze()  # a collection would write to, hence copy, all that is shared
    gc.enable()
    task = _serve(socket.socket(fileno=int(sys.argv[1])))
    _prepare(task)
    try:
        _execute(task["words"])
    except SystemExit as stop:
        _end(stop.code)
    _end(None)
