"""What evaluation and training give to a scheduler, and what a scheduler is."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown

__all__ = ["Job", "Missing", "Scheduler", "Work", "read_settings"]

_MOST_LINES = 20  # of a message


@dataclass(frozen=True)
class Job:
    """One command, which can be killed and repeated: it then does what it had not done.

    Attributes:
        name: of its own in the work, and of its log: ``2-of-4``, ``tiny-seed0``.
        words: the arguments of `clipdyn`.
    """

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """What is not done.

    Attributes:
        jobs: those that would do it.
        message: the same for the user.
    """

    jobs: Sequence[Job]
    message: str

    @classmethod
    def among(cls, lacks: Sequence[tuple[Job, str]], all_done: str) -> Self:
        """The runs that are not complete.

        Args:
            lacks: the job of each run, and what it lacks in words; empty if it is complete.
            all_done: the message if nothing is missing.
        """
        jobs = [job for job, what in lacks if what]
        if not jobs:
            return cls([], all_done)
        rows = sorted(
            ((job.name, what or "complete") for job, what in lacks), key=lambda row: row[1] == "complete"
        )
        return cls(jobs, cls.listed(f"{len(jobs)} of {len(lacks)} runs are not complete:", rows, "runs"))

    @staticmethod
    def listed(head: str, rows: Sequence[tuple[str, str]], what: str) -> str:
        """A message with a line for each (name, what it lacks); ``what`` they are is for the lines left out."""
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {lacks}" for name, lacks in rows[:_MOST_LINES]]
        left_out = [f"  and {len(rows) - _MOST_LINES} further {what}"] if len(rows) > _MOST_LINES else []
        return "\n".join([head, *lines, *left_out])


class Work(ABC):
    """Jobs that can be repeated, and a way to tell what is done.

    Attributes:
        noun: what one job does, for messages.
        error: raised when jobs fail.
        logs: folder of the jobs' logs.
        reads: files and folders that the jobs read, by option.
        writes: files and folders that the jobs write, by option.
        token: for the Hub; it goes to the jobs through the environment.
        force: whether the jobs repeat what is done.
        gpus: whether each job may have one of the GPUs.
    """

    noun: ClassVar[str]
    error: ClassVar[type[ClipDynError]]
    logs: Path
    reads: Sequence[tuple[str, Path]] = ()
    writes: Sequence[tuple[str, Path]] = ()
    token: str | None = None
    force: bool = False
    gpus: bool = True

    @abstractmethod
    def missing(self, scheduler: "Scheduler", *, ended: bool = False) -> Missing:
        """What is not done.

        Args:
            scheduler: knows where the jobs write; see `Scheduler.listed`.
            ended: whether the jobs have just ended, so that `force` asks for nothing more.
        """

    @abstractmethod
    def finish(self, scheduler: "Scheduler") -> str:
        """All is done: complete what belongs to the whole, and say where it is."""

    def make_folders(self) -> None:
        """Make the folders that the jobs on this machine or on a shared disk need."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.error(f"{self.logs} cannot be written ({error.strerror}).") from error


class Scheduler(ABC):
    """What starts jobs.

    Args:
        work: to which the jobs belong.
        settings: by name.

    Attributes (of the class):
        name: what ``--submit`` takes.
        known: the names of its settings; None if another library checks them.
        waits: whether `start` returns after the jobs have ended, and not when they are queued.

    Raises:
        UnknownNameError: there is no such setting.
    """

    name: ClassVar[str]
    known: ClassVar[Sequence[str] | None] = ()
    waits: ClassVar[bool] = False

    def __init__(self, work: Work, settings: Mapping[str, str]) -> None:
        self.work, self.settings = work, settings
        for one in settings:
            if self.known is not None and one not in self.known:
                raise UnknownNameError(f"setting of {self.name}", one, self.known)

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> str:
        """Start the jobs.

        Returns:
            What was submitted; of a scheduler that waits, which jobs failed, or nothing.
        """

    def listed(self, folder: Path) -> set[str] | None:
        """The files below a folder to which jobs write, relative to it; None if it is on a disk of this machine."""
        del folder
        return None

    def place(self, path: Path) -> str:
        """Where a file or folder that jobs write is found later."""
        return str(path)

    def command(self, job: Job) -> str:
        """The job's command, as a shell takes it."""
        return shlex.join(["clipdyn", *job.words])


def read_settings(given: Sequence[str]) -> dict[str, str]:
    """Settings by name.

    Raises:
        ConfigError: one is not NAME=VALUE.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"submit-setting is {shown(text)}: give NAME=VALUE.")
        found[name] = value
    return found
