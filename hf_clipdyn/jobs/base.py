"""What evaluation and training give to a scheduler, and what a scheduler is."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown
from hf_clipdyn.files import disk_errors

__all__ = ["Job", "Missing", "Scheduler", "Work", "read_settings"]

_MOST_LINES = 20  # of a message


@dataclass(frozen=True)
class Job:
    """One `clipdyn` command. It can be killed and repeated: it then does only what is missing.

    Attributes:
        name: unique in the work; also the name of the log: ``2-of-4``, ``tiny-seed0``.
        words: the arguments of `clipdyn`.

    Examples:
        >>> from hf_clipdyn.jobs import Job
        >>> Job("tiny-seed0", ("train", "--scale", "tiny")).name
        'tiny-seed0'
    """

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """What is not complete.

    Attributes:
        jobs: the jobs that would complete it.
        message: what is missing, for the user.

    Examples:
        >>> from hf_clipdyn.jobs import Job, Missing
        >>> job = Job("tiny-seed0", ("train", "--scale", "tiny"))
        >>> missing = Missing.among([(job, "epoch-003 is missing")], "All runs are complete.")
        >>> print(missing.message)
        1 of 1 runs are not complete:
          tiny-seed0  epoch-003 is missing
    """

    jobs: Sequence[Job]
    message: str

    @classmethod
    def among(cls, lacks: Sequence[tuple[Job, str]], all_done: str) -> Self:
        """Those of several runs that are not complete.

        Args:
            lacks: for each run its job, and in words what is missing; an empty text if the run is complete.
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
        """A message with a line for each (name, what is missing); ``what`` names the rows: "and 5 further runs"."""
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {lacks}" for name, lacks in rows[:_MOST_LINES]]
        left_out = [f"  and {len(rows) - _MOST_LINES} further {what}"] if len(rows) > _MOST_LINES else []
        return "\n".join([head, *lines, *left_out])


class Work(ABC):
    """Jobs that can be repeated, and a way to tell which are complete. `submit` starts them.

    Attributes:
        noun: what one job is, for messages: "run".
        error: the class of error to raise when jobs fail.
        logs: folder of the jobs' logs.
        reads: files and folders that the jobs read, each with its option.
        writes: files and folders that the jobs write, each with its option.
        token: token of the Hub; the jobs get it through the environment.
        force: whether the jobs repeat what is complete.
        gpus: whether each job may use a GPU.
        every: how often the jobs are repeated, for a scheduler that repeats them; None for once.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.errors import ClipDynError
        >>> from hf_clipdyn.jobs import Missing, Work, submit
        >>> class Listing(Work):
        ...     noun, error, logs = "listing", ClipDynError, Path("logs")
        ...     def missing(self, scheduler, *, ended=False):
        ...         return Missing([], "Nothing is missing.")
        ...     def finish(self, scheduler):
        ...         return "All listings are complete."
        ...
        >>> submit(Listing(), "local")
        'All listings are complete.'
    """

    noun: ClassVar[str]
    error: type[ClipDynError]
    logs: Path
    reads: Sequence[tuple[str, Path]] = ()
    writes: Sequence[tuple[str, Path]] = ()
    token: str | None = None
    force: bool = False
    gpus: bool = True
    every: str | None = None

    @abstractmethod
    def missing(self, scheduler: "Scheduler", *, ended: bool = False) -> Missing:
        """What is not complete.

        Args:
            scheduler: knows where the jobs write; see `Scheduler.listed`.
            ended: whether the jobs have just ended; `force` then repeats nothing.
        """

    @abstractmethod
    def finish(self, scheduler: "Scheduler") -> str:
        """Called when all jobs are complete: write what belongs to the whole, and return where it is."""

    def make_folders(self) -> None:
        """Make the folders that the jobs on this machine or on a shared disk need."""
        with disk_errors(self.error, f"{self.logs} cannot be written", "check its permissions"):
            self.logs.mkdir(parents=True, exist_ok=True)


class Scheduler(ABC):
    """Starts jobs: as processes here, on Slurm, or as jobs of the Hub.

    Args:
        work: the work that the jobs belong to.
        settings: its settings by name.

    Attributes:
        name: the value of ``--submit``.
        known: names of its settings; None if another library checks them.
        waits: whether `start` returns when the jobs have ended; otherwise it returns when they are queued.
        can_wait: whether `wait` is there, for a scheduler that does not wait by itself.

    Raises:
        UnknownNameError: there is no such setting.

    Examples:
        >>> from hf_clipdyn.jobs import SCHEDULERS
        >>> sorted(SCHEDULERS)
        ['hf-jobs', 'local', 'slurm']
        >>> SCHEDULERS["local"].known
        ('parallel',)
    """

    name: ClassVar[str]
    known: ClassVar[Sequence[str] | None] = ()
    waits: ClassVar[bool] = False
    can_wait: ClassVar[bool] = False

    def __init__(self, work: Work, settings: Mapping[str, str]) -> None:
        self.work, self.settings = work, settings
        for setting in settings:
            if self.known is not None and setting not in self.known:
                raise UnknownNameError(f"setting of {self.name}", setting, self.known)

    @abstractmethod
    def start(self, jobs: Sequence[Job]) -> str:
        """Start the jobs.

        Returns:
            What was submitted. A scheduler that waits returns which jobs failed; an empty text if none did.
        """

    def wait(self) -> str:
        """Return when the started jobs have ended: which failed; an empty text if none did."""
        raise NotImplementedError

    def listed(self, folder: Path) -> set[str] | None:
        """The files below a folder to which jobs write, relative to it; None if it is on a disk of this machine."""
        del folder
        return None

    def place(self, path: Path) -> str:
        """Where a file or folder that jobs write is found later."""
        return str(path)

    def command(self, job: Job) -> str:
        """The job's command, quoted for a shell."""
        return shlex.join(["clipdyn", *job.words])


def read_settings(given: Sequence[str]) -> dict[str, str]:
    """Settings by name.

    Raises:
        ConfigError: one is not NAME=VALUE.
    """
    settings = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"submit-setting is {shown(text)}: give NAME=VALUE.")
        settings[name] = value
    return settings
