"""Fixation sets as their archives unpack."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from official_trees.images import write_image
from PIL import Image
from scipy.io import savemat

OSIE_FIXATIONS = [(100.5, 50.25, 246), (399.0, 299.0, 136), (780.0, 20.0, 60)]


Points = list[tuple[float, float, float]]


def osie(
    root: Path,
    images: tuple[str, ...] = ("1001.jpg", "1002.jpg", "1003.jpg"),
    gaze: Callable[[int], list[Points]] | None = None,
) -> None:
    """Photographs and the x, y and milliseconds of their observers' fixations.

    Without ``gaze``, which gives the observers of the n-th image, there are two on each, of whom the second looks
    outside once.
    """
    entries = np.empty((len(images), 1), dtype=object)
    for index, name in enumerate(images):
        write_image(root / "stimuli" / name, (800, 600))
        observers = gaze(index) if gaze else [OSIE_FIXATIONS, [(810.0, 20.0, 90), (10.0, 20.0, 95)]]
        subjects = np.empty((len(observers), 1), dtype=object)
        for number, points in enumerate(observers):
            xs, ys, durations = zip(*points, strict=True)
            subjects[number, 0] = {
                "fix_x": np.array([xs]),
                "fix_y": np.array([ys]),
                "fix_duration": np.array([durations], dtype=np.uint16),
            }
        entries[index, 0] = {"img": name, "subjects": subjects}
    (root / "eye").mkdir(parents=True, exist_ok=True)
    savemat(root / "eye" / "fixations.mat", {"fixations": entries})


def mit1003(root: Path, points: bool = True) -> None:
    """Two photographs with maps, and with the points of three fixations."""
    for stem in ("i05june05_static_street_boston_p1010764", "i" + "long" * 17):
        write_image(root / "ALLSTIMULI" / f"{stem}.jpeg", (100, 80))
        write_image(root / "ALLFIXATIONMAPS" / f"{stem}_fixMap.jpg", (100, 80))
        if points:
            white = np.zeros((80, 100), np.uint8)
            white[[4, 40, 70], [5, 50, 95]] = 255
            Image.fromarray(white).save(root / "ALLFIXATIONMAPS" / f"{stem}_fixPts.jpg", quality=95)


def cat2000(root: Path) -> None:
    """Two categories, one picture each, called the same."""
    for category in ("Action", "Art"):
        folder = root / "trainSet"
        write_image(folder / "Stimuli" / category / "001.jpg", (192, 108))
        write_image(folder / "Stimuli" / category / "Output" / "001_SaliencyMap.jpg", (192, 108))
        write_image(folder / "FIXATIONMAPS" / category / "001.jpg", (192, 108))
        points = np.zeros((108, 192), dtype=np.uint8)
        points[10, 20] = points[50, 60] = 1
        (folder / "FIXATIONLOCS" / category).mkdir(parents=True)
        savemat(folder / "FIXATIONLOCS" / category / "001.mat", {"fixLocs": points})


def salicon(root: Path) -> None:
    """A training, a validation, and a test photograph without fixations."""
    for split in ("train", "val", "test"):
        name = f"COCO_{split}2014_000000000009"
        write_image(root / "images" / split / f"{name}.jpg", (64, 48))
        if split == "test":
            continue
        write_image(root / "maps" / split / f"{name}.png", (64, 48))
        gaze = np.empty((2, 1), dtype=[("location", object), ("timestamp", object), ("fixations", object)])
        for number in range(2):
            gaze[number, 0] = (np.ones((4, 2)), np.arange(4.0), np.array([[1, 1], [30 + number, 20]]))
        folder = root / "fixations" / split
        folder.mkdir(parents=True)
        savemat(folder / f"{name}.mat", {"image": name, "resolution": np.array([48, 64]), "gaze": gaze})
