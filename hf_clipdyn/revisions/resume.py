"""After training: send the missing revisions, and join runs in a collection."""

from pathlib import Path

from huggingface_hub import HfApi

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.hub import RetryPolicy, attempt, reason
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
    """Publish the revisions that an earlier process could not publish.

    Args:
        output_dir: folder of the run.
        push_to_hub: publish to the Hub too, even if the run was kept local so far.
        allow_identical: accept revisions that were refused because they have the weights of another one.
        token: token of the Hub; None for the stored one.
        retries: how calls to the Hub are repeated.

    Returns:
        Which revisions are published now.

    Raises:
        ConfigError: the folder has no journal.
        RevisionError: a target cannot be written, or contains another run.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.revisions import resume_publishing
        >>> resume_publishing(Path("runs/demo")).missing
        []
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
    """Add the run's repository to the owner's collection of that title, or create it; returns a sentence.

    Each scale and seed of a study has its own repository; the collection joins them.

    Raises:
        ConfigError: the run was not pushed to the Hub.
        PublishError: the Hub refuses.
    """
    facts = Journal.of_run(output_dir).required_run()
    repo_id, api = facts.repo_id, HfApi(token=token)
    if not facts.push_to_hub:
        raise ConfigError(f"{repo_id} was not pushed to the Hub: add --push-to-hub.")

    def add() -> str:
        owner = repo_id.partition("/")[0]
        collection = api.create_collection(title, namespace=owner, private=facts.private, exists_ok=True)
        api.add_collection_item(collection.slug, repo_id, "model", exists_ok=True)
        return collection.url

    try:
        return f"{repo_id} is in the collection {title!r}: {attempt(add, RetryPolicy(patience=60.0))}"
    except Exception as error:
        raise PublishError(
            f"{repo_id} could not be added to the collection {title!r}: {reason(error)}."
        ) from error
