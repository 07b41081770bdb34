"""The commit that registered a file of claims, in real repositories."""

import os
import subprocess
from itertools import count

import pytest

from hf_clipdyn.report.provenance import registration

CLAIMS = """
title: a title
windows: {late: {shares: [0.9, 1]}}
endpoints: {m: {kind: noise, dataset: procedural, metric: accuracy}}
claims: [{number: 1, title: a title, parts: [{title: a, endpoint: m, weights: {late: 1}, smallest_effect: 0.1}]}]
"""


@pytest.fixture
def git(tmp_path):
    """`git(*words)`: what git prints in a repository; each call is a minute after the last."""
    minutes, top = count(), tmp_path / "repository"
    top.mkdir()

    def run(*words):
        when = f"2026-01-01T00:{next(minutes):02d}:00+0000"
        names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, **names, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        return subprocess.run(
            ["git", *words], cwd=top, env=env, capture_output=True, text=True, check=True
        ).stdout

    run("init", "--quiet", "--initial-branch", "main")
    return run


@pytest.fixture
def file(git, tmp_path):
    """Claims that two commits made, before a third one that leaves them alone."""
    path = tmp_path / "repository" / "claims.yaml"
    for text in (CLAIMS.replace("0.1", "0.2"), CLAIMS, CLAIMS):
        path.write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", "x")
    return path


def test_the_last_commit_that_changed_the_file_registered_it(git, file):
    found = registration(file)
    assert found.commit == git("rev-parse", "HEAD~1").strip()
    assert found.time == "2026-01-01T00:04:00+00:00"


def test_a_change_without_a_commit_or_a_history_that_is_cut_registers_nothing(git, file, tmp_path):
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth", "1", f"file://{file.parent}", str(shallow))
    assert registration(shallow / file.name) is None
    for other in (file.with_name("new.yaml"), file.with_name("*.yaml"), tmp_path / "claims.yaml"):
        other.write_text(CLAIMS)
        assert registration(other) is None, "never committed, or in no repository"
    file.write_text(CLAIMS.replace("0.9", "0.8"))
    assert registration(file) is None
