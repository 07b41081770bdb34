"""Commands of `clipdyn` as jobs, where a scheduler puts them: processes here, Slurm through submitit, the Hub's jobs.

This room knows neither evaluation nor training. Both give it a `Work`: their commands, and a way to tell what is done.
"""

import logging
from collections.abc import Mapping, Sequence
from os import environ

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.jobs.base import Job, Missing, Scheduler, Work, read_settings
from hf_clipdyn.jobs.hub_jobs import HubJobs
from hf_clipdyn.jobs.local import LocalProcesses
from hf_clipdyn.jobs.slurm import Slurm

__all__ = ["SCHEDULERS", "Job", "Missing", "Scheduler", "Work", "run_in_turn", "submit"]

SCHEDULERS: Mapping[str, type[Scheduler]] = {"hf-jobs": HubJobs, "local": LocalProcesses, "slurm": Slurm}
"""The scheduler of each name that ``--submit`` takes."""

_log = logging.getLogger(__name__)


def submit(
    work: Work,
    scheduler: str,
    settings: Sequence[str] = (),
    *,
    print_command: bool = False,
    wait: bool = False,
) -> str:
    """Start the jobs that are not complete.

    Args:
        work: the jobs, and the way to tell which are complete.
        scheduler: a name in `SCHEDULERS`.
        settings: settings of the scheduler, each as NAME=VALUE; its class lists them.
        print_command: start nothing; return the commands, one per line.
        wait: return when the jobs have ended; their logs go to standard error.

    Returns:
        A message: what was submitted, or where the results are if nothing was missing.

    Raises:
        UnknownNameError: there is no such scheduler or setting.
        ConfigError: a setting is wrong, a package is not installed, or the jobs could not see a file; or this is one of
            several processes of a launcher.
        ClipDynError: the work cannot be planned; or jobs on this machine have ended and something is still missing.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.errors import ClipDynError
        >>> from hf_clipdyn.jobs import Job, Missing, Work, submit
        >>> class Listing(Work):
        ...     noun, error, logs = "listing", ClipDynError, Path("logs")
        ...     def missing(self, scheduler, *, ended=False):
        ...         return Missing([Job("all", ("datasets",))], "1 of 1 listings is missing.")
        ...     def finish(self, scheduler):
        ...         return "All listings are complete."
        ...
        >>> submit(Listing(), "local", print_command=True)
        'clipdyn datasets'
    """
    if scheduler not in SCHEDULERS:
        raise UnknownNameError("scheduler", scheduler, SCHEDULERS)
    return _start(work, SCHEDULERS[scheduler](work, read_settings(settings)), print_command, wait)


def run_in_turn(work: Work) -> str:
    """Run the jobs that are not complete one after the other; each is a process that prints to this terminal.

    Args:
        work: the jobs, and the way to tell which are complete.

    Returns:
        As `submit`.

    Raises:
        ClipDynError: as for `submit`.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.errors import ClipDynError
        >>> from hf_clipdyn.jobs import Missing, Work, run_in_turn
        >>> class Listing(Work):
        ...     noun, error, logs = "listing", ClipDynError, Path("logs")
        ...     def missing(self, scheduler, *, ended=False):
        ...         return Missing([], "Nothing is missing.")
        ...     def finish(self, scheduler):
        ...         return "All listings are complete."
        ...
        >>> run_in_turn(Listing())
        'All listings are complete.'
    """
    return _start(work, LocalProcesses(work, {}, in_turn=True))


def _start(work: Work, scheduler: Scheduler, print_command: bool = False, wait: bool = False) -> str:
    if int(environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "Jobs start their own processes: run this command in one process, without a launcher."
        )
    if wait and not (scheduler.waits or scheduler.can_wait):
        raise ConfigError(
            f"--wait cannot follow the jobs of {scheduler.name}: leave it out, and repeat the command when they have "
            "ended."
        )
    missing = work.missing(scheduler)
    _log.info(missing.message)
    if print_command:
        return "\n".join(scheduler.command(job) for job in missing.jobs)
    if missing.jobs:
        said = scheduler.start(missing.jobs)
        if not scheduler.waits:
            if not wait:
                return said
            _log.info(said)
            said = scheduler.wait()
        left = work.missing(scheduler, ended=True)
        if left.jobs or (said and work.force):
            raise work.error(
                f"{said or 'The jobs ended, but their results are missing.'} Repeat the command: it starts what is "
                f"missing. {left.message}"
            )
    return work.finish(scheduler)
