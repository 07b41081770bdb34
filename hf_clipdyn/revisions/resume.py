"""After training: send what is missing, and join runs in a collection."""

from pathlib import Path

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import RetryPolicy, collect
from hf_clipdyn.revisions.journal import Journal
from hf_clipdyn.revisions.publisher import Publisher, Summary

__all__ = ["join_collection", "resume_publishing"]


def resume_publishing(
    output_dir: Path,
    *,
    push_to_hub: bool = False,
    allow_identical: bool = False,
    token: str | None = None,
    retries: RetryPolicy | None = None,
) -> Summary:
    """Send what an earlier process could not.

    Args:
        output_dir: folder of the run.
        push_to_hub: also publish to the Hub a run that was published to the store only.
        allow_identical: accept what was refused for having the weights of another revision.

    Raises:
        ConfigError: the folder has no journal.
        RevisionError: a target cannot be written, or holds another run.
    """
    facts = Journal.of_run(output_dir).required_run()
    publisher = Publisher(
        facts.repo_id,
        output_dir=Path(output_dir),
        store=Path(output_dir) / facts.store if facts.store is not None else None,
        push_to_hub=facts.push_to_hub or push_to_hub,
        token=token,
        private=facts.private,
        card=facts.card,
        recipe_hash=facts.recipe_hash,
        allow_identical=facts.allow_identical or allow_identical,
        retries=retries,
    )
    with publisher:
        publisher.check()
        return publisher.finish()


def join_collection(output_dir: Path, title: str, *, token: str | None = None) -> str:
    """Put the run's repository into a Hub collection, to join scales and seeds; returns a sentence.

    Raises:
        ConfigError: the run was not pushed to the Hub.
    """
    facts = Journal.of_run(output_dir).required_run()
    if not facts.push_to_hub:
        raise ConfigError(f"{facts.repo_id} was not pushed to the Hub: add --push-to-hub.")
    address = collect(title, facts.repo_id, token=token, private=facts.private)
    return f"{facts.repo_id} is in the collection {title!r}: {address}"
