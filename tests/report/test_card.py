"""Model cards with the trajectories of a run."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hub_server.faults import Fault
from hub_server.state import File
from huggingface_hub import HfApi, ModelCard
from result_rows import row, write_rows

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_runs, write_cards, write_runs


@pytest.fixture(scope="module")
def written(study, tmp_path_factory) -> Path:
    """Folder of the cards of two runs, one on real and one on synthetic images; not to be changed."""
    folder = tmp_path_factory.mktemp("cards")
    results = write_rows(
        [*study("me/real", "cue_conflict"), *study("me/rendered")], folder / "results.parquet"
    )
    write_cards(results, folder)
    return folder


@pytest.fixture
def card_of(write, tmp_path):
    """`card_of(rows)`: the card of their only run."""

    def make(rows) -> ModelCard:
        (path,) = write_cards(write(rows), tmp_path / "cards")
        return ModelCard.load(path)

    return make


def test_each_run_gets_a_card_whose_results_the_hub_can_read(written):
    cards = {path.name: ModelCard.load(path) for path in written.glob("card-*.md")}
    assert set(cards) == {"card-me--real.md", "card-me--rendered.md"}
    data = cards["card-me--real.md"].data
    assert data.library_name == "transformers"
    by_metric = {result.metric_type: result for result in data.eval_results}
    assert by_metric["shape_bias"].metric_value == 0.84
    assert by_metric["shape_bias"].dataset_type == "cue_conflict"
    assert by_metric["top1"].task_type == "zero-shot-image-classification"
    text = cards["card-me--rendered.md"].text
    assert "synthetic images" in text
    assert "![The study at a glance](figures/card-me--rendered.png)" in text
    figures = {path.name: path.read_bytes() for path in (written / "figures").iterdir()}
    assert set(figures) == {"card-me--real.png", "card-me--rendered.png"}
    assert len(set(figures.values())) == 2, "each run has its own figure"


def test_the_card_of_a_folder_links_to_no_repository_and_is_not_pushed(write, tmp_path):
    rows = [row("similarity/nights", "accuracy", 0.7, repo_id="mine", revision="main", epoch=None)]
    results = write(rows)
    (path,) = write_cards(results, tmp_path)
    text = path.read_text()
    assert "did not train" in text
    assert "huggingface.co/mine" not in text
    assert "from_pretrained" not in text
    with pytest.raises(ConfigError, match="local folders"):
        push(results)


_DUAL, _VISION = "zero-shot-image-classification", "image-feature-extraction"


@pytest.mark.parametrize(
    ("classes", "named", "loaded", "task"),
    [
        (("CLIPModel", "CLIPProcessor"), "A CLIP model", ("CLIPModel", "CLIPProcessor"), _DUAL),
        (("ViTModel", "AutoImageProcessor"), "A `ViTModel`", ("ViTModel", "AutoImageProcessor"), _VISION),
        (("SiglipModel", "SiglipProcessor"), "A `SiglipModel`", ("SiglipModel", "SiglipProcessor"), _DUAL),
        (("", ""), "A model", ("AutoModel", "AutoImageProcessor"), None),
        (("a\nimport os", "b();"), "A model", ("AutoModel", "AutoImageProcessor"), None),
    ],
)
def test_the_card_of_a_trained_run_names_its_classes_and_its_task(card_of, classes, named, loaded, task):
    model, processor = classes
    rows = [row("noise/x", "accuracy", 0.5, step=5, model_class=model, processor_class=processor)]
    card = card_of(rows)
    assert f"{named}. hf-clipdyn" in card.text
    assert "trained it, kept every epoch as a revision" in card.text
    assert f"from transformers import {', '.join(sorted(loaded))}\n" in card.text
    for name in loaded:
        assert f' = {name}.from_pretrained("me/fixture", revision="epoch-000")' in card.text
    assert "import os" not in card.text
    assert card.data.pipeline_tag == task
    assert ("clip" in card.data.tags) == (model == "CLIPModel")


def test_a_card_on_the_disk_keeps_what_a_person_wrote(study, write, tmp_path):
    (path,) = write_cards(write(study()), tmp_path)
    written = path.read_text(encoding="utf-8")
    path.write_text(written.replace("## Background", "Mine.\n\n## Background"), encoding="utf-8")
    write_cards(write(study(shift=-0.1), "later.parquet"), tmp_path)
    refreshed = path.read_text(encoding="utf-8")
    assert "\n\nMine.\n\n## Background" in refreshed
    assert "0.74 [0.70, 0.78]" in refreshed
    assert "0.84 [0.80, 0.88]" not in refreshed
    for wrong in (b"---\na: [\n---\n", b"\xff\xfe"):
        path.write_bytes(wrong)
        with pytest.raises(ConfigError, match=path.name):
            write_cards(write(study()), tmp_path)
        assert path.read_bytes() == wrong


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Text.", "Text.\n\n{}\n"),
        ("A\n{begin}\nold\n{end}\nB\n", "A\n{}\nB\n"),
        ("A\n{begin}\nmine, without an end\n", "A\n{begin}\nmine, without an end\n\n{}\n"),
        ("{begin}\nmine\n{begin}\nold\n{end}\nB\n", "{begin}\nmine\n{}\nB\n"),
        ("{end}\nA {begin} {end}\n", "{end}\nA {begin} {end}\n\n{}\n"),
    ],
)
def test_a_section_is_replaced_in_its_place_or_added_at_the_end(write, tmp_path, body, expected, newline):
    def marked(text):
        marks = {"{begin}": "<!-- trajectories of hf-clipdyn -->", "{end}": "<!-- end of trajectories -->"}
        for name, mark in marks.items():
            text = text.replace(name, mark)
        return text.replace("\n", newline)

    (fresh,) = write_cards(write(_SMALL), tmp_path / "fresh")
    path = tmp_path / fresh.name
    path.write_bytes(f"---{newline}a: 1{newline}---{newline}{marked(body)}".encode())
    write_cards(write(_SMALL), tmp_path)
    section = re.search(r"(?s)<!-- traj.*<!-- end of trajectories -->", fresh.read_text(encoding="utf-8"))[0]
    text = path.read_bytes().decode()
    assert text.split(f"{newline}---{newline}")[-1] == marked(expected).replace(
        "{}", section.replace("\n", newline)
    )
    assert "\n" not in text.replace("\r\n", "") or newline == "\n"


def _metric(value, mark=True, **more):
    return {"type": "f1", "value": value, **more} | ({"args": {"measured_by": "hf-clipdyn"}} if mark else {})


def _indexed(write, folder, entries):
    """The index of a card that had these entries, after two refreshes."""
    path = folder / "card-me--fixture.md"
    path.write_text(f"---\n{yaml.safe_dump({'model-index': entries})}---\n", encoding="utf-8")
    texts = []
    for _ in range(2):
        write_cards(write(_SMALL), folder)
        texts.append(path.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    return yaml.safe_load(texts[0].split("---\n")[1])["model-index"]


def test_results_of_others_stay_as_they_are_beside_ours_or_in_one_group_with_them(write, tmp_path):
    about = {"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"}, "unknown": {"key": 1}}
    theirs = _metric(1, mark=False, further=[2])
    mixed = {**about, "metrics": [_metric(0.5), theirs]}
    foreign = {"name": "other", "results": [{**about, "metrics": [theirs]}]}
    other, ours = _indexed(write, tmp_path, [foreign, {"name": "fixture", "results": [mixed]}])
    assert other == foreign
    assert ours["results"][0] == {**about, "metrics": [theirs]}
    assert [metric["type"] for metric in ours["results"][1]["metrics"]] == ["top1"]
    assert len(ours["results"]) == 2


@pytest.mark.parametrize(
    "name", ["a: b", "- x", "---", "\u2028", "'\"", "#", "{{7*7}}", "é 📈", "\x85", "no", "a\n---\nb: c"]
)
def test_a_hostile_name_is_a_value_of_the_index_and_nothing_else(write, tmp_path, name):
    rows = [replace(one, dataset=name) for one in _SMALL]
    (path,) = write_cards(write(rows), tmp_path)
    first = path.read_bytes()
    data = ModelCard.load(path).data
    assert data.eval_results[0].dataset_type == " ".join(name.split())
    assert set(data.to_dict()) == {"library_name", "pipeline_tag", "tags", "model-index"} & set(
        data.to_dict()
    )
    write_cards(write(rows), tmp_path)
    assert path.read_bytes() == first


_MINE = """---
# mine: keep this
license: "apache-2.0"   # as it is
x-lab: {room: 3,  ids: [1,2]}
tags: [clip,
       mine]
model-index:
  - name: fixture
    results:
      # measured with another tool
      - task: {type: zero-shot-image-classification}
        dataset:
          name: 'CIFAR-10'
          type: uoft-cs/cifar10
        metrics:
          - type: accuracy
            value: 9.10e-1  # a person's number
    # the end of results
widget: []
---

# My model

Text of a person.

<!-- trajectories of hf-clipdyn -->
an old section
<!-- end of trajectories -->

More text, with a ` <!-- trajectories of hf-clipdyn --> ` in a line.
"""


_SMALL = [row("zero_shot/cifar10", "top1", 0.5 + epoch / 10, 0.02, epoch=epoch) for epoch in range(3)]


def push(results, **more) -> dict[str, str | None]:
    """`push_runs` without what takes long to draw."""
    return push_runs(results, stimuli="none", figures=False, **more)


@pytest.fixture
def published(hub):
    """The repository me/fixture on the Hub with a card that a person wrote."""
    api = HfApi()
    api.create_repo("me/fixture")
    api.upload_file(path_or_fileobj=_MINE.encode(), path_in_repo="README.md", repo_id="me/fixture")
    return hub.repo("me/fixture")


def _readme(repo_id="me/fixture") -> str:
    return Path(HfApi().hf_hub_download(repo_id, "README.md")).read_bytes().decode()


def test_a_refreshed_card_keeps_what_a_person_wrote(study, write, published):
    results = write(study())
    assert "me/fixture" in push(results)["me/fixture"]
    text = _readme()
    section = r"(?s)<!-- trajectories of hf-clipdyn -->\n.*?<!-- end of trajectories -->"
    kept, mine = (re.sub(section, "SECTION", one).split("\n---\n")[1] for one in (text, _MINE))
    assert kept == mine
    assert "old section" not in text
    data, before = (yaml.safe_load(one.split("---\n")[1]) for one in (text, _MINE))
    (entry,), (old,) = data.pop("model-index"), before.pop("model-index")
    assert data == before
    assert entry["results"][0] == old["results"][0]
    assert [one["metrics"][0]["type"] for one in entry["results"]][1] == "shape_bias"


def test_a_commit_of_somebody_else_in_between_is_kept(write, published, patience, crossed):
    patience(30)
    crossed(lambda text: f"{text}Edited in between.\n", repo_id="me/fixture")
    assert push(write(_SMALL))["me/fixture"]
    assert "Edited in between." in _readme()
    assert "## Trajectories" in _readme()


def test_a_commit_whose_answer_is_lost_is_not_made_twice(write, published, hub, patience):
    patience(30)
    hub.plant("commit", Fault(503, applied=True))
    push(write(_SMALL))
    assert len(published.history(published.branches["main"])) == 3


def test_a_repository_without_a_card_gets_a_whole_one_with_its_report_in_one_commit(write, hub):
    api = HfApi()
    api.create_repo("me/fixture")
    for path in ("report/figures/old.png", "report.md", "model.safetensors"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id="me/fixture")
    repo = hub.repo("me/fixture")
    before = len(repo.history(repo.branches["main"]))
    results = write(_SMALL)
    assert push_runs(results, stimuli="none")["me/fixture"].startswith(f"{hub.url}/me/fixture/commit/")
    assert len(repo.history(repo.branches["main"])) == before + 1
    text = _readme()
    assert "# me/fixture: training dynamics" in text
    assert re.findall(r"!\[[^]]*\]\(([^)]+)\)", text) == ["report/figures/summary.png"]
    paths = {path for path in api.list_repo_files("me/fixture") if not path.startswith(".")}
    drawn = {path for path in paths if path.startswith("report/figures/")}
    assert {"report/figures/summary.png", "report/figures/summary.pdf"} <= drawn
    assert paths - drawn == {"README.md", "model.safetensors", "report.md", "report/index.html"}
    assert "report/figures/old.png" not in paths, "a figure of an earlier report"
    assert not any(path.startswith("report/figures/.") for path in paths)
    assert push_runs(results, stimuli="none") == {"me/fixture": None}, "the same table makes no commit"


def test_each_run_gets_its_own_report_and_a_folder_has_what_is_pushed(study, write, hub, tmp_path):
    for name in ("me/one", "me/two"):
        HfApi().create_repo(name)
    results = write([*study("me/one"), *study("me/two", shift=-0.1)])
    pushed = push(results, output=tmp_path)
    assert list(pushed) == ["me/one", "me/two"]
    for name in pushed:
        folder = tmp_path / name.replace("/", "--")
        page = (folder / "report" / "index.html").read_bytes()
        assert page == Path(HfApi().hf_hub_download(name, "report/index.html")).read_bytes()
        assert (folder / "README.md").read_text(encoding="utf-8") == _readme(name)
        assert f"Training dynamics of {name}".encode() in page
    again = write_runs(results, tmp_path, stimuli="none", figures=False)
    assert again == [tmp_path / "me--one", tmp_path / "me--two"]
    assert (tmp_path / "me--one" / "README.md").read_text(encoding="utf-8") == _readme("me/one")


def test_a_public_repository_is_refused_where_a_private_one_is_asked_for(write, hub):
    api = HfApi()
    api.create_repo("me/fixture")
    with pytest.raises(PublishError, match="me/fixture exists and is public: make it private"):
        push(write(_SMALL), private=True)
    assert api.list_repo_files("me/fixture") == [".gitattributes"]
    api.create_repo("me/hidden", private=True)
    assert push(write([replace(one, repo_id="me/hidden") for one in _SMALL]), private=True)["me/hidden"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\ntags: [\n---\n", "ParserError"),
        ("---\nmodel-index: mine\n---\n", "TypeError"),
        ("---\nmodel-index:\n- name: x\n---\n", "KeyError: 'results'"),
        ("---\n- a list\n---\n", "card metadata block should be a dict"),
    ],
)
def test_a_card_that_cannot_be_read_stays_as_it_is(write, hub, card, said):
    api = HfApi()
    api.create_repo("me/fixture")
    repo = hub.repo("me/fixture")
    repo.commit("main", "by git", {"README.md": File.small(card.encode())})
    with pytest.raises(PublishError, match=rf"The card of me/fixture: .*{said}"):
        push(write(_SMALL))
    assert _readme() == card


def test_one_repository_that_refuses_does_not_stop_the_others(write, hub):
    HfApi().create_repo("me/fixture")
    results = write([replace(one, repo_id="me/nowhere") for one in _SMALL] + _SMALL)
    with pytest.raises(PublishError, match=r"model me/nowhere .*not found.* Pushed: me/fixture\.$"):
        push(results)
    assert "## Trajectories" in _readme()


def test_the_command_writes_and_pushes(write, published, tmp_path, clipdyn):
    results = write(_SMALL)
    words = ("share", results, "--stimuli", "none")
    code, said, _ = clipdyn(*words, "--output", tmp_path / "shared")
    assert (code, said) == (0, f"Wrote {tmp_path / 'shared' / 'me--fixture'}.\n")
    assert (tmp_path / "shared" / "me--fixture" / "report" / "figures" / "summary.png").is_file()
    code, said, _ = clipdyn(*words, "--push_to_hub")
    assert (code, said.startswith("me/fixture is pushed: ")) == (0, True)
    code, said, _ = clipdyn(*words, "--push-to-hub")
    assert (code, said) == (0, "me/fixture is up to date.\n")
    code, _, error = clipdyn("share", results)
    assert (code, "Give a place for cards and reports" in error) == (2, True)
    code, _, error = clipdyn("share", results, "--push-to-hub", "--license", "mit")
    assert (code, "license requires space" in error) == (2, True)
    assert clipdyn("report", results, "--output", tmp_path / "r", "--push_to_hub")[0] == 2
    assert not (tmp_path / "r").exists()


def test_results_of_two_commits_of_one_repository_belong_to_no_card(write, hub):
    other = [replace(one, commit="f" * 40) for one in _SMALL]
    with pytest.raises(ConfigError, match="two runs of me/fixture"):
        push([write(_SMALL), write(other, "other.parquet")])
