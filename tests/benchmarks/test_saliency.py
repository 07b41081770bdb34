"""Planted observers of photographs, whose maps are known, and every number written out again."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage
from shown import Shown
from transformers import BitImageProcessor, CLIPImageProcessor

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.saliency import PROBES, Saliency, SaliencySettings
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.saliency_rows import crop_view
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.fixation_maps import blurred_fixations
from hf_clipdyn.metrics.saliency import METRICS
from hf_clipdyn.metrics.seen_maps import gradient_energy, upsample_map, whole_view
from hf_clipdyn.models.encoder import ImageFeatures
from hf_clipdyn.results.row import NumberKey
from tests.metrics.saliency_scores import auc, cc, kl_divergence, nss, shuffled_auc, sim

SIDE = 16
SIGMA = 2.0
SUBJECTS = ("a", "b", "c", "d")
POINT_METRICS = ("nss", "auc", "sauc", "ig")
DENSITY_METRICS = ("cc", "sim", "kl")
BASELINES = ("centre_bias", "centre_gaussian", "pixels")
ATTENTION = {"probe": "attention", "layer": 1}
HUMANS = {"probe": "", "role": "human", "reference": "observers"}


def baseline(name: str) -> dict[str, str]:
    """Columns of the key of a baseline's numbers."""
    return {"probe": "", "role": "baseline", "reference": name}


class Looking(Shown):
    """An encoder whose class token attends as a function of the image's number, its red value, says."""

    reads_text = False
    images_per_pass = None

    def __init__(self, looks: Callable[[int], np.ndarray], patch_size: int | None = 1) -> None:
        self._looks = looks
        self.model = torch.nn.Identity()
        self.model.config = SimpleNamespace(patch_size=patch_size)

    def eager_attention(self) -> Any:
        return nullcontext()

    def embed_images(self, pixels: np.ndarray, **_: Any) -> ImageFeatures:
        rows = [np.r_[0.0, self._looks(int(image[0, 0, 0])).ravel()] for image in pixels]
        maps = np.zeros((len(rows), 1, len(rows[0]), len(rows[0])), np.float32)
        maps[:, 0, 0] = rows
        return ImageFeatures(np.zeros((len(rows), 2), np.float32), attentions=(maps,))


def constant(_: int) -> np.ndarray:
    return np.full((SIDE, SIDE), 0.25)


def photograph(number: int, width: int = SIDE, height: int = SIDE) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), number, np.uint8))


def looked(number: int, subjects: tuple[str, ...] = SUBJECTS, width: int = SIDE, height: int = SIDE) -> list:
    """Fixations around a place of the image's own, three an observer."""
    rng = np.random.default_rng(number)
    place = rng.uniform(0.25, 0.75, 2) * (width, height)
    return [
        dict(zip("xy", np.clip(place + rng.normal(0, 2, 2), 0, (width - 0.01, height - 0.01)), strict=True))
        | {"duration": 200.0, "subject": subject}
        for subject in subjects
        for _ in range(3)
    ]


def row(number: int, fixations: list, width: int = SIDE, height: int = SIDE, **more: Any) -> dict[str, Any]:
    return {
        "image": photograph(number, width, height),
        "image_id": f"p{number}",
        "width": width,
        "height": height,
        "fixations": fixations,
    } | more


@pytest.fixture
def gazed(source):
    return source("fixations", [row(n, looked(n)) for n in range(5)], pixels_per_degree=SIGMA)


@pytest.fixture
def build(tmp_path):
    """`build(source, preprocess="crop")`: the benchmark for models that see 16 x 16 pixels."""
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})

    def run(source: Any, **options: Any) -> Saliency:
        common, settings = split(options, tmp_path)
        return Saliency(source, processor, settings, common)

    return run


def split(options: dict[str, Any], cache_dir: Any) -> tuple[Common, SaliencySettings]:
    """Options for every kind, and those of this one."""
    given = {"cache_dir": cache_dir, "show_progress": False} | options
    common = Common(**{name: given.pop(name) for name in Common.model_fields if name in given})
    return common, SaliencySettings(**given)


@pytest.fixture
def measure(measure):
    """`measure(source, looks)`: the numbers of an encoder, or of one that looks so."""

    def run(source: Any, looks: Any, **options: Any) -> Any:
        encoder = looks if hasattr(looks, "embed_images") else Looking(looks)
        return measure(Saliency, source, encoder, **({} | options))

    return run


# --- what is expected; tests/metrics checks the formulas themselves ------------------------------------------


def density_of(fixations: list, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    counts = np.zeros(shape)
    for one in fixations:
        counts[int(one["y"]), int(one["x"])] += 1
    return ndimage.gaussian_filter(counts, SIGMA, mode="constant")


def points_of(fixations: list) -> np.ndarray:
    return np.array([(one["x"], one["y"]) for one in fixations])


def nss_of(saliency: np.ndarray, fixations: list) -> float:
    return nss(saliency, points_of(fixations))


# --- planted models ---------------------------------------------------------------------------------------


def test_a_map_equal_to_the_fixation_density_cannot_be_surpassed(gazed, measure):
    found = measure(gazed, lambda n: density_of(looked(n)), probes=("attention",))
    assert found("cc", **ATTENTION).value == pytest.approx(1, abs=1e-6)
    assert found("sim", **ATTENTION).value == pytest.approx(1, abs=1e-6)
    assert found("kl", **ATTENTION).value == pytest.approx(0, abs=1e-6)
    for metric in ("nss", "auc", "ig"):
        assert found(metric, **ATTENTION).value > found(metric, **HUMANS).value
        assert found(metric, **HUMANS).value > found(metric, **baseline("centre_bias")).value
    assert found("nss", **ATTENTION).n == 5


def test_who_looks_as_the_other_observers_do_reaches_the_ceiling_exactly(gazed, build, measure):
    benchmark = build(gazed)
    left_out = {
        int(one.image_id[1:]): benchmark._observers.left_out(at)[0]
        for at, one in enumerate(benchmark._viewed)
    }
    assert len(set(left_out.values())) > 1, "the observer is drawn for each image"
    found = measure(gazed, lambda n: density_of([one for one in looked(n) if one["subject"] != left_out[n]]))
    subset = "left_out_observer"
    for metric in DENSITY_METRICS:
        ceiling = found(metric, subset=subset, **HUMANS)
        assert ceiling.n == 5
        assert found(metric, subset=subset, **ATTENTION).value == pytest.approx(ceiling.value, abs=1e-5)
        assert found(metric, variant="smoothed", subset=subset, **HUMANS).value == pytest.approx(
            ceiling.value
        )
        assert not [one for one in found if (one.role, one.metric, one.subset) == ("human", metric, "")]


def test_a_constant_map_has_learned_nothing(gazed, measure):
    found = measure(gazed, constant, probes=("attention",))
    for variant in ("", "smoothed"):
        assert found("nss", variant=variant, **ATTENTION).value == 0
        assert found("cc", variant=variant, **ATTENTION).value == 0
        for metric in ("auc", "sauc"):
            assert found(metric, variant=variant, **ATTENTION).value == 0.5
        assert found("sim", variant=variant, **ATTENTION).note == "the map is constant"


def test_the_human_ceiling_is_each_observer_predicted_by_the_others(gazed, measure):
    found = measure(gazed, constant)
    scores: dict[str, list[float]] = {"nss": [], "auc": [], "sauc": []}
    for n in range(5):
        of_image: dict[str, list[float]] = {name: [] for name in scores}
        for subject in SUBJECTS:
            others = density_of([one for one in looked(n) if one["subject"] != subject])
            own = [one for one in looked(n) if one["subject"] == subject]
            negatives = [p for m in range(5) if m != n for p in looked(m)]
            of_image["nss"].append(nss_of(others, own))
            of_image["auc"].append(auc(others, points_of(own)))
            of_image["sauc"].append(shuffled_auc(others, points_of(own), points_of(negatives)))
        for name, values in of_image.items():
            scores[name].append(float(np.mean(values)))
    for name, values in scores.items():
        for variant in ("", "smoothed"):
            assert found(name, variant=variant, **HUMANS).value == pytest.approx(np.mean(values), abs=1e-9)


def test_the_centre_bias_is_where_people_looked_on_the_other_images(gazed, measure):
    found = measure(gazed, constant)
    values: dict[str, list[float]] = {name: [] for name in ("nss", "auc", "cc", "sim", "kl")}
    smooth = []
    for n in range(5):
        centre = density_of([p for m in range(5) if m != n for p in looked(m)])
        values["nss"].append(nss_of(centre, looked(n)))
        values["auc"].append(auc(centre, points_of(looked(n))))
        for name, function in (("cc", cc), ("sim", sim), ("kl", kl_divergence)):
            values[name].append(function(centre, density_of(looked(n))))
        smooth.append(nss_of(ndimage.gaussian_filter(centre, SIGMA, mode="nearest"), looked(n)))
    for name, expected in values.items():
        assert found(name, **baseline("centre_bias")).value == pytest.approx(np.mean(expected), abs=1e-9)
    assert found("nss", variant="smoothed", **baseline("centre_bias")).value == pytest.approx(
        np.mean(smooth), abs=1e-9
    )
    assert found("ig", **baseline("centre_bias")).value == pytest.approx(0, abs=1e-9)


def test_the_centre_gaussian_is_a_quarter_of_the_sides_wide(gazed, measure):
    found = measure(gazed, constant)
    offset = (np.arange(SIDE) + 0.5 - SIDE / 2) / (SIDE / 4)
    gaussian = np.exp(-0.5 * (offset[:, None] ** 2 + offset[None] ** 2))
    expected = np.mean([nss_of(gaussian, looked(n)) for n in range(5)])
    assert found("nss", **baseline("centre_gaussian")).value == pytest.approx(expected)


def test_images_of_different_sizes_lend_each_other_their_fixations_in_proportion(source, measure):
    sizes = [(16, 16), (32, 16), (16, 24)]
    rows = [row(n, looked(n, ("a", "b"), *size), *size) for n, size in enumerate(sizes)]
    found = measure(source("fixations", rows, pixels_per_degree=SIGMA), constant)
    values = []
    for n, (width, height) in enumerate(sizes):
        others = [
            {"x": one["x"] * width / sizes[m][0], "y": one["y"] * height / sizes[m][1]}
            for m in range(3)
            if m != n
            for one in looked(m, ("a", "b"), *sizes[m])
        ]
        values.append(nss_of(density_of(others, (height, width)), looked(n, ("a", "b"), width, height)))
    assert found("nss", **baseline("centre_bias")).value == pytest.approx(np.mean(values), abs=1e-9)


def test_the_pixels_baseline_is_the_gradient_energy_of_what_the_model_sees():
    pixels = np.zeros((20, 16, 3), np.uint8)
    pixels[:, 9:] = 200
    found = gradient_energy(pixels)
    assert found.shape == (8, 8)
    # The edge lies between columns 8 and 9, both of the fifth cell; the slope is 100 in each.
    np.testing.assert_allclose(found[:, 4], 100.0**2)
    assert not np.delete(found, 4, axis=1).any()
    assert gradient_energy(np.zeros((4, 30, 3), np.uint8)).shape == (4, 8)


def test_a_map_that_is_not_finite_is_named(gazed, build, measure):
    found = measure(gazed, lambda n: constant(n) * (np.nan if n == 3 else 1), probes=("attention",))
    assert found("nss", **ATTENTION).n == 4
    trials = build(gazed, probes=("attention",)).observe(Readout(Looking(lambda n: constant(n) * np.nan)))
    notes = {one.number_key: one.note for one, _ in Saliency.score(trials)}
    for metric in METRICS:
        assert notes[NumberKey(metric=metric, **ATTENTION).number_key] == "the model's map is not finite"


# --- data sets that lack something ------------------------------------------------------------------------


@pytest.fixture
def maps_only(source):
    def image_map(n: int) -> Image.Image:
        density = density_of(looked(n))
        return Image.fromarray(np.rint(density / density.max() * 255).astype(np.uint8))

    rows = [row(n, [], fixation_map=image_map(n)) for n in range(4)]
    return source("fixations", rows, pixels_per_degree=SIGMA)


def test_maps_without_fixations_give_cc_sim_and_kl_and_a_cause_for_the_others(maps_only, measure):
    given = [np.asarray(one["fixation_map"], np.float64) for one in maps_only.dataset]
    found = measure(maps_only, lambda n: given[n], probes=("attention",))
    assert found("cc", **ATTENTION).value == pytest.approx(1, abs=1e-6)
    assert found("sim", **ATTENTION).value == pytest.approx(1, abs=1e-6)
    assert found("kl", **ATTENTION).value == pytest.approx(0, abs=1e-6)
    for columns in (ATTENTION, *map(baseline, BASELINES), HUMANS):
        for metric in POINT_METRICS:
            for variant in ("", "smoothed"):
                assert found(metric, variant=variant, **columns).note == "there is no fixation point"
    # The other images' maps, each with the sum 1, are the centre bias.
    centres = [sum(given[m] / given[m].sum() for m in range(4) if m != n) for n in range(4)]
    expected = np.mean([cc(centre, image_map) for centre, image_map in zip(centres, given, strict=True)])
    assert found("cc", **baseline("centre_bias")).value == pytest.approx(expected, abs=0.01)


def test_a_fixation_map_without_any_fixation_is_named_as_the_cause(source, measure):
    black = Image.new("L", (SIDE, SIDE))
    rows = [row(n, [], fixation_map=black) for n in range(2)]
    found = measure(
        source("fixations", rows, pixels_per_degree=SIGMA), lambda _: np.arange(SIDE**2.0).reshape(SIDE, SIDE)
    )
    for metric in DENSITY_METRICS:
        assert found(metric, **ATTENTION).note == "the density is constant"


def test_observers_that_are_not_told_apart_have_no_ceiling(source, measure):
    rows = [row(n, looked(n, ("",) * 4)) for n in range(3)]
    found = measure(source("fixations", rows, pixels_per_degree=SIGMA), constant)
    assert found("nss", **HUMANS).note == "the data set does not distinguish its observers"
    assert not any(one.subset for one in found)
    assert found("nss", **baseline("centre_bias")).n == 3


def test_all_words_that_numbers_use_are_declared(gazed, measure):
    terms, found = Saliency.terms, measure(gazed, constant)
    assert {one.metric for one in found} == set(terms.terms) == set(METRICS)
    assert {one.variant for one in found} == {"", *terms.variants}
    assert {one.subset for one in found} == {"", *terms.subsets}
    assert {one.probe for one in found} <= {"", *terms.probes}
    assert {(one.role, one.reference) for one in found} == {
        ("value", ""),
        *((one.role, one.name) for one in terms.references),
    }
    assert terms.terms["kl"].higher_is_better is False


def test_the_order_of_the_probes_names_no_other_cell():
    first, second = (SaliencySettings(probes=probes) for probes in (("rollout", "attention"), PROBES[::2]))
    assert first.in_key() == SaliencySettings().in_key()
    assert first.in_key() != second.in_key()


@pytest.mark.parametrize("n", [99, 100])
def test_a_shuffled_auc_of_the_centre_bias_is_cautioned_below_a_hundred_images(n):
    common = {"layer": pd.NA, "smoothed": False, "subset": "", "causes": "", **dict.fromkeys(METRICS, 0.4)}
    trials = pd.DataFrame(
        [
            {"item": item, "probe": probe, **common}
            for probe in ("attention", "centre_bias")
            for item in range(n)
        ]
    )
    cautions = {(one.reference, one.metric): one.note for one, _ in Saliency.score(trials) if one.note}
    expected = {("centre_bias", "sauc"): "biased below 0.5 with fewer than 100 images"}
    assert cautions == (expected if n < 100 else {})


def test_one_image_alone_has_no_centre_bias(source, measure):
    found = measure(source("fixations", [row(0, looked(0))], pixels_per_degree=SIGMA), constant)
    missing = "the baseline, a density of the centre bias, is not given"
    assert found("nss", **baseline("centre_bias")).note == found("ig", **ATTENTION).note == missing
    assert found("sauc", **ATTENTION).note == "there are no fixations on other images"
    assert found("nss", **ATTENTION).value == 0


def test_a_first_fixation_is_dropped_where_the_data_set_says_so(source, build):
    rows = [row(n, looked(n)) for n in range(2)]
    kept, dropped = (
        build(source("fixations", rows, pixels_per_degree=SIGMA, drop_first=drop)) for drop in (False, True)
    )
    assert [len(one.points) for one in kept._viewed] == [12, 12]
    expected = [(one["x"], one["y"]) for at, one in enumerate(looked(0)) if at % 3]
    np.testing.assert_array_equal(dropped._viewed[0].points, expected)
    assert kept.fingerprint != dropped.fingerprint


def test_a_data_set_must_say_what_a_degree_is(source, build):
    with pytest.raises(DatasetError, match="one degree of visual angle"):
        build(source("fixations", [row(0, looked(0))]))


# --- probes -----------------------------------------------------------------------------------------------


def test_a_map_that_a_model_does_not_have_is_a_note(gazed, build, measure):
    found = measure(gazed, constant)
    assert {one.probe for one in found} == {"", "attention", "rollout"}
    assert found("nss", **ATTENTION).value == 0
    trials = build(gazed).observe(Readout(Looking(constant, None)))
    notes = {one.probe: one.note for one, _ in Saliency.score(trials)}
    assert notes["rollout"] == "Identity has no patches: choose the probes gradient_input and grad_cam."


def test_the_fingerprint_covers_probes_fixations_preprocessing_and_seed(source, gazed, build):
    moved = [row(n, looked(n)[: -1 if n == 4 else None]) for n in range(5)]
    benchmarks = [
        build(gazed),
        build(gazed, probes=("attention",)),
        build(gazed, preprocess="crop"),
        build(gazed, seed=1),
        build(source("fixations", moved, pixels_per_degree=SIGMA)),
    ]
    assert len({one.fingerprint for one in benchmarks}) == 5
    assert build(gazed).fingerprint == benchmarks[0].fingerprint
    assert [one.preprocess for one in benchmarks[:3]] == ["squash", "squash", "crop"]


def test_a_lower_precision_is_checked_on_the_first_images(gazed, build):
    encoder, seen = Looking(constant), []
    benchmark = build(gazed)
    benchmark.observe(Readout(encoder, check=lambda pixels, _: seen.append(len(pixels))))
    assert seen == []
    encoder.dtype = torch.bfloat16
    benchmark.observe(Readout(encoder, check=lambda pixels, _: seen.append(len(pixels))))
    assert seen == [5]


# --- where things lie -------------------------------------------------------------------------------------


def test_with_crop_what_lies_outside_is_left_out_for_all_alike(source, build, measure):
    width = 40
    sides = [{"x": x, "y": 8.0, "duration": 1.0, "subject": "a"} for x in (2.0, 38.0)]
    rows = [row(n, looked(n, width=width) + sides, width) for n in range(3)]
    planted = source("fixations", rows, pixels_per_degree=SIGMA)
    benchmark = build(planted, preprocess="crop")
    assert all(one.view.size == (SIDE, SIDE) and one.view.first == (12, 0) for one in benchmark._viewed)
    for one in benchmark._viewed:
        inside = [p for p in looked(one.item, width=width) if 12 <= p["x"] < 28]
        np.testing.assert_allclose(one.points, [(p["x"] - 12, p["y"]) for p in inside])
        assert len(one.points) < 14
    found = measure(planted, constant, preprocess="crop")
    # A map that is filled with zeros around the crop would score NSS .44 and AUC .595 on OSIE.
    assert found("nss", **ATTENTION).value == 0
    assert found("auc", **ATTENTION).value == 0.5
    squashed = measure(planted, constant)
    assert squashed("nss", **HUMANS).value != found("nss", **HUMANS).value
    inner = [[p | {"x": p["x"] - 12} for p in looked(n, width=width) if 12 <= p["x"] < 28] for n in range(3)]
    expected = np.mean(
        [nss_of(density_of([p for m in range(3) if m != n for p in inner[m]]), inner[n]) for n in range(3)]
    )
    assert found("nss", **baseline("centre_bias")).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(100, 1), (101, 1), (2, 1), (1, 64), (1, 1)])
def test_a_crop_of_a_line_of_pixels_holds_one_of_them(size):
    processor = CLIPImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224})
    view = crop_view(processor, *size)
    assert view.size == (1, 1)
    assert all(0 <= first < length for first, length in zip(view.first, size, strict=True))


@pytest.mark.parametrize("size", [(800, 600), (600, 800), (1024, 405), (64, 48), (33, 100), (16, 16)])
@pytest.mark.parametrize("kind", ["clip", "bit", "larger crop", "no crop"])
def test_the_crop_is_where_the_processor_makes_it(size, kind):
    edge = {"shortest_edge": 36 if kind == "bit" else 24}
    crop = {"height": 28, "width": 28} if kind in ("bit", "larger crop") else {"height": 24, "width": 24}
    processor = (BitImageProcessor if kind == "bit" else CLIPImageProcessor)(size=edge, crop_size=crop)
    if kind == "no crop":
        processor = CLIPImageProcessor(size={"height": 24, "width": 20}, do_center_crop=False)
    width, height = size
    view = crop_view(processor, width, height)
    # A ramp along each axis tells where every column and row of the model's input comes from.
    for axis, (start, end) in enumerate([(view.left, view.right), (view.top, view.bottom)]):
        ramp = np.linspace(20, 235, size[axis])
        image = np.broadcast_to(ramp if axis == 0 else ramp[:, None], (height, width))
        shown = processor(
            Image.fromarray(np.repeat(image[..., None], 3, axis=-1).astype(np.uint8)),
            do_rescale=False,
            do_normalize=False,
            return_tensors="np",
        )["pixel_values"][0, 0]
        line = shown[shown.shape[0] // 2] if axis == 0 else shown[:, shown.shape[1] // 2]
        cells = start + (np.arange(len(line)) + 0.5) / len(line) * (end - start)
        inside = (cells > 0) & (cells < size[axis])
        inside &= np.r_[False, inside[:-1]] & np.r_[inside[1:], False]  # not where the image ends
        expected = np.interp(cells - 0.5, np.arange(size[axis]), ramp)
        slack = 1.5 + 0.6 * 215 / size[axis]  # rounding to uint8, and half a pixel of a small image
        assert np.abs(line - expected)[inside].max() < slack
    for first, seen, length in zip(view.first, view.size, size, strict=True):
        assert 0 <= first < first + seen <= length


@pytest.mark.parametrize("grid", [(7, 7), (3, 5), (1, 1), (40, 30)])
def test_a_coarse_map_is_laid_over_the_image_as_torch_does(grid):
    coarse = np.random.default_rng(0).random(grid)
    view = whole_view(80, 60)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(coarse)[None, None], size=(60, 80), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(upsample_map(coarse, view) * coarse.max(), expected, atol=1e-11)
    blurred = ndimage.gaussian_filter(expected, 5.0, mode="nearest")
    np.testing.assert_allclose(upsample_map(coarse, view, 5.0) * coarse.max(), blurred, atol=1e-11)


def test_what_is_equal_in_a_coarse_map_ties_in_the_fine_one():
    view = whole_view(81, 57)
    for sigma in (None, 3.0):
        assert len(np.unique(upsample_map(np.full((7, 7), 0.3), view, sigma))) == 1
        assert not upsample_map(np.zeros((7, 7)), view, sigma).any()
    corner = upsample_map(np.random.default_rng(0).random((7, 7)), view)[:4, :5]
    assert len(np.unique(corner)) == 1


def test_a_map_is_not_turned_over(source, measure):
    """Whoever looks at the patch in the upper right is right, and whoever looks at its mirror images is not."""
    width, height = 48, 32
    points = [{"x": x, "y": y, "duration": 1.0, "subject": "a"} for x in (41.0, 45.0) for y in (2.0, 5.0)]
    planted = source("fixations", [row(n, points, width, height) for n in range(2)], pixels_per_degree=SIGMA)
    patch = np.zeros((4, 4))
    patch[0, 3] = 1.0
    scores = [
        measure(planted, Looking(lambda _, one=one: one, patch_size=4))("nss", **ATTENTION).value
        for one in (patch, patch[::-1], patch[:, ::-1], patch.T)
    ]
    assert scores[0] > 2
    assert max(scores[1:]) < 0


def test_few_fixations_are_blurred_as_many_are():
    rng = np.random.default_rng(0)
    points = rng.random((9, 2)) * [50, 30]
    for sigma in (0.7, 3.0, 11.0):
        counts = np.zeros((30, 50))
        np.add.at(counts, (points[:, 1].astype(int), points[:, 0].astype(int)), 1)
        expected = ndimage.gaussian_filter(counts, sigma, mode="constant")
        np.testing.assert_allclose(blurred_fixations(points, (30, 50), sigma), expected, atol=1e-15)


def test_intervals_are_over_the_images_and_the_batch_changes_nothing(source, build):
    planted = source("fixations", [row(n, looked(n)) for n in range(60)], pixels_per_degree=SIGMA)
    encoder = Looking(lambda n: density_of(looked(n)) + n)
    benchmark = build(planted)
    trials = benchmark.observe(Readout(encoder, batch_size=7))
    again = benchmark.observe(Readout(encoder, batch_size=128))
    assert trials.equals(again)
    numbers = {one.number_key: one for one in scored(Saliency, trials, Common())}
    one = numbers[NumberKey(probe="rollout", metric="nss").number_key]
    rows = trials[(trials["probe"] == "rollout") & ~trials["smoothed"] & (trials["subset"] == "")]
    assert (one.n, one.n_clusters, len(rows)) == (60, 60, 60)
    assert one.value == pytest.approx(rows["nss"].mean())
    assert one.ci_low < one.value < one.ci_high
    error = rows["nss"].std() / np.sqrt(60)
    assert one.ci_high - one.ci_low == pytest.approx(2 * 1.96 * error, rel=0.25)
    for other, _ in Saliency.score(trials.sample(frac=1, random_state=0)):
        assert other.value == pytest.approx(numbers[other.number_key].value, rel=1e-12, nan_ok=True)


# --- baselines and observers on disk ----------------------------------------------------------------------


@pytest.fixture
def kept(gazed, build, tmp_path):
    """The trials of a first start, and the file in which it kept those of baselines and observers."""
    trials = build(gazed).observe(Readout(Looking(constant)))
    (file,) = (tmp_path / "clipdyn-baselines").iterdir()
    return trials, file


def test_a_second_start_reads_baselines_and_observers_from_the_file(gazed, build, kept, monkeypatch):
    trials, _ = kept

    def again(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("hf_clipdyn.benchmarks.saliency_rows.ImageRows.of_references", again)
    assert build(gazed).observe(Readout(Looking(constant))).equals(trials)
    # Probes are no part of what these trials depend on.
    build(gazed, probes=("rollout",)).observe(Readout(Looking(constant)))


@pytest.mark.parametrize("options", [{"seed": 1}, {"preprocess": "crop"}])
def test_other_settings_have_a_file_of_their_own(gazed, build, kept, options):
    build(gazed, **options).observe(Readout(Looking(constant)))
    assert len(list(kept[1].parent.iterdir())) == 2


def test_other_fixations_have_a_file_of_their_own(source, build, kept):
    rows = [row(n, looked(n)[: -1 if n == 4 else None]) for n in range(5)]
    build(source("fixations", rows, pixels_per_degree=SIGMA)).observe(Readout(Looking(constant)))
    assert len(list(kept[1].parent.iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "no Parquet", "a column less", "an image less", "words"])
def test_a_broken_file_is_computed_and_written_again(gazed, build, kept, damage):
    trials, file = kept
    table = pd.read_parquet(file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "no Parquet":
        file.write_text("nothing")
    elif damage == "a column less":
        table.drop(columns="nss").to_parquet(file)
    elif damage == "an image less":
        table[table["item"] > 0].to_parquet(file)
    else:
        table.assign(nss="high").to_parquet(file)
    assert build(gazed).observe(Readout(Looking(constant))).equals(trials)
    assert pd.read_parquet(file).equals(table)


def test_a_cache_that_cannot_be_written_is_named(gazed, build, tmp_path):
    benchmark = build(gazed)
    (tmp_path / "clipdyn-baselines").write_text("a file where the folder must be")
    with pytest.raises(OSError, match="clipdyn-baselines"):
        benchmark.observe(Readout(Looking(constant)))


# --- real files -------------------------------------------------------------------------------------------


def real(
    name: str, folder: Any, count: int | None, tmp_path: Any, side: int = SIDE, **options: Any
) -> Callable[..., float]:
    source = open_source(name, ("fixations",), data_dir=folder)
    if count is not None:
        source = type(source)(source.name, source.dataset.select(range(count)), source.split, source.metadata)
    common, settings = split(options, tmp_path)
    processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    benchmark = Saliency(source, processor, settings, common)
    trials = benchmark.observe(Readout(Looking(constant, side // SIDE)))
    values = {one.number_key: one.value for one, _ in Saliency.score(trials)}
    return lambda metric, **columns: values[NumberKey(metric=metric, **columns).number_key]


def test_osie_has_its_baselines_and_its_ceiling(real_data, tmp_path):
    found = real("osie", real_data("osie"), 8, tmp_path)
    assert found("nss", **ATTENTION) == 0
    assert found("nss", **baseline("centre_gaussian")) == pytest.approx(0.83, abs=0.25)
    assert found("auc", **baseline("centre_bias")) == pytest.approx(0.735, abs=0.05)
    assert found("sauc", **baseline("centre_gaussian")) == pytest.approx(0.5, abs=0.15)
    assert found("nss", **HUMANS) == pytest.approx(3.6, abs=0.6)


@pytest.mark.trial
def test_the_published_baselines_of_osie_are_met_on_its_120_photographs(real_data, tmp_path):
    found = real("osie", real_data("osie"), None, tmp_path, side=224)
    # On all 700 the Gaussian has .83 and .735, the density of the other 699 images .88 and .742, humans 3.6.
    assert found("nss", **baseline("centre_gaussian")) == pytest.approx(0.837, abs=0.005)
    assert found("auc", **baseline("centre_gaussian")) == pytest.approx(0.735, abs=0.002)
    assert found("nss", **baseline("centre_bias")) == pytest.approx(0.841, abs=0.005)
    assert found("auc", **baseline("centre_bias")) == pytest.approx(0.7345, abs=0.002)
    assert found("sauc", **baseline("centre_gaussian")) == pytest.approx(0.5, abs=0.01)
    assert found("nss", **HUMANS) == pytest.approx(3.68, abs=0.01)
    # Gradient energy on an 8 x 8 grid: .92, .745 and a shuffled AUC of .69 on all 700.
    assert found("nss", **baseline("pixels")) == pytest.approx(0.955, abs=0.005)
    assert found("auc", **baseline("pixels")) == pytest.approx(0.745, abs=0.002)
    assert found("sauc", **baseline("pixels")) == pytest.approx(0.696, abs=0.005)
    assert found("auc", **HUMANS) == pytest.approx(0.931, abs=0.002)


@pytest.mark.parametrize("preprocess", ["squash", "crop"])
def test_mit1003_has_maps_alone_and_its_centre_bias_is_strong(real_data, tmp_path, preprocess):
    found = real("mit1003", real_data("mit1003"), 8, tmp_path, preprocess=preprocess)
    assert np.isnan(found("nss", **ATTENTION))
    assert found("cc", **ATTENTION) == 0
    assert found("cc", **baseline("centre_bias")) > 0.2
    assert found("cc", **baseline("centre_gaussian")) > 0.2
