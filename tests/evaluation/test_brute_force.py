"""Every benchmark equals a slow evaluator: one image at a time, `from_pretrained` for each revision.

It shares no code with the package but the data loaders and lists; its formulas are written out again.
"""

import numpy as np
import pytest
from PIL import Image
from result_rows import value
from scipy import stats
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from slow_evaluator import REVISION
from slow_formulas import probed

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.data import dataset_metadata, load_dataset
from hf_clipdyn.metrics.noise_robustness import clear_of_chance
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES

TOLERANCE = 1e-5


def distance(a, b):
    return float(0.5 * ((a - b) ** 2).sum())


def folds_of(classes, exemplars, most=5):
    """Exemplars in the order of their names, dealt out class by class, each class from another fold on."""
    names = sorted(set(classes))
    of_class = {
        name: sorted({e for c, e in zip(classes, exemplars, strict=True) if c == name}) for name in names
    }
    n_folds = min(most, *(len(of_class[name]) for name in names))
    fold = {e: (i + k) % n_folds for k, name in enumerate(names) for i, e in enumerate(of_class[name])}
    return np.array([fold[exemplar] for exemplar in exemplars])


def probed_within(images, classes, folds, others):
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


def test_shape_bias_and_preference_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("shape_bias/cue_conflict", revisions=[REVISION])
    files = sorted(data["cue_conflict"].glob("*/*.png"))
    cues = [file.stem.split("-") for file in files]
    images = [slow.image(Image.open(file).convert("RGB")) for file in files]
    for variant, template in (("", "a photo of a {}."), ("name", "{}")):
        classes = slow.classes(list(GEIRHOS_CLASSES), [template])
        decisions = [GEIRHOS_CLASSES[int(np.argmax(classes @ image))] for image in images]
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


def noised(sigma):
    def change(image, row):
        noise = np.random.default_rng([0, row]).standard_normal(image.shape, np.float32)
        return np.clip(np.rint(image + 255 * sigma * noise), 0, 255).astype(np.uint8)

    return change


def salted(image, row):
    drawn = np.random.default_rng([0, row]).random(image.shape[:2])[..., None]
    return np.where(drawn < 0.1, 0, np.where(drawn >= 0.9, 255, image)).astype(np.uint8)


def blurred(image, row):
    channels = [gaussian_filter(image[..., c].astype(np.float32), 2.0) for c in range(3)]
    return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


CHANGES = {"gaussian": (0.2, noised(0.2)), "salt_and_pepper": (0.2, salted), "blur": (2.0, blurred)}


@pytest.mark.parametrize(
    ("stage", "conditions"), [("native", ("gaussian", "salt_and_pepper", "blur")), ("input", ("gaussian",))]
)
def test_noise_and_the_probe_under_it_equal_the_slow_evaluator(slow, data, evaluate, stage, conditions):
    dataset = load_dataset("cifar10", data_dir=data["cifar10"], split="test")
    names, labels = dataset.features["label"].names, np.array(dataset["label"])
    views = ["", "blurry ", "black and white ", "low contrast ", "high contrast ", "bad ", "good "]
    templates = [f"a {view}photo of {article} {{}}." for article in ("a", "the") for view in views]
    templates += [
        f"a photo of {article} {size} {{}}." for article in ("a", "the") for size in ("small", "big")
    ]
    classes = slow.classes(names, templates)
    pixels = [np.array(row["image"].convert("RGB")) for row in dataset]
    shown = [slow.seen(image) for image in pixels] if stage == "input" else pixels
    benchmark = Noise.on("cifar10", sigmas=(0.0, 0.2), conditions=conditions, stage=stage)
    table = evaluate(benchmark, revisions=[REVISION])
    clean = [slow.image(image) for image in pixels]
    folds = folds_of([names[label] for label in labels], [f"{row:04d}" for row in range(len(labels))])
    for condition in conditions:
        level, change = CHANGES[condition]
        noise = {"condition": condition, "level": level}
        noisy = [slow.image(change(image, row)) for row, image in enumerate(shown)]
        asked = [[int(np.argmax(classes @ image)) for image in images] for images in (clean, noisy)]
        by_probe = probed(clean, [names[label] for label in labels], folds, noisy)
        read = [[names.index(answer) for answer in answers] for answers in by_probe]
        for probe, (before, after) in (("projection", asked), ("linear_probe", read)):
            was, right = np.array(before) == labels, np.array(after) == labels
            assert value(table, "accuracy", probe=probe, **noise) == pytest.approx(right.mean())
            assert value(table, "accuracy", probe=probe) == pytest.approx(was.mean())
            if condition == "gaussian":
                area = value(table, "area", probe=probe, condition="gaussian")
                assert area == pytest.approx((was.mean() + right.mean()) / 2)
            if clear_of_chance(was.mean(), len(was), len(names)):
                drop = (was.mean() - right.mean()) / was.mean()
                assert value(table, "relative_drop", probe=probe, **noise) == pytest.approx(drop)
                lost = (~right[was]).mean()
                assert value(table, "drop_when_right", probe=probe, **noise) == pytest.approx(lost)


def test_zero_shot_and_retrieval_equal_the_slow_evaluator(slow, data, evaluate):
    table = evaluate("retrieval/flickr8k", "zero_shot/cifar10", revisions=[REVISION])
    dataset = load_dataset("cifar10", data_dir=data["cifar10"], split="test")
    classes = slow.classes(dataset.features["label"].names, list(dataset_metadata("cifar10").templates))
    ranks = []
    for row in dataset:
        order = np.argsort(-(classes @ slow.image(row["image"])), kind="stable")
        ranks.append(int(np.flatnonzero(order == row["label"])[0]))
    assert value(table, "top1") == pytest.approx(np.mean(np.array(ranks) < 1))
    assert value(table, "top5") == pytest.approx(np.mean(np.array(ranks) < 5))
    assert (value(table, "top1", role="chance"), value(table, "top5", role="chance")) == (0.1, 0.5)

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
def test_the_proxy_for_quality_equals_the_slow_evaluator(slow, evaluate):
    table = evaluate("distortion/procedural", revisions=[REVISION])
    distances, dissimilarities, levels = [], [], []
    for row in load_dataset("procedural", "distortion", split="test"):
        distances.append(distance(slow.image(row["reference"]), slow.image(row["distorted"])))
        reference, distorted = slow.seen(row["reference"]), slow.seen(row["distorted"])
        similarity = structural_similarity(reference, distorted, channel_axis=-1, data_range=255)
        dissimilarities.append(1 - similarity)
        levels.append(row["level"])
    for metric, others in (("alignment_ssim", dissimilarities), ("alignment_severity", levels)):
        expected = stats.spearmanr(distances, others).statistic
        found = value(table, metric, variant="cosine", condition="")
        assert found == pytest.approx(expected, abs=1e-4)
