"""Saliency equals a slow evaluator: one image at a time, transformers and SciPy alone."""

from itertools import product

import numpy as np
import pytest
import torch
from official_trees.saliency import osie
from PIL import Image
from scipy import ndimage
from slow_evaluator import REVISION, Slow
from slow_formulas import density_scores, point_scores
from tiny_models import RESNET, vision_model
from transformers import ViTImageProcessor

from hf_clipdyn.benchmarks.kinds.saliency import Saliency
from hf_clipdyn.errors import NothingToMeasureError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.results.row import NUMBER_KEY, NumberKey

WIDTH, HEIGHT, SIGMA = 400, 300, 24.0  # half of the official sides: the slow evaluator sorts every pixel
NAMES = ("1001.jpg", "1002.jpg", "1003.jpg")
TOLERANCE = 1e-5
PROBES = ("attention_layers", "rollout", "gradient_input", "grad_cam")


def gaze(number):
    """Three observers of the n-th photograph, around a place of its own, not all with as many fixations."""
    rng = np.random.default_rng(number)
    place = rng.uniform(0.3, 0.7, 2) * (WIDTH, HEIGHT)
    found = []
    for observer in range(3):
        points = np.clip(place + rng.normal(0, 60, (4 + observer, 2)), 0, (WIDTH - 1, HEIGHT - 1))
        found.append([(float(x), float(y), 200.0) for x, y in points])
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("osie")
    osie(root, NAMES, gaze)
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(100 + number)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(root / "stimuli" / name, quality=95)
    return root


HUMANS = {"probe": "", "role": "human", "reference": "observers"}


def key(metric, **columns):
    return NumberKey(metric=metric, **columns).number_key


@pytest.fixture
def measure(store, tree):
    """`measure("osie", tree, probes=…)`: values by the key of their numbers."""

    def run(dataset="osie", folder=tree, **settings):
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


class SlowMaps(Slow):
    """Its maps of one photograph."""

    def maps(self, image, crop):
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

        cosine = torch.cosine_similarity(
            output.pooler_output, torch.tensor(self.text("a photo."))[None]
        ).sum()
        for_pixels, for_tokens = torch.autograd.grad(cosine, [values, kept[0]])
        found["gradient_input", None] = (for_pixels * values)[0].sum(dim=0).abs()
        weights = for_tokens[0, 1:].mean(dim=0)
        found["grad_cam", None] = (kept[0][0, 1:] @ weights).clamp(min=0)
        sides = {9: (3, 3), 576: (24, 24)}
        return {
            place: one.detach().double().reshape(sides[one.numel()]).numpy() for place, one in found.items()
        }


def laid_over(coarse, height, width):
    tensor = torch.from_numpy(coarse)[None, None]
    return torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear")[0, 0].numpy()


def density_of(points, shape):
    counts = np.zeros(shape)
    for x, y, *_ in points:
        counts[int(y), int(x)] += 1
    return ndimage.gaussian_filter(counts, SIGMA, mode="constant")


def scores_of(saliency, points, centre, others):
    """The seven scores."""
    density = density_of(points, saliency.shape)
    return point_scores(saliency, points, others, centre) | density_scores(saliency, density)


@pytest.mark.parametrize("preprocess", ["squash", pytest.param("crop", marks=pytest.mark.slow)])
def test_every_map_and_metric_equals_the_slow_evaluator(store, tree, measure, preprocess):
    crop = preprocess == "crop"
    found = measure(probes=PROBES, preprocess=preprocess)
    slow = SlowMaps(store)
    # 400 x 300 become 32 x 24, of which the middle 24 columns are kept: 50 pixels a side go.
    edge = 50 if crop else 0
    width = WIDTH - 2 * edge
    gazes = [
        [(x - edge, y) for one in gaze(n) for x, y, _ in one if edge <= x < WIDTH - edge] for n in range(3)
    ]
    values = {}
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
        smooth_centre = ndimage.gaussian_filter(centre, SIGMA, mode="nearest")
        for variant, saliency in (("", centre), ("smoothed", smooth_centre)):
            for metric, value in scores_of(saliency, gazes[n], centre, others).items():
                place = key(metric, probe="", role="baseline", reference="centre_bias", variant=variant)
                values.setdefault(place, []).append(value)
    assert len(values) == (2 + 1 + 1 + 1) * 14 + 14
    for place, of_images in values.items():
        assert found[place] == pytest.approx(np.mean(of_images), rel=TOLERANCE, abs=TOLERANCE), place


def test_the_left_out_observer_is_one_and_the_same_for_model_and_humans(store, tree, measure):
    found = measure(probes=("rollout",))
    slow = SlowMaps(store)
    values = {}
    for n, name in enumerate(NAMES):
        image = Image.open(tree / "stimuli" / name).convert("RGB")
        saliency = laid_over(slow.maps(image, False)["rollout", None], HEIGHT, WIDTH)
        for observer in range(3):
            own = density_of(gaze(n)[observer], (HEIGHT, WIDTH))
            rest = [point for other in range(3) if other != observer for point in gaze(n)[other]]
            predicted = density_of(rest, (HEIGHT, WIDTH))
            for columns, one in (({"probe": "rollout"}, saliency), (HUMANS, predicted)):
                for metric, value in density_scores(one, own).items():
                    place = key(metric, subset="left_out_observer", **columns)
                    values.setdefault(place, [[], [], []])[n].append(value)
    chosen = {}
    for place, of_images in values.items():
        value = found[place]
        # One of the three observers on each of the three photographs: 27 possible means, one of which it is.
        means = {
            drawn: np.mean([of_images[n][observer] for n, observer in enumerate(drawn)])
            for drawn in product(range(3), repeat=3)
        }
        nearest = min(means, key=lambda drawn: abs(means[drawn] - value))
        assert means[nearest] == pytest.approx(value, abs=TOLERANCE)
        chosen[place] = nearest
    assert len(set(chosen.values())) == 1


def test_maps_that_a_model_cannot_have_are_refused_before_they_are_read(tree, tmp_path):
    vision_model("ResNet", RESNET).save_pretrained(tmp_path / "cnn")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "cnn")
    options = {"data_dirs": {"osie": tree}, "device": "cpu", "show_progress": False}
    attention = Saliency.on("osie", probes=("attention",))
    with pytest.raises(NothingToMeasureError, match=r"saliency/osie .*gradient_input,grad_cam"):
        evaluate_revisions(tmp_path / "cnn", attention, **options)
    names = [attention, "distortion/procedural"]
    table = evaluate_revisions(tmp_path / "cnn", names, skip_missing=True, **options)
    assert set(table["kind"]) == {"distortion"}
    table = evaluate_revisions(tmp_path / "cnn", "saliency/osie", **options).to_pandas()
    values = table[table["role"] == "value"]
    assert set(values["probe"]) == {"gradient_input", "grad_cam"}, "by default, maps that it has"
    assert values.loc[values["metric"] == "nss", "value"].notna().all()
