"""The Hub: a commit is made on `main` with everything, and a branch points at exactly that commit."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, HfApi, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalTokenNotFoundError, RepositoryNotFoundError
from huggingface_hub.errors import RevisionNotFoundError as NoRevisionOnHubError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as re-exported
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    hf_raise_for_status,
)

from hf_clipdyn.errors import ClipDynError, PublishError, RevisionError, RevisionNotFoundError
from hf_clipdyn.hub import (
    RetryPolicy,
    answered,
    attempt,
    check_private,
    is_unreachable,
    reason,
    status_of,
)
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.revisions.repository import MAIN, FileRecord, StoredFile

T = TypeVar("T")


class HubRepository:
    """One model repository on the Hub: a `Repository`."""

    on_disk = False

    def __init__(
        self,
        repo_id: str,
        *,
        token: str | None = None,
        private: bool = False,
        retries: RetryPolicy | None = None,
    ) -> None:
        self.repo_id = repo_id
        self.where = f"{repo_id} on the Hub"
        self._private, self._is_checked = private, False
        self._token = token
        self._retries = retries or RetryPolicy(patience=60.0)
        self._api = HfApi(token=token)
        self._reached = False  # whether the Hub has ever answered here

    # --- reading ------------------------------------------------------------------------------------

    def refs(self) -> dict[str, str]:
        listed = self._ask(lambda: self._api.list_repo_refs(self.repo_id))
        return dict(
            checked_ref(ref.name, ref.target_commit, self.where) for ref in [*listed.tags, *listed.branches]
        )

    def files(self, commit: str) -> dict[str, FileRecord]:
        listing = self._ask(
            lambda: list(self._api.list_repo_tree(self.repo_id, recursive=True, revision=commit))
        )
        return {
            item.path: FileRecord(item.size, item.blob_id, item.lfs.sha256 if item.lfs else None)
            for item in listing
            if isinstance(item, RepoFile)
        }

    def read(self, commit: str, path: str) -> bytes:
        url = hf_hub_url(self.repo_id, path, revision=commit, endpoint=self._api.endpoint)
        headers = dict(build_hf_headers(token=self._token))

        def get() -> bytes:
            session = get_session()
            timeout = self._retries.timeout if session.timeout.read is None else session.timeout
            response = session.get(url, headers=headers, timeout=timeout)
            hf_raise_for_status(response)
            return bytes(response.content)

        return self._ask(get, limited=False)  # it limits each wait

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        # Not from the user's cache: it may hold what the Hub no longer serves.
        with tempfile.TemporaryDirectory() as folder:
            download = partial(
                self._api.hf_hub_download, self.repo_id, path, revision=commit, cache_dir=folder
            )
            yield Path(self._ask(download, limited=False))

    def absent_files(self, commit: str) -> list[str]:  # noqa: ARG002
        return []  # the Hub serves what it lists

    def _attempt(self, call: Callable[[], T], *, limited: bool = True) -> T:
        try:
            answer = attempt(call, self._retries, reached=self._reached, limited=limited)
        except Exception as error:
            self._reached = self._reached or not is_unreachable(error)
            raise
        self._reached = True
        return answer

    def _ask(self, call: Callable[[], T], *, limited: bool = True) -> T:
        try:
            return self._attempt(call, limited=limited)
        except (RepositoryNotFoundError, NoRevisionOnHubError, EntryNotFoundError) as error:
            raise RevisionNotFoundError(
                f"{self.where} does not exist, lacks this revision or file, or the token may not read it "
                f"({reason(error)})."
            ) from error
        except ClipDynError:
            raise
        except Exception as error:
            raise RevisionError(f"{self.where} could not be read: {reason(error)}.") from error

    # --- writing ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Create the repository if it does not exist; check that the token may write, and that it is private if asked.

        Raises:
            ConfigError: it is public, and a private one was asked for.
        """

        def check() -> None:
            self._api.create_repo(self.repo_id, private=self._private or None, exist_ok=True)
            self._api.auth_check(self.repo_id, write=True)
            self._check_private()

        try:
            self._attempt(check)
        except ClipDynError:
            raise
        except LocalTokenNotFoundError as error:
            raise PublishError("There is no token for the Hub: log in with `hf auth login`.") from error
        except Exception as error:
            if status_of(error) in (401, 403):
                raise PublishError(
                    f"The token may not write to {self.where} ({reason(error)}): "
                    "give one with write permission, by `hf auth login` or hub_token."
                ) from error
            raise PublishError(f"{self.where} cannot be used: {reason(error)}.") from error

    def _check_private(self) -> None:
        if self._private and not self._is_checked:
            check_private(self._api, self.repo_id)
            self._is_checked = True

    def clean(self) -> None:
        """An interrupted publisher leaves nothing behind."""

    def commit(
        self, name: str, files: Mapping[str, Path | StoredFile], manifest: Manifest, parent: str | None
    ) -> str:
        self._ask(self._check_private)  # a loop of somebody's own may not have called `check`
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
                    commit_message=_title(name) if name != MAIN else f"Set main to {newest}",
                    parent_commit=parent,
                ),
                f"{name} could not be published to" if name != MAIN else "main could not be updated in",
            )
        return str(info.oid)

    def set_ref(self, name: str, commit: str, *, move: bool = False) -> None:
        if move and name in self.refs():
            self._write(
                lambda: self._api.delete_branch(self.repo_id, branch=name),  # a late one would do harm
                f"The branch {name} could not be deleted in",
            )
        try:
            self._write(
                lambda: answered(
                    lambda: self._api.create_branch(self.repo_id, branch=name, revision=commit),
                    self._retries.timeout,
                ),
                f"The branch {name} could not be created in",
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
            raise PublishError(f"{what} {self.where}: {reason(error)}.") from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """The bar of an upload in the background would break training's own bar."""
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
