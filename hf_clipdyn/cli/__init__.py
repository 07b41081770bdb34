"""`clipdyn …`: one command per step of a study.

Heavy imports are inside the commands, so that no help and no wrong call loads torch or pandas.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NoReturn

from hf_clipdyn import __version__
from hf_clipdyn.cli import data, main_path, models, sharing
from hf_clipdyn.command_line import COMMANDS, GROUPS, columns
from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    TrainingInterrupted,
    closest_name,
    printable,
    redact,
    redact_output,
    remedies_in_flags,
    shorten,
    shown,
)
from hf_clipdyn.interrupts import raise_on_signals

__all__ = ["COMMANDS", "data", "main", "main_path", "models", "sharing"]

_SUMMARY = "Train CLIP, publish every epoch as a Hub revision, and track how its perception changes."
# What gloo and NCCL raise in a collective if another process has ended.
_LOST_PROCESS = re.compile(r"gloo.*(?:closed by peer|reset by peer|Broken pipe)|remote process exited")
_LOG = logging.getLogger("hf_clipdyn")
_show_other_warning = warnings.showwarning


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; print an error of this package as one sentence and exit with its code.

    No message, log or traceback has a token of the Hub: see `redact_output`. An exception that is a bug passes
    through, so that debuggers and launchers see it.
    """
    redact_output()
    warnings.showwarning = _show_warning
    code, received = 0, list[int]()
    # A launcher ends what hangs in a collective: Python's handlers would wait for its end.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    try:
        signals = raise_on_signals() if alone else nullcontext(received)
        with signals as received, _printed_log(), remedies_in_flags():
            try:
                code = _run(list(sys.argv[1:] if argv is None else argv))
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except SystemExit:
        if not received:
            raise
    except TrainingInterrupted as interrupted:
        _fail(f"clipdyn: {printable(str(interrupted))}", interrupted.exit_code)
    except ClipDynError as error:
        if not received:  # else it may be what was made of the interruption
            _fail(f"clipdyn: error: {printable(str(error))}", error.exit_code)
    except MemoryError:
        _fail(
            "clipdyn: error: Out of memory: close other programs, use smaller batches, or use less data.", 1
        )
    except BrokenPipeError:  # whoever read the output has enough
        _drop_output()
        code = 1
    except RuntimeError as error:
        if not _LOST_PROCESS.search(str(error)):
            raise
        _fail(
            "clipdyn: error: Another process of this run has ended, so this one ended too: read the other one's error.",
            1,
        )
    except OSError as error:
        place = error.filename or ("Standard output" if _drop_output() else None)
        if place is None:  # it concerns no file of the user's
            raise
        _fail(f"clipdyn: error: {printable(f'{place}: {error.strerror}.')}", 1)
    if received:
        code = 128 + received[-1]
    if code > 128:
        print(
            "clipdyn: interrupted; what was done is kept. To continue a training run, add "
            "--resume_from_checkpoint true. To continue anything else, repeat the command.",
            file=sys.stderr,
        )
    sys.exit(code)


def _run(argv: list[str]) -> int:
    """Run one command; returns its exit code.

    Raises:
        ConfigError: the arguments are wrong.
    """
    for argument in argv:
        if "\0" in argument:
            raise ConfigError("An argument has a NUL character: no file or repository has such a name.")
        if re.search(r"[\ud800-\udfff]", argument):
            raise ConfigError(
                f"The argument {shown(argument)} is not UTF-8, which Parquet needs: rename the file or the folder."
            )
    name, *words = argv or ["--help"]
    if name in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if name == "--version":
        print(__version__)
        return 0
    if name not in COMMANDS:
        close = closest_name(name, COMMANDS)
        what = "option" if name.startswith("-") else "command"
        hint = f" Did you mean {close!r}?" if close else ""
        raise ConfigError(
            f"There is no {what} {shorten(name) or 'without a name'}.{hint} See `clipdyn --help`."
        )
    command = COMMANDS[name].read(words)
    with _quiet() if getattr(command, "quiet", False) else nullcontext():
        return command.run() or 0


def _help() -> str:
    """The commands in groups."""
    lines = ["Usage: clipdyn COMMAND [OPTIONS]", "", *columns([(_SUMMARY, "")]), ""]
    for group in GROUPS:
        rows = [(name, one.summary()) for name, one in COMMANDS.items() if one.group == group]
        lines += [f"{group}:", *columns(rows), ""]
    return "\n".join(
        [*lines, "`clipdyn COMMAND --help` explains a command; `clipdyn --version` prints the version."]
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Print only the result, warnings and errors."""
    from hf_clipdyn.progress import library_bars

    _LOG.setLevel(logging.WARNING)
    with library_bars(False):
        yield


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
    """Print a warning of this package as a sentence, without the line of code that raised it."""
    if category.__module__.startswith("hf_clipdyn"):
        print(f"clipdyn: warning: {redact(str(message))}", file=sys.stderr)
    else:
        _show_other_warning(redact(str(message)), category, *where, **further)


def _drop_output() -> bool:
    """Whether standard output cannot be written; what waits is then dropped, at which the interpreter would fail."""
    try:
        sys.stdout.write("\n")  # what could not be written before is forgotten
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.stdout.flush()
        return True
    return False


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


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)
