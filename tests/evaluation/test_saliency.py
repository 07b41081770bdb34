"""Saliency equals a slow evaluator: one image at a time, transformers and SciPy alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_trees.saliency import cat2000, mit1003, osie, salicon
from PIL import Image
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score
from stores import publish_one
from transformers import (
    CLIPModel,
    CLIPProcessor,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from hf_clipdyn.benchmarks.kinds.saliency import Saliency
from hf_clipdyn.errors import NothingToMeasureError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.results.row import NUMBER_KEY, NumberKey

REVISION = "epoch-001"
WIDTH, HEIGHT, SIGMA = 400, 300, 24.0  # half of the official sides: the slow evaluator sorts every pixel
NAMES = ("1001.jpg", "1002.jpg", "1003.jpg")
TOLERANCE = 1e-5
PROBES = ("attention_layers", "rollout", "gradient_input", "grad_cam")


def gaze(number: int) -> list[list[tuple[float, float, float]]]:
    """Three observers of the n-th photograph, around a place of its own, not all with as many fixations."""
    rng = np.random.default_rng(number)
    place = rng.uniform(0.3, 0.7, 2) * (WIDTH, HEIGHT)
    found = []
    for observer in range(3):
        points = np.clip(place + rng.normal(0, 60, (4 + observer, 2)), 0, (WIDTH - 1, HEIGHT - 1))
        found.append([(float(x), float(y), 200.0) for x, y in points])
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("osie")
    osie(root, NAMES, gaze)
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(100 + number)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(root / "stimuli" / name, quality=95)
    return root


HUMANS = {"probe": "", "role": "human", "reference": "observers"}


def key(metric: str, **columns: Any) -> tuple[Any, ...]:
    return NumberKey(metric=metric, **columns).number_key


@pytest.fixture
def measure(store: Path, tree: Path):
    """`measure("osie", tree, probes=…)`: values by the key of their numbers."""

    def run(dataset: str = "osie", folder: Path = tree, **settings: Any) -> dict[tuple[Any, ...], float]:
        table = evaluate_revisions(
            store,
            Saliency.on(dataset, **settings),
            data_dirs={dataset: folder},
            revisions=[REVISION],
            device="cpu",
            show_progress=False,
        ).to_pandas()
        keys = table[list(NUMBER_KEY)].astype(object).where(table[list(NUMBER_KEY)].notna(), None)
        return dict(zip(keys.itertuples(index=False, name=None), table["value"], strict=True))

    return run


class Slow:
    """One revision as its users load it, and its maps of one photograph."""

    def __init__(self, store: Path) -> None:
        folder = store / "revisions" / REVISION
        self.model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
        self.processor = CLIPProcessor.from_pretrained(folder)

    def text(self, text: str) -> torch.Tensor:
        inputs = self.processor(text=[text], return_tensors="pt", truncation=True, max_length=16)
        return self.model.get_text_features(**inputs).pooler_output.detach()

    def maps(self, image: Image.Image, crop: bool) -> dict[tuple[str, Any], np.ndarray]:
        squash = {} if crop else {"size": {"height": 24, "width": 24}, "do_center_crop": False}
        values = self.processor.image_processor(image, return_tensors="pt", **squash)["pixel_values"]
        values.requires_grad_()
        kept = []
        layer = self.model.vision_model.encoder.layers[-1]
        handle = layer.layer_norm1.register_forward_hook(lambda *given: kept.append(given[2]))
        output = self.model.get_image_features(values, output_attentions=True)
        handle.remove()

        attentions = [one[0].mean(dim=0).detach().double() for one in output.attentions]
        flow = torch.eye(10, dtype=torch.float64)
        for one in attentions:
            flow = (one / 2 + torch.eye(10) / 2) @ flow
        found = {("attention", k): one[0, 1:] for k, one in enumerate(attentions, start=1)}
        found["rollout", None] = flow[0, 1:]

        cosine = torch.cosine_similarity(output.pooler_output, self.text("a photo.")).sum()
        for_pixels, for_tokens = torch.autograd.grad(cosine, [values, kept[0]])
        found["gradient_input", None] = (for_pixels * values)[0].sum(dim=0).abs()
        weights = for_tokens[0, 1:].mean(dim=0)
        found["grad_cam", None] = (kept[0][0, 1:] @ weights).clamp(min=0)
        sides = {9: (3, 3), 576: (24, 24)}
        return {
            place: one.detach().double().reshape(sides[one.numel()]).numpy() for place, one in found.items()
        }


def laid_over(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(coarse)[None, None]
    return torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear")[0, 0].numpy()


def density_of(points: list[tuple[float, ...]], shape: tuple[int, int]) -> np.ndarray:
    counts = np.zeros(shape)
    for x, y, *_ in points:
        counts[int(y), int(x)] += 1
    return ndimage.gaussian_filter(counts, SIGMA, mode="constant")


def scores_of(
    saliency: np.ndarray, points: list[Any], centre: np.ndarray, others: list[Any]
) -> dict[str, float]:
    """The seven scores with scikit-learn's areas."""
    pixels = [(int(y), int(x)) for x, y, *_ in points]
    hit = [saliency[pixel] for pixel in pixels]
    negatives = [saliency[int(y), int(x)] for x, y, *_ in others]

    def roc(negative: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.r_[np.ones(len(hit)), np.zeros(len(negative))], np.r_[hit, negative]

    likelihood = []
    for one in (saliency, centre):
        share = 0.99 * one / one.sum() + 0.01 / one.size
        likelihood.append(np.log2([share[pixel] for pixel in pixels]).mean())
    return {
        "nss": float(np.mean((hit - saliency.mean()) / saliency.std())),
        "auc": float(roc_auc_score(*roc(saliency.ravel()))),
        "sauc": float(roc_auc_score(*roc(negatives))),
        "ig": likelihood[0] - likelihood[1],
    } | density_scores_of(saliency, density_of(points, saliency.shape))


def density_scores_of(saliency: np.ndarray, density: np.ndarray) -> dict[str, float]:
    unit = [(one - one.min()) / (one - one.min()).sum() for one in (saliency, density)]
    p, g = saliency / saliency.sum(), density / density.sum()
    return {
        "cc": float(stats.pearsonr(saliency.ravel(), density.ravel()).statistic),
        "sim": float(np.minimum(*unit).sum()),
        "kl": float((g * np.log(2.2204e-16 + g / (p + 2.2204e-16))).sum()),
    }


@pytest.mark.parametrize("preprocess", ["squash", pytest.param("crop", marks=pytest.mark.slow)])
def test_every_map_and_metric_equals_the_slow_evaluator(store, tree, measure, preprocess):
    crop = preprocess == "crop"
    found = measure(probes=PROBES, preprocess=preprocess)
    slow = Slow(store)
    # 400 x 300 become 32 x 24, of which the middle 24 columns are kept: 50 pixels a side go.
    edge = 50 if crop else 0
    width = WIDTH - 2 * edge
    gazes = [
        [(x - edge, y) for one in gaze(n) for x, y, _ in one if edge <= x < WIDTH - edge] for n in range(3)
    ]
    values: dict[tuple[Any, ...], list[float]] = {}
    for n, name in enumerate(NAMES):
        image = Image.open(tree / "stimuli" / name).convert("RGB")
        others = [point for m in range(3) if m != n for point in gazes[m]]
        centre = density_of(others, (HEIGHT, width))
        for (probe, layer), coarse in slow.maps(image, crop).items():
            raw = laid_over(coarse, HEIGHT, width)
            smoothed = ndimage.gaussian_filter(raw, SIGMA, mode="nearest")
            for variant, saliency in (("", raw), ("smoothed", smoothed)):
                for metric, value in scores_of(saliency, gazes[n], centre, others).items():
                    place = key(metric, probe=probe, layer=layer, variant=variant)
                    values.setdefault(place, []).append(value)
        for metric, value in scores_of(centre, gazes[n], centre, others).items():
            place = key(metric, probe="", role="baseline", reference="centre_bias")
            values.setdefault(place, []).append(value)
    assert len(values) == (2 + 1 + 1 + 1) * 14 + 7
    for place, of_images in values.items():
        assert found[place] == pytest.approx(np.mean(of_images), rel=TOLERANCE, abs=TOLERANCE), place


def test_the_left_out_observer_is_one_and_the_same_for_model_and_humans(store, tree, measure):
    found = measure(probes=("rollout",))
    slow = Slow(store)
    values: dict[tuple[Any, ...], list[list[float]]] = {}
    for n, name in enumerate(NAMES):
        image = Image.open(tree / "stimuli" / name).convert("RGB")
        saliency = laid_over(slow.maps(image, False)["rollout", None], HEIGHT, WIDTH)
        for observer in range(3):
            own = density_of(gaze(n)[observer], (HEIGHT, WIDTH))
            rest = [point for other in range(3) if other != observer for point in gaze(n)[other]]
            predicted = density_of(rest, (HEIGHT, WIDTH))
            for columns, one in (({"probe": "rollout"}, saliency), (HUMANS, predicted)):
                for metric, value in density_scores_of(one, own).items():
                    place = key(metric, subset="left_out_observer", **columns)
                    values.setdefault(place, [[], [], []])[n].append(value)
    chosen = {}
    for place, of_images in values.items():
        value = found[place]
        # One of the three observers on each of the three photographs: 27 possible means, one of which it is.
        means = {
            (i, j, k): (of_images[0][i] + of_images[1][j] + of_images[2][k]) / 3
            for i in range(3)
            for j in range(3)
            for k in range(3)
        }
        nearest = min(means, key=lambda drawn: abs(means[drawn] - value))
        assert means[nearest] == pytest.approx(value, abs=TOLERANCE)
        chosen[place] = nearest
    assert len(set(chosen.values())) == 1


def test_mit1003_with_maps_alone_succeeds_and_names_the_cause(measure, tmp_path):
    mit1003(tmp_path / "mit1003", points=False)
    rng = np.random.default_rng(0)
    for file in sorted((tmp_path / "mit1003" / "ALLFIXATIONMAPS").glob("*fixMap.jpg")):
        small = Image.fromarray(rng.integers(0, 256, (4, 5), dtype=np.uint8))
        small.resize((100, 80), Image.Resampling.BICUBIC).save(file)
    found = measure("mit1003", tmp_path / "mit1003")
    assert {place for place in found if place[0] == "rollout"} == {
        key(name, probe="rollout", variant=variant)
        for name in ("nss", "auc", "sauc", "cc", "sim", "kl", "ig")
        for variant in ("", "smoothed")
    }
    assert np.isfinite([found[key(name, probe="rollout")] for name in ("cc", "sim", "kl")]).all()
    assert np.isnan(found[key("nss", probe="rollout")])


@pytest.mark.parametrize(
    ("name", "build", "has_observers"),
    [("mit1003", mit1003, False), ("cat2000", cat2000, False), ("salicon", salicon, True)],
)
def test_every_fixation_set_in_its_official_layout_is_scored(name, build, has_observers, measure, tmp_path):
    build(tmp_path / name)
    found = measure(name, tmp_path / name)
    assert np.isfinite(found[key("nss", probe="rollout")])
    assert np.isfinite(found[key("cc", probe="attention", layer=2, variant="smoothed")])
    assert np.isfinite(found[key("nss", **HUMANS)]) == has_observers
    assert (key("cc", probe="rollout", subset="left_out_observer") in found) == has_observers


def test_a_vision_model_is_measured_without_a_text(tree, tmp_path):
    def save(folder: Path) -> None:
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = ViTModel(ViTConfig(image_size=24, patch_size=8, **sizes), add_pooling_layer=False)
        model.save_pretrained(folder)
        ViTImageProcessor(size={"height": 24, "width": 24}).save_pretrained(folder)

    table = evaluate_revisions(
        publish_one(tmp_path / "run", save, "me/vit"),
        benchmarks=Saliency.on("osie", probes=("attention", "rollout", "gradient_input")),
        data_dirs={"osie": tree},
        device="cpu",
        show_progress=False,
    ).to_pandas()
    rows = table[(table["probe"] == "rollout") & (table["metric"] == "nss") & (table["variant"] == "")]
    assert np.isfinite(rows["value"]).all()
    assert len(rows) == 1
    rows = table[(table["probe"] == "gradient_input") & (table["metric"] == "nss")]
    assert np.isfinite(rows["value"]).all()


def test_maps_that_a_model_cannot_have_are_refused_before_they_are_read(tree: Path, tmp_path: Path) -> None:
    model = ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )
    model.save_pretrained(tmp_path / "cnn")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "cnn")
    options = {"data_dirs": {"osie": tree}, "device": "cpu", "show_progress": False}
    attention = Saliency.on("osie", probes=("attention",))
    with pytest.raises(
        NothingToMeasureError,
        match=r"saliency/osie would give no number for cnn, since resnet models have no attention maps: choose other "
        r"maps with --saliency-probes gradient_input,grad_cam\.",
    ):
        evaluate_revisions(tmp_path / "cnn", attention, **options)
    names = [attention, "distortion/procedural"]
    table = evaluate_revisions(tmp_path / "cnn", names, skip_missing=True, **options)
    assert set(table["kind"]) == {"distortion"}
    table = evaluate_revisions(tmp_path / "cnn", "saliency/osie", **options).to_pandas()
    values = table[table["role"] == "value"]
    assert set(values["probe"]) == {"gradient_input", "grad_cam"}, "by default, maps that it has"
    assert values.loc[values["metric"] == "nss", "value"].notna().all()
