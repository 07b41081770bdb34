"""Follow a run that is still training."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets

from hf_clipdyn.errors import ClipDynError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import evaluate
from hf_clipdyn.evaluation.processes import from_main_process
from hf_clipdyn.hub import is_transient
from hf_clipdyn.revisions import list_revisions

__all__ = ["follow"]


def follow(
    config: EvaluationConfig,
    say: Callable[[str], Any] = lambda _: None,
    *,
    interval: float = 10.0,
) -> datasets.Dataset:
    """`evaluate`, again whenever there is a new revision, until none has appeared for a while.

    A Hub that cannot be reached, or is overloaded, counts as one without a new revision.

    Only at the end is it known which revision is the last one: its texts are asked then.

    Args:
        config: with ``watch``; a run without a new revision for ``watch_patience`` seconds counts as finished.
        say: told, in a sentence each, what happens.
        interval: seconds between two looks.

    Raises:
        RevisionNotFoundError: no revision appeared at all.
        RevisionError: the Hub refuses, or was away to the end.
        The errors of `evaluate`.
    """
    seen: set[tuple[str, str]] = set()
    results: datasets.Dataset | None = None
    last = time.monotonic()
    in_outage = False
    while True:
        trouble: ClipDynError | None = None
        found: set[tuple[str, str]] = set()
        try:
            found = {
                (one.name, one.commit) for one in list_revisions(config.repo_id, config.store, config.token)
            }
        except RevisionNotFoundError as error:  # training has not published anything yet
            trouble = error
        except RevisionError as error:
            trouble = _passing(error)
        fresh, waited = from_main_process((bool(found - seen), time.monotonic() - last))
        if fresh:
            try:
                results = evaluate(replace(config, final_texts=False), say)
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
            say(f"{trouble} The watch goes on.")
        in_outage = outage
        if waited < config.watch_patience:
            time.sleep(min(interval, config.watch_patience - waited))
        elif trouble is not None:
            raise trouble
        elif results is None:
            raise RevisionNotFoundError(f"{config.repo_id} has no revisions.")
        else:
            say(f"No new revision for {waited:.0f} s: {config.repo_id} counts as finished.")
            return evaluate(config, say) if config.final_texts else results


def _passing(error: ClipDynError) -> ClipDynError:
    """The error, if the Hub may be back soon; it is raised if not."""
    if not is_transient(error):
        raise error
    return error
