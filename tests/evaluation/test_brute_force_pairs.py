"""Pairs and triplets equal a slow evaluator: one image at a time, `from_pretrained`, hidden states included.

It shares no code with the package; its formulas are written out again.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from result_rows import value
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY

REVISION = "epoch-001"
TOLERANCE = 1e-5
WIDTH, HEIGHT, SIDE = 40, 28, 24
PLACES = [("projection", None), ("hidden", 0), ("hidden", 1), ("hidden", 2)]


class Slow:
    """One revision, loaded as its users load it."""

    def __init__(self, store: Path) -> None:
        folder = store / "revisions" / REVISION
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPProcessor.from_pretrained(folder).image_processor

    def seen(self, image: Image.Image) -> np.ndarray:
        """The pixels of the model's input."""
        batch = self.processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return np.asarray(batch["pixel_values"][0].transpose(1, 2, 0), np.float64)

    def states(self, image: Image.Image, **kwargs: Any) -> list[np.ndarray]:
        """(tokens, width) of each of PLACES."""
        inputs = self.processor(images=image, return_tensors="pt", **kwargs)
        with torch.no_grad():
            vision = self.model.vision_model(**inputs, output_hidden_states=True)
            projection = self.model.visual_projection(vision.pooler_output)
        return [projection.double().numpy(), *(state[0].double().numpy() for state in vision.hidden_states)]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([1 - x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]))


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([np.sqrt(sum((x - y) ** 2)) for x, y in zip(a, b, strict=True)]))


def normalised(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    squares = [np.mean((a - b) ** 2, axis=0) for a, b in pairs]
    mean = sum(squares) / len(squares)
    kept = mean > 0
    return [float(np.sqrt(np.mean(one[kept] / mean[kept]))) for one in squares]


def all_distances(pairs: list[tuple[list[np.ndarray], list[np.ndarray]]]) -> dict[Any, list[float]]:
    """(place, distance) to the values of all pairs."""
    found: dict[Any, list[float]] = {}
    for at, place in enumerate(PLACES):
        states = [(a[at], b[at]) for a, b in pairs]
        found[place, "cosine"] = [cosine(a, b) for a, b in states]
        found[place, "euclidean"] = [euclidean(a, b) for a, b in states]
        found[place, "normalised_euclidean"] = normalised(states)
    return found


def picture(rng: np.random.Generator, near: Image.Image | None = None) -> Image.Image:
    """Coarse blocks under fine noise; or a noisy copy of another picture."""
    if near is None:
        blocks = np.kron(rng.integers(20, 230, (4, 5, 3)), np.ones((8, 8, 1)))[:HEIGHT, :WIDTH]
    else:
        blocks = np.asarray(near, np.float64)
    noisy = blocks + rng.normal(0, rng.uniform(5, 60), (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path) -> Image.Image:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


@pytest.fixture
def slow(store: Path) -> Slow:
    return Slow(store)


# --- quality ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tid(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """TID2013 with 4 references, 2 distortions, 3 levels."""
    rng = np.random.default_rng(0)
    root, rows, lines = tmp_path_factory.mktemp("tid2013"), [], []
    for reference in range(1, 5):
        clean = save(picture(rng), root / "reference_images" / f"I{reference:02d}.BMP")
        for distortion in (1, 8):
            for level in (1, 2, 3):
                name = f"i{reference:02d}_{distortion:02d}_{level}.bmp"
                distorted = save(picture(rng, clean), root / "distorted_images" / name)
                score = round(float(rng.uniform(0, 9)), 4)
                lines.append(f"{score} {name}")
                rows.append({"a": clean, "b": distorted, "distortion": distortion, "score": score})
    (root / "mos_with_names.txt").write_text("\n".join(lines) + "\n")
    return root, rows


@pytest.mark.parametrize("preprocess", ["processor", "squash"])
def test_quality_equals_the_slow_evaluator(slow, tid, evaluate, preprocess):
    root, rows = tid
    table = evaluate(
        Quality.on("tid2013", preprocess=preprocess), data_dirs={"tid2013": root}, revisions=[REVISION]
    )
    assert set(table["preprocess"]) == {preprocess}
    assert json.loads(table["settings"].iloc[0])["incomplete"] == "24/3000"
    views: list[list[Image.Image]] = [[row[side] for side in ("a", "b")] for row in rows]
    kwargs: dict[str, Any] = {}
    if preprocess == "squash":
        kwargs = {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False}
    pairs = [(slow.states(a, **kwargs), slow.states(b, **kwargs)) for a, b in views]
    scores = np.array([row["score"] for row in rows])
    kinds = np.array([row["distortion"] for row in rows])
    conditions = {1: "additive Gaussian noise", 8: "Gaussian blur"}
    for ((probe, layer), distance), each in all_distances(pairs).items():
        place: dict[str, Any] = {"probe": probe, "layer": layer, "variant": distance, "condition": ""}
        values = np.asarray(each)
        srcc = stats.spearmanr(values, scores).statistic
        assert value(table, "alignment", **place) == pytest.approx(-srcc, abs=TOLERANCE)
        if probe == "projection":
            expected = {
                "srcc": srcc,
                "krcc": stats.kendalltau(values, scores).statistic,
                "plcc": stats.pearsonr(values, scores).statistic,
            }
            for metric, number in expected.items():
                assert value(table, metric, **place) == pytest.approx(number, abs=TOLERANCE)
            for kind, condition in conditions.items():
                part = stats.spearmanr(values[kinds == kind], scores[kinds == kind]).statistic
                found = value(table, "alignment", **(place | {"condition": condition}))
                assert found == pytest.approx(-part, abs=TOLERANCE)


def test_the_baselines_of_quality_equal_the_slow_evaluator(slow, tid, evaluate):
    root, rows = tid
    table = evaluate("quality/tid2013", data_dirs={"tid2013": root}, revisions=[REVISION])
    scores = [row["score"] for row in rows]
    pixels = [[slow.seen(row[side]) for side in ("a", "b")] for row in rows]
    psnr = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in pixels]
    ssim = [structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in pixels]
    for name, values in (("psnr", psnr), ("ssim", ssim)):
        place = {"probe": "", "variant": name, "condition": ""}
        baseline = {**place, "role": "baseline", "reference": "pixels"}
        srcc = stats.spearmanr(values, scores).statistic
        assert value(table, "alignment", **baseline) == pytest.approx(srcc, abs=TOLERANCE)
        plcc = stats.pearsonr(values, scores).statistic
        assert value(table, "plcc", **baseline) == pytest.approx(-plcc, abs=TOLERANCE)


# --- triplets -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nights(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """NIGHTS with 20 test triplets (one reference shared by two, one candidate by two) and one of training."""
    rng = np.random.default_rng(1)
    root, rows = tmp_path_factory.mktemp("nights"), []
    lines = ["id,left_vote,right_vote,votes,ref_path,left_path,right_path,prompt,split,is_imagenet"]
    for number in range(21):
        names = [f"ref/000/{number:03d}.png", *(f"distort/000/{number:03d}_{k}.png" for k in (0, 1))]
        images = [picture(rng)]
        images += [picture(rng, images[0]) for _ in range(2)]
        if number in (5, 9):
            images[0 if number == 5 else 1] = rows[number - 1]["images"][0 if number == 5 else 1]
        for name, image in zip(names, images, strict=True):
            save(image, root / name)
        votes = int(rng.integers(4, 9))
        right = int(rng.integers(0, votes + 1)) if votes < 6 else int(rng.integers(0, 2)) * votes
        split = "train" if number == 20 else "test"
        cells = [number, votes - right, right, votes, *names, "a thing", split, str(number % 3 == 0)]
        lines.append(",".join(map(str, cells)))
        rows.append({"images": images, "p": right / votes, "votes": votes, "imagenet": number % 3 == 0})
    (root / "data.csv").write_text("\n".join(lines) + "\n")
    return root, rows[:20]


def choice(near: list[float], far: list[float], shares: list[float]) -> float:
    scores = [0.5 if a == b else 1 - p if a < b else p for a, b, p in zip(near, far, shares, strict=True)]
    return float(np.mean(scores))


def test_triplets_equal_the_slow_evaluator_whatever_the_batch(slow, nights, evaluate):
    root, rows = nights
    states = [[slow.states(image) for image in row["images"]] for row in rows]
    pairs = [(one[0], one[k]) for k in (1, 2) for one in states]
    seen = [[slow.seen(image).ravel() for image in row["images"]] for row in rows]
    imagenet, reliable = (np.array([one[name] for one in rows]) for name in ("imagenet", "votes"))
    parts: dict[tuple[str, float | None], Any] = {
        (subset, level): inside & (reliable >= (level or 0))
        for subset, inside in (("", imagenet >= 0), ("imagenet", imagenet), ("no_imagenet", ~imagenet))
        for level in (None, 6.0)
    }
    expected = all_distances(pairs)
    for batch_size in (3, 128):
        table = evaluate(
            "similarity/nights", data_dirs={"nights": root}, revisions=[REVISION], batch_size=batch_size
        )
        assert json.loads(table["settings"].iloc[0])["incomplete"] == f"20/{20 + 20_019 - 21}"
        for (subset, level), chosen in parts.items():
            part: dict[str, Any] = {"subset": subset, "level": level}
            rows_in = np.flatnonzero(chosen)
            shares = [rows[row]["p"] for row in rows_in]
            for ((probe, layer), distance), values in expected.items():
                near, far = ([values[row + shift] for row in rows_in] for shift in (0, 20))
                found = value(table, "two_afc", probe=probe, layer=layer, variant=distance, **part)
                assert found == pytest.approx(choice(near, far, shares), abs=TOLERANCE)
            near, far = (
                [float(np.linalg.norm(seen[row][0] - seen[row][k])) for row in rows_in] for k in (1, 2)
            )
            baseline = {"probe": "", "role": "baseline", "reference": "pixels", "variant": "euclidean"}
            found = value(table, "two_afc", **baseline, **part)
            assert found == pytest.approx(choice(near, far, shares), abs=TOLERANCE)
            human = np.mean([p**2 + (1 - p) ** 2 for p in shares])
            people = {"probe": "", "role": "human", "reference": "observers"}
            assert value(table, "two_afc", **people, **part) == pytest.approx(human)
            ceiling = np.mean([max(p, 1 - p) for p in shares])
            assert value(table, "two_afc", probe="", role="ceiling", **part) == pytest.approx(ceiling)
        whole = (table["metric"] == "two_afc") & (table["variant"] == "cosine") & (table["subset"] == "")
        clusters = table[whole & table["level"].isna()]
        assert set(clusters["n_clusters"]) == {18}  # two triplets share a reference, two others a candidate


# --- same or different --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bapps(tmp_path_factory) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """BAPPS' JND part with 12 pairs in each of two subsets."""
    rng = np.random.default_rng(2)
    root, parts = tmp_path_factory.mktemp("bapps"), {}
    for subset in ("traditional", "cnn"):
        folder, parts[subset] = root / "jnd" / "val" / subset, []
        (folder / "same").mkdir(parents=True)
        for number in range(12):
            first = save(picture(rng), folder / "p0" / f"{number:06d}.png")
            second = save(picture(rng, first), folder / "p1" / f"{number:06d}.png")
            same = int(rng.integers(0, 4)) / 3
            np.save(folder / "same" / f"{number:06d}.npy", np.array([same]))
            parts[subset].append({"images": (first, second), "same": same})
    return root, parts


def average_precision(distances: list[float], same: list[float]) -> float:
    """VOC: at each recall the best precision there or later."""
    ranked = [share for _, share in sorted(zip(distances, same, strict=True))]
    points = []
    for n in range(1, len(ranked) + 1):
        true = sum(ranked[:n])
        points.append((true / sum(ranked), true / n))
    area, before = 0.0, 0.0
    for at, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[at:])
        before = recall
    return area


def test_just_noticeable_differences_equal_the_slow_evaluator(slow, bapps, evaluate):
    root, parts = bapps
    table = evaluate("jnd/bapps", data_dirs={"bapps": root}, revisions=[REVISION])
    assert json.loads(table["settings"].iloc[0])["incomplete"] == "24/9600"
    rows = [row | {"subset": subset} for subset, part in parts.items() for row in part]
    expected = all_distances([tuple(slow.states(image) for image in row["images"]) for row in rows])
    seen = [[slow.seen(image).ravel() for image in row["images"]] for row in rows]
    pixels = [float(np.linalg.norm(a - b)) for a, b in seen]
    for subset in ("", "traditional", "cnn"):
        chosen = [at for at, row in enumerate(rows) if subset in ("", row["subset"])]
        same = [rows[at]["same"] for at in chosen]
        for ((probe, layer), distance), values in expected.items():
            number = average_precision([values[at] for at in chosen], same)
            found = value(table, "jnd_map", probe=probe, layer=layer, variant=distance, subset=subset)
            assert found == pytest.approx(number, abs=TOLERANCE)
        baseline = {"probe": "", "role": "baseline", "reference": "pixels", "variant": "euclidean"}
        number = average_precision([pixels[at] for at in chosen], same)
        assert value(table, "jnd_map", subset=subset, **baseline) == pytest.approx(number, abs=TOLERANCE)
        chance = value(table, "jnd_map", probe="", role="chance", subset=subset)
        assert chance == pytest.approx(np.mean(same))


# --- processes ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [2, 3])
def test_several_processes_give_the_numbers_of_one(
    store, tid, nights, bapps, evaluate, checkout, launch, tmp_path, n_processes
):
    folders = {"tid2013": tid[0], "nights": nights[0], "bapps": bapps[0]}
    names = ["quality/tid2013", "similarity/nights", "jnd/bapps"]
    one = evaluate(*names, data_dirs=folders, batch_size=4)
    launch(
        n_processes,
        checkout / "scripts" / "evaluate.py",
        *(str(store), "--output", "results.parquet"),
        *("--device", "cpu", "--benchmarks", ",".join(names), "--batch-size", "4"),
        *(f"--data-dir={name}={path}" for name, path in folders.items()),
        launcher="torchrun",
        cwd=tmp_path,
        environment={"HF_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "ignore"},
    )
    several = pd.read_parquet(tmp_path / "results.parquet")
    key = [*CELL_KEY, *NUMBER_KEY]
    one, several = (table.sort_values(key).reset_index(drop=True) for table in (one, several))
    counts = [*key, "n", "n_clusters"]
    pd.testing.assert_frame_equal(one[counts], several[counts], check_dtype=False)
    np.testing.assert_allclose(one["value"].astype(float), several["value"].astype(float), atol=1e-6)
