"""Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.

Usage: clipdyn COMMAND [OPTIONS]

Main path:
  demo        Run a small study without downloads.
  train       Train CLIP and save every epoch.
  evaluate    Measure benchmarks on every revision.
  report      Judge the claims and draw the trajectories.
  study       Train, measure and report a whole study.

Data:
  datasets    List the data sets and where to get them.
  prepare     Write a data set as Parquet with a card.
  cache       List or delete cached data, or saved trials.

Models and revisions:
  revisions   List the revisions of a repository.
  verify      Check every revision and its weights.
  repair      Publish what is missing or wrong.
  import      Make revisions of open_clip checkpoints.
  app         Ask every revision about an image.

Sharing and support:
  share       Publish cards and reports of runs on the Hub.
  env         Print versions and device for a bug report.

`clipdyn COMMAND --help` explains a command; `clipdyn --version` prints the version.
"""

# The docstring is the help, and names the commands. Each is a class with options, which this help does not import.
import errno
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

from hf_clipdyn import __version__
from hf_clipdyn.errors import ClipDynError, ConfigError, naming, no_such, printable, redacted, reported
from hf_clipdyn.interrupts import raise_on_signals

_HELP = __doc__ or ""
_LOG = logging.getLogger("hf_clipdyn")
_show_other_warning = warnings.showwarning


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; print any error as one line, and exit with its code.

    No message and no log has a token of the Hub. CLIPDYN_TRACEBACK=1 shows the traceback of an error.
    """
    warnings.showwarning = _show_warning
    words = list(sys.argv[1:] if argv is None else argv)
    # A launcher ends what hangs in a collective: Python's handlers would wait for its end.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    code, received = 0, list[int]()
    try:
        signals = raise_on_signals() if alone else nullcontext(received)
        with signals as received, _printed_log(), reported("clipdyn"):
            try:
                code = _printed(words)
            except Exception:
                if not received:  # else it may be what was made of the interruption
                    raise
    except KeyboardInterrupt:
        code = 130
    except SystemExit:
        if not received:
            raise
    if received:
        code = 128 + received[-1]
    if code > 128:
        print(
            "clipdyn: interrupted; what was done is kept. To continue a training run, add "
            "--resume_from_checkpoint true. To continue anything else, repeat the command.",
            file=sys.stderr,
        )
    sys.exit(code)


def command_class(name: str) -> Any:
    """The class of a command."""
    module = name if name in ("train", "evaluate") else "commands"
    return getattr(import_module(f"hf_clipdyn.cli.{module}"), name.capitalize())


def command_names() -> list[str]:
    """The names of all commands, in the order of the help."""
    return re.findall(r"^  ([a-z]+) {2,}", _HELP, re.MULTILINE)


def _run(words: list[str]) -> int:
    """Run one command; returns its exit code."""
    with naming("The arguments", ConfigError):
        "".join(words).encode()  # Parquet and the Hub take UTF-8 only
    name, *rest = words or ["--help"]
    if name in ("-h", "--help"):
        print(_HELP, end="", file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if name == "--version":
        print(__version__)
        return 0
    if name not in command_names():
        what = "option" if name.startswith("-") else "command"
        raise ConfigError(f"{no_such(what, name, command_names())} See `clipdyn --help`.")
    command = command_class(name).read(rest, f"clipdyn {name}")
    if not getattr(command, "quiet", False):
        return command() or 0
    from hf_clipdyn.progress import library_bars

    _LOG.setLevel(logging.WARNING)  # only the result, warnings and errors
    with library_bars(False):
        return command() or 0


def _printed(words: list[str]) -> int:
    """As `_run`; an output that cannot be written is an error now, not at the interpreter's own end."""
    try:
        try:
            return _run(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what waits is dropped
        if isinstance(error, BrokenPipeError):  # whoever read the output has enough
            sys.exit(1)
        raise ClipDynError(f"Standard output: {error.strerror}.") from error


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
    """Print a warning of this package as a sentence, without the line of code that raised it."""
    if category.__module__.startswith("hf_clipdyn"):
        print(f"clipdyn: warning: {redacted(str(message))}", file=sys.stderr)
    else:
        _show_other_warning(redacted(str(message)), category, *where, **further)


class _AboveBars(logging.StreamHandler[Any]):
    """Writes the bare message above the bars; a warning begins like an error of the command line."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable(super().format(record).removeprefix("[RANK 0] "))  # the prefix is accelerate's
        return text if record.levelno < logging.WARNING else f"clipdyn: {record.levelname.lower()}: {text}"

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")  # not loaded, it has drawn none
        with nullcontext() if bars is None else bars.tqdm.external_write_mode(self.stream):
            super().emit(record)


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print what this package logs within the block on standard error, above any bars."""
    handler, level = _AboveBars(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
