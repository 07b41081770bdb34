"""Image classifiers are measured by the answers of their own heads, saved or live."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from official_trees.trees import TREES
from tiny_models import classifier
from transformers import Trainer, TrainingArguments, ViTImageProcessor

from hf_clipdyn import EvaluateRevisions, evaluate_model, evaluate_revisions, load_results
from hf_clipdyn.data.prompts import imagenet_names
from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.errors import ConfigError, EvaluationError, NothingToMeasureError

SMALL: dict[str, Any] = {"show_progress": False, "device": "cpu"}
OBJECTS = dict(enumerate(Cifar10.classes))
THOUSAND = dict(enumerate(imagenet_names()))
PROCESSOR = ViTImageProcessor(size={"height": 16, "width": 16})


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(labels: dict[int, str], family: str = "ViT") -> Path:
        folder = tmp_path / "mine"
        classifier(family, labels).save_pretrained(folder)
        PROCESSOR.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Path]]:
    root = tmp_path_factory.mktemp("trees")

    def of(*names: str) -> dict[str, Path]:
        for name in names:
            if not (root / name).exists():
                TREES[name](root / name)
        return {name: root / name for name in names}

    return of


def values(table: Any, **columns: Any) -> pd.DataFrame:
    """The values of a table with these columns."""
    rows = table.to_pandas()
    return rows[
        np.logical_and.reduce([rows["role"] == "value", *(rows[key] == one for key, one in columns.items())])
    ]


def test_a_classifier_of_cifars_classes_answers_every_benchmark_of_them(save, trees):
    benchmarks = ["zero_shot/cifar10", "noise/cifar10", "label_distribution/cifar10h"]
    data = trees("cifar10", "cifar10h")
    table = evaluate_revisions(save(OBJECTS), benchmarks, data_dirs=data, **SMALL)
    rows = values(table)
    decisions = rows[rows["probe"] != "linear_probe"]
    assert set(decisions["probe"]) == {"head"}
    assert {"top1", "accuracy", "relative_drop", "cross_entropy"} <= set(decisions["metric"])
    assert {json.loads(one)["answers"] for one in table["settings"]} == {"head"}
    references = table.to_pandas().query("metric == 'accuracy' and role == 'chance' and kind == 'noise'")
    assert set(references["probe"]) >= {"head"}


def test_the_decisions_are_those_of_the_model_itself(save, data, tmp_path):
    table = evaluate_revisions(
        save(OBJECTS), "zero_shot/cifar10", data_dirs={"cifar10": data["cifar10"]}, **SMALL
    )
    whole, hits = classifier("ViT", OBJECTS), []
    from PIL import Image

    for label, name in OBJECTS.items():
        for path in sorted((data["cifar10"] / "test" / name).iterdir()):
            inputs = PROCESSOR(Image.open(path), return_tensors="pt")
            with torch.no_grad():
                hits.append(int(whole(**inputs).logits.argmax()) == label)
    (top1,) = values(table, metric="top1")["value"]
    assert top1 == pytest.approx(np.mean(hits))


def test_a_classifier_of_imagenet_decides_among_sixteen_as_people_do(save, trees):
    benchmarks = ["shape_bias/cue_conflict", "classification/model_vs_human", "zero_shot/imagenet"]
    data = trees("cue_conflict", "model_vs_human", "imagenet")
    table = evaluate_revisions(save(THOUSAND, "ResNet"), benchmarks, data_dirs=data, **SMALL)
    head = values(table, probe="head")
    assert {"shape_bias", "cue_accuracy", "accuracy", "top1"} <= set(head["metric"])
    assert set(head["variant"]) == {""}
    assert values(table, metric="shape_preference")["probe"].tolist() == ["projection"]
    each = table.to_pandas().query("metric == 'error_consistency' and role == 'value'")
    assert set(each["probe"]) == {"head"}


def test_a_live_classifier_gives_the_numbers_of_the_saved_one_and_stays_in_training(save, data):
    benchmarks = ["zero_shot/cifar10", "shape_bias/cue_conflict"]
    folders = {name: data[name] for name in ("cifar10", "cue_conflict")}
    saved = evaluate_revisions(save(OBJECTS), benchmarks, data_dirs=folders, **SMALL)
    model = classifier("ViT", OBJECTS).train()
    live = evaluate_model(model, PROCESSOR, benchmarks, data_dirs=folders, **SMALL)
    assert model.training
    assert model.vit.training
    columns = ["metric", "probe", "variant", "value"]
    pd.testing.assert_frame_equal(values(live)[columns], values(saved)[columns])
    assert set(values(live)["probe"]) == {"head", "projection", "linear_probe"}, (
        "its classes are among those shown"
    )


def test_a_trainer_of_a_classifier_measures_its_head_from_before_the_first_step(data, tmp_path):
    measure = EvaluateRevisions("zero_shot/cifar10", data_dirs={"cifar10": data["cifar10"]}, **SMALL)
    arguments = TrainingArguments(
        str(tmp_path / "run"),
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    pixels = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    rows = [{"pixel_values": one, "labels": at % 10} for at, one in enumerate(pixels)]
    trainer = Trainer(
        classifier("ViT", OBJECTS),
        arguments,
        train_dataset=rows,
        processing_class=PROCESSOR,
        callbacks=[measure],
    )
    trainer.train()
    results = load_results(tmp_path / "run" / "results.parquet")
    assert list(dict.fromkeys(results["revision"])) == ["epoch-000", "epoch-001"]
    assert set(results.query("role == 'value'")["probe"]) == {"head"}
    assert any("zero_shot/cifar10/top1/none/head" in logs for logs in trainer.state.log_history)


def test_classes_without_names_are_named_by_a_map(save, data, tmp_path):
    folder, given = (
        save({at: f"LABEL_{at}" for at in range(10)}),
        {"data_dirs": {"cifar10": data["cifar10"]}, **SMALL},
    )
    with pytest.raises(NothingToMeasureError) as refused:
        evaluate_revisions(folder, "zero_shot/cifar10", **given)
    assert str(refused.value) == (
        "zero_shot/cifar10 asks for classes that mine lacks: airplane, automobile, bird, … (10 of 10); its head has "
        "LABEL_0, LABEL_1, LABEL_2, …: name the classes of the head with --label-map."
    )
    path = tmp_path / "names.json"
    keys = set()
    for names in (list(Cifar10.classes), list(Cifar10.classes)[::-1]):
        path.write_text(json.dumps(names))
        table = evaluate_revisions(folder, "zero_shot/cifar10", label_map=path, **given)
        keys |= set(table["settings"])
        assert set(values(table)["probe"]) == {"head"}
    assert len(keys) == 2, "another map is another cell"
    classifier("ViT", OBJECTS).vit.save_pretrained(folder)
    given["data_dirs"] = {"cue_conflict": data["cue_conflict"]}
    with pytest.raises(
        ConfigError, match="`label_map` names the classes of a classifier's head, but mine has none"
    ):
        evaluate_revisions(folder, "shape_bias/cue_conflict", label_map=path, **given)


def test_what_a_head_cannot_answer_is_left_out_and_the_rest_is_measured(save, data):
    folders = {name: data[name] for name in ("cifar10", "cue_conflict", "flickr8k")}
    benchmarks = ["zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k"]
    with pytest.raises(EvaluationError, match="asks for classes"):
        evaluate_revisions(save({0: "x", 1: "y"}), benchmarks, data_dirs=folders, **SMALL)
    table = evaluate_revisions(
        save({0: "x", 1: "y"}), benchmarks, data_dirs=folders, skip_missing=True, **SMALL
    )
    assert set(table["kind"]) == {"shape_bias"}
    assert set(values(table)["probe"]) == {"projection", "linear_probe"}
