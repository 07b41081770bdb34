"""The places to which a run publishes: the local store, the Hub, or both."""

from pathlib import Path

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions.journal import RunFacts
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.repository import Repository

__all__ = ["HUB", "STORE", "open_places"]

STORE, HUB = "store", "hub"


def open_places(facts: RunFacts, *, token: str | None, retries: RetryPolicy | None) -> dict[str, Repository]:
    """The places of a run by their keys in the journal, the store first.

    The Hub's client is imported only for a run that pushes to the Hub.

    Raises:
        ConfigError: there is none.
    """
    places: dict[str, Repository] = {}
    if facts.store is not None:
        places[STORE] = LocalStore(Path(facts.store), facts.repo_id)
    if facts.push_to_hub:
        from hf_clipdyn.revisions.remote import HubRepository

        places[HUB] = HubRepository(facts.repo_id, token=token, private=facts.private, retries=retries)
    if not places:
        raise ConfigError("There is no place to publish to: give a store, or push to the Hub.")
    return places
