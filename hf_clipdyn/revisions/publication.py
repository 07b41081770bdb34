"""How a revision is published: one algorithm for every target, on the few primitives of `Repository`.

The order is commit, compare, branch, update `main`. With the branch first, a failed commit leaves a branch with
the weights of `main`: public suites serve wrong weights for that reason. Every step can be repeated: it does nothing
that an interrupted call has already done.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import PublishError, RevisionNotFoundError
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, ManifestRow
from hf_clipdyn.revisions.repository import (
    MAIN,
    WEIGHTS_FILES,
    FileRecord,
    ReadableRepository,
    Repository,
    StoredFile,
    read_manifest,
    sha256_of,
)


@dataclass(frozen=True)
class Snapshot:
    """A revision ready to be published.

    Attributes:
        files: path in the repository to file on disk, card included, `revisions.json` excluded: that one
            depends on what else the target holds.
        row: its row in the manifest.
        run: the manifest of the run that made it, without rows.
    """

    files: Mapping[str, Path]
    row: ManifestRow
    run: Manifest


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder as `Snapshot` wants them, sorted."""
    root = folder.resolve()
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not path.resolve().is_relative_to(root):
            raise PublishError(f"{path} is a link to a file elsewhere: put the file itself in its place.")
        files[path.relative_to(folder).as_posix()] = path.resolve()
    files.pop(MANIFEST_FILE, None)
    return files


def publish(target: Repository, snapshot: Snapshot) -> str:
    """Publish a revision, whole or not at all, and update `main`; returns its commit.

    A repeat changes nothing.
    """
    name, refs = snapshot.row.name, _refs(target)
    manifest = read_manifest(target, refs.get(MAIN))
    after = _manifest_after(manifest, snapshot, target.where)
    if name in refs:
        _require_same(target, snapshot, refs[name])
        commit = refs[name]
    else:
        commit = _earlier_commit(target, snapshot, manifest) or target.commit(
            name, snapshot.files, after, refs.get(MAIN)
        )
        _compare(target, snapshot, commit)
        target.set_ref(name, commit)
        served = target.refs().get(name)
        if served != commit:
            _require_same(target, snapshot, served)
    update_main(target, after)
    return commit


def replace(target: Repository, snapshot: Snapshot, manifest: Manifest) -> str:
    """Publish a revision with this manifest even if its name serves something else: no other call moves a name."""
    commit = target.commit(snapshot.row.name, snapshot.files, manifest, _refs(target).get(MAIN))
    _compare(target, snapshot, commit)
    target.set_ref(snapshot.row.name, commit, move=True)
    return commit


def update_main(target: Repository, manifest: Manifest) -> bool:
    """Give `main` this manifest and the files of its newest revision; returns whether anything had to be done."""
    refs = target.refs()
    newest, main = manifest.newest, refs.get(MAIN)
    files = _files(target, main)
    base = main if files else None
    if newest is not None and newest.name in refs and refs[newest.name] != base:
        source = refs[newest.name]
        others = {commit for name, commit in refs.items() if name not in (MAIN, newest.name)}
        outdated = base is None or base in others or sha256_of(target, base) != newest.sha256
        if outdated and sha256_of(target, source) == newest.sha256:
            base = source
    if base is None or (
        base == main
        and MANIFEST_FILE in files
        and target.read(base, MANIFEST_FILE) == manifest.dumps().encode()
    ):
        return False
    copied = {path: StoredFile(base, path) for path in target.files(base) if path != MANIFEST_FILE}
    commit = target.commit(MAIN, copied, manifest, main)
    if target.refs().get(MAIN) != commit:
        target.set_ref(MAIN, commit, move=True)
    return True


def content_differs(target: ReadableRepository, commit: str, path: str, record: FileRecord) -> bool:
    """Whether a file, read as a whole, has another hash than the target's metadata say."""
    with target.fetched(commit, path) as file:
        return not record.describes(file)


def _refs(target: Repository) -> dict[str, str]:
    try:
        return target.refs()
    except RevisionNotFoundError:
        return {}


def _files(target: Repository, commit: str | None) -> dict[str, FileRecord]:
    try:
        return target.files(commit) if commit is not None else {}
    except RevisionNotFoundError:
        return {}


def _manifest_after(manifest: Manifest | None, snapshot: Snapshot, where: str) -> Manifest:
    """The manifest once ``snapshot`` is published; raises what `publish` says."""
    published = manifest.revisions if manifest is not None else ()
    if manifest is not None and manifest.run_id != snapshot.run.run_id:
        raise PublishError(
            f"{where} contains the revisions of another run: choose another repository, "
            "or continue that run in its own output_dir."
        )
    return dataclasses.replace(snapshot.run, revisions=published).with_row(snapshot.row)


def _require_same(target: Repository, snapshot: Snapshot, commit: str | None) -> None:
    """Raise `PublishError` if an existing branch has other weights; it is never moved silently."""
    if commit is None or sha256_of(target, commit) != snapshot.row.sha256:
        raise PublishError(
            f"{snapshot.row.name} exists in {target.where} with other weights and was not replaced: inspect it with "
            "`clipdyn verify`, then delete it there or run `clipdyn repair`."
        )


def _earlier_commit(target: Repository, snapshot: Snapshot, manifest: Manifest | None) -> str | None:
    """The commit of an attempt that was interrupted before its branch was made."""
    row = manifest.row(snapshot.row.name) if manifest is not None else None
    if row is None or row.sha256 != snapshot.row.sha256:
        return None
    for commit in target.commits_of(snapshot.row.name):
        try:
            _compare(target, snapshot, commit)
        except (PublishError, RevisionNotFoundError):
            continue  # a damaged commit, or one that lacks a file
        return commit
    return None


def _compare(target: Repository, snapshot: Snapshot, commit: str) -> None:
    """Raise `PublishError` if the target's metadata of a file differ from what was sent."""
    served = target.files(commit)
    for path, source in snapshot.files.items():
        record = served.get(path)
        if record is None or record.size != source.stat().st_size:
            right = False
        elif path in WEIGHTS_FILES and record.sha256 is not None:
            right = record.sha256 == snapshot.row.sha256
        else:
            right = record.describes(source)
        if not right:
            raise PublishError(
                f"{path} of {snapshot.row.name} arrived incomplete or changed in {target.where} (commit {commit}): "
                "no branch was made."
            )
