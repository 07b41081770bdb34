"""Follow a run that is still training."""

import time
from dataclasses import replace

import datasets
from accelerate.logging import get_logger

from hf_clipdyn.errors import ClipDynError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import evaluate
from hf_clipdyn.evaluation.processes import from_main_process, join_processes
from hf_clipdyn.hub import is_transient

__all__ = ["follow"]

_log = get_logger(__name__)


def follow(config: EvaluationConfig, *, interval: float = 10.0) -> datasets.Dataset:
    """Call `evaluate` whenever there is a new revision, until none has appeared for a while.

    A Hub that cannot be reached, or is overloaded, counts as one without a new revision. The texts of the last revision
    are asked at the end, since only then it is known which one it is.

    Args:
        config: a run without a new revision for ``watch_patience`` seconds counts as finished.
        interval: seconds between two looks.

    Raises:
        RevisionNotFoundError: no revision appeared at all.
        RevisionError: the Hub refuses, or cannot be reached until the end.
        ClipDynError: as for `evaluate`.
    """
    join_processes(config.device)
    seen: set[tuple[str, str]] = set()
    results: datasets.Dataset | None = None
    last = time.monotonic()
    in_outage = False
    while True:
        trouble: ClipDynError | None = None
        found: set[tuple[str, str]] = set()
        try:
            found = {(one.name, one.commit) for one in config.series.revisions()}
        except RevisionNotFoundError as error:  # training has not published anything yet
            trouble = error
        except RevisionError as error:
            trouble = _passing(error)
        fresh, waited = from_main_process((bool(found - seen), time.monotonic() - last))
        if fresh:
            try:
                results = evaluate(replace(config, final_texts=False))
            except ClipDynError as error:
                trouble = _passing(error)
            else:
                config = replace(config, force=False)  # the forced measurements are done
                seen |= found
                last = time.monotonic()
                in_outage = False
                continue
        outage = trouble is not None and is_transient(trouble)
        if outage and not in_outage:
            _log.warning(f"{trouble} Watching continues.")
        in_outage = outage
        if waited < config.watch_patience:
            time.sleep(min(interval, config.watch_patience - waited))
        elif trouble is not None:
            raise trouble
        elif results is None:
            raise RevisionNotFoundError(f"{config.series.repo_id} has no revisions.")
        else:
            _log.info(f"No new revision for {waited:.0f} s: {config.series.repo_id} counts as finished.")
            return evaluate(config) if config.final_texts else results


def _passing(error: ClipDynError) -> ClipDynError:
    """The error if it is transient; any other is raised."""
    if not is_transient(error):
        raise error
    return error
