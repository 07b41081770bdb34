"""The commit that registered a file of claims, in real repositories."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_clipdyn.report.provenance import registration


def claims_text(*, title: str = "a title", start: float = 0.9, effect: float = 0.1) -> str:
    part = f"title: {title}, endpoint: m, weights: {{late: 1}}, smallest_effect: {effect}"
    return f"""
title: {title}
level: 0.05
windows: {{late: {{shares: [{start}, 1]}}}}
endpoints: {{m: {{kind: noise, dataset: procedural, metric: accuracy}}}}
claims:
  - {{number: 1, title: {title}, notes: [{title}], parts: [{{{part}}}]}}
"""


@dataclass
class Repository:
    """A repository with a file of claims; each commit is a minute after the last."""

    top: Path
    minutes: int = 0

    @property
    def file(self) -> Path:
        return self.top / "plans" / "claims.yaml"

    def git(self, *words: str) -> str:
        """What git prints."""
        when = f"2026-01-01T00:{self.minutes:02d}:00+0000"
        names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        times = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        done = subprocess.run(
            ["git", *words],
            cwd=self.top,
            env={**os.environ, **names, **times},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, text: str | None = None) -> str:
        """Commit all files, with this text of the claims; returns the commit."""
        if text is not None:
            self.file.parent.mkdir(exist_ok=True)
            self.file.write_text(text)
        self.minutes += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        return self.git("rev-parse", "HEAD")

    def registered(self, file: Path | None = None) -> str:
        """The commit that registered the file; empty if unknown."""
        found = registration(file or self.file)
        return "" if found is None else found.commit


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.top.mkdir()
    made.git("init", "--quiet", "--initial-branch", "main")
    return made


def test_the_last_commit_that_changed_the_file_registered_it(repository):
    repository.commit(claims_text(effect=0.2))
    registered = repository.commit(claims_text())
    assert repository.commit() != registered, "a commit that leaves the file alone"
    assert repository.registered() == registered
    found = registration(repository.file)
    assert found is not None
    assert found.time == "2026-01-01T00:02:00+00:00"


def test_a_change_without_a_commit_registers_nothing(repository, tmp_path):
    repository.commit(claims_text())
    repository.file.write_text(claims_text(start=0.8))
    assert repository.registered() == ""
    for name in ("new.yaml", "*.yaml"):
        other = repository.file.with_name(name)
        other.write_text(claims_text())
        assert repository.registered(other) == "", "never committed"
    (tmp_path / "claims.yaml").write_text(claims_text())
    assert repository.registered(tmp_path / "claims.yaml") == "", "in no repository"


def test_a_history_that_is_cut_registers_nothing(repository, tmp_path):
    repository.commit(claims_text())
    repository.commit()
    shallow = Repository(tmp_path / "shallow")
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.top}", str(shallow.top))
    assert shallow.registered() == ""
