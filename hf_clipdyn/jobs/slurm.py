"""Jobs of a Slurm cluster, through submitit."""

import os
import re
import runpy
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hf_clipdyn.errors import ConfigError, counted
from hf_clipdyn.jobs.base import Job, Scheduler

__all__ = ["Slurm"]


@dataclass(frozen=True)
class _Requeued:
    """A job as submitit pickles it, and requeues it when it is preempted or its time is over.

    It runs in the process that submitit started: a process below it would be ended by the signal that announces this.
    Several tasks of a job are the processes of one launch, as torchrun would start them.
    """

    words: tuple[str, ...]

    def __call__(self) -> None:
        from submitit.helpers import JobEnvironment, TorchDistributedEnvironment

        if JobEnvironment().num_tasks > 1:
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        announced, requeue = self._announced()
        sys.argv = ["clipdyn", *self.words]
        try:
            runpy.run_module("hf_clipdyn", run_name="__main__")
        except SystemExit as stopped:
            if announced and stopped.code:
                requeue(announced[0], None)  # leaves with a code of submitit's own
            if stopped.code:
                raise RuntimeError(f"clipdyn ended with code {stopped.code}.") from None

    @staticmethod
    def _announced() -> tuple[list[int], Any]:
        """A list that will hold the signal by which the end of the job is announced, and submitit's handler of it.

        The signal ends the command; one that saves its state at SIGTERM may do so.
        """
        from submitit import JobEnvironment

        number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
        requeue: Any = signal.getsignal(number)
        bypass, announced = signal.getsignal(signal.SIGTERM), list[int]()

        def receive(received: int, _: FrameType | None) -> None:
            if announced:
                return
            announced.append(received)
            if signal.getsignal(signal.SIGTERM) == bypass:
                sys.exit(128 + received)
            signal.raise_signal(signal.SIGTERM)

        signal.signal(number, receive)
        return announced, requeue

    def checkpoint(self) -> Any:
        """The same job again: what it has done, it does not do again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    __submitit_checkpoint__ = checkpoint  # its name in newer releases


class Slurm(Scheduler):
    """``--submit slurm``: a job array of submitit.

    The settings are those of submitit's ``AutoExecutor.update_parameters``: ``timeout_min``, ``gpus_per_node``,
    ``cpus_per_task``, ``mem_gb``, ``slurm_partition``, ``slurm_array_parallelism``, …; ``slurm_max_num_timeout``, how
    often a job whose time is over is requeued; and ``cluster``: with ``local``, submitit runs the same jobs on this
    machine. Results must be on a disk that all nodes share. Preempted jobs and those whose time is over are requeued.
    """

    name = "slurm"
    known = None

    def start(self, jobs: Sequence[Job]) -> str:
        """Submit one job array."""
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "`--submit slurm` needs submitit, which is not installed: pip install 'hf-clipdyn[slurm]'."
            ) from error
        if self.work.token is not None:
            os.environ["HF_TOKEN"] = self.work.token  # sbatch hands the environment on
        self.work.make_folders()
        settings: dict[str, Any] = {name: _number(text) for name, text in self.settings.items()}
        cluster = settings.pop("cluster", "slurm")
        made = {key: settings.pop(key) for key in ("slurm_max_num_timeout",) if key in settings}
        settings = {"name": "clipdyn", "slurm_additional_parameters": {"requeue": True}} | settings
        try:
            executor = submitit.AutoExecutor(folder=self.work.logs / "%j", cluster=cluster, **made)
            executor.update_parameters(**settings)
            with executor.batch():
                submitted = [executor.submit(_Requeued(job.words)) for job in jobs]
        except (RuntimeError, NameError, AssertionError, ValueError, TypeError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"submitit cannot submit the {self.work.noun}s: {line.rstrip('.')}.") from error
        names = ", ".join(str(job.job_id) for job in submitted)
        return (
            f"Submitted {counted(len(jobs), self.work.noun)} to Slurm, jobs {names}; their logs are in "
            f"{self.work.logs}. Repeat the command when they have ended: it starts what is missing."
        )


def _number(text: str) -> str | int | float:
    """A setting as the number that it is; other texts stay."""
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text) else text
