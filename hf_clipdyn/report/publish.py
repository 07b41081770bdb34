"""Put the trajectories of runs into the model cards of their repositories."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, ModelCard

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.hub import RetryPolicy, attempt, limit_waiting, reason, status_of
from hf_clipdyn.report.card import SUMMARY, card_name, merge_card
from hf_clipdyn.report.study import Study, read_study

__all__ = ["push_cards"]


def push_cards(
    results: Path | Sequence[Path] | Study, output: Path, *, token: str | None = None
) -> list[str]:
    """Write the results of every run into the card on `main` of its repository on the Hub.

    What the card said beside them stays. Only `README.md` and the summary figure are touched: the weights on `main`
    remain those of the newest revision.

    Args:
        results: the tables that the report was made from.
        output: folder that `write_report` has filled.
        token: of the Hub; default: the stored one.

    Returns:
        The address of each commit.

    Raises:
        ConfigError: two runs share a repository, so that it is not clear which one the card belongs to.
        PublishError: the Hub refuses; the folder is complete all the same.
    """
    rows = read_study(results).results.rows
    runs = dict(rows[["run", "repo_id"]].drop_duplicates().itertuples(index=False, name=None))
    for repo_id in runs.values():
        if list(runs.values()).count(repo_id) > 1:
            raise ConfigError(
                f"{repo_id} holds two runs in these tables: push the card of one table, whose commits it has."
            )
    policy = RetryPolicy(patience=60.0)
    limit_waiting(policy.timeout)
    api = HfApi(token=token)
    urls = []
    for run, repo_id in runs.items():
        try:
            commit = attempt(lambda run=run, repo_id=repo_id: _push(api, run, repo_id, output), policy)  # type: ignore[misc]
        except Exception as error:
            missing = (
                " The repository is not there, or not for you." if status_of(error) in (401, 404) else ""
            )
            raise PublishError(
                f"The card of {repo_id} could not be pushed ({reason(error)}).{missing} "
                f"{output / card_name(run)} is complete."
            ) from error
        urls.append(commit.commit_url)
    return urls


def _push(api: HfApi, run: str, repo_id: str, output: Path) -> CommitInfo:
    head = api.repo_info(repo_id).sha  # a commit of somebody else in between is refused, and tried again
    card = ModelCard.load(output / card_name(run))
    if api.file_exists(repo_id, "README.md", revision=head):
        existing = api.hf_hub_download(repo_id, "README.md", revision=head)
        card = merge_card(Path(existing).read_text(encoding="utf-8"), card)
    return api.create_commit(
        repo_id,
        [
            CommitOperationAdd("README.md", str(card).encode()),
            CommitOperationAdd(SUMMARY, str(output / SUMMARY)),
        ],
        commit_message="Show the trajectories, measured by hf-clipdyn",
        parent_commit=head,
    )
