"""The Hub: one commit on `main` with everything, then a branch at exactly that commit.

The other order, branch first, is how public suites came to serve wrong weights: if the commit fails,
the branch exists and carries what `main` had. Every step here can be repeated: what an interrupted
or doubtful call has already done is found again and not done twice.
"""

from collections.abc import Callable, Iterator
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
from huggingface_hub.utils.sha import git_hash

from hf_clipdyn.errors import ConfigError, PublishError, RevisionError, RevisionNotFoundError
from hf_clipdyn.hub import RetryPolicy, attempt, limit_waiting, reason, status_of
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.revisions.repository import (
    MAIN,
    WEIGHTS_FILE,
    FileRecord,
    Snapshot,
    manifest_after,
    read_manifest,
    require_same,
    weights_of,
)

__all__ = ["HubRepository"]

T = TypeVar("T")


class HubRepository:
    """One model repository on the Hub.

    Args:
        repo_id: `owner/name`.
        token: None for the one that `hf auth login` or HF_TOKEN gives.
        private: create it as a private one.
        retries: how each call is repeated; `patience=0` leaves that to the caller.
        repo_type: `model`, or `dataset` for checkpoints that lie in a data-set repository (reading only).
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
        self.repo_id = repo_id
        self._private = private
        self._token = token
        self._type = repo_type
        self._retries = retries or RetryPolicy(patience=60.0)
        self._api = HfApi(token=token)
        limit_waiting(self._retries.timeout)

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

    def absent_files(self, commit: str) -> list[str]:
        del commit
        return []  # on the Hub the listing and the files are one

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

    def fetch(self, commit: str, path: str, folder: Path) -> Path:
        return Path(
            self._ask(
                lambda: hf_hub_download(
                    self.repo_id,
                    path,
                    revision=commit,
                    repo_type=self._type,
                    cache_dir=folder,  # not the user's cache: it may hold what the Hub serves no longer
                    token=self._token,
                    endpoint=self._api.endpoint,
                )
            )
        )

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return attempt(call, self._retries)
        except (RepositoryNotFoundError, NoRevisionOnHubError, EntryNotFoundError) as error:
            raise RevisionNotFoundError(
                f"{self.where} does not exist, lacks what was asked for, or the token may not see it "
                f"({reason(error)})."
            ) from error
        except Exception as error:
            raise RevisionError(f"{self.where} could not be read: {reason(error)}.") from error

    # --- writing ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Create the repository if need be, and find out whether the token may write to it.

        Raises:
            ConfigError: the name has no owner.
            PublishError: it may not.
        """
        if "/" not in self.repo_id:
            raise ConfigError(f"{self.repo_id!r} cannot be pushed to the Hub: give it as owner/name.")

        def check() -> None:
            self._api.create_repo(self.repo_id, private=self._private or None, exist_ok=True)
            self._api.auth_check(self.repo_id, write=True)

        try:
            attempt(check, self._retries)
        except LocalTokenNotFoundError as error:
            raise PublishError("There is no token for the Hub: log in with `hf auth login`.") from error
        except Exception as error:
            if status_of(error) in (401, 403):
                raise PublishError(
                    f"The token may not write to {self.where} ({reason(error)}): "
                    "give one with write permission, by `hf auth login` or hub_token."
                ) from error
            raise PublishError(f"{self.where} cannot be used: {reason(error)}.") from error

    def clean(self) -> None:
        """Nothing is left behind on the Hub that a repeat would not find."""

    def publish(self, snapshot: Snapshot) -> str:
        name = snapshot.row.name
        refs = self.refs()
        manifest = read_manifest(self, refs)
        after = manifest_after(manifest, snapshot, self.where)
        if name in refs:
            require_same(snapshot, weights_of(self.files(refs[name])), self.where)
            commit = refs[name]
        else:
            commit = self._earlier_commit(snapshot, manifest) or self._commit(snapshot, after, refs[MAIN])
            self._compare(snapshot, commit)
            self._branch(snapshot, commit)
        self._settle_main(after, commit)
        return commit

    def replace(self, snapshot: Snapshot, manifest: Manifest) -> str:
        refs = self.refs()
        commit = self._commit(snapshot, manifest, refs[MAIN])
        self._compare(snapshot, commit)
        if snapshot.row.name in refs:
            self._write(lambda: self._api.delete_branch(self.repo_id, branch=snapshot.row.name), "changed")
        self._branch(snapshot, commit)
        return commit

    def settle_main(self, newest: Snapshot | None, manifest: Manifest) -> None:
        del newest  # it is a branch of the Hub, and copied there
        self._settle_main(manifest, commit="")

    def _earlier_commit(self, snapshot: Snapshot, manifest: Manifest | None) -> str | None:
        """The commit of an attempt that was cut off before its branch: applied, but nobody heard of it."""
        held = manifest.row(snapshot.row.name) if manifest is not None else None
        if held is None or held.sha256 != snapshot.row.sha256:
            return None
        history = self._ask(lambda: self._api.list_repo_commits(self.repo_id))
        for commit in history:
            if commit.title == _title(snapshot.row.name):
                weights = weights_of(self.files(commit.commit_id))
                if weights is not None and weights.sha256 == snapshot.row.sha256:
                    return commit.commit_id
        return None

    def _commit(self, snapshot: Snapshot, after: Manifest, parent: str) -> str:
        operations = [
            CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(source))
            for path, source in snapshot.files().items()
        ]
        operations.append(_manifest_operation(after))
        with _no_progress_bars():
            info = self._write(
                lambda: self._api.create_commit(
                    self.repo_id, operations, commit_message=_title(snapshot.row.name), parent_commit=parent
                ),
                f"given {snapshot.row.name}",
            )
        return str(info.oid)

    def _compare(self, snapshot: Snapshot, commit: str) -> None:
        """Compare the server's own record of each file with what was sent."""
        served = self.files(commit)
        for path, source in snapshot.files().items():
            record = served.get(path)
            size = source.stat().st_size
            if path == WEIGHTS_FILE:
                right = record is not None and (record.sha256, record.size) == (snapshot.row.sha256, size)
            elif record is not None and record.sha256 is None:
                right = record.blob == git_hash(source.read_bytes())
            else:
                right = record is not None and record.size == size
            if not right:
                raise PublishError(
                    f"{path} of {snapshot.row.name} is not in {self.where} as it was sent (commit {commit}): "
                    "no branch was made."
                )

    def _branch(self, snapshot: Snapshot, commit: str) -> None:
        name = snapshot.row.name
        try:
            self._write(
                lambda: self._api.create_branch(self.repo_id, branch=name, revision=commit),
                f"given the branch {name}",
            )
        except PublishError as error:
            if status_of(error) != 409:
                raise
        held = self.refs().get(name)
        if held != commit:
            require_same(snapshot, weights_of(self.files(held)) if held else None, self.where)

    def _settle_main(self, after: Manifest, commit: str) -> None:
        """Let `main` have the whole manifest and the weights of the newest revision, whichever came last."""
        refs = self.refs()
        newest = after.newest
        assert newest is not None, "a revision was published just now"
        if refs[MAIN] == commit == refs.get(newest.name):
            return
        operations: list[CommitOperationAdd | CommitOperationCopy] = []
        files = self.files(refs[MAIN])
        if MANIFEST_FILE not in files or self.read(refs[MAIN], MANIFEST_FILE) != after.dumps().encode():
            operations.append(_manifest_operation(after))
        held = weights_of(files)
        if newest.name in refs and (held is None or held.sha256 != newest.sha256):
            operations += [
                CommitOperationCopy(path, path, src_revision=refs[newest.name])
                for path in self.files(refs[newest.name])
                if path not in (MANIFEST_FILE, ".gitattributes")
            ]
        if operations:
            self._write(
                lambda: self._api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message=f"Let main equal {newest.name}",
                    parent_commit=refs[MAIN],
                ),
                "brought up to date",
            )

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


def _manifest_operation(manifest: Manifest) -> CommitOperationAdd:
    return CommitOperationAdd(path_in_repo=MANIFEST_FILE, path_or_fileobj=manifest.dumps().encode())
