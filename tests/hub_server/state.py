"""What a Hub holds: repositories with commits, branches and tags; large files by hash."""

import hashlib
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 1, tzinfo=UTC)
_LARGE = (".safetensors", ".bin", ".pt", ".pth", ".parquet", ".arrow", ".png", ".zip")


def is_large(path: str, size: int) -> bool:
    """Whether a new repository's .gitattributes and the limit of 10 MiB send a file to the large storage."""
    return path.endswith(_LARGE) or size > 10 * 2**20


@dataclass(frozen=True)
class File:
    """One file of a commit; ``sha256`` is set if it lies in the large storage."""

    size: int
    oid: str
    sha256: str | None = None
    content: bytes | None = None

    @classmethod
    def small(cls, content: bytes) -> "File":
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return cls(len(content), oid, content=content)

    @classmethod
    def large(cls, sha256: str, size: int) -> "File":
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return cls(size, File.small(pointer.encode()).oid, sha256=sha256)

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    date: datetime
    tree: dict[str, File]


@dataclass
class Repo:
    """A repository; the first commit is the Hub's own, with `.gitattributes` and, in a Space, its ``first`` files."""

    kind: str
    id: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    first: InitVar[dict[str, File] | None] = None

    def __post_init__(self, first: dict[str, File] | None) -> None:
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LARGE)
        files = {".gitattributes": File.small(attributes.encode()), **(first or {})}
        self.commit("main", "initial commit", files)

    def resolve(self, revision: str) -> Commit | None:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def commit(self, branch: str, title: str, tree: dict[str, File]) -> Commit:
        """Put a tree on a branch as a new commit."""
        parent = self.branches.get(branch)
        number = len(self.commits)
        listing = "".join(f"{path}\0{tree[path].oid}\n" for path in sorted(tree))
        oid = hashlib.sha1(f"{self.id} {number} {parent} {title}\n{listing}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, _START + timedelta(seconds=number), tree)
        self.branches[branch] = oid
        return self.commits[oid]

    def history(self, oid: str) -> list[Commit]:
        """The commits that lead to one, newest first."""
        found = []
        while oid in self.commits:
            found.append(self.commits[oid])
            oid = self.commits[oid].parent or ""
        return found


class State:
    """Everything that survives a restart of the server."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.large: dict[str, bytes] = {}

    def content(self, file: File) -> bytes:
        return file.content if file.content is not None else self.large[file.sha256 or ""]

    def stored(self, content: bytes) -> File:
        """A file whose content is in the large storage."""
        name = hashlib.sha256(content).hexdigest()
        self.large[name] = content
        return File.large(name, len(content))


def spoil_head(state: State, repo: Repo, path: str) -> None:
    """Give a file of the newest commit another content, as a server with a fault might."""
    tree = repo.commits[repo.branches["main"]].tree
    content = state.content(tree[path])[::-1]
    tree[path] = File.small(content) if tree[path].sha256 is None else state.stored(content)
