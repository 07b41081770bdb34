"""How a revision is published: one algorithm for every place, over the few primitives of `Repository`.

Commit, compare, branch, settle `main`, in this order. The other order, branch first, is how public suites
came to serve wrong weights: if the commit fails, the branch exists and carries what `main` had. Every step
can be repeated: what an interrupted or doubtful call has already done is found again and not done twice.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import PublishError, RevisionNotFoundError
from hf_clipdyn.revisions.files import file_git_hash, file_sha256
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, ManifestRow
from hf_clipdyn.revisions.repository import (
    MAIN,
    WEIGHTS_FILE,
    FileRecord,
    Held,
    Repository,
    read_manifest,
    sha256_of,
)

__all__ = [
    "IdenticalWeightsError",
    "Snapshot",
    "content_differs",
    "files_of",
    "publish",
    "replace",
    "settle_main",
]


@dataclass(frozen=True)
class Snapshot:
    """A revision ready to be published.

    Attributes:
        files: path in the repository to file on disk, card included, `revisions.json` excluded: that one
            depends on what else the place holds.
        row: what the manifest will say of it.
        run: the manifest of the run that made it, without rows.
    """

    files: Mapping[str, Path]
    row: ManifestRow
    run: Manifest


class IdenticalWeightsError(PublishError):
    """The revision has the weights of another one, which nobody asked for."""


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder as `Snapshot` wants them, sorted.

    Raises:
        PublishError: one is a link to a file elsewhere, which nobody meant to publish.
    """
    root = folder.resolve()
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not path.resolve().is_relative_to(root):
            raise PublishError(f"{path} is a link to a file elsewhere: put the file itself in its place.")
        files[path.relative_to(folder).as_posix()] = path.resolve()
    files.pop(MANIFEST_FILE, None)
    return files


def publish(place: Repository, snapshot: Snapshot) -> str:
    """Publish a revision whole, or not at all, and let `main` account for it; returns its commit.

    A repeat changes nothing.

    Raises:
        PublishError: the name is taken by other weights, or the place holds another run.
        IdenticalWeightsError: another revision has the same weights, and that was not allowed.
        RevisionError: the place cannot be read.
    """
    name = snapshot.row.name
    try:
        refs = place.refs()
    except RevisionNotFoundError:
        refs = {}
    manifest = read_manifest(place, refs)
    after = _manifest_after(manifest, snapshot, place.where)
    if name in refs:
        _require_same(place, snapshot, refs[name])
        commit = refs[name]
    else:
        commit = _earlier_commit(place, snapshot, manifest) or place.commit(
            name, snapshot.files, after, refs.get(MAIN)
        )
        _compare(place, snapshot, commit)
        place.set_ref(name, commit)
        held = place.refs().get(name)
        if held != commit:
            _require_same(place, snapshot, held)
    settle_main(place, after)
    return commit


def replace(place: Repository, snapshot: Snapshot, manifest: Manifest) -> str:
    """Publish a revision with this manifest, whatever its name served: the one case in which a name moves."""
    try:
        parent = place.refs().get(MAIN)
    except RevisionNotFoundError:
        parent = None
    commit = place.commit(snapshot.row.name, snapshot.files, manifest, parent)
    _compare(place, snapshot, commit)
    place.set_ref(snapshot.row.name, commit, move=True)
    return commit


def settle_main(place: Repository, manifest: Manifest) -> bool:
    """Let `main` have this manifest and the files of its newest revision, whichever came last.

    Returns:
        Whether anything had to be done.
    """
    refs = place.refs()
    newest, main = manifest.newest, refs.get(MAIN)
    files = _files(place, main)
    base = main if files else None
    if newest is not None and newest.name in refs and refs[newest.name] != base:
        source = refs[newest.name]
        others = {commit for name, commit in refs.items() if name not in (MAIN, newest.name)}
        outdated = base is None or base in others or sha256_of(place, base) != newest.sha256
        if outdated and sha256_of(place, source) == newest.sha256:
            base = source
    if base is None or (base == main and not _lacks_manifest(place, base, files, manifest)):
        return False
    copied = {path: Held(base, path) for path in place.files(base) if path != MANIFEST_FILE}
    commit = place.commit(MAIN, copied, manifest, main)
    if place.refs().get(MAIN) != commit:
        place.set_ref(MAIN, commit, move=True)
    return True


def content_differs(place: Repository, commit: str, path: str, record: FileRecord) -> bool:
    """Whether a file, read as a whole, does not hash to what the place records of it."""
    with place.fetched(commit, path) as file:
        return not _is(record, file)


def _is(record: FileRecord, file: Path) -> bool:
    if record.sha256 is not None:
        return record.sha256 == file_sha256(file)
    return record.blob == file_git_hash(file)


def _files(place: Repository, commit: str | None) -> dict[str, FileRecord]:
    try:
        return place.files(commit) if commit is not None else {}
    except RevisionNotFoundError:
        return {}


def _lacks_manifest(
    place: Repository, commit: str, files: Mapping[str, FileRecord], manifest: Manifest
) -> bool:
    return MANIFEST_FILE not in files or place.read(commit, MANIFEST_FILE) != manifest.dumps().encode()


def _manifest_after(manifest: Manifest | None, snapshot: Snapshot, where: str) -> Manifest:
    """The manifest once ``snapshot`` is published.

    Raises:
        PublishError: the repository holds another run, or the same weights under another name.
    """
    row, held = snapshot.row, manifest.rows if manifest is not None else ()
    if manifest is not None and manifest.run_id != snapshot.run.run_id:
        raise PublishError(
            f"{where} holds the revisions of another run: choose another repository, "
            "or continue that run in its own output_dir."
        )
    twins = [other.name for other in held if other.sha256 == row.sha256 and other.name != row.name]
    if twins and not row.identical_allowed:
        raise IdenticalWeightsError(
            f"{row.name} has the very weights of {twins[0]} in {where}: training changed nothing "
            "between them. Ask for identical revisions if this is meant."
        )
    return dataclasses.replace(snapshot.run, rows=held).with_row(row)


def _require_same(place: Repository, snapshot: Snapshot, commit: str | None) -> None:
    """Accept a revision that is there already, if it is this one.

    Raises:
        PublishError: the name is taken by other weights; it is never moved silently.
    """
    if commit is None or sha256_of(place, commit) != snapshot.row.sha256:
        raise PublishError(
            f"{snapshot.row.name} exists in {place.where} with other weights and is not moved: "
            "look at it with `clipdyn verify`, then delete it there or run `clipdyn repair`."
        )


def _earlier_commit(place: Repository, snapshot: Snapshot, manifest: Manifest | None) -> str | None:
    """The commit of an attempt that was cut off before its branch: applied, but nobody heard of it."""
    held = manifest.row(snapshot.row.name) if manifest is not None else None
    if held is None or held.sha256 != snapshot.row.sha256:
        return None
    for commit in place.commits_of(snapshot.row.name):
        try:
            _compare(place, snapshot, commit)
        except (PublishError, RevisionNotFoundError):
            continue  # a damaged commit, or one that lacks a file
        return commit
    return None


def _compare(place: Repository, snapshot: Snapshot, commit: str) -> None:
    """Compare the place's own record of each file with what was sent.

    Raises:
        PublishError: a file is not there as it was sent.
    """
    served = place.files(commit)
    for path, source in snapshot.files.items():
        record = served.get(path)
        if record is None or record.size != source.stat().st_size:
            right = False
        elif path == WEIGHTS_FILE and record.sha256 is not None:
            right = record.sha256 == snapshot.row.sha256
        else:
            right = _is(record, source)
        if not right:
            raise PublishError(
                f"{path} of {snapshot.row.name} is not in {place.where} as it was sent (commit {commit}): "
                "no branch was made."
            )
