"""Follow a run that is still training."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets

from hf_clipdyn.errors import RevisionNotFoundError
from hf_clipdyn.evaluation.runner import EvaluationConfig, evaluate, from_main_process
from hf_clipdyn.revisions import list_revisions

__all__ = ["follow"]


def follow(
    config: EvaluationConfig,
    patience: float,
    say: Callable[[str], Any] = lambda _: None,
    *,
    interval: float = 10.0,
) -> datasets.Dataset:
    """`evaluate`, again whenever there is a new revision, until none has appeared for a while.

    Which revision is the last one is known at the end: the texts of that one are asked with then.

    Args:
        config: with an ``output``, so that what is done is not done again; all revisions are taken.
        patience: seconds without a new revision after which the run counts as over.
        say: told, in a sentence each, what happens.
        interval: seconds between two looks.

    Raises:
        RevisionNotFoundError: no revision appeared at all.
        The errors of `evaluate`.
    """
    seen: set[tuple[str, str]] = set()
    results: datasets.Dataset | None = None
    last = time.monotonic()
    while True:
        missing: RevisionNotFoundError | None = None
        try:
            found = {
                (one.name, one.commit) for one in list_revisions(config.repo_id, config.store, config.token)
            }
        except RevisionNotFoundError as error:  # training has not published anything yet
            missing, found = error, set()
        fresh, waited = from_main_process((bool(found - seen), time.monotonic() - last))
        if fresh:
            results = evaluate(replace(config, final_texts=False), say)
            config = replace(config, force=False, rescore=False)  # what was measured anew is done
            seen |= found
            last = time.monotonic()
        elif waited >= patience:
            if results is None:
                raise missing or RevisionNotFoundError(f"{config.repo_id} has no revisions.")
            say(f"No new revision for {waited:.0f} s: {config.repo_id} is taken for finished.")
            return evaluate(config, say) if config.final_texts else results
        else:
            time.sleep(min(interval, patience - waited))
