"""Image classifiers are measured by the answers of their own heads, saved or live."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import classifier
from transformers import ViTImageProcessor

from hf_clipdyn import evaluate_revisions
from hf_clipdyn.data.prompts import imagenet_names
from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.errors import ConfigError, EvaluationError, NothingToMeasureError

SMALL: dict[str, Any] = {"show_progress": False, "device": "cpu"}
OBJECTS = dict(enumerate(Cifar10.classes))
THOUSAND = dict(enumerate(imagenet_names()))
PROCESSOR = ViTImageProcessor(size={"height": 16, "width": 16})


@pytest.fixture
def save(tmp_path):
    def write(labels, family="ViT"):
        folder = tmp_path / "mine"
        classifier(family, labels).save_pretrained(folder)
        PROCESSOR.save_pretrained(folder)
        return folder

    return write


def values(table, **columns):
    """The values of a table with these columns."""
    rows = table.to_pandas()
    return rows[
        np.logical_and.reduce([rows["role"] == "value", *(rows[key] == one for key, one in columns.items())])
    ]


@pytest.mark.parametrize(
    ("labels", "family", "benchmarks", "metrics"),
    [
        pytest.param(
            OBJECTS,
            "ViT",
            ("zero_shot/cifar10", "noise/cifar10", "label_distribution/cifar10h"),
            {"top1", "accuracy", "relative_drop", "cross_entropy"},
            id="the classes of CIFAR",
        ),
        pytest.param(
            THOUSAND,
            "ResNet",
            ("shape_bias/cue_conflict", "classification/model_vs_human", "zero_shot/imagenet"),
            {"shape_bias", "cue_accuracy", "accuracy", "top1", "error_consistency"},
            id="those of ImageNet, from which sixteen are decided",
        ),
    ],
)
def test_a_classifier_answers_every_benchmark_of_its_classes_by_its_head(
    save, tree, labels, family, benchmarks, metrics
):
    data = {name: tree(name) for name in {one.partition("/")[2] for one in benchmarks}}
    table = evaluate_revisions(save(labels, family), benchmarks, data_dirs=data, **SMALL)
    head = values(table, probe="head")
    assert metrics <= set(head["metric"])
    assert set(head["variant"]) <= {"", "fitted_temperature"}
    assert {json.loads(one)["answers"] for one in head["settings"]} == {"head"}
    without_texts = set(values(table)["probe"]) - {"head"}
    assert without_texts <= {"projection", "linear_probe"}
    chance = table.to_pandas().query("role == 'chance' and kind == 'noise'")
    assert chance.empty or "head" in set(chance["probe"])


def test_the_decisions_are_those_of_the_model_itself(save, data):
    folder = data["cifar10"]
    table = evaluate_revisions(save(OBJECTS), "zero_shot/cifar10", data_dirs={"cifar10": folder}, **SMALL)
    whole, hits = classifier("ViT", OBJECTS), []
    for label, name in OBJECTS.items():
        for path in sorted((folder / "test" / name).iterdir()):
            with torch.no_grad():
                logits = whole(**PROCESSOR(Image.open(path), return_tensors="pt")).logits
            hits.append(int(logits.argmax()) == label)
    (top1,) = values(table, metric="top1")["value"]
    assert top1 == pytest.approx(np.mean(hits))


def test_classes_without_names_are_named_by_a_map(save, data, tmp_path):
    folder = save({at: f"LABEL_{at}" for at in range(10)})
    given = {"data_dirs": {"cifar10": data["cifar10"]}, **SMALL}
    with pytest.raises(NothingToMeasureError, match="--label_map"):
        evaluate_revisions(folder, "zero_shot/cifar10", **given)
    path = tmp_path / "names.json"
    top1 = {}
    for names in (Cifar10.classes, Cifar10.classes[::-1]):
        path.write_text(json.dumps(list(names)))
        table = evaluate_revisions(folder, "zero_shot/cifar10", label_map=path, **given)
        assert set(values(table)["probe"]) == {"head"}
        top1[table["settings"][0]] = values(table, metric="top1")["value"].item()
    assert len(top1) == 2, "another map is another cell"
    named = evaluate_revisions(save(OBJECTS), "zero_shot/cifar10", **given)
    assert next(iter(top1.values())) == values(named, metric="top1")["value"].item()
    classifier("ViT", OBJECTS).vit.save_pretrained(folder)
    with pytest.raises(ConfigError, match="label_map"):
        evaluate_revisions(folder, "noise/cifar10", label_map=path, **given)


def test_what_a_head_cannot_answer_is_left_out_and_the_rest_is_measured(save, data):
    folder = save({0: "x", 1: "y"})
    folders = {name: data[name] for name in ("cifar10", "cue_conflict", "flickr8k")}
    benchmarks = ["zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k"]
    with pytest.raises(EvaluationError, match="zero_shot/cifar10"):
        evaluate_revisions(folder, benchmarks, data_dirs=folders, **SMALL)
    table = evaluate_revisions(folder, benchmarks, data_dirs=folders, skip_missing=True, **SMALL)
    assert set(table["kind"]) == {"shape_bias"}
    assert set(values(table)["probe"]) == {"projection", "linear_probe"}
