"""What Ctrl-C, SIGTERM and SIGHUP do to a command and to the processes that it has started."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Windows has no SIGHUP.
_SIGNALS = [sig for sig in signal.Signals if sig.name in ("SIGINT", "SIGTERM", "SIGHUP")]
_SECONDS_TO_REPEAT = 0.1


class _Handler:
    """Hands a signal on, except in a process that was forked meanwhile: it dies of SIGTERM and SIGHUP as usual."""

    def __init__(self, receive: Callable[[int], None]) -> None:
        self._receive, self._process = receive, os.getpid()

    def __call__(self, number: int, _: FrameType | None) -> None:
        if os.getpid() == self._process or number == signal.SIGINT:
            self._receive(number)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


@contextmanager
def catch_signals(receive: Callable[[int], None]) -> Iterator[None]:
    """Within it, ``receive`` gets the number of each signal that asks to end, in the main thread.

    Signals that are ignored, or that somebody else handles, stay so: a shell ignores Ctrl-C for a background job, and
    Slurm's jobs have a handler of SIGTERM.
    """
    # Python sets handlers in no other thread.
    numbers = _SIGNALS if threading.current_thread() is threading.main_thread() else []
    before = {sig: signal.getsignal(sig) for sig in numbers}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    taken = [sig for sig, it in before.items() if it in defaults or isinstance(it, _Handler)]
    for sig in taken:
        signal.signal(sig, _Handler(receive))
    try:
        yield
    finally:
        for sig in taken:
            signal.signal(sig, before[sig])


@contextmanager
def raise_on_signals() -> Iterator[list[int]]:
    """Within it, Ctrl-C raises KeyboardInterrupt, SIGTERM and SIGHUP raise SystemExit: what is begun is cleaned up.

    If Python ignores the exception, since it was raised in a destructor or a callback, the signal is repeated.
    """
    received: list[int] = []
    others = sys.unraisablehook

    def receive(number: int) -> None:
        received.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def repeat(ignored: Any) -> None:
        if received and issubclass(ignored.exc_type, (KeyboardInterrupt, SystemExit)):
            threading.Timer(_SECONDS_TO_REPEAT, os.kill, (os.getpid(), received[-1])).start()
        else:
            others(ignored)

    sys.unraisablehook = repeat
    try:
        with catch_signals(receive):
            yield received
    finally:
        sys.unraisablehook = others


def end_with_standard_input() -> None:
    """End this process at once, with code 1, when its standard input ends: then whoever started it has died."""

    def listen() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
