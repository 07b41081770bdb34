"""An evaluation that the Hub repeats on a schedule: each time it measures what is missing, until the run is complete.

Nothing tells the job what is new: it measures what the repository lists. So two jobs that meet, or one that is killed,
do no harm. Whether the run is complete is asked before measuring, since a revision may appear meanwhile.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.publish import check_push
from hf_clipdyn.evaluation.submit import files_read
from hf_clipdyn.hub import reason
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work
from hf_clipdyn.jobs.hub_jobs import delete_schedule
from hf_clipdyn.schema import valid_repo_name

if TYPE_CHECKING:
    import datasets

__all__ = ["OF_THE_JOB", "Sweep", "sweep"]

OF_THE_JOB = ("token",)
"""Fields of the configuration that are not options of the job's command: a token goes through the environment."""

_log = logging.getLogger(__name__)


class Sweep(Work):
    """An evaluation as one job that is repeated.

    Args:
        config: the evaluation.
        words: its command, without those of `OF_THE_JOB`.
        every: how often, ``@hourly`` or an expression of cron.

    Raises:
        ConfigError: the evaluation cannot be repeated.
    """

    noun = "evaluation"
    error = EvaluationError

    def __init__(self, config: EvaluationConfig, words: Sequence[str], every: str) -> None:
        wrong = [name for name in ("watch", "rescore", "shard", "force") if getattr(config, name)]
        if wrong or config.output is None:
            raise ConfigError(
                f"`every` measures what is missing, again and again: leave out {', '.join(wrong)}."
                if wrong
                else "`every` requires an `output`, where each job finds what is done."
            )
        name = valid_repo_name(config.each[0].series.repo_id)
        self._job = Job(name, ("evaluate", *words))
        self._config = config
        self.every, self.token = every, config.token
        self.writes = [("--output", Path(config.output))]
        self.reads = list(files_read(config))

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        """The job: what it lacks is seen each time that it runs."""
        del scheduler, ended
        if self._config.hub_model_id is not None:
            check_push(self._config.hub_model_id, self._config.token)
        return Missing([self._job], "Each job checks which cells are missing.")

    def finish(self, scheduler: Scheduler) -> str:
        """Never called: a job of a schedule is always missing."""
        return f"All cells are in {scheduler.place(self.writes[0][1])}."


def sweep(schedule: str, given: Mapping[str, Any]) -> "datasets.Dataset":
    """Measure what is missing; delete the schedule if the run was complete before.

    The texts of the last revision are asked at the end, since only then it is known which one it is.

    Args:
        schedule: as in `hf_clipdyn.jobs.hub_jobs.SCHEDULE`.
        given: the arguments of `evaluate_revisions`.

    Raises:
        ClipDynError: as for `evaluate_revisions`. The schedule stays: the next job tries again.
        EvaluationError: the schedule cannot be deleted; the results are complete.
    """
    from hf_clipdyn.evaluation import evaluate_revisions

    config = EvaluationConfig(**given)
    complete = all(map(_is_complete, config.each))
    texts = {"final_texts": config.final_texts and complete}
    results = evaluate_revisions(**{**given, **texts})
    if not complete:
        _log.info("The run is not complete: the next job goes on.")
        return results
    try:
        delete_schedule(schedule, config.token)
    except Exception as error:
        raise EvaluationError(
            f"The run is complete, but its schedule could not be deleted ({reason(error)}): delete it with "
            "`hf jobs scheduled delete`."
        ) from error
    _log.info("The run is complete: the schedule is deleted.")
    return results


def _is_complete(config: EvaluationConfig) -> bool:
    """Whether the run has all planned revisions; without a plan, whether the newest is older than the patience.

    A suite that records no times is complete.
    """
    from hf_clipdyn.evaluation.evaluate import has_all_planned

    listed = config.series.revisions()
    planned = has_all_planned(config, {revision.name for revision in listed})
    if planned is not None:
        return planned
    times = [datetime.fromisoformat(revision.time) for revision in listed if revision.time]
    return not times or (datetime.now(UTC) - max(times)).total_seconds() >= config.watch_patience
