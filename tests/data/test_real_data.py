"""The real files: a part of each data set in its official layout."""

import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.metrics.shape_bias import shape_bias

Load = Callable[..., Any]
Real = Callable[[str], Path]


def test_cue_conflict_has_its_classes_and_all_trials_of_the_observers(load: Load, real_data: Real) -> None:
    dataset = load("cue_conflict", data_dir=real_data("cue-conflict"), split="test")
    assert len(dataset) == 320
    assert set(Counter(dataset["shape"]).values()) == {20}
    assert len(set(dataset["texture"])) == 16
    assert dataset[0]["image"].size == (224, 224)
    real_data("cue-conflict-human-trials")
    answers = [answer for row in dataset["human_responses"] for answer in row]
    assert len(answers) == 320 * 10
    assert len({answer["subject"] for answer in answers}) == 10


def test_the_observers_shape_bias_is_near_the_published_one(load: Load, real_data: Real) -> None:
    real_data("cue-conflict-human-trials")
    dataset = load("cue_conflict", data_dir=real_data("cue-conflict"), split="test")
    shape = texture = 0
    for row in dataset.select_columns(["shape", "texture", "human_responses"]):
        if row["shape"] != row["texture"]:
            shape += sum(answer["response"] == row["shape"] for answer in row["human_responses"])
            texture += sum(answer["response"] == row["texture"] for answer in row["human_responses"])
    # 0.9587 on all 1,200 conflicts; a quarter of the images are here.
    assert shape / (shape + texture) == pytest.approx(0.9587, abs=0.015)


def test_flickr8k_has_five_captions_an_image(load: Load, real_data: Real) -> None:
    dataset = load("flickr8k", data_dir=real_data("flickr8k"), split="train")
    assert len(dataset) == 3000
    assert {len(captions) for captions in dataset["captions"]} == {5}
    assert not any(
        '"' == caption[0] == caption[-1] for captions in dataset["captions"] for caption in captions
    )
    assert load(str(real_data("flickr8k")), split="train")["image_id"][:] == dataset["image_id"][:]


def test_osie_agrees_with_the_table_of_its_fixations(load: Load, real_data: Real) -> None:
    root = real_data("osie")
    dataset = load("osie", data_dir=root, split="test")
    assert len(dataset) == 120
    expected: dict[str, list[tuple[float, ...]]] = {}
    with (root / "fixations.csv").open() as file:
        for row in csv.DictReader(file):
            values = (int(row["subject"]), float(row["x"]), float(row["y"]), float(row["duration_ms"]))
            expected.setdefault(row["image"].removesuffix(".jpg"), []).append(values)
    for row in dataset.select_columns(["image_id", "width", "height", "fixations"]):
        assert (row["width"], row["height"]) == (800, 600)
        found = [(int(f["subject"]), f["x"], f["y"], f["duration"]) for f in row["fixations"]]
        assert np.allclose(found, expected[row["image_id"]], atol=0.006)


def test_mit1003_has_maps_and_no_fixation_points(load: Load, real_data: Real) -> None:
    dataset = load("mit1003", data_dir=real_data("mit1003"), split="test")
    assert len(dataset) == 100
    assert all(row == [] for row in dataset["fixations"])
    row = dataset[0]
    assert row["fixation_map"].size == row["image"].size == (row["width"], row["height"])


def test_material_similarity_has_all_answers_in_both_renderings(load: Load, real_data: Real) -> None:
    root = real_data("material-similarity")
    splits = load("material_similarity", data_dir=root)
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 22_801, "test": 3000}
    judgements = splits["test"]["judgement"][:]
    assert sum(judgement != 0.5 for judgement in judgements) == 2738
    # Neither side is favoured, and the mean share of the majority is the known .87 where there is one.
    assert 0.47 < sum(judgement > 0.5 for judgement in judgements) / 2738 < 0.53
    assert sum(max(j, 1 - j) for j in judgements if j != 0.5) / 2738 == pytest.approx(0.87, abs=0.005)
    ennis = load("material_similarity", "havran1_ennis_298x298_LDR", data_dir=root, split="test")
    assert ennis["judgement"][:] == judgements
    assert ennis[0]["image_0"].size == (298, 298)


def test_cifar10_has_200_images_a_class(load: Load, real_data: Real) -> None:
    dataset = load("cifar10", data_dir=real_data("cifar10"), split="test")
    assert Counter(dataset["label"]) == dict.fromkeys(range(10), 200)
    assert dataset[0]["image"].size == (32, 32)


NAMED = (
    *("airplane", "bear", "bird", "boat", "bottle", "car", "cat", "chair", "dog", "elephant"),
    *("keyboard", "truck"),
)
"""The categories of the cue conflicts that captions of tiny_photographs name."""


@pytest.mark.trial
def test_tiny_photographs_have_the_pictures_and_the_captions_of_their_readme(
    load: Load, real_data: Real
) -> None:
    root = real_data("tiny-photographs")
    splits = load("tiny_photographs", data_dir=root)
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 120_000, "validation": 5_000}
    captions = splits["train"]["captions"][:]
    assert {len(texts) for texts in captions} == {3}
    assert len({text for texts in captions for text in texts}) == 987
    words = [set(re.findall("[a-z]+", " ".join(texts).lower())) for texts in captions]
    counts = Counter(name for of_image in words for name in NAMED if name in of_image)
    assert set(counts) == set(NAMED)
    assert (min(counts.values()), counts["dog"]) == (400, 6172)
    names = load("tiny_photographs", "class_names", data_dir=root, split="train")["captions"][:]
    assert len({texts[0] for texts in names}) == 210
    labels = load("tiny_photographs", "labels", data_dir=root, split="validation")
    assert len(set(labels["label"][:])) == 200


def test_660_conflicts_at_64_pixels_have_both_cues_in_captions_as_people_judged_them(
    load: Load, real_data: Real
) -> None:
    real_data("model-vs-human-trials")
    rows = load("cue_conflict_64", data_dir=real_data("cue-conflict-64"), split="test").to_pandas()
    own = rows[rows["shape"].isin(NAMED) & rows["texture"].isin(NAMED) & (rows["shape"] != rows["texture"])]
    assert (len(rows), len(own)) == (1280, 660)
    assert (own["shape_exemplar"].nunique(), own["texture_exemplar"].nunique()) == (120, 36)
    assert set(own.groupby(["shape", "texture"]).size()) == {5}
    assert len(own.groupby(["shape", "texture"])) == 132
    answers = [
        (row.shape, row.texture, answer["response"])
        for row in own.itertuples()
        for answer in row.human_responses
    ]
    assert len(answers) == 6600
    predictions = [answer for *_, answer in answers]
    people = shape_bias(
        predictions, [shape for shape, *_ in answers], [texture for _, texture, _ in answers], n_resamples=0
    )
    assert people["shape_accuracy"] == pytest.approx(0.742, abs=5e-4)
    assert people["texture_accuracy"] == pytest.approx(0.039, abs=5e-4)
    assert people["shape_bias"] == pytest.approx(0.950, abs=5e-4)
    assert np.mean(~np.isin(predictions, [*NAMED, "na"])) == pytest.approx(0.062, abs=5e-4)


def test_edges_and_silhouettes_at_64_pixels_are_120_each_of_named_categories(
    load: Load, real_data: Real
) -> None:
    outlines = load("cue_conflict_64", "outlines", data_dir=real_data("cue-conflict-64"), split="test")
    named = Counter(
        subset
        for subset, category in zip(outlines["subset"], outlines["category"], strict=True)
        if category in NAMED
    )
    assert (len(outlines), named) == (320, {"edge": 120, "silhouette": 120})
