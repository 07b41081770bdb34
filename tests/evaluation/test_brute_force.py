"""Every benchmark equals a slow evaluator: one image at a time, `from_pretrained` for each revision.

It shares no code with the package but the data loaders and lists; its formulas are written out again.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from result_rows import value
from scipy import stats
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.data import dataset_metadata, load_dataset
from hf_clipdyn.metrics.noise_robustness import clear_of_chance

REVISION = "epoch-001"
TOLERANCE = 1e-5
PEOPLE = {"probe": "", "role": "human", "reference": "observers"}
GEIRHOS = [
    *("airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"),
    *("chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"),
]


class Slow:
    """One revision, loaded as its users load it."""

    def __init__(self, store: Path) -> None:
        folder = store / "revisions" / REVISION
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPProcessor.from_pretrained(folder)

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


def folds_of(classes: list[str], exemplars: list[str], most: int = 5) -> np.ndarray:
    """Exemplars in the order of their names, dealt out class by class, each class from another fold on."""
    names = sorted(set(classes))
    of_class = {
        name: sorted({e for c, e in zip(classes, exemplars, strict=True) if c == name}) for name in names
    }
    n_folds = min(most, *(len(of_class[name]) for name in names))
    fold = {e: (i + k) % n_folds for k, name in enumerate(names) for i, e in enumerate(of_class[name])}
    return np.array([fold[exemplar] for exemplar in exemplars])


def probed(images: list[np.ndarray], classes: list[str], folds: np.ndarray, *views: list[np.ndarray]) -> list:
    """What scikit-learn's ridge classifier says of each item, fitted on the other folds, for each view of them."""
    features, labels = np.array(images), np.array(classes)
    answers = [np.empty(len(labels), object) for _ in (images, *views)]
    for fold in set(folds):
        train = folds != fold
        penalties = train.sum() * np.array([1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001])
        model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=penalties))
        model.fit(features[train], labels[train])
        for answer, view in zip(answers, (images, *views), strict=True):
            answer[~train] = model.predict(np.array(view)[~train])
    return answers


def probed_within(
    images: list[np.ndarray], classes: list[str], folds: np.ndarray, others: list[str]
) -> list[str]:
    """Ridge regression of each class's indicator minus its share within the same exemplar of the other cue."""
    features, names, answers = np.array(images), sorted(set(classes)), np.empty(len(classes), object)
    for fold in set(folds):
        train = np.flatnonzero(folds != fold)
        targets = []
        for i in train:
            beside = [classes[j] for j in train if others[j] == others[i]]
            targets.append([(classes[i] == name) - beside.count(name) / len(beside) for name in names])
        penalties = len(train) * np.array([1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001])
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=penalties)).fit(features[train], targets)
        for i in np.flatnonzero(folds == fold):
            scores = dict(zip(names, np.round(model.predict(features[[i]])[0], 9), strict=True))
            scores.pop(others[i].rstrip("0123456789"), None)
            answers[i] = max(scores, key=lambda name: scores[name])
    return list(answers)


@pytest.fixture
def slow(store: Path) -> Slow:
    return Slow(store)


def test_shape_bias_and_preference_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("shape_bias/cue_conflict", revisions=[REVISION])
    files = sorted(data["cue_conflict"].glob("*/*.png"))
    cues = [file.stem.split("-") for file in files]
    images = [slow.image(Image.open(file).convert("RGB")) for file in files]
    for variant, template in (("", "a photo of a {}."), ("name", "{}")):
        classes = slow.classes(GEIRHOS, [template])
        decisions = [GEIRHOS[int(np.argmax(classes @ image))] for image in images]
        n_shape = sum(cue[0].startswith(d) for cue, d in zip(cues, decisions, strict=True))
        n_texture = sum(cue[1].startswith(d) for cue, d in zip(cues, decisions, strict=True))
        for cue, hits in (("shape", n_shape), ("texture", n_texture)):
            assert value(table, f"{cue}_accuracy", variant=variant) == pytest.approx(hits / 36)
        assert value(table, "cue_accuracy", variant=variant) == pytest.approx((n_shape + n_texture) / 36)
        assert n_shape + n_texture > 0 or variant, "the fixture must decide for a cue now and then"
        if n_shape + n_texture:
            assert value(table, "shape_bias", variant=variant) == pytest.approx(
                n_shape / (n_shape + n_texture)
            )

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

    for cue, position in (("shape", 0), ("texture", 1)):
        exemplars = [names[position] for names in cues]
        kinds = [name[:-1] for name in exemplars]
        others = [names[1 - position] for names in cues]
        answers = probed_within(images, kinds, folds_of(kinds, exemplars), others)
        expected = np.mean([a == b for a, b in zip(answers, kinds, strict=True)])
        assert value(table, f"{cue}_accuracy", probe="linear_probe") == pytest.approx(expected)


def test_the_mean_person_has_the_mean_of_the_biases_of_the_trials_by_observer(data, evaluate, tmp_path):
    root = tmp_path / "cue-conflict"
    shutil.copytree(data["cue_conflict"], root)
    Image.open(next(root.glob("bird/*.png"))).save(root / "bird" / "bird1-bird9.png")  # no conflict
    files = sorted(root.glob("*/*.png"))
    rng = np.random.default_rng(0)
    (tmp_path / "cue-conflict-human-trials").mkdir()
    biases = []
    for number in (1, 2, 3):
        told = [str(rng.choice(["airplane", "bird", "truck", "na"])) for _ in files]
        rows = ["subj,session,trial,rt,object_response,category,condition,imagename"]
        named = {"shape": 0, "texture": 0}
        for i, (file, answer) in enumerate(zip(files, told, strict=True)):
            shape = file.parent.name
            name = f"{i:04d}_cue_s01_0_{shape}_00_{file.name}"
            rows.append(f"subject-{number:02d},1,{i},0.5,{answer},{shape},0,{name}")
            cues = [cue.rstrip("0123456789") for cue in file.stem.split("-")]
            for position, cue in enumerate(named) if cues[0] != cues[1] else ():
                named[cue] += answer == cues[position]
        trials = tmp_path / "cue-conflict-human-trials" / f"cue-conflict_subject-{number:02d}_session_1.csv"
        trials.write_text("\n".join(rows) + "\n")
        biases.append(named["shape"] / (named["shape"] + named["texture"]))
    table = evaluate("shape_bias/cue_conflict", data_dirs={"cue_conflict": root}, revisions=[REVISION])
    for reference in ("people by image", "people by person"):
        found = value(table, "shape_bias", **PEOPLE | {"reference": reference})
        assert found == pytest.approx(np.mean(biases))


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
    for stage, shown in (("native", noisy), ("input", at_input)):
        table = evaluate(Noise.on("cifar10", sigmas=(0.0, 0.2), stage=stage), revisions=[REVISION])
        images = [slow.image(shown(row["image"], i, 0.2)) for i, row in enumerate(dataset)]
        right = [
            np.argmax(classes @ image) == row["label"] for image, row in zip(images, dataset, strict=True)
        ]
        right_clean = [
            np.argmax(classes @ image) == row["label"] for image, row in zip(clean, dataset, strict=True)
        ]
        assert value(table, "accuracy") == pytest.approx(np.mean(right_clean))
        noise = {"condition": "gaussian", "level": 0.2}
        assert value(table, "accuracy", **noise) == pytest.approx(np.mean(right))
        area = value(table, "area", condition="gaussian")
        assert area == pytest.approx((np.mean(right_clean) + np.mean(right)) / 2)


def test_every_kind_of_noise_and_the_probe_under_it_equal_the_slow_evaluator(slow, data, evaluate):
    dataset = load_dataset("cifar10", data_dir=data["cifar10"], split="test")
    names, templates = dataset.features["label"].names, dataset_metadata("cifar10").templates
    classes = slow.classes(names, list(templates))
    labels = [row["label"] for row in dataset]
    pixels = [np.array(row["image"].convert("RGB")) for row in dataset]

    def salted(image: np.ndarray, row: int) -> np.ndarray:
        drawn = np.random.default_rng([0, row]).random(image.shape[:2])[..., None]
        return np.where(drawn < 0.1, 0, np.where(drawn >= 0.9, 255, image)).astype(np.uint8)

    def blurred(image: np.ndarray, row: int) -> np.ndarray:
        channels = [gaussian_filter(image[..., c].astype(np.float32), 2.0) for c in range(3)]
        return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)

    def noised(image: np.ndarray, row: int) -> np.ndarray:
        noise = np.random.default_rng([0, row]).standard_normal(image.shape, np.float32)
        return np.clip(np.rint(image + 255 * 0.2 * noise), 0, 255).astype(np.uint8)

    conditions = ("gaussian", "salt_and_pepper", "blur")
    table = evaluate(Noise.on("cifar10", sigmas=(0.0, 0.2), conditions=conditions), revisions=[REVISION])
    clean = [slow.image(image) for image in pixels]
    folds = folds_of([names[label] for label in labels], [f"{row:04d}" for row in range(len(labels))])
    for condition, level, change in (
        ("gaussian", 0.2, noised),
        ("salt_and_pepper", 0.2, salted),
        ("blur", 2.0, blurred),
    ):
        noise: dict[str, Any] = {"condition": condition, "level": level}
        noisy = [slow.image(change(image, row)) for row, image in enumerate(pixels)]
        asked = [[int(np.argmax(classes @ image)) for image in images] for images in (clean, noisy)]
        by_probe = probed(clean, [names[label] for label in labels], folds, noisy)
        read = [[names.index(answer) for answer in answers] for answers in by_probe]
        for probe, (before, after) in (("projection", asked), ("linear_probe", read)):
            was = np.array(before) == labels
            right = np.array(after) == labels
            assert value(table, "accuracy", probe=probe, **noise) == pytest.approx(right.mean())
            assert value(table, "accuracy", probe=probe) == pytest.approx(was.mean())
            if clear_of_chance(was.mean(), len(was), len(names)):
                drop = (was.mean() - right.mean()) / was.mean()
                assert value(table, "relative_drop", probe=probe, **noise) == pytest.approx(drop)
                lost = (~right[was]).mean()
                assert value(table, "drop_when_right", probe=probe, **noise) == pytest.approx(lost)


def test_zero_shot_and_retrieval_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("retrieval/flickr8k", "zero_shot/cifar10", revisions=[REVISION])
    check_classes(
        slow,
        table,
        load_dataset("cifar10", data_dir=data["cifar10"], split="test"),
        list(dataset_metadata("cifar10").templates),
    )
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


@pytest.mark.slow
def test_the_embedded_suite_equals_the_slow_evaluator(slow, evaluate):
    table = evaluate("zero_shot/procedural", "distortion/procedural", revisions=[REVISION])
    labelled = load_dataset("procedural", "labels", split="test")
    check_classes(slow, table, labelled, ["a photo of a {}"])
    check_ladder(slow, table, load_dataset("procedural", "distortion", split="test"))


def check_classes(slow: Slow, table: pd.DataFrame, dataset: Any, templates: list[str]) -> None:
    classes = slow.classes(dataset.features["label"].names, templates)
    ranks = []
    for row in dataset:
        order = np.argsort(-(classes @ slow.image(row["image"])), kind="stable")
        ranks.append(int(np.flatnonzero(order == row["label"])[0]))
    assert value(table, "top1") == pytest.approx(np.mean(np.array(ranks) < 1))
    assert value(table, "top5") == pytest.approx(np.mean(np.array(ranks) < 5))


def check_ladder(slow: Slow, table: pd.DataFrame, dataset: Any) -> None:
    def seen(image: Image.Image) -> np.ndarray:
        batch = slow.processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return batch["pixel_values"][0].transpose(1, 2, 0)

    distances, dissimilarities, levels = [], [], []
    for row in dataset:
        distances.append(distance(slow.image(row["reference"]), slow.image(row["distorted"])))
        reference, distorted = seen(row["reference"]), seen(row["distorted"])
        dissimilarities.append(
            1 - structural_similarity(reference, distorted, channel_axis=-1, data_range=255)
        )
        levels.append(row["level"])
    pooled = {"variant": "cosine", "condition": ""}
    expected = stats.spearmanr(distances, dissimilarities).statistic
    assert value(table, "alignment_ssim", **pooled) == pytest.approx(expected, abs=1e-4)
    expected = stats.spearmanr(distances, levels).statistic
    assert value(table, "alignment_severity", **pooled) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_real_cue_conflict_with_its_observers_equals_the_slow_evaluator(slow, evaluate, real_data):
    root = real_data("cue-conflict")
    answers = answers_of(real_data("cue-conflict-human-trials"))
    table = evaluate("shape_bias/cue_conflict", data_dirs={"cue_conflict": root}, revisions=[REVISION])
    files = sorted(root.glob("*/*.png"))
    cues = [[cue.rstrip("0123456789") for cue in file.stem.split("-")] for file in files]
    images = [slow.image(Image.open(file).convert("RGB")) for file in files]
    classes = slow.classes(GEIRHOS, ["a photo of a {}."])
    decisions = [GEIRHOS[int(np.argmax(classes @ image))] for image in images]
    conflicts = [(d, *cue) for d, cue in zip(decisions, cues, strict=True) if cue[0] != cue[1]]
    assert value(table, "shape_accuracy") == pytest.approx(np.mean([d == s for d, s, _ in conflicts]))
    assert value(table, "texture_accuracy") == pytest.approx(np.mean([d == t for d, _, t in conflicts]))
    biases = []
    for told in answers.values():
        named = [
            [told[file.stem] == cue for cue in pair]
            for file, pair in zip(files, cues, strict=True)
            if pair[0] != pair[1]
        ]
        shape, texture = np.sum(named, axis=0)
        biases.append(shape / (shape + texture))
    assert len(biases) == 10
    found = value(table, "shape_bias", **PEOPLE | {"reference": "people by image"})
    assert found == pytest.approx(np.mean(biases))
    for cue, position in (("shape", 0), ("texture", 1)):
        shown = [i for i, pair in enumerate(cues) if pair[0] != pair[1]]
        exemplars = [files[i].stem.split("-")[position] for i in shown]
        kinds = [cues[i][position] for i in shown]
        others = [files[i].stem.split("-")[1 - position] for i in shown]
        told = probed_within([images[i] for i in shown], kinds, folds_of(kinds, exemplars), others)
        expected = np.mean([a == b for a, b in zip(told, kinds, strict=True)])
        # 300 images and a random model: one decision on the edge may fall either way
        assert value(table, f"{cue}_accuracy", probe="linear_probe") == pytest.approx(expected, abs=0.004)


def answers_of(folder: Path) -> dict[str, dict[str, str]]:
    """Answer by image, of each observer."""
    answers: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("*.csv")):
        trials = pd.read_csv(file, keep_default_na=False)
        names = trials["imagename"].str.replace(r"^\d+_[^_]+_[^_]+_[^_]+_[^_]+_[^_]+_", "", regex=True)
        told = dict(zip(names.str.removesuffix(".png"), trials["object_response"], strict=True))
        answers.setdefault(trials["subj"].iloc[0], {}).update(told)
    return answers


def test_real_cifar10_equals_the_slow_evaluator(slow, evaluate, real_data, tmp_path):
    for folder in (real_data("cifar10") / "test").iterdir():
        (tmp_path / "cifar10" / "test" / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:20]:
            shutil.copy(file, tmp_path / "cifar10" / "test" / folder.name)
    folders = {"cifar10": tmp_path / "cifar10"}
    benchmarks = ("zero_shot/cifar10", Noise.on("cifar10", sigmas=(0.0, 0.1)))
    both = evaluate(*benchmarks, data_dirs=folders, revisions=[REVISION])
    table, noise = (both[both["kind"] == name] for name in ("zero_shot", "noise"))
    dataset = load_dataset("cifar10", data_dir=folders["cifar10"], split="test")
    check_classes(slow, table, dataset, list(dataset_metadata("cifar10").templates))
    assert (value(table, "top1", role="chance"), value(table, "top5", role="chance")) == (0.1, 0.5)

    def noisy(image: Image.Image, row: int) -> np.ndarray:
        pixels = np.asarray(image.convert("RGB"))
        drawn = np.random.default_rng([0, row]).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + 255 * 0.1 * drawn), 0, 255).astype(np.uint8)

    labels = [f"{row['label']}" for row in dataset]
    clean = [slow.image(row["image"]) for row in dataset]
    shown = [slow.image(noisy(row["image"], i)) for i, row in enumerate(dataset)]
    folds = folds_of(labels, [f"{row:04d}" for row in range(len(labels))])
    before, after = ((answers == np.array(labels)).mean() for answers in probed(clean, labels, folds, shown))
    # one of 200 decisions on the edge may fall either way
    assert value(noise, "accuracy", probe="linear_probe") == pytest.approx(before, abs=0.0051)
    at = {"condition": "gaussian", "level": 0.1}
    assert value(noise, "accuracy", probe="linear_probe", **at) == pytest.approx(after, abs=0.0051)
