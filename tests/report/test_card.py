"""Model cards with the trajectories of a run."""

import math
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard
from result_rows import row

from hf_clipdyn.cards import CardFacts, revision_card
from hf_clipdyn.cli import main
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_cards, write_report
from hf_clipdyn.report.card import card_name, merge_card


def _report(rows, write, folder: Path) -> tuple[Path, Path]:
    results = write(rows)
    return results, write_report(results, folder).parent


def test_each_run_gets_a_card_whose_results_the_hub_can_read(report):
    cards = {path.name: ModelCard.load(path) for path in report.glob("card-*.md")}
    assert set(cards) == {"card-me--real.md", "card-me--rendered.md"}
    data = cards["card-me--real.md"].data
    assert data.library_name == "transformers"
    by_metric = {result.metric_type: result for result in data.eval_results}
    assert by_metric["shape_bias"].metric_value == 0.84
    assert by_metric["shape_bias"].dataset_type == "cue_conflict"
    assert by_metric["top1"].task_type == "zero-shot-image-classification"
    text = cards["card-me--rendered.md"].text
    assert "synthetic images" in text
    assert "![The study at a glance](figures/summary.png)" in text
    assert (report / "figures" / "summary.png").is_file()


def test_a_card_shows_every_revision_with_interval_and_says_what_is_near_chance(report):
    text = (report / "card-me--rendered.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| epoch-")]
    assert [line.split(" | ")[0] for line in lines] == [f"| epoch-{epoch:03d}" for epoch in range(6)]
    assert "not interpretable" in lines[0]
    assert "0.84 [0.80, 0.88]" in lines[-1]
    assert len({line.count(" | ") for line in lines}) == 1


def test_an_undefined_number_is_no_result_of_the_card(write, tmp_path):
    rows = [row("zero_shot/x", "top1", math.nan, note="no image"), row("noise/x", "accuracy", 0.5)]
    _, folder = _report(rows, write, tmp_path / "report")
    assert ModelCard.load(folder / "card-me--fixture.md").data.eval_results is None


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        (["main"], "them/dinov2) at `main`, measured by hf-clipdyn"),
        (
            ["step-1", "step-2"],
            "them/dinov2), `step-1` to\n`step-2`, measured by",
        ),
    ],
)
def test_the_card_of_a_foreign_model_claims_no_training_and_no_clip(write, tmp_path, revisions, said):
    rows = [
        row(
            "noise/x",
            "area",
            0.5,
            repo_id="them/dinov2",
            revision=name,
            epoch=None,
            step=None,
            samples_seen=None,
        )
        for name in revisions
    ]
    _, folder = _report(rows, write, tmp_path / "report")
    card = ModelCard.load(folder / "card-them--dinov2.md")
    assert said in card.text
    assert "trained with every epoch" not in card.text
    assert "did not train" in card.text
    assert "CLIPModel" not in card.text
    assert "AutoModel.from_pretrained(" in card.text
    assert "clip" not in card.data.tags
    assert ("training-dynamics" in card.data.tags) == (len(revisions) > 1)


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        ({"main": None}, "The model in the folder `mine`, measured by hf-clipdyn"),
        ({"step-1": 1, "step-2": 2}, "2 revisions of the folder\n`mine`, `step-1` to\n`step-2`, measured by"),
    ],
)
def test_the_card_of_a_folder_links_to_no_repository_and_is_not_pushed(write, tmp_path, revisions, said):
    rows = [
        row("similarity/nights", "accuracy", 0.7, repo_id="mine", revision=name, step=step, epoch=None)
        for name, step in revisions.items()
    ]
    results, folder = _report(rows, write, tmp_path / "report")
    text = ModelCard.load(folder / "card-mine.md").text
    assert said in text
    assert "which did not train" in text
    assert "huggingface.co/mine" not in text
    assert "from_pretrained" not in text
    assert "## Background" in text
    with pytest.raises(ConfigError, match="hold models of folders only"):
        push_cards(results, folder)


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
def test_the_card_of_a_trained_run_names_its_classes_and_its_task(
    write, tmp_path, classes, named, loaded, task
):
    model, processor = classes
    rows = [row("noise/x", "accuracy", 0.5, step=5, model_class=model, processor_class=processor)]
    _, folder = _report(rows, write, tmp_path / "report")
    card = ModelCard.load(folder / "card-me--fixture.md")
    assert f"{named}, trained with every epoch kept as a revision and measured along the way" in card.text
    assert f"from transformers import {', '.join(sorted(loaded))}\n" in card.text
    for name in loaded:
        assert f' = {name}.from_pretrained("me/fixture", revision="epoch-000")' in card.text
    assert "import os" not in card.text
    assert card.data.pipeline_tag == task
    assert ("clip" in card.data.tags) == (model == "CLIPModel")


def test_a_result_names_its_level_and_its_probe(write, tmp_path):
    rows = [row("noise/x", "chance_corrected_drop", 0.5, condition="gaussian", level=0.2)]
    rows += [row("saliency/y", "nss", 0.5, probe="rollout")]
    _, folder = _report(rows, write, tmp_path / "report")
    results = ModelCard.load(folder / "card-me--fixture.md").data.eval_results
    assert [one.metric_name for one in results] == [
        "accuracy drop, chance-corrected, Gaussian noise, sigma 0.2, epoch-000",
        "NSS, rollout, epoch-000",
    ]


def test_a_card_name_is_a_file_name():
    assert card_name("me/run (seed 1)") == "card-me--run-seed-1.md"


def _published(study, write, tmp_path, hub) -> tuple[Path, Path, str]:
    facts = CardFacts("me/fixture", licence="apache-2.0", recipe={"lr": 1e-3})
    existing = revision_card(facts, name="epoch-005", epoch=5, step=500, samples_seen=32000, loss=1.0)
    api = HfApi()
    api.create_repo("me/fixture")
    api.upload_file(path_or_fileobj=existing.encode(), path_in_repo="README.md", repo_id="me/fixture")
    return *_report(study(), write, tmp_path / "report"), existing


def test_pushing_keeps_what_the_card_said_and_replaces_an_earlier_section(study, write, tmp_path, hub):
    results, folder, existing = _published(study, write, tmp_path, hub)
    for _ in range(2):
        (url,) = push_cards(results, folder)
        assert "me/fixture" in url
    text = Path(HfApi().hf_hub_download("me/fixture", "README.md")).read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == "apache-2.0"
    assert head["model-index"][0]["name"] == "fixture"
    assert {"type": "shape_bias", "value": 0.84}.items() <= {
        key: value
        for result in head["model-index"][0]["results"]
        for metric in result["metrics"]
        if metric["type"] == "shape_bias"
        for key, value in metric.items()
    }.items()
    assert "| lr | 0.001 |" in text
    assert text.count("## Trajectories") == 1
    assert HfApi().file_exists("me/fixture", "figures/summary.png")
    assert re.sub(r"\s+", " ", existing.split("---")[2]) in re.sub(r"\s+", " ", text)


def test_a_card_without_a_head_is_kept_too(report):
    merged = merge_card("# Mine\n\nText.\n", ModelCard.load(report / "card-me--real.md"))
    assert merged.text.startswith("# Mine\n\nText.\n\n<!-- trajectories")
    assert merged.data.eval_results


def test_the_command_pushes_on_request_and_a_missing_repository_is_one_sentence(
    study, write, tmp_path, hub, capsys
):
    results, folder, _ = _published(study, write, tmp_path, hub)
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(results), "--output", str(folder), "--push_to_hub"])
    assert stopped.value.code == 0
    assert "The card is pushed:" in capsys.readouterr().out
    other = write(study("me/nowhere"), "other.parquet")
    write_report(other, folder)
    with pytest.raises(PublishError, match=r"The card of me/nowhere could not be pushed .* is complete"):
        push_cards(other, folder)


def test_the_cards_of_the_reference_runs_are_as_the_report_writes_them(checkout):
    cards = sorted((checkout / "model_cards").glob("*/README.md"))
    assert [path.parent.name for path in cards][:1] == ["demo"]
    for path in cards:
        card = ModelCard.load(path)
        assert card.data.eval_results
        assert "## Trajectories" in card.text
        assert all((path.parent / link).is_file() for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", card.text))
