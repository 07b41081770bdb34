"""Model cards with the trajectories of a run, in files and on the Hub."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hub_server.faults import Fault
from hub_server.state import File
from huggingface_hub import HfApi, ModelCard
from result_rows import course, row

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_runs, write_cards

_BEGIN, _END = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_SMALL = course("zero_shot/cifar10", "top1", [0.1, 0.5, 0.61234], 0.02)


# --- in files --------------------------------------------------------------------------------------------------


def test_each_run_gets_a_card_whose_results_the_hub_can_read(study, write, tmp_path):
    rows = [*study("me/real", "cue_conflict"), *study("me/rendered")]
    cards = {path.name: ModelCard.load(path) for path in write_cards(write(rows), tmp_path)}
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
    figures = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
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


@pytest.mark.parametrize(
    ("classes", "loaded", "named", "task"),
    [
        (
            ("CLIPModel", "CLIPProcessor"),
            ("CLIPModel", "CLIPProcessor"),
            "A CLIP model",
            "zero-shot-image-classification",
        ),
        (
            ("ViTModel", "AutoImageProcessor"),
            ("ViTModel", "AutoImageProcessor"),
            "A `ViTModel`",
            "image-feature-extraction",
        ),
        (("a\nimport os", "b();"), ("AutoModel", "AutoImageProcessor"), "A model", None),
    ],
)
def test_the_card_of_a_trained_run_names_its_classes_and_its_task(
    write, tmp_path, classes, loaded, named, task
):
    model, processor = classes
    rows = [row("noise/x", "accuracy", 0.5, step=5, model_class=model, processor_class=processor)]
    (path,) = write_cards(write(rows), tmp_path)
    card = ModelCard.load(path)
    assert f"{named}. hf-clipdyn" in card.text
    assert f"from transformers import {', '.join(sorted(loaded))}\n" in card.text
    for name in loaded:
        assert f' = {name}.from_pretrained("me/fixture", revision="epoch-000")' in card.text
    assert "import os" not in card.text
    assert card.data.pipeline_tag == task


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Text.", "Text.\n\nOURS\n"),
        (f"A\n{_BEGIN}\nold\n{_END}\nB\n", "A\nOURS\nB\n"),
        ("Text.  \n\n\n", "Text.  \n\n\n\nOURS\n"),
        (f"A {_BEGIN} {_END}\n", f"A {_BEGIN} {_END}\n\nOURS\n"),
        (f"```\n{_BEGIN}\n{_END}\n```\n", f"```\n{_BEGIN}\n{_END}\n```\n\nOURS\n"),
        (f"{_BEGIN}\nold\n{_END}\n~~~\n{_BEGIN}\n~~~\n", f"OURS\n~~~\n{_BEGIN}\n~~~\n"),
    ],
)
def test_a_section_is_replaced_in_its_place_or_added_at_the_end(write, tmp_path, body, expected, newline):
    path = tmp_path / "card-me--fixture.md"
    path.write_bytes(f"---\na: 1\n---\n{body}".replace("\n", newline).encode())
    write_cards(write(_SMALL), tmp_path)
    text = path.read_bytes().decode()
    assert text.count("\n") == text.count(newline)
    found = text.replace(newline, "\n").split("\n---\n")[1]
    assert re.sub(rf"(?s){_BEGIN}\n\n## Trajectories.*?{_END}", "OURS", found) == expected


@pytest.mark.parametrize(
    "body",
    [
        f"A\n{_BEGIN}\nmine, without an end\n",
        f"{_BEGIN}\nmine\n{_BEGIN}\nold\n{_END}\nB\n",
        f"{_END}\nA\n",
        f"{_BEGIN}\nold\n{_END}\n{_BEGIN}\nold\n{_END}\n",
        "```\nA block of code without an end\n",
    ],
)
def test_a_card_whose_marks_are_not_there_once_each_is_refused_and_stays(write, tmp_path, body):
    path = tmp_path / "card-me--fixture.md"
    path.write_text(body)
    with pytest.raises(
        ConfigError, match=rf"{path.name} needs the lines {_BEGIN} and {_END} once each.*correct"
    ):
        write_cards(write(_SMALL), tmp_path)
    assert path.read_text() == body


def test_the_head_with_its_comments_and_a_byte_order_mark_stay_if_the_results_are_the_same(write, tmp_path):
    (path,) = write_cards(write(_SMALL), tmp_path)
    edited = (
        path.read_text()
        .replace("tags:", "tags:   # mine", 1)
        .replace("hf-clipdyn -->\n", "hf-clipdyn -->\nold\n")
    )
    path.write_text(f"\ufeff{edited}")
    write_cards(write(_SMALL), tmp_path)
    text = path.read_text()
    assert text.startswith("\ufeff---\n")
    assert text.split("\n---\n")[0] == f"\ufeff{edited}".split("\n---\n")[0]
    assert text.count("\nold\n") == 1, "the card's own part is the business of who publishes revisions"


# --- the model index -------------------------------------------------------------------------------------------


def test_the_model_index_names_the_data_set_on_the_hub_the_revision_and_the_source(write, tmp_path):
    (path,) = write_cards(write(_SMALL), tmp_path, results_dataset="me/results")
    (result,) = ModelCard.load(path).data.eval_results
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == (
        "uoft-cs/cifar10",
        "CIFAR-10",
        "test",
    )
    assert (result.metric_type, result.metric_value, result.verified) == ("top1", 0.6123, False)
    assert result.metric_name == "zero-shot accuracy, epoch-002"
    assert result.metric_args == {
        "measured_by": "hf-clipdyn",
        "revision": "epoch-002",
        "n": 1000,
        "interval": [0.5923, 0.6323],
        "confidence_level": 0.95,
    }
    assert result.source_url == "https://huggingface.co/datasets/me/results"


def test_only_what_is_defined_and_interpretable_at_the_last_revision_counts(write, tmp_path):
    rows = [*_SMALL, row("noise/cifar10", "area", 0.3, epoch=1)]
    rows += [row("zero_shot/x", "top1", math.nan, epoch=2, note="no image")]
    rows += [row("shape_bias/cue_conflict", "shape_bias", 0.4, epoch=2, interpretable=False)]
    (path,) = write_cards(write(rows), tmp_path)
    assert [one.metric_type for one in ModelCard.load(path).data.eval_results] == ["top1"]


def test_results_of_others_stay_as_they_are_beside_ours_or_in_one_group_with_them(write, tmp_path):
    about = {"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"}, "unknown": {"key": 1}}
    theirs = {**about, "metrics": [{"type": "f1", "value": 1, "further": [2]}]}
    ours = {"type": "f1", "value": 0.5, "args": {"measured_by": "hf-clipdyn"}}
    foreign = {"name": "other", "results": [theirs]}
    mixed = {"name": "fixture", "results": [{**about, "metrics": [ours, *theirs["metrics"]]}]}
    path = tmp_path / "card-me--fixture.md"
    path.write_text(f"---\n{yaml.safe_dump({'model-index': [foreign, mixed]})}---\n", encoding="utf-8")
    for _ in range(2):
        write_cards(write(_SMALL), tmp_path)
        head = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])
        other, entry = head["model-index"]
        assert other == foreign
        kept, new = entry["results"]
        assert kept == theirs
        assert [metric["type"] for metric in new["metrics"]] == ["top1"]


# --- on the Hub ------------------------------------------------------------------------------------------------


_MINE = f"""---
# mine: keep this
license: "apache-2.0"   # as it is
x-lab: {{room: 3,  ids: [1,2]}}
model-index:
  - name: fixture
    results:
      # measured with another tool
      - task: {{type: zero-shot-image-classification}}
        dataset: {{name: 'CIFAR-10', type: uoft-cs/cifar10}}
        metrics:
          - type: accuracy
            value: 9.10e-1  # a person's number
widget: []
---

# My model

{_BEGIN}
an old section
{_END}

More text, with a ` {_BEGIN} ` in a line.
"""


def push(results, **more) -> dict[str, str | None]:
    """`push_runs` without what takes long to draw."""
    return push_runs(results, stimuli="none", figures=False, **more)


@pytest.fixture
def repo(hub, monkeypatch):
    """The repository me/fixture on the Hub with a card that a person wrote; a push is repeated at once."""
    monkeypatch.setattr("hf_clipdyn.hub.FIRST_PAUSE", 0.01)
    HfApi().create_repo("me/fixture")
    repo = hub.repo("me/fixture")
    repo.commit("main", "by git", {"README.md": File.small(_MINE.encode())})
    return repo


def _readme(repo_id="me/fixture") -> str:
    return Path(HfApi().hf_hub_download(repo_id, "README.md")).read_bytes().decode()


def test_a_refreshed_card_keeps_what_a_person_wrote(study, write, repo):
    assert push(write(study()))["me/fixture"]
    text = _readme()
    section = rf"(?s){_BEGIN}\n.*?{_END}"
    kept, mine = (re.sub(section, "SECTION", one).split("\n---\n")[1] for one in (text, _MINE))
    assert kept == mine
    assert "old section" not in text
    data, before = (yaml.safe_load(one.split("---\n")[1]) for one in (text, _MINE))
    (entry,), (old,) = data.pop("model-index"), before.pop("model-index")
    assert data == before
    assert entry["results"][0] == old["results"][0]
    assert [one["metrics"][0]["type"] for one in entry["results"]][1] == "shape_bias"


def test_a_commit_of_somebody_else_in_between_is_kept(write, repo, monkeypatch):
    create, edits = HfApi.create_commit, [f"{_MINE}Edited in between.\n"]

    def crossed(*args, **options):
        if edits:
            repo.commit("main", "by git", {"README.md": File.small(edits.pop().encode())})
        return create(*args, **options)

    monkeypatch.setattr(HfApi, "create_commit", crossed)
    assert push(write(_SMALL))["me/fixture"]
    assert "Edited in between." in _readme()
    assert "## Trajectories" in _readme()


def test_a_commit_whose_answer_is_lost_is_not_made_twice(write, repo, hub):
    before = len(repo.history(repo.branches["main"]))
    hub.plant("commit", Fault(503, applied=True))
    push(write(_SMALL))
    assert len(repo.history(repo.branches["main"])) == before + 1


def test_a_repository_without_a_card_gets_a_whole_one_with_its_report_in_one_commit(write, repo, hub):
    others = ("report/figures/old.png", "report.md", "model.safetensors")
    repo.commit("main", "by git", {path: File.small(b"x") for path in others})
    before = len(repo.history(repo.branches["main"]))
    pushed = push_runs(write(_SMALL), stimuli="none")
    assert pushed["me/fixture"].startswith(f"{hub.url}/me/fixture/commit/")
    assert len(repo.history(repo.branches["main"])) == before + 1
    text = _readme()
    assert "# me/fixture: training dynamics" in text
    assert re.findall(r"!\[[^]]*\]\(([^)]+)\)", text) == ["report/figures/summary.png"]
    paths = set(HfApi().list_repo_files("me/fixture"))
    drawn = {path for path in paths if path.startswith("report/figures/")}
    assert {"report/figures/summary.png", "report/figures/summary.pdf"} <= drawn
    assert paths - drawn == {"README.md", "model.safetensors", "report.md", "report/index.html"}
    assert "report/figures/old.png" not in paths, "a figure of an earlier report"
    assert not any(path.startswith("report/figures/.") for path in paths)


def test_each_run_gets_its_own_report_and_a_folder_has_what_is_pushed(study, write, hub, tmp_path):
    for name in ("me/one", "me/two"):
        HfApi().create_repo(name)
    pushed = push(write([*study("me/one"), *study("me/two", shift=-0.1)]), output=tmp_path)
    assert list(pushed) == ["me/one", "me/two"]
    for name in pushed:
        folder = tmp_path / name.replace("/", "--")
        page = (folder / "report" / "index.html").read_bytes()
        assert page == Path(HfApi().hf_hub_download(name, "report/index.html")).read_bytes()
        assert (folder / "README.md").read_text(encoding="utf-8") == _readme(name)
        assert f"Training dynamics of {name}".encode() in page


@pytest.mark.parametrize(
    ("card", "said"),
    [("---\ntags: [\n---\n", "ParserError"), ("---\nmodel-index:\n- name: x\n---\n", "KeyError: 'results'")],
)
def test_a_card_that_cannot_be_read_stays_as_it_is(write, tmp_path, repo, card, said):
    repo.commit("main", "by git", {"README.md": File.small(card.encode())})
    with pytest.raises(PublishError, match=rf"The card of me/fixture: .*{said}"):
        push(write(_SMALL))
    assert _readme() == card
    path = tmp_path / "card-me--fixture.md"
    path.write_text(card)
    with pytest.raises(ConfigError, match=rf"{path.name}: .*{said}"):
        write_cards(write(_SMALL), tmp_path)
    assert path.read_text() == card


def test_a_repository_that_refuses_or_is_public_is_left_alone_and_does_not_stop_the_others(write, repo):
    results = write([replace(one, repo_id="me/nowhere") for one in _SMALL] + _SMALL)
    with pytest.raises(PublishError, match="me/fixture exists and is public: make it private"):
        push(results, private=True)
    assert _readme() == _MINE
    with pytest.raises(PublishError, match=r"model me/nowhere .*not found.* Pushed: me/fixture\.$"):
        push(results)
    assert "## Trajectories" in _readme()


def test_the_command_writes_and_pushes(write, repo, tmp_path, clipdyn):
    results = write(_SMALL)
    words = ("share", results, "--stimuli", "none")
    code, said, _ = clipdyn(*words, "--output", tmp_path / "shared")
    assert (code, said) == (0, f"Wrote {tmp_path / 'shared' / 'me--fixture'}.\n")
    assert (tmp_path / "shared" / "me--fixture" / "report" / "figures" / "summary.png").is_file()
    code, said, _ = clipdyn(*words, "--push_to_hub")
    assert (code, said.startswith("me/fixture is pushed: ")) == (0, True)
    assert clipdyn(*words, "--push-to-hub")[:2] == (0, "me/fixture is up to date.\n")
    code, _, error = clipdyn("share", results)
    assert (code, "Give a place for cards and reports" in error) == (2, True)
    code, _, error = clipdyn("share", results, "--push-to-hub", "--license", "mit")
    assert (code, "license requires space" in error) == (2, True)


def test_results_of_two_commits_of_one_repository_belong_to_no_card(write, hub):
    other = [replace(one, commit="f" * 40) for one in _SMALL]
    with pytest.raises(ConfigError, match="two runs of me/fixture"):
        push([write(_SMALL), write(other, "other.parquet")])
