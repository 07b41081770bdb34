"""Where a run publishes: the local store, the Hub, or both."""

from pathlib import Path

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.journal import RunFacts
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.repository import Repository
from hf_clipdyn.schema import checked_repo_id

__all__ = ["HUB", "STORE", "open_targets", "relative_to_run"]

STORE, HUB = "store", "hub"


def relative_to_run(store: Path, output_dir: Path) -> str:
    """The store's path for the journal: relative if it is inside the run's folder, which may be moved."""
    absolute, run = Path(store).absolute(), Path(output_dir).absolute()
    return str(absolute.relative_to(run)) if absolute.is_relative_to(run) else str(absolute)


def open_targets(
    facts: RunFacts, output_dir: Path, *, token: str | None, retries: RetryPolicy | None
) -> dict[str, Repository]:
    """The targets of a run by their keys in the journal, the store first.

    The Hub's client is imported only for a run that pushes to the Hub.

    Raises:
        ConfigError: there is none, or the repository's id is invalid.
    """
    checked_repo_id(facts.repo_id, owner=facts.push_to_hub)
    targets: dict[str, Repository] = {}
    if facts.store is not None:
        targets[STORE] = LocalStore((output_dir / facts.store).absolute(), facts.repo_id)
    if facts.push_to_hub:
        from hf_clipdyn.revisions.remote import HubRepository

        targets[HUB] = HubRepository(facts.repo_id, token=token, private=facts.private, retries=retries)
    if not targets:
        raise ConfigError("There is no target to publish to: give a store or push to the Hub.")
    return targets
