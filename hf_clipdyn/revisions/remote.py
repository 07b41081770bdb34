"""The Hub: a commit is made on `main` with everything, and a branch points at exactly that commit."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    HfApi,
    get_session,
    hf_hub_download,
    hf_hub_url,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.errors import RevisionNotFoundError as NoRevisionOnHubError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as re-exported
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    hf_raise_for_status,
)

from hf_clipdyn.errors import ConfigError, PublishError, RevisionError, RevisionNotFoundError
from hf_clipdyn.hub import RetryPolicy, attempt, is_unreachable, limit_waiting, reason, status_of
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.revisions.repository import MAIN, FileRecord, Held, Repository

__all__ = ["HubRepository"]

T = TypeVar("T")


class HubRepository(Repository):
    """One model repository on the Hub.

    Args:
        repo_id: `owner/name`.
        token: None for the one that `hf auth login` or HF_TOKEN gives.
        private: create it as a private one.
        retries: how each call is repeated; `patience=0` repeats none.
        repo_type: `model`, or `dataset` for checkpoints in a data-set repository (reading only).
    """

    def __init__(
        self,
        repo_id: str,
        *,
        token: str | None = None,
        private: bool = False,
        retries: RetryPolicy | None = None,
        repo_type: str = "model",
    ) -> None:
        self._repo_id = repo_id
        self._private = private
        self._token = token
        self._type = repo_type
        self._retries = retries or RetryPolicy(patience=60.0)
        self._api = HfApi(token=token)
        self._reached = False  # whether the Hub has ever answered here
        limit_waiting(self._retries.timeout)

    @property
    def repo_id(self) -> str:
        return self._repo_id

    @property
    def on_disk(self) -> bool:
        return False

    @property
    def where(self) -> str:
        return f"{self.repo_id} on the Hub"

    # --- reading ------------------------------------------------------------------------------------

    def refs(self) -> dict[str, str]:
        found = self._ask(lambda: self._api.list_repo_refs(self.repo_id, repo_type=self._type))
        return dict(
            checked_ref(ref.name, ref.target_commit, self.where) for ref in [*found.tags, *found.branches]
        )

    def files(self, commit: str) -> dict[str, FileRecord]:
        listing = self._ask(
            lambda: list(
                self._api.list_repo_tree(self.repo_id, recursive=True, revision=commit, repo_type=self._type)
            )
        )
        return {
            item.path: FileRecord(item.size, item.blob_id, item.lfs.sha256 if item.lfs else None)
            for item in listing
            if isinstance(item, RepoFile)
        }

    def read(self, commit: str, path: str, size: int | None = None) -> bytes:
        headers = dict(build_hf_headers(token=self._token))
        if size is not None:
            headers["Range"] = f"bytes=0-{size - 1}"
        url = hf_hub_url(
            self.repo_id, path, revision=commit, repo_type=self._type, endpoint=self._api.endpoint
        )

        def get() -> bytes:
            response = get_session().get(url, headers=headers)
            hf_raise_for_status(response)
            return bytes(response.content[:size])

        return self._ask(get)

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        # Not from the user's cache: it may hold what the Hub no longer serves.
        with tempfile.TemporaryDirectory() as folder:
            yield Path(
                self._ask(
                    lambda: hf_hub_download(
                        self.repo_id,
                        path,
                        revision=commit,
                        repo_type=self._type,
                        cache_dir=folder,
                        token=self._token,
                        endpoint=self._api.endpoint,
                    )
                )
            )

    def _attempt(self, call: Callable[[], T]) -> T:
        try:
            found = attempt(call, self._retries, reached=self._reached)
        except Exception as error:
            self._reached = self._reached or not is_unreachable(error)
            raise
        self._reached = True
        return found

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return self._attempt(call)
        except (RepositoryNotFoundError, NoRevisionOnHubError, EntryNotFoundError) as error:
            raise RevisionNotFoundError(
                f"{self.where} does not exist, lacks what was asked for, or the token may not see it "
                f"({reason(error)})."
            ) from error
        except Exception as error:
            raise RevisionError(f"{self.where} could not be read: {reason(error)}.") from error

    # --- writing ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Create the repository if it does not exist, and check that the token may write to it.

        Raises:
            ConfigError: the name has no owner.
            PublishError: the token may not write to it.
        """
        if "/" not in self.repo_id:
            raise ConfigError(f"{self.repo_id!r} cannot be pushed to the Hub: give it as owner/name.")

        def check() -> None:
            self._api.create_repo(self.repo_id, private=self._private or None, exist_ok=True)
            self._api.auth_check(self.repo_id, write=True)

        try:
            self._attempt(check)
        except LocalTokenNotFoundError as error:
            raise PublishError("There is no token for the Hub: log in with `hf auth login`.") from error
        except Exception as error:
            if status_of(error) in (401, 403):
                raise PublishError(
                    f"The token may not write to {self.where} ({reason(error)}): "
                    "give one with write permission, by `hf auth login` or hub_token."
                ) from error
            raise PublishError(f"{self.where} cannot be used: {reason(error)}.") from error

    def commit(
        self, name: str, files: Mapping[str, Path | Held], manifest: Manifest, parent: str | None
    ) -> str:
        operations: list[CommitOperationAdd | CommitOperationCopy] = []
        for path, file in files.items():
            if isinstance(file, Path):
                operations.append(CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file.resolve())))
            elif file.commit != parent and path != ".gitattributes":  # main has the parent's files
                operations.append(CommitOperationCopy(file.path, path, src_revision=file.commit))
        operations.append(
            CommitOperationAdd(path_in_repo=MANIFEST_FILE, path_or_fileobj=manifest.dumps().encode())
        )
        newest = manifest.newest.name if manifest.newest is not None else name
        with _no_progress_bars():
            info = self._write(
                lambda: self._api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message=_title(name) if name != MAIN else f"Let main equal {newest}",
                    parent_commit=parent,
                ),
                f"given {name}" if name != MAIN else "brought up to date",
            )
        return str(info.oid)

    def set_ref(self, name: str, commit: str, *, move: bool = False) -> None:
        if move and name in self.refs():
            self._write(lambda: self._api.delete_branch(self.repo_id, branch=name), "changed")
        try:
            self._write(
                lambda: self._api.create_branch(self.repo_id, branch=name, revision=commit),
                f"given the branch {name}",
            )
        except PublishError as error:
            if status_of(error) != 409:
                raise

    def commits_of(self, name: str) -> Iterator[str]:
        history = self._ask(lambda: self._api.list_repo_commits(self.repo_id))
        yield from (commit.commit_id for commit in history if commit.title == _title(name))

    def _write(self, call: Callable[[], T], what: str) -> T:
        try:
            return call()
        except Exception as error:
            raise PublishError(f"{self.where} could not be {what}: {reason(error)}.") from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """The bar of an upload in the background would tear training's own bar apart."""
    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def _title(name: str) -> str:
    return f"Publish {name}"
