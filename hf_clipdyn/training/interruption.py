"""Ctrl-C and SIGTERM end a run after the current step, with a checkpoint."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from hf_clipdyn.training.loop import Callback, Training

__all__ = ["Interruption"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(Callback):
    """Stops the run after the step in which a signal came, all processes after the same step.

    The processes agree without waiting for one another: after each step they start an all-reduce of one number on the
    CPU and read the result of the previous one. So several processes stop one step later than one would.

    A second signal ends a single process at once. Launchers send several signals, so launched processes ignore them.

    Put it before the callbacks that ask at `step_ends` whether the run is stopping.

    Attributes:
        signal: the signal that stopped the run; None if there was none.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._received = 0
        self._earlier: dict[signal.Signals, Any] = {}
        self._group: Any = None
        self._flag: torch.Tensor | None = None
        self._work: Any = None
        self._process = os.getpid()
        self._launched = False

    def run_begins(self, training: Training) -> None:
        self._launched = training.accelerator.num_processes > 1
        if self._launched:
            self._group = dist.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():  # Python sets handlers in no other one
            for one in _SIGNALS:
                if signal.getsignal(one) != signal.SIG_IGN:  # a shell ignores Ctrl-C for a background job
                    self._earlier[one] = signal.signal(one, self._receive) or signal.SIG_DFL

    def step_ends(self, training: Training) -> None:
        agreed = self._agree() if self._launched else self._received
        if agreed:
            self.signal = signal.Signals(agreed)
            training.stop()

    def run_ends(self, _: Training) -> None:
        if self._work is not None:
            self._work.wait()

    def close(self) -> None:
        self._group = self._work = None
        if self._launched and self.signal:  # a launcher's second signal must not end what still publishes
            return
        for one, handler in self._earlier.items():
            signal.signal(one, handler)

    def _agree(self) -> int:
        """The largest signal that any process had received one step ago; 0 for none."""
        agreed = 0
        if self._work is not None and self._flag is not None:
            self._work.wait()
            agreed = int(self._flag.item())
        self._flag = torch.tensor([self._received])
        self._work = dist.all_reduce(self._flag, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        return agreed

    def _receive(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a data loader's worker inherits this handler
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._received and not self._launched:
            signal.signal(number, self._earlier[signal.Signals(number)])
            os.kill(os.getpid(), number)
        self._received = self._received or number
