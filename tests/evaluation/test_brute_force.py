"""Every benchmark equals a slow evaluator: one image at a time, `from_pretrained` for each revision.

It shares no code with the package but the data loaders; its formulas are written out again.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from skimage.metrics import structural_similarity
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.data import load_dataset

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")

REVISION = "epoch-001"
TOLERANCE = 1e-5
GEIRHOS = [
    *("airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"),
    *("chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"),
]


class Slow:
    """One revision, loaded as its users load it."""

    def __init__(self, store: Path) -> None:
        where: dict[str, Any] = {"revision": REVISION, "cache_dir": store, "local_files_only": True}
        self.model = CLIPModel.from_pretrained("me/run", **where).eval()
        self.processor = CLIPProcessor.from_pretrained("me/run", **where)

    def image(self, image: Any) -> np.ndarray:
        inputs = self.processor(images=image, return_tensors="pt")
        with torch.no_grad():
            return self._unit(self.model.get_image_features(**inputs).pooler_output[0])

    def text(self, text: str) -> np.ndarray:
        inputs = self.processor(text=[text], return_tensors="pt", truncation=True, max_length=16)
        with torch.no_grad():
            return self._unit(self.model.get_text_features(**inputs).pooler_output[0])

    def classes(self, names: list[str], templates: list[str]) -> np.ndarray:
        means = []
        for name in names:
            mean = np.mean([self.text(template.format(name)) for template in templates], axis=0)
            means.append(mean / np.linalg.norm(mean))
        return np.array(means)

    @staticmethod
    def _unit(vector: torch.Tensor) -> np.ndarray:
        array = vector.double().numpy()
        return array / np.linalg.norm(array)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(0.5 * ((a - b) ** 2).sum())


def value(table: pd.DataFrame, metric: str, group: str = "") -> float:
    rows = table[(table["metric"] == metric) & (table["group"] == group) & (table["revision"] == REVISION)]
    assert len(rows) == 1, (metric, group)
    return float(rows["value"].iloc[0])


@pytest.fixture
def slow(store: Path) -> Slow:
    return Slow(store)


def test_shape_bias_and_preference_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("shape_bias/cue_conflict")
    files = sorted(data["cue_conflict"].glob("*/*.png"))
    cues = [file.stem.split("-") for file in files]
    images = [slow.image(Image.open(file).convert("RGB")) for file in files]
    for suffix, templates in (("", ["a photo of a {}."]), ("/name", ["{}"])):
        classes = slow.classes(GEIRHOS, templates)
        decisions = [GEIRHOS[int(np.argmax(classes @ image))] for image in images]
        n_shape = sum(cue[0].startswith(d) for cue, d in zip(cues, decisions, strict=True))
        n_texture = sum(cue[1].startswith(d) for cue, d in zip(cues, decisions, strict=True))
        assert n_shape + n_texture > 0, "the fixture must decide for a cue now and then"
        assert value(table, "shape_accuracy" + suffix) == pytest.approx(n_shape / 36)
        assert value(table, "texture_accuracy" + suffix) == pytest.approx(n_texture / 36)
        assert value(table, "cue_accuracy" + suffix) == pytest.approx((n_shape + n_texture) / 36)
        assert value(table, "shape_bias" + suffix) == pytest.approx(n_shape / (n_shape + n_texture))

    preferences = []
    names = [(s[:-1], s, t[:-1], t) for s, t in cues]
    for a, (shape, shape_of, texture, texture_of) in enumerate(names):
        wins = []
        for m, (s, s_of, t, _) in enumerate(names):
            for k, (s2, _, t2, t2_of) in enumerate(names):
                shape_mate = s == shape and s_of != shape_of and t != texture
                texture_mate = t2 == texture and t2_of != texture_of and s2 != shape
                if shape_mate and texture_mate:
                    wins.append(distance(images[a], images[m]) < distance(images[a], images[k]))
        preferences.append(np.mean(wins))
    assert value(table, "shape_preference") == pytest.approx(np.mean(preferences), abs=TOLERANCE)


def test_noise_equals_the_slow_evaluator_at_both_stages(slow, data, evaluate):
    dataset = load_dataset("cifar10", data_dir=data["cifar10"], split="test")
    names = dataset.features["label"].names
    views = ["", "blurry ", "black and white ", "low contrast ", "high contrast ", "bad ", "good "]
    templates = [f"a {view}photo of {article} {{}}." for article in ("a", "the") for view in views]
    templates += [
        f"a photo of {article} {size} {{}}." for article in ("a", "the") for size in ("small", "big")
    ]
    classes = slow.classes(names, templates)

    def noisy(image: Image.Image, row: int, sigma: float) -> np.ndarray:
        pixels = np.asarray(image.convert("RGB"))
        noise = np.random.default_rng([0, row]).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + 255 * sigma * noise), 0, 255).astype(np.uint8)

    def at_input(image: Image.Image, row: int, sigma: float) -> np.ndarray:
        square = slow.processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return noisy(Image.fromarray(square["pixel_values"][0].transpose(1, 2, 0)), row, sigma)

    clean = [slow.image(row["image"]) for row in dataset]
    pairs = [distance(a, b) for i, a in enumerate(clean) for j, b in enumerate(clean) if i != j]
    for stage, shown in (("native", noisy), ("input", at_input)):
        table = evaluate("noise/cifar10", sigmas=(0.0, 0.2), noise_stage=stage)
        group = "sigma=0.20" + ("" if stage == "native" else ",noise_stage=input")
        images = [slow.image(shown(row["image"], i, 0.2)) for i, row in enumerate(dataset)]
        right = [
            np.argmax(classes @ image) == row["label"] for image, row in zip(images, dataset, strict=True)
        ]
        right_clean = [
            np.argmax(classes @ image) == row["label"] for image, row in zip(clean, dataset, strict=True)
        ]
        assert value(table, "clean_accuracy") == pytest.approx(np.mean(right_clean))
        assert value(table, "accuracy", group) == pytest.approx(np.mean(right))
        assert value(table, "area") == pytest.approx((np.mean(right_clean) + np.mean(right)) / 2)
        moved = np.mean([distance(a, b) for a, b in zip(clean, images, strict=True)]) / np.mean(pairs)
        assert value(table, "displacement", group) == pytest.approx(moved, rel=TOLERANCE)


def test_zero_shot_and_retrieval_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("retrieval/flickr8k")
    dataset = load_dataset("flickr8k", data_dir=data["flickr8k"], split="train")
    images = [slow.image(row["image"]) for row in dataset]
    texts = [(owner, slow.text(text)) for owner, row in enumerate(dataset) for text in row["captions"]]
    for k in (1, 5):
        found = []
        for owner, image in enumerate(images):
            ranked = sorted(texts, key=lambda text, image=image: -float(text[1] @ image))
            found.append(any(other == owner for other, _ in ranked[:k]))
        assert value(table, f"image_to_text_recall_at_{k}") == pytest.approx(np.mean(found))
        found = []
        for owner, text in texts:
            order = np.argsort([-float(image @ text) for image in images], kind="stable")
            found.append(owner in order[:k])
        assert value(table, f"text_to_image_recall_at_{k}") == pytest.approx(np.mean(found))


def test_the_embedded_suite_equals_the_slow_evaluator(slow, evaluate):
    table = evaluate("zero_shot/procedural", "distortion/procedural", revisions=[REVISION])
    labelled = load_dataset("procedural", "labels", split="test")
    classes = slow.classes(labelled.features["label"].names, ["a photo of a {}"])
    ranks = []
    for row in labelled:
        order = np.argsort(-(classes @ slow.image(row["image"])), kind="stable")
        ranks.append(int(np.flatnonzero(order == row["label"])[0]))
    assert value(table, "top1") == pytest.approx(np.mean(np.array(ranks) < 1))
    assert value(table, "top5") == pytest.approx(np.mean(np.array(ranks) < 5))

    def seen(image: Image.Image) -> np.ndarray:
        batch = slow.processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return batch["pixel_values"][0].transpose(1, 2, 0)

    distances, dissimilarities, levels = [], [], []
    for row in load_dataset("procedural", "distortion", split="test"):
        distances.append(distance(slow.image(row["reference"]), slow.image(row["distorted"])))
        reference, distorted = seen(row["reference"]), seen(row["distorted"])
        dissimilarities.append(
            1 - structural_similarity(reference, distorted, channel_axis=-1, data_range=255)
        )
        levels.append(row["level"])
    expected = stats.spearmanr(distances, dissimilarities).statistic
    assert value(table, "alignment_ssim/cosine") == pytest.approx(expected, abs=1e-4)
    expected = stats.spearmanr(distances, levels).statistic
    assert value(table, "alignment_severity/cosine") == pytest.approx(expected, abs=1e-4)
