"""What simple models trained on tiny-photographs answer to cue conflicts, edges and silhouettes at 32 pixels.

CLIPDYN_DATA=PATH python scripts/fit_photographs.py [--output reference.csv]

Logistic regressions are fitted on 3,996 training pictures, 333 of each of the twelve categories that captions name.
They see pixels, a colour histogram of 64 boxes, or oriented gradients of the grey picture (scikit-image's `hog`: 9
orientations, cells of 8 pixels, blocks of 2 x 2 cells). They are asked what the study's models are asked by prompts:
one of twelve categories for the 660 images with both cues among these, and for 120 edges and 120 silhouettes. The
penalties are fixed: C of .01 for pixels and 1 for colours, both standardised, and .1 for gradients.
"""

import argparse
import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_clipdyn import load_dataset
from hf_clipdyn.benchmarks.simple_models import SIMPLE_FEATURES

NAMED = (
    *("airplane", "bear", "bird", "boat", "bottle", "car", "cat", "chair", "dog", "elephant"),
    *("keyboard", "truck"),
)
"""The categories of the cue conflicts that captions name."""
OF_EACH, SIDE, SEED = 333, 32, 0
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


def gradients(images: Pixels) -> Floats:
    """Histograms of oriented gradients, (n, d)."""
    greys = images.mean(axis=-1)
    return np.stack(
        [hog(one, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for one in greys]
    )


FEATURES: dict[str, tuple[Callable[[Pixels], Floats], Callable[[], Pipeline]]] = {
    "pixels": (
        SIMPLE_FEATURES["pixels"],
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)),
    ),
    "colours": (
        SIMPLE_FEATURES["colours"],
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000)),
    ),
    "gradients": (gradients, lambda: make_pipeline(LogisticRegression(C=0.1, max_iter=2000))),
}


def named_by(captions: list[str]) -> str | None:
    """The only category that a picture's captions name; None if there is none or several."""
    words = {word for text in captions for word in re.findall("[a-z]+", text.lower())}
    named = [name for name in NAMED if name in words]
    return named[0] if len(named) == 1 else None


def shown(dataset: Any, rows: list[int]) -> Pixels:
    """The pictures of these rows at 32 x 32 pixels, as the models' processor resizes them."""
    images = (one.convert("RGB") for one in dataset.select(rows)["image"])
    return np.stack([np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for one in images])


def training_pictures() -> tuple[Pixels, NDArray[np.str_]]:
    """Equally many pictures of each category, and their categories."""
    dataset = load_dataset("tiny_photographs", split="train")
    categories = np.array(
        [named_by(texts) or "" for texts in dataset.select_columns("captions")[:]["captions"]]
    )
    rng = np.random.default_rng(SEED)
    rows = np.concatenate([rng.permutation(np.flatnonzero(categories == name))[:OF_EACH] for name in NAMED])
    return shown(dataset, rows.tolist()), categories[rows]


def reference_rows() -> list[dict[str, Any]]:
    """The share of answers for each cue, and of right answers to outlines, by feature."""
    conflicts = load_dataset("cue_conflict_64", split="test")
    cues = list(zip(conflicts["shape"], conflicts["texture"], strict=True))
    both = [
        row
        for row, (shape, texture) in enumerate(cues)
        if shape != texture and {shape, texture} <= set(NAMED)
    ]
    outlines = load_dataset("cue_conflict_64", "outlines", split="test")
    kinds = list(zip(outlines["subset"], outlines["category"], strict=True))
    asked: list[tuple[str, Pixels, list[str]]] = []
    images = shown(conflicts, both)
    for place, cue in enumerate(("shape", "texture")):
        asked.append((cue, images, [cues[row][place] for row in both]))
    for subset in ("edge", "silhouette"):
        rows = [row for row, (kind, name) in enumerate(kinds) if kind == subset and name in NAMED]
        asked.append((subset, shown(outlines, rows), [kinds[row][1] for row in rows]))
    pictures, categories = training_pictures()
    found = []
    for name, (features, model) in FEATURES.items():
        fitted = model().fit(features(pictures), categories)
        for what, stimuli, answers in asked:
            share = float((fitted.predict(features(stimuli)) == np.array(answers)).mean())
            found.append({"features": name, "asked": what, "share": round(share, 4), "n": len(answers)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit simple models on tiny-photographs.")
    parser.add_argument("--output", type=Path, help="CSV file; default: the terminal")
    arguments = parser.parse_args()
    rows = reference_rows()
    file = sys.stdout if arguments.output is None else arguments.output.open("w", newline="")
    with file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
