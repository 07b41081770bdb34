"""The page of a study as a static Space on the Hub."""

import tomllib
from pathlib import Path

import pytest
import yaml
from hub_server.faults import Fault
from hub_server.state import File
from huggingface_hub import HfApi, RepoCard, SpaceCardData
from packaging.requirements import Requirement
from result_rows import row

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_space, share, write_space
from hf_clipdyn.report.app_space import GRADIO

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


def test_the_page_becomes_a_static_space_in_one_commit(results, hub, tmp_path):
    url = push_space(results, "me/study", output=tmp_path / "space")
    assert url.startswith(f"{hub.url}/spaces/me/study/commit/")
    assert _commits(hub) == ["Show the study, measured by hf-clipdyn", "initial commit"]
    head = _head(_file("README.md"))
    assert SpaceCardData(**head).sdk == "static"
    assert head["app_file"] == "index.html"
    assert head["title"] == "Training dynamics of me/fixture"
    assert head["datasets"] == ["uoft-cs/cifar10"]
    assert "models" not in head, "the Hub has no such commit"
    assert _file("index.html") == (tmp_path / "space" / "index.html").read_text(encoding="utf-8")
    assert _file("README.md") == (tmp_path / "space" / "README.md").read_text(encoding="utf-8")
    assert "3 revisions of 1 run on 1 benchmark" in _file("README.md")


def test_the_same_content_makes_no_new_commit(results, hub):
    assert push_space(results, "me/study")
    assert push_space(results, "me/study") is None
    assert len(_commits(hub)) == 2


def test_models_are_linked_if_the_hub_has_what_was_measured(write, hub):
    api = HfApi()
    commits = {}
    for repo_id in ("me/run", "me/other"):
        api.create_repo(repo_id)
        commits[repo_id] = api.repo_info(repo_id).sha
    rows = [row("zero_shot/x", "top1", 0.5, repo_id="me/run", commit=commits["me/run"])]
    rows += [row("zero_shot/x", "top1", 0.5, repo_id=name) for name in ("me/other", "a-folder", "me/no/name")]
    api.create_repo("me/results", repo_type="dataset")
    push_space(write(rows), "me/study", results_dataset="me/results", licence="cc-by-4.0")
    head = _head(_file("README.md"))
    assert head["models"] == ["me/run"]
    assert head["datasets"] == ["me/results"]
    assert head["license"] == "cc-by-4.0"
    assert "[me/results](https://huggingface.co/datasets/me/results)" in _file("README.md")


def test_a_person_may_edit_the_readme(write, results, hub):
    push_space(results, "me/study")
    edited = (
        _file("README.md")
        .replace("emoji: 📈", "emoji: 🐟  # mine")
        .replace("# Training", "Mine.\n\n# Training")
    )
    HfApi().upload_file(
        path_or_fileobj=edited.encode(), path_in_repo="README.md", repo_id="me/study", repo_type="space"
    )
    assert push_space(results, "me/study") is None
    assert push_space(
        write([*_ROWS, row("zero_shot/imagenet", "top1", 0.5, epoch=1)], "more.parquet"), "me/study"
    )
    text = _file("README.md")
    assert "emoji: 🐟  # mine" in text
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
    with pytest.raises(ConfigError, match=r"The Space me/study has other content .* name another Space"):
        push_space(results, "me/study")
    assert _file("index.html") == "mine"


def test_a_new_space_that_a_first_attempt_left_empty_is_filled(results, hub, patience, tmp_path):
    patience(0.1)
    hub.plant("commit", Fault(503), times=10_000)
    with pytest.raises(
        PublishError, match=r"to the Space me/study \(the Hub answered 503: .*space is complete\.$"
    ):
        push_space(results, "me/study", output=tmp_path / "space")
    assert _commits(hub) == ["initial commit"]
    hub.faults.clear()
    assert push_space(results, "me/study")


def test_a_commit_of_somebody_else_in_between_is_kept(results, write, hub, patience, crossed):
    patience(30)
    push_space(results, "me/study")
    more = "# Training dynamics and more"
    crossed(lambda text: text.replace("# Training dynamics", more), repo_id="me/study", repo_type="space")
    push_space(write([*_ROWS, row("zero_shot/x", "top1", 0.5)], "more.parquet"), "me/study")
    assert "# Training dynamics and more" in _file("README.md")
    assert "on 2 benchmarks" in _file("README.md")


def test_a_private_space_is_private_and_a_public_one_is_not_taken_for_one(results, hub):
    push_space(results, "me/hidden", private=True)
    assert HfApi().repo_info("me/hidden", repo_type="space").private
    push_space(results, "me/study")
    with pytest.raises(ConfigError, match="The Space me/study exists and is public: make it private"):
        push_space(results, "me/study", private=True)


def test_what_cannot_be_pushed_is_said_before_anything_is_drawn(results, monkeypatch, tmp_path):
    monkeypatch.setattr(share, "write_report", None)
    with pytest.raises(PublishError, match="There is no token for the Hub"):
        push_space(results, "me/study")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        PublishError, match="The page cannot be pushed to me/study while HF_HUB_OFFLINE is set"
    ):
        push_space(results, "me/study")
    with pytest.raises(ConfigError, match="push_to_hub 'study' has no owner"):
        push_space(results, "study")
    with pytest.raises(ConfigError, match="results_dataset is 'a/b/c', which the Hub does not accept"):
        write_space(results, tmp_path, results_dataset="a/b/c")


def test_a_token_that_may_not_write_is_one_sentence_without_the_token(results, hub, monkeypatch, clipdyn):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    code, said, error = clipdyn("share", "page", results, "--push_to_hub", "--hub-model-id", "me/study")
    assert code == 1
    assert error.startswith(
        "clipdyn: error: The page could not be pushed to the Space me/study (the Hub answered 401"
    )
    assert "Give a token with write permission" in error
    assert "hf_abc" not in said + error


def test_the_command_pushes_or_writes_a_folder(results, hub, tmp_path, clipdyn):
    code, said, _ = clipdyn("share", "page", results, "--output", tmp_path / "space")
    assert (code, said) == (0, f"The page is {tmp_path / 'space' / 'index.html'}.\n")
    head = (tmp_path / "space" / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert yaml.safe_load(head)["sdk"] == "static"
    assert not list((tmp_path / "space").glob("card-*"))
    code, said, _ = clipdyn("share", "page", results, "--push-to-hub", "--hub-model-id", "me/study")
    assert (code, said.startswith(f"The page is pushed: {hub.url}/spaces/me/study/commit/")) == (0, True)
    assert clipdyn("share", "page", results, "--push_to_hub", "--hub_model_id", "me/study")[:2] == (
        0,
        "The Space me/study is up to date.\n",
    )
    code, _, error = clipdyn("share", "page", results)
    assert (code, "Say where the page should go" in error) == (2, True)
    code, _, error = clipdyn("share", "page", results, "--hub-private-repo", "--output", tmp_path / "space")
    assert (code, "`hub-model-id` and `hub-private-repo` require `push-to-hub`" in error) == (2, True)


@pytest.mark.parametrize("place", [["--output", "me/study"], ["--push_to_hub", "--hub-model-id", "me/study"]])
def test_the_command_has_the_options_of_the_page(results, tmp_path, monkeypatch, clipdyn, place):
    asked = {}

    def write(study, *_, **given):
        asked.update(given, file=study.claims_file)
        return "there"

    monkeypatch.setattr("hf_clipdyn.report.write_space", write)
    monkeypatch.setattr("hf_clipdyn.report.push_space", write)
    options = ["--stimuli", "none", "--data-dir", f"cifar10={tmp_path}", "--claims", "mine.yaml"]
    assert clipdyn("share", "page", results, *place, *options)[0] == 0
    assert asked["stimuli"] == "none"
    assert asked["data_dirs"] == {"cifar10": tmp_path}
    assert asked["file"] == Path("mine.yaml")
    code, _, error = clipdyn("share", "page", results, *place, "--stimuli", "all")
    assert (code, "none" in error) == (2, True)


def test_the_options_reach_the_page(results, tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        write_space(results, tmp_path, claims="missing.yaml")


@pytest.mark.parametrize(
    "name", ["a: b\n---\nsdk: docker", "<script>alert(1)</script>", "![x](y)", "'\"", "\x85 x"]
)
def test_a_hostile_name_is_a_title_and_nothing_else(write, tmp_path, name):
    write_space(write([row("zero_shot/x", "top1", 0.5, repo_id=f"it/{name}")]), tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    head = _head(text)
    assert head["sdk"] == "static"
    assert " ".join(head["title"].split()) == " ".join(f"Measurements of it/{name}".split())
    assert "<script>" not in text.split("\n---\n")[1]
    assert "](y)" not in text.split("\n---\n")[1]


# --- the app ----------------------------------------------------------------------------------------------


@pytest.fixture
def on_hub(write, hub):
    """A table of a model on the Hub and of two others, each with two revisions."""
    api = HfApi()
    api.create_repo("me/run")
    commit = api.repo_info("me/run").sha
    rows = [row("zero_shot/x", "top1", 0.5, epoch=epoch, repo_id="me/run", commit=commit) for epoch in (0, 1)]
    rows += [row("zero_shot/x", "top1", 0.5, repo_id=name) for name in ("me/other", "a-folder")]
    return write(rows), commit


def test_the_app_becomes_a_space_that_reads_the_measured_commits(on_hub, hub, tmp_path):
    table, commit = on_hub
    url = push_space(table, "me/ask", app=True, output=tmp_path / "space")
    assert url.startswith(f"{hub.url}/spaces/me/ask/commit/")
    head = _head(_file("README.md", "me/ask"))
    assert (head["sdk"], head["app_file"], head["models"]) == ("gradio", "app.py", ["me/run"])
    assert head["sdk_version"] == GRADIO
    program = _file("app.py", "me/ask")
    called = []
    exec(program.replace("from hf_clipdyn.app import serve_pinned", ""), {"serve_pinned": called.append})
    ((models,),) = [called]
    assert list(models) == ["me/run"], "only what the Hub has"
    assert [one[0] for one in models["me/run"]] == ["epoch-000", "epoch-001"]
    assert {one[3] for one in models["me/run"]} == {commit}
    assert _file("requirements.txt", "me/ask") == f"hf-clipdyn[app]=={__version__}\n"
    assert (tmp_path / "space" / "app.py").read_text() == program

    assert push_space(table, "me/ask", app=True) is None, "the same content makes no commit"


def test_the_files_of_an_app_have_every_model_with_an_owner(on_hub, tmp_path):
    """Only a push asks the Hub which of them it has."""
    table, _ = on_hub
    program = write_space(table, tmp_path, app=True).read_text()
    assert "'me/run': [" in program
    assert "'me/other': [" in program
    assert program.count("('epoch-000', 0, 0, ") == 2, "each with its own revisions"
    assert "a-folder" not in program


def test_requirements_that_a_person_changed_stay(on_hub, hub):
    table, _ = on_hub
    push_space(table, "me/ask", app=True)
    own = b"hf-clipdyn[app] @ git+https://example.org/fork\n"
    HfApi().upload_file(
        path_or_fileobj=own, path_in_repo="requirements.txt", repo_id="me/ask", repo_type="space"
    )
    assert push_space(table, "me/ask", app=True) is None
    assert _file("requirements.txt", "me/ask") == own.decode()


def test_an_app_without_models_on_the_hub_is_refused(results, write, hub, tmp_path):
    with pytest.raises(
        ConfigError, match="The Hub has none of these models at the commits that were measured"
    ):
        push_space(results, "me/ask", app=True)
    with pytest.raises(ConfigError, match="No model has an owner"):
        write_space(write([row("zero_shot/x", "top1", 0.5, repo_id="a-folder")]), tmp_path / "x", app=True)


def test_the_version_of_gradio_is_one_that_the_extra_allows(checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (required,) = project["optional-dependencies"]["app"]
    assert Requirement(required).specifier.contains(GRADIO)


def test_options_of_the_page_are_refused_for_the_app(results, clipdyn, tmp_path):
    code, _, error = clipdyn("share", "app", results, "-o", tmp_path, "--stimuli", "none")
    assert (code, "`stimuli` only affects the page: leave it out." in error) == (2, True)
