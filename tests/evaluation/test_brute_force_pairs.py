"""Pairs and triplets equal a slow evaluator: one image at a time, `from_pretrained`, hidden states included.

It shares no code with the package; its formulas are written out again.
"""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from result_rows import value
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from slow_evaluator import REVISION
from slow_formulas import average_precision

from hf_clipdyn.benchmarks.kinds.quality import Quality

TOLERANCE = 1e-5
SIDES = ("ref", "left", "right")
PLACES = [("projection", None), ("hidden", 0), ("hidden", 1), ("hidden", 2)]
PIXELS = {"probe": "", "role": "baseline", "reference": "pixels"}


def cosine(a, b):
    return float(np.mean([1 - x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]))


def euclidean(a, b):
    return float(np.mean([np.sqrt(sum((x - y) ** 2)) for x, y in zip(a, b, strict=True)]))


def normalised(pairs):
    squares = [np.mean((a - b) ** 2, axis=0) for a, b in pairs]
    mean = sum(squares) / len(squares)
    return [float(np.sqrt(np.mean(one[mean > 0] / mean[mean > 0]))) for one in squares]


def all_distances(pairs):
    """Columns of a number, and the distances of all pairs; a pair has the states of two images."""
    for at, (probe, layer) in enumerate(PLACES):
        states = [(a[at], b[at]) for a, b in pairs]
        place = {"probe": probe, "layer": layer}
        yield place | {"variant": "cosine"}, np.array([cosine(a, b) for a, b in states])
        yield place | {"variant": "euclidean"}, np.array([euclidean(a, b) for a, b in states])
        yield place | {"variant": "normalised_euclidean"}, np.array(normalised(states))


def read(path):
    return Image.open(path).convert("RGB")


@pytest.mark.parametrize("preprocess", ["processor", "squash"])
def test_quality_and_its_baselines_equal_the_slow_evaluator(slow, judged, evaluate, preprocess):
    table = evaluate(Quality.on("tid2013", preprocess=preprocess), revisions=[REVISION])
    assert set(table["preprocess"]) == {preprocess}
    root = judged["tid2013"]
    lines = [line.split() for line in (root / "mos_with_names.txt").read_text().splitlines()]
    assert json.loads(table["settings"].iloc[0])["incomplete"] == f"{len(lines)}/3000"
    scores, names = np.array([float(score) for score, _ in lines]), [name for _, name in lines]
    kinds = np.array([name[4:6] for name in names])
    views = [
        (read(root / "reference_images" / f"I{name[1:3]}.BMP"), read(root / "distorted_images" / name))
        for name in names
    ]
    square = {"size": {"height": 24, "width": 24}, "do_center_crop": False}
    kwargs = square if preprocess == "squash" else {}
    for place, values in all_distances([[slow.states(one, **kwargs) for one in pair] for pair in views]):
        srcc = stats.spearmanr(values, scores).statistic
        found = value(table, "alignment", condition="", **place)
        assert found == pytest.approx(-srcc, abs=TOLERANCE), place
        if place["probe"] == "projection":
            expected = {
                "srcc": srcc,
                "krcc": stats.kendalltau(values, scores).statistic,
                "plcc": stats.pearsonr(values, scores).statistic,
            }
            for metric, one in expected.items():
                assert value(table, metric, condition="", **place) == pytest.approx(one, abs=TOLERANCE)
            for kind, condition in {"01": "additive Gaussian noise", "08": "Gaussian blur"}.items():
                part = stats.spearmanr(values[kinds == kind], scores[kinds == kind]).statistic
                found = value(table, "alignment", condition=condition, **place)
                assert found == pytest.approx(-part, abs=TOLERANCE)
    if preprocess == "squash":
        return
    seen = [[slow.seen(image) for image in pair] for pair in views]
    psnr = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in seen]
    ssim = [structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in seen]
    for name, values in (("psnr", psnr), ("ssim", ssim)):
        place = PIXELS | {"variant": name, "condition": ""}
        srcc, plcc = (function(values, scores).statistic for function in (stats.spearmanr, stats.pearsonr))
        assert value(table, "alignment", **place) == pytest.approx(srcc, abs=TOLERANCE)
        assert value(table, "plcc", **place) == pytest.approx(-plcc, abs=TOLERANCE)


def choice(near, far, shares):
    scores = [0.5 if a == b else 1 - p if a < b else p for a, b, p in zip(near, far, shares, strict=True)]
    return float(np.mean(scores))


def test_triplets_equal_the_slow_evaluator(slow, judged, evaluate):
    table = evaluate("similarity/nights", revisions=[REVISION])
    rows = pd.read_csv(judged["nights"] / "data.csv").query("split == 'test'")
    shares = (rows["right_vote"] / (rows["left_vote"] + rows["right_vote"])).to_numpy()
    images = [[read(judged["nights"] / row[f"{one}_path"]) for _, row in rows.iterrows()] for one in SIDES]
    states, seen = ([[see(one) for one in side] for side in images] for see in (slow.states, slow.seen))
    pairs = [pair for side in (1, 2) for pair in zip(states[0], states[side], strict=True)]
    distances = [
        [float(np.linalg.norm(a - b)) for a, b in zip(seen[0], seen[side], strict=True)] for side in (1, 2)
    ]
    imagenet = rows["is_imagenet"].astype(str).str.lower().eq("true").to_numpy()
    unanimous = (rows["votes"] >= 6).to_numpy()
    everything = np.ones(len(rows), bool)
    expected = [*all_distances(pairs), (PIXELS | {"variant": "euclidean"}, np.concatenate(distances))]
    for subset, level, chosen in (
        ("", None, everything),
        ("", 6.0, unanimous),
        ("imagenet", None, imagenet),
        ("no_imagenet", None, ~imagenet),
    ):
        part = {"subset": subset, "level": level}
        for place, values in expected:
            near, far = values.reshape(2, -1)[:, chosen]
            found = value(table, "two_afc", **place, **part)
            assert found == pytest.approx(choice(near, far, shares[chosen]), abs=TOLERANCE), (place, part)
        human = np.mean(shares[chosen] ** 2 + (1 - shares[chosen]) ** 2)
        people = {"probe": "", "role": "human", "reference": "observers"}
        assert value(table, "two_afc", **people, **part) == pytest.approx(human)
        ceiling = np.maximum(shares, 1 - shares)[chosen].mean()
        assert value(table, "two_afc", probe="", role="ceiling", **part) == pytest.approx(ceiling)


def test_just_noticeable_differences_equal_the_slow_evaluator(slow, judged, evaluate):
    table = evaluate("jnd/bapps", revisions=[REVISION])
    answers = sorted((judged["bapps"] / "jnd" / "val").glob("*/same/*.npy"))
    same = np.array([np.load(file).item() for file in answers])
    pairs = [[read(file.parents[1] / side / f"{file.stem}.png") for side in ("p0", "p1")] for file in answers]
    expected = all_distances([[slow.states(one) for one in pair] for pair in pairs])
    for place, values in expected:
        found = value(table, "jnd_map", subset="", **place)
        assert found == pytest.approx(average_precision(values, same), abs=TOLERANCE), place
    pixels = [np.linalg.norm(slow.seen(a) - slow.seen(b)) for a, b in pairs]
    found = value(table, "jnd_map", subset="", variant="euclidean", **PIXELS)
    assert found == pytest.approx(average_precision(pixels, same), abs=TOLERANCE)
    assert value(table, "jnd_map", probe="", role="chance", subset="") == pytest.approx(np.mean(same))
