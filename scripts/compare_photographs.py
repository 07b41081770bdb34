"""Look for test pictures of CIFAR-10 among the training pictures of tiny-photographs, by comparing pixels.

CLIPDYN_DATA=PATH python scripts/compare_photographs.py [--pairs pairs.csv]

For each test picture it finds the nearest training picture: the smallest root mean square of the difference of their
pixels, in grey levels. Both sides are JPEG files, so a copy is not at zero. Writing a test picture again as JPEG
moves it by a distance that is measured at two qualities. Both sides were compressed, so a test picture is listed as a
possible copy if its nearest training picture is within twice the worst of these distances.

It finds copies, not the same photograph in another crop, position or exposure. CIFAR-10 is known to have such near
duplicates between its own training and test pictures (Barz and Denzler 2020, "Do we train on test data?").

Of the 2,000 test pictures of the project's data one is listed: at 13.6 grey levels, a dark picture beside a dark
picture of another thing (a walking stick of Tiny ImageNet). The nearest training picture of CIFAR-10 is at 16.6, and
copies are at most at 14.4. So no test picture is among the training pictures. Of the sixteen nearest pairs, looked at
by eye, three show the same photograph shifted or in other colours (a deer, a frog, a dog).
"""

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn import load_dataset

QUALITIES = (95, 75)
AT_ONCE = 2000  # training pictures
Floats = NDArray[np.float32]


def pixels_of(images: Any) -> Floats:
    """Pixels (n, 3072) of pictures of 32 x 32, as grey levels."""
    return np.stack([np.asarray(one.convert("RGB"), np.float32).reshape(-1) for one in images])


def written_again(pixels: Floats, quality: int) -> Floats:
    """The same pictures after one more JPEG compression."""
    files = []
    for one in pixels.astype(np.uint8).reshape(-1, 32, 32, 3):
        file = io.BytesIO()
        Image.fromarray(one).save(file, "JPEG", quality=quality)
        files.append(Image.open(file))
    return pixels_of(files)


def nearest(tested: Floats, trained: Any) -> tuple[Floats, NDArray[np.int64]]:
    """Distance of each picture to the nearest of a data set's, and the row of that one."""
    best, row = np.full(len(tested), np.inf, np.float32), np.zeros(len(tested), np.int64)
    own = np.square(tested).sum(axis=1)
    for start in range(0, len(trained), AT_ONCE):
        others = pixels_of(trained[start : start + AT_ONCE]["image"])
        squares = own[:, None] + np.square(others).sum(axis=1) - 2 * tested @ others.T
        first = squares.argmin(axis=1)
        # The product rounds away what is left of two equal pictures.
        exact = np.square(tested - others[first]).mean(axis=1)
        better = exact < best
        best[better], row[better] = exact[better], start + first[better]
    return np.sqrt(best), row


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for CIFAR-10's test pictures in tiny-photographs.")
    parser.add_argument(
        "--pairs", type=Path, help="write the nearest training picture of each test picture here"
    )
    arguments = parser.parse_args()
    tests = load_dataset("cifar10", split="test")
    trained = load_dataset("tiny_photographs", split="train")
    tested = pixels_of(tests["image"])
    copies = [np.sqrt(np.square(written_again(tested, one) - tested).mean(axis=1)) for one in QUALITIES]
    distances, rows = nearest(tested, trained)
    names = trained.select_columns(["image_id"])[:]["image_id"]
    print(f"{len(tested):,} test pictures, {len(trained):,} training pictures")
    for quality, one in zip(QUALITIES, copies, strict=True):
        low, middle, high = np.quantile(one, [0, 0.5, 1])
        print(
            f"a picture and its copy at JPEG quality {quality}: {low:.1f} to {high:.1f}, median {middle:.1f}"
        )
    shares = np.quantile(distances, [0, 0.001, 0.01, 0.05, 0.5])
    print(
        "nearest training picture, quantiles 0, .001, .01, .05, .5:",
        ", ".join(f"{one:.1f}" for one in shares),
    )
    limit = 2 * max(float(one.max()) for one in copies)
    print(f"within twice the worst copy ({limit:.1f}): {int((distances <= limit).sum())} test pictures")
    order = np.argsort(distances)
    for place in order[:20]:
        print(f"  {distances[place]:5.1f}  test picture {place}  {names[rows[place]]}")
    if arguments.pairs is not None:
        with arguments.pairs.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["test_row", "training_picture", "rms"])
            for place in order:
                table.writerow([place, names[rows[place]], f"{distances[place]:.2f}"])


if __name__ == "__main__":
    main()
