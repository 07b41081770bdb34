"""Planted observers of photographs, whose maps are known, and every number written out again."""

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage
from shown import Shown
from transformers import BitImageProcessor, CLIPImageProcessor

from hf_clipdyn.benchmarks.kinds.saliency import Saliency
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.saliency_rows import crop_view
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.metrics.saliency import METRICS, Target
from hf_clipdyn.models.encoder import ImageFeatures
from hf_clipdyn.results.row import NumberKey

SIDE = 16
SIGMA = 2.0
SUBJECTS = ("a", "b", "c", "d")
POINT_METRICS = ("nss", "auc", "sauc", "ig")
BASELINES = ("centre_bias", "centre_gaussian", "pixels")
ATTENTION = {"probe": "attention", "layer": 1}
HUMANS = {"probe": "", "role": "human", "reference": "observers"}


def baseline(name):
    """Columns of the key of a baseline's numbers."""
    return {"probe": "", "role": "baseline", "reference": name}


class Looking(Shown):
    """An encoder whose class token attends as a function of the image's number, its red value, says."""

    reads_text = False
    images_per_pass = None

    def __init__(self, looks, patch_size=1):
        self._looks = looks
        self.model = torch.nn.Identity()
        self.model.config = SimpleNamespace(patch_size=patch_size)

    def eager_attention(self):
        return nullcontext()

    def embed_images(self, pixels, **_):
        rows = [np.r_[0.0, self._looks(int(image[0, 0, 0])).ravel()] for image in pixels]
        maps = np.zeros((len(rows), 1, len(rows[0]), len(rows[0])), np.float32)
        maps[:, 0, 0] = rows
        return ImageFeatures(np.zeros((len(rows), 2), np.float32), attentions=(maps,))


def constant(_):
    return np.full((SIDE, SIDE), 0.25)


def photograph(number, width=SIDE, height=SIDE):
    return Image.fromarray(np.full((height, width, 3), number, np.uint8))


def looked(number, subjects=SUBJECTS, width=SIDE, height=SIDE):
    """Fixations around a place of the image's own, three an observer."""
    rng = np.random.default_rng(number)
    place = rng.uniform(0.25, 0.75, 2) * (width, height)
    return [
        dict(zip("xy", np.clip(place + rng.normal(0, 2, 2), 0, (width - 0.01, height - 0.01)), strict=True))
        | {"duration": 200.0, "subject": subject}
        for subject in subjects
        for _ in range(3)
    ]


def row(number, fixations, width=SIDE, height=SIDE, **more):
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
def build(prepared):
    """`build(source, preprocess="crop")`: the benchmark for models that see 16 x 16 pixels."""
    return partial(prepared, Saliency)


@pytest.fixture
def measure(measure):
    """`measure(source, looks)`: the numbers of an encoder that looks so."""

    def run(source, looks, **options):
        return measure(Saliency, source, Looking(looks), **options)

    return run


# --- what is expected; tests/metrics checks the formulas themselves ------------------------------------------


def density_of(fixations, shape=(SIDE, SIDE)):
    counts = np.zeros(shape)
    for one in fixations:
        counts[int(one["y"]), int(one["x"])] += 1
    return ndimage.gaussian_filter(counts, SIGMA, mode="constant")


def points_of(fixations):
    return np.array([(one["x"], one["y"]) for one in fixations])


def score(name, saliency_map, fixations=(), **about):
    """One score of one map."""
    return Target(np.shape(saliency_map), fixations, **about).scores(saliency_map)[name]


def nss_of(saliency, fixations):
    return score("nss", saliency, points_of(fixations))


# --- planted models ---------------------------------------------------------------------------------------


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
            of_image["auc"].append(score("auc", others, points_of(own)))
            of_image["sauc"].append(
                score("sauc", others, points_of(own), other_fixations=points_of(negatives))
            )
        for name, values in of_image.items():
            scores[name].append(float(np.mean(values)))
    for name, values in scores.items():
        for variant in ("", "smoothed"):
            assert found(name, variant=variant, **HUMANS).value == pytest.approx(np.mean(values), abs=1e-9)


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
    def image_map(n):
        density = density_of(looked(n))
        return Image.fromarray(np.rint(density / density.max() * 255).astype(np.uint8))

    rows = [row(n, [], fixation_map=image_map(n)) for n in range(4)]
    return source("fixations", rows, pixels_per_degree=SIGMA)


def test_maps_without_fixations_give_cc_sim_and_kl_and_a_cause_for_the_others(maps_only, measure):
    given = [np.asarray(one["fixation_map"], np.float64) for one in maps_only.dataset]
    found = measure(maps_only, lambda n: given[n], probes=("attention",))
    for metric, value in (("cc", 1), ("sim", 1), ("kl", 0)):
        assert found(metric, **ATTENTION).value == pytest.approx(value, abs=1e-6)
    for columns in (ATTENTION, *map(baseline, BASELINES), HUMANS):
        for metric in POINT_METRICS:
            for variant in ("", "smoothed"):
                assert found(metric, variant=variant, **columns).note == "there is no fixation point"
    # The other images' maps, each with the sum 1, are the centre bias.
    centres = [sum(given[m] / given[m].sum() for m in range(4) if m != n) for n in range(4)]
    expected = np.mean(
        [score("cc", centre, density=image_map) for centre, image_map in zip(centres, given, strict=True)]
    )
    assert found("cc", **baseline("centre_bias")).value == pytest.approx(expected, abs=0.01)


BLACK = Image.new("L", (SIDE, SIDE))
LACKING = {
    "a map without any fixation": ([row(n, [], fixation_map=BLACK) for n in range(2)], "cc", ATTENTION),
    "observers that are not told apart": ([row(n, looked(n, ("",) * 4)) for n in range(3)], "nss", HUMANS),
    "one image alone": ([row(0, looked(0))], "nss", baseline("centre_bias")),
    "no fixations on other images": ([row(0, looked(0))], "sauc", ATTENTION),
}


@pytest.mark.parametrize(("rows", "metric", "columns"), LACKING.values(), ids=LACKING)
def test_what_the_data_lack_has_a_cause_and_no_value(source, measure, rows, metric, columns):
    planted = source("fixations", rows, pixels_per_degree=SIGMA)
    found = measure(planted, lambda _: np.arange(SIDE**2.0).reshape(SIDE, SIDE))
    assert np.isnan(found(metric, **columns).value)


@pytest.mark.parametrize("n", [99, 100])
def test_a_shuffled_auc_of_the_centre_bias_is_cautioned_below_a_hundred_images(n):
    common = {"layer": pd.NA, "smoothed": False, "subset": "", "causes": "", **dict.fromkeys(METRICS, 0.4)}
    probes = ("attention", "centre_bias")
    trials = pd.DataFrame([{"item": item, "probe": probe, **common} for probe in probes for item in range(n)])
    cautions = {(one.reference, one.metric): one.note for one, _ in Saliency.score(trials) if one.note}
    assert set(cautions) == ({("centre_bias", "sauc")} if n < 100 else set())


def test_a_first_fixation_is_dropped_where_the_data_set_says_so_and_observers_are_known(source, build):
    rows = [row(0, looked(0)), row(1, looked(1, ("",) * 4))]
    kept, dropped = (
        build(source("fixations", rows, pixels_per_degree=SIGMA, drop_first=drop)) for drop in (False, True)
    )
    assert [len(one.points) for one in kept._viewed] == [12, 12]
    expected = [(one["x"], one["y"]) for at, one in enumerate(looked(0)) if at % 3]
    np.testing.assert_array_equal(dropped._viewed[0].points, expected)
    assert len(dropped._viewed[1].points) == 12
    assert kept.fingerprint != dropped.fingerprint


def test_the_fingerprint_covers_fixations_and_settings(source, gazed, build):
    fewer = [row(n, looked(n)[: -1 if n == 4 else None]) for n in range(5)]
    settings = [{}, {"probes": ("attention",)}, {"preprocess": "crop"}, {"seed": 1}]
    benchmarks = [build(gazed, **one) for one in settings]
    benchmarks.append(build(source("fixations", fewer, pixels_per_degree=SIGMA)))
    assert len({one.fingerprint for one in benchmarks}) == 5
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


def test_with_crop_what_lies_outside_is_left_out_for_all_alike(source, measure):
    width = 40
    sides = [{"x": x, "y": 8.0, "duration": 1.0, "subject": "a"} for x in (2.0, 38.0)]
    rows = [row(n, looked(n, width=width) + sides, width) for n in range(3)]
    planted = source("fixations", rows, pixels_per_degree=SIGMA)
    found = measure(planted, constant, preprocess="crop")
    # A map that is filled with zeros around the crop would score NSS .44 and AUC .595 on OSIE.
    assert found("nss", **ATTENTION).value == 0
    assert found("auc", **ATTENTION).value == 0.5
    inner = [[p | {"x": p["x"] - 12} for p in looked(n, width=width) if 12 <= p["x"] < 28] for n in range(3)]
    expected = np.mean(
        [nss_of(density_of([p for m in range(3) if m != n for p in inner[m]]), inner[n]) for n in range(3)]
    )
    assert found("nss", **baseline("centre_bias")).value == pytest.approx(expected, abs=1e-9)


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
    # Probes are no part of what these trials depend on; the seed and the preprocessing are.
    build(gazed, probes=("rollout",)).observe(Readout(Looking(constant)))
    for other in ({"seed": 1}, {"preprocess": "crop"}):
        with pytest.raises(AssertionError, match="again"):
            build(gazed, **other).observe(Readout(Looking(constant)))


@pytest.mark.parametrize("damage", ["truncated", "a column less", "words"])
def test_a_broken_file_is_computed_and_written_again(gazed, build, kept, damage):
    trials, file = kept
    table = pd.read_parquet(file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "a column less":
        table.drop(columns="nss").to_parquet(file)
    else:
        table.assign(nss="high").to_parquet(file)
    assert build(gazed).observe(Readout(Looking(constant))).equals(trials)
    assert pd.read_parquet(file).equals(table)


# --- real files -------------------------------------------------------------------------------------------


@pytest.mark.trial
def test_the_published_baselines_of_osie_are_met_on_its_120_photographs(real_data, prepared):
    source = open_source("osie", ("fixations",), data_dir=real_data("osie"))
    trials = prepared(Saliency, source, side=224).observe(Readout(Looking(constant, 224 // SIDE)))
    values = {one.number_key: one.value for one, _ in Saliency.score(trials)}

    def found(metric, **columns):
        return values[NumberKey(metric=metric, **columns).number_key]

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
