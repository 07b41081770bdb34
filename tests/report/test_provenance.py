"""The commit that registered the claims of a file, in real repositories."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_clipdyn.report.provenance import registration
from hf_clipdyn.statistics.claims import read_claims


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
        """The commit that registered what the file says now; empty if unknown."""
        path = file or self.file
        found = registration(read_claims(path), path)
        return "" if found is None else found.commit


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.top.mkdir()
    made.git("init", "--quiet", "--initial-branch", "main")
    return made


def test_new_words_do_not_register_anew_and_a_new_effect_does(repository):
    repository.commit(claims_text(effect=0.2))
    registered = repository.commit(claims_text())
    assert repository.commit() != registered, "a commit that leaves the file alone"
    repository.commit(claims_text(title="better words") + "# a comment\n")
    assert repository.registered() == registered
    found = registration(read_claims(repository.file), repository.file)
    assert found is not None
    assert found.time == "2026-01-01T00:02:00+00:00"
    again = repository.commit(claims_text(effect=0.2))
    assert repository.registered() == again, "the earlier plan was not in force all the time"


def test_a_change_without_a_commit_registers_nothing_but_words_may_change(repository, tmp_path):
    repository.commit("level: two\n")  # a version that cannot be read registers something else
    registered = repository.commit(claims_text())
    repository.file.write_text(claims_text(title="better words"))
    assert repository.registered() == registered
    repository.file.write_text(claims_text(start=0.8))
    assert repository.registered() == ""
    repository.file.with_name("new.yaml").write_text(claims_text())
    assert repository.registered(file=repository.file.with_name("new.yaml")) == "", "never committed"
    (tmp_path / "claims.yaml").write_text(claims_text())
    assert repository.registered(file=tmp_path / "claims.yaml") == "", "in no repository"


def test_a_branch_that_kept_the_earlier_plan_is_not_asked_after_its_merge(repository):
    repository.commit(claims_text(effect=0.2))
    repository.git("checkout", "--quiet", "-b", "words")
    repository.commit("# a comment\n" + claims_text(effect=0.2))
    repository.git("checkout", "--quiet", "main")
    registered = repository.commit(claims_text())
    repository.git("checkout", "--quiet", "words")
    repository.commit("# another comment\n" + claims_text(effect=0.2))  # later than the registration
    repository.git("checkout", "--quiet", "main")
    repository.minutes += 1
    repository.git("merge", "--quiet", "words")
    assert repository.file.read_text().startswith("# another comment")
    assert repository.registered() == registered


def test_a_moved_file_keeps_its_registration_and_a_shallow_history_has_none(repository, tmp_path):
    registered = repository.commit(claims_text())
    repository.git("mv", "plans/claims.yaml", "moved.yaml")
    repository.commit()
    assert repository.registered(file=repository.top / "moved.yaml") == registered
    repository.git("rm", "--quiet", "moved.yaml")
    repository.commit()
    again = repository.commit(claims_text())
    assert repository.registered() == again, "it was away for a while"
    shallow = Repository(tmp_path / "shallow")
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.top}", str(shallow.top))
    assert shallow.registered() == ""
