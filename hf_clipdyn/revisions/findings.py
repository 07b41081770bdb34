"""What `clipdyn verify` reports, as a table for people and as JSON for programs."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

from hf_clipdyn.errors import counted, printable

__all__ = ["Finding", "Report"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        revision: the revision it concerns; `main` or `revisions.json` for the whole.
        kind: the kind of fault in a fixed word, for programs.
        message: a sentence for people.
    """

    revision: str
    kind: str
    message: str


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        where: name and location of the repository.
        revisions: the names that were checked, in order.
        findings: what is wrong; empty if nothing is.
        has_manifest: False for suites that this package did not publish.
        deep: whether files were read and hashed.
        hashed: the revisions whose files were all compared with a recorded hash; empty without ``deep``.
        checkpoints: numbered weight files on `main`, which are checked too if there is no manifest.
    """

    where: str
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    has_manifest: bool
    deep: bool
    hashed: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()

    def render(self, *, as_json: bool = False) -> str:
        """A table with a line per revision and the findings, or JSON."""
        if as_json:
            return json.dumps({**asdict(self), "ok": not self.findings}, indent=1)
        by_revision: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_revision[finding.revision].append(finding)
        names = list(dict.fromkeys([*self.revisions, *by_revision]))
        width = min(max((len(name) for name in names), default=0), 60)
        lines = []
        for name in names:
            found = by_revision[name]
            lines.append(f"{name.ljust(width)}  {', '.join(item.kind for item in found) or 'ok'}")
            lines += [f"{' ' * width}    {item.message}" for item in found]
        return "\n".join(printable(line) for line in [*lines, self._summary()])

    def _summary(self) -> str:
        parts = [counted(len(self.revisions), "revision")]
        if not self.has_manifest:
            parts.append("no manifest")
        if self.checkpoints:
            parts.append(counted(len(self.checkpoints), "checkpoint file") + " on main")
        kinds = Counter(finding.kind for finding in self.findings)
        each = f": {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}" if kinds else ""
        parts.append(counted(len(self.findings), "finding") + each)
        return f"{self.where}: {', '.join(parts)} ({self._how()})."

    def _how(self) -> str:
        if not self.deep:
            return "from metadata; --deep hashes the files themselves"
        others = [name for name in self.revisions if name not in self.hashed]
        if not others:
            return "file contents hashed"
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return (
            f"file contents hashed in {len(self.hashed)} of {len(self.revisions)} revisions; "
            f"files are missing or have no recorded hash in {', '.join(others[:3])}{more}"
        )
