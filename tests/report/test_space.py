"""The page of a study as a static Space on the Hub."""

from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.state import File
from huggingface_hub import HfApi, RepoCard, SpaceCardData
from result_rows import row

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_space, write_report

_ROWS = [row("zero_shot/cifar10", "top1", 0.5 + epoch / 10, 0.02, epoch=epoch) for epoch in range(3)]


@pytest.fixture
def results(write) -> Path:
    return write(_ROWS)


def _file(name: str, repo_id: str = "me/study") -> str:
    return Path(HfApi().hf_hub_download(repo_id, name, repo_type="space")).read_text(encoding="utf-8")


def _head(text: str) -> dict:
    return RepoCard(text).data.to_dict()


def _commits(hub, repo_id: str = "me/study") -> list[str]:
    repo = hub.repo(repo_id, "spaces")
    return [one.title for one in repo.history(repo.branches["main"])]


def test_the_page_becomes_a_static_space_in_one_commit_and_is_private_if_asked(results, hub, tmp_path):
    url = push_space(results, "me/study", private=True)
    assert HfApi().repo_info("me/study", repo_type="space").private
    assert url.startswith(f"{hub.url}/spaces/me/study/commit/")
    assert _commits(hub) == ["Show the study, measured by hf-clipdyn", "initial commit"]
    head = _head(_file("README.md"))
    assert SpaceCardData(**head).sdk == "static"
    assert head["app_file"] == "index.html"
    assert head["title"] == "Training dynamics of me/fixture"
    assert head["datasets"] == ["uoft-cs/cifar10"]
    assert "models" not in head, "the Hub has no such commit"
    page = write_report(results, tmp_path, figures=False)
    assert _file("index.html") == page.read_text(encoding="utf-8")
    assert "3 revisions of 1 run on 1 benchmark" in _file("README.md")


def test_a_person_may_edit_the_readme(write, results, hub):
    push_space(results, "me/study")
    edited = _file("README.md").replace("emoji: 📈", "emoji: 🐟").replace("# Training", "Mine.\n\n# Training")
    HfApi().upload_file(
        path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="me/study", repo_type="space"
    )
    assert push_space(results, "me/study") is None
    assert push_space(
        write([*_ROWS, row("zero_shot/imagenet", "top1", 0.5, epoch=1)], "more.parquet"), "me/study"
    )
    text = _file("README.md")
    assert "emoji: 🐟" in text
    assert "Mine.\n\n# Training" in text
    assert "on 2 benchmarks" in text
    assert text.count("<!-- page of hf-clipdyn -->") == 1
    assert _head(text)["datasets"] == ["uoft-cs/cifar10", "ILSVRC/imagenet-1k"]


@pytest.mark.parametrize("title", ["Add my app", "Duplicate from you/app"])
def test_a_space_that_holds_something_else_is_not_touched(results, hub, title):
    HfApi().create_repo("me/study", repo_type="space", space_sdk="static")
    repo = hub.repo("me/study", "spaces")
    tree = {**repo.resolve("main").tree, "index.html": File.small(b"mine")}
    if title.startswith("Duplicate"):
        repo.commits.clear()
        repo.branches.clear()
    repo.commit("main", title, tree)
    with pytest.raises(
        ConfigError, match=r"The README.md of the Space me/study needs the lines <!-- page .* use another"
    ):
        push_space(results, "me/study")
    assert _file("index.html") == "mine"


def test_a_new_space_that_a_first_attempt_left_empty_is_filled(results, hub, monkeypatch):
    for name, seconds in {"FIRST_PAUSE": 0.01, "PUSH_PATIENCE": 0.1}.items():
        monkeypatch.setattr(f"hf_clipdyn.hub.{name}", seconds)
    hub.plant("commit", Fault(503), times=10_000)
    with pytest.raises(PublishError, match=r"to the space me/study \(the Hub answered 503: "):
        push_space(results, "me/study")
    assert _commits(hub) == ["initial commit"]
    hub.faults.clear()
    assert push_space(results, "me/study")


def test_a_token_that_may_not_write_is_one_sentence_without_the_token(results, hub, monkeypatch, clipdyn):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    code, said, error = clipdyn("share", results, "--space", "me/study")
    assert code == 1
    assert error.startswith("clipdyn: error: Nothing was pushed to the space me/study (the Hub answered 401")
    assert "Give a token with write permission" in error
    assert "hf_abc" not in said + error


def test_the_command_pushes_the_space_beside_the_runs_or_alone(results, hub, clipdyn):
    words = ("share", results, "--stimuli", "none", "--space", "me/study")
    code, said, _ = clipdyn(*words)
    assert (code, said.startswith(f"The page is pushed: {hub.url}/spaces/me/study/commit/")) == (0, True)
    HfApi().create_repo("me/fixture")
    code, said, _ = clipdyn(*words, "--push-to-hub")
    assert (code, "me/fixture is pushed: " in said) == (0, True)
    assert said.endswith("The Space me/study is up to date.\n")
    code, _, error = clipdyn("share", results, "--hub-private-repo", "--output", "x")
    assert (code, "hub_private_repo requires push_to_hub or space" in error) == (2, True)


@pytest.mark.parametrize(
    "name", ["a: b\n---\nsdk: docker", "<script>alert(1)</script>", "![x](y)", "'\"", "\x85 x"]
)
def test_a_hostile_name_is_a_title_and_nothing_else(write, hub, name):
    push_space(write([row("zero_shot/x", "top1", 0.5, repo_id=f"it/{name}")]), "me/study", stimuli="none")
    text = _file("README.md")
    head = _head(text)
    assert head["sdk"] == "static"
    assert " ".join(head["title"].split()) == " ".join(f"Measurements of it/{name}".split())
    assert "<script>" not in text.split("\n---\n")[1]
    assert "](y)" not in text.split("\n---\n")[1]
