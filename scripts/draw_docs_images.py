# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: its wheel lies here
# ///
"""Draw the example images of the pages in docs/explanation/: synthetic objects, gratings and published layer values.

python scripts/draw_docs_images.py docs/images
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from parity import read_published
from PIL import Image
from scipy.ndimage import binary_erosion

from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS
from hf_clipdyn.benchmarks.gratings import Field, Grating
from hf_clipdyn.data.synthetic_distortions import DISTORTIONS
from hf_clipdyn.data.world import (
    CLASSES,
    SIZE,
    USUAL_TEXTURE,
    Scene,
    captions,
    render,
    sample_scene,
    sample_shape,
    sample_texture,
)
from hf_clipdyn.metrics.seen_maps import gradient_energy

Pixels = NDArray[Any]
LARGE = 224  # pixels of an image whose filters have the published sizes
INK, BLUE, RED, GREY = "#222222", "#0072b2", "#d55e00", "#888888"


# --- objects of the embedded world ----------------------------------------------------------------------


def scene(shape: str, texture: str | None = None, *, seed: int = 0, **changes: Any) -> Scene:
    """An object of the embedded world, large and in the middle; its usual texture unless another is named."""
    rng = np.random.default_rng(seed)
    drawn = sample_scene(
        rng,
        sample_shape(rng, shape),
        sample_texture(rng, texture or USUAL_TEXTURE[shape]),
        sensor_noise=0.02,
    )
    middle = {"scale": 0.85, "centre": (0.0, 0.0), "background": (0.2, 0.0, 0.0, 0.0, 0.05)}
    return replace(drawn, **(middle | changes))


def picture(one: Scene, size: int = SIZE) -> Pixels:
    """Its pixels. A larger image shows the same scene: its texture has the same number of periods."""
    larger = replace(one.texture, period=one.texture.period * size / SIZE)
    return render(replace(one, texture=larger), np.random.default_rng(1), size)


def corrupted(pixels: Pixels, name: str, level: float = np.nan) -> Pixels:
    """As the kind `noise` shows row 0 of a data set."""
    return CORRUPTIONS[name](level)(pixels, 0)


def silhouette(one: Scene) -> NDArray[np.bool_]:
    """Where the object is."""
    flat = replace(
        one,
        texture=replace(one.texture, name="plain"),
        colour="white",
        background=(0.0, 0.0, 0.0, 0.0, 0.0),
        noise=0.0,
    )
    return np.asarray(picture(flat, LARGE).max(axis=2) > 64)


# --- figures --------------------------------------------------------------------------------------------


def row(*tiles: tuple[str, Pixels], width: float = 1.5) -> Figure:
    """Images side by side, each with its title."""
    lines = max(title.count("\n") for title, _ in tiles) + 1
    figure, axes = plt.subplots(1, len(tiles), figsize=(width * len(tiles), width + 0.2 * lines + 0.1))
    for ax, (title, pixels) in zip(np.atleast_1d(axes), tiles, strict=True):
        show(ax, pixels, title)
    return figure


def show(ax: Axes, pixels: Pixels, title: str = "") -> None:
    """Codes of 0 to 255, or of 0 to 1; one channel is grey."""
    top = 255 if pixels.dtype == np.uint8 else 1
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def shape_bias() -> Figure:
    """A silhouette, a texture, and the image that crosses the two."""
    cat, car = scene("cat", colour="orange"), scene("car", seed=3, colour="cyan")
    crossed = replace(cat, texture=car.texture)
    return row(
        ("cat, usual texture", picture(cat)),
        ("car, usual texture", picture(car)),
        ("cue conflict: shape of the cat,\ntexture of the car", picture(crossed)),
        width=2.2,
    )


def classification() -> Figure:
    """One object, degraded in ways that people have seen too."""
    boat = scene("boat", seed=2, colour="yellow")
    pixels, inside = picture(boat, LARGE), silhouette(boat)
    outline = inside & ~binary_erosion(inside, iterations=3)
    tiles = (
        ("colour", pixels),
        ("contrast", corrupted(pixels, "contrast", 0.15)),
        ("low-pass", corrupted(pixels, "low_pass", 7)),
        ("high-pass", corrupted(pixels, "high_pass", 3)),
        ("uniform noise", corrupted(pixels, "uniform_noise", 0.2)),
        ("silhouette", 1.0 - inside),
        ("edges", 1.0 - outline),
    )
    return row(*tiles, width=1.15)


def zero_shot() -> Figure:
    """An image and the prompts that compete for it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(5.4, 2.3), width_ratios=(1, 1.3))
    show(left, picture(scene("fish", seed=5, colour="green")), "image")
    right.set_axis_off()
    right.set_title("prompts")
    for place, name in enumerate(CLASSES):
        chosen = name == "fish"
        right.text(
            0.02,
            0.92 - 0.125 * place,
            f"a photo of a {name}" + ("   ← nearest" if chosen else ""),
            color=BLUE if chosen else INK,
            weight="bold" if chosen else "normal",
        )
    return figure


def label_distribution() -> Figure:
    """An image that is ambiguous, and how answers may be spread."""
    cat, fish = (picture(scene(name, seed=4, colour="white")).astype(float) for name in ("cat", "fish"))
    mixed = np.round((cat + fish) / 2).astype(np.uint8)
    sketched = {
        "people": {"cat": 5, "fish": 4, "key": 0.5},
        "a model that doubts alike": {"cat": 4.5, "fish": 4, "key": 0.8},
        "a model that is sure": {"cat": 9.3},
    }
    figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.1), width_ratios=(1, 1.2, 1.2, 1.2))
    show(axes[0], mixed, "cat or fish?")
    for ax, (title, answers) in zip(axes[1:], sketched.items(), strict=True):
        ax.barh(CLASSES, [answers.get(name, 0.15) for name in CLASSES], color=BLUE)
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_xlim(0, 10)
        ax.invert_yaxis()
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        if title != "people":
            ax.set_yticklabels([])
    return figure


def retrieval() -> Figure:
    """Images with their own captions."""
    rng = np.random.default_rng(6)
    figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.2))
    for ax, name in zip(axes, ("house", "bottle", "car", "tree"), strict=True):
        drawn = sample_scene(
            rng,
            sample_shape(rng, name),
            sample_texture(rng, USUAL_TEXTURE[name]),
            sensor_noise=0.02,
        )
        show(ax, picture(drawn))
        text = max(captions(drawn, rng), key=len)
        ax.text(0.5, -0.06, text.replace(" of ", " of\n"), ha="center", va="top", transform=ax.transAxes)
    return figure


def noise() -> Figure:
    """One image at the levels of the Gaussian noise."""
    pixels = picture(scene("house", seed=8, colour="purple"))
    levels = (0, 0.05, 0.1, 0.2, 0.3, 0.5)
    return row(
        *(("clean" if not one else f"sigma {one:g}", corrupted(pixels, "gaussian", one)) for one in levels),
        width=1.35,
    )


def psychophysics() -> Figure:
    """Gratings, of far more contrast than a threshold."""
    field = Field(LARGE, LARGE)

    def drawn(*gratings: Grating) -> Pixels:
        return np.repeat(field.draw(gratings), 3, axis=-1)

    target, mask = Grating(2, 0.5, 0, 0), Grating(2, 0.3, 0, 0, windowed=False)
    return row(
        ("field", drawn()),
        ("2 cycles/degree", drawn(target)),
        ("8 cycles/degree", drawn(replace(target, frequency=8))),
        ("mask", drawn(mask)),
        ("target on mask", drawn(mask, target)),
        width=1.15,
    )


def quality() -> Figure:
    """A reference under five distortions."""
    pixels = picture(scene("bottle", seed=9, colour="cyan"))
    rng = np.random.default_rng(0)
    distorted = ((f"{name}, level 4", change(pixels, 4, rng)) for name, change in DISTORTIONS.items())
    return row(("reference", pixels), *distorted, width=1.35)


def similarity() -> Figure:
    """A reference and two candidates."""
    reference = scene("key", seed=10, colour="yellow")
    same_object = replace(reference, colour="orange", scale=0.6, centre=(0.2, -0.2))
    return row(
        ("candidate A", picture(same_object)),
        ("reference", picture(reference)),
        ("candidate B", picture(scene("car", seed=11, colour="yellow"))),
        width=1.6,
    )


def odd_one_out() -> Figure:
    """Three objects."""
    shown = (("cat", "white", 12), ("fish", "orange", 13), ("house", "blue", 14))
    return row(*((name, picture(scene(name, seed=seed, colour=colour))) for name, colour, seed in shown))


def representation() -> Figure:
    """Images, and the dissimilarities of all their pairs; those of the pixels stand for a model."""
    images = [picture(scene(name, seed=20 + place)) for place, name in enumerate(CLASSES)]
    table = 1 - np.corrcoef([one.astype(float).ravel() for one in images])
    n = len(images)
    figure, ax = plt.subplots(figsize=(4.2, 3.6))
    drawn = ax.imshow(table, cmap="viridis", vmin=0)
    for place, one in enumerate(images):
        for extent in ((-1.7, -0.7, place + 0.45, place - 0.45), (place - 0.45, place + 0.45, -0.7, -1.7)):
            ax.imshow(one, extent=extent, clip_on=False, interpolation="nearest")
    ax.set(xlim=(-1.8, n - 0.5), ylim=(n - 0.5, -1.8))
    ax.set_axis_off()
    figure.colorbar(drawn, ax=ax, label="1 - Pearson's correlation of the pixels")
    return figure


def jnd() -> Figure:
    """A pair that looks the same at a glance, and one that does not."""
    pixels = picture(scene("car", seed=16, colour="red", noise=0.0), LARGE)
    rng = np.random.default_rng(0)
    return row(
        ("pair 1", pixels),
        ("pair 1", DISTORTIONS["noise"](pixels, 1, rng)),
        ("pair 2", pixels),
        ("pair 2", DISTORTIONS["colour"](pixels, 4, rng)),
    )


def saliency() -> Figure:
    """An image, and two maps that any model has to beat."""
    pixels = picture(scene("fish", seed=17, colour="orange", scale=0.5, centre=(-0.4, 0.35), noise=0.0), 160)
    axis = np.exp(-0.5 * np.square(np.linspace(-2, 2, 160)))
    maps = {"gradient energy, 8 x 8": gradient_energy(pixels), "centre Gaussian": np.outer(axis, axis)}
    figure, axes = plt.subplots(1, 3, figsize=(6, 2.3))
    show(axes[0], pixels, "image")
    for ax, (title, one) in zip(axes[1:], maps.items(), strict=True):
        show(ax, pixels, title)
        ax.imshow(one, cmap="inferno", alpha=0.65, extent=ax.get_images()[0].get_extent())
    return figure


def degradations() -> Figure:
    """Each degradation at three levels, on an image of 224 x 224 pixels."""
    pixels = picture(scene("cat", seed=18, colour="orange", noise=0.01), LARGE)
    levels: dict[str, Sequence[float]] = {
        "contrast": (0.3, 0.1, 0.05),
        "uniform_noise": (0.05, 0.2, 0.6),
        "grey_salt_and_pepper": (0.1, 0.35, 0.8),
        "low_pass": (3, 7, 15),
        "high_pass": (3, 1.5, 1),
        "phase_scrambling": (60, 90, 150),
        "phase_scrambling_mirrored": (60, 90, 150),
        "rotation": (90, 180, 270),
    }
    figure, axes = plt.subplots(len(levels) + 1, 3, figsize=(3.9, 1.02 * (len(levels) + 1)))
    for axes_of_row, (name, shown) in zip(axes, levels.items(), strict=False):
        for ax, level in zip(axes_of_row, shown, strict=True):
            show(ax, smaller(corrupted(pixels, name, level)), f"{level:g}")
        named(axes_of_row[0], name)
    for ax, name in zip(axes[-1], ("grey", "power_equalisation", "false_colour"), strict=True):
        show(ax, smaller(corrupted(pixels, name)), name.replace("_", " "))
    return figure


def smaller(pixels: Pixels) -> Pixels:
    """Every second pixel. Their means would weaken noise and remove high frequencies."""
    return pixels[::2, ::2]


def named(ax: Axes, name: str) -> None:
    """Write the name of a row left of its first image."""
    ax.text(-0.1, 0.5, name.replace("_", "\n"), ha="right", va="center", transform=ax.transAxes)


def published_layers() -> Figure:
    """The published values by layer, of the normalised Euclidean distance."""
    models = {
        "openai/clip-vit-base-patch32": ("B/32", BLUE),
        "openai/clip-vit-base-patch16": ("B/16", RED),
        "openai/clip-vit-large-patch14": ("L/14", GREY),
    }
    titles = {"tid2013": "TID2013, Spearman", "nights": "NIGHTS, accuracy", "things": "THINGS, accuracy"}
    values = [one for one in read_published() if one.distance == "normalised_euclidean"]
    figure, axes = plt.subplots(1, 3, figsize=(8.6, 2.6))
    for ax, (benchmark, title) in zip(axes, titles.items(), strict=True):
        for model, (label, colour) in models.items():
            found = {
                one.layer: one.value
                for one in values
                if (one.model, one.benchmark) == (model, benchmark) and one.metric != "pearson"
            }
            projection = found.pop("projection")
            layers = sorted((int(layer), value) for layer, value in found.items() if layer.isdigit())
            deepest = layers[-1][0]
            ax.plot([k / deepest for k, _ in layers], [v for _, v in layers], color=colour, label=label)
            ax.plot([1.12], [projection], "o", color=colour)
        ax.set_title(title)
        ax.set_xticks([0, 0.5, 1, 1.12], ["first", "middle\nhidden states", "last", "\nprojection"])
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        *(shape_bias, classification, zero_shot, label_distribution, retrieval, noise, psychophysics),
        *(quality, similarity, odd_one_out, representation, jnd, saliency, degradations),
        published_layers,
    )
}
PALETTE_SIZE = {"degradations": 40}
"""Colours of a figure whose noise takes many bytes; 256 elsewhere."""
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "text.color": INK,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
}


def draw(folder: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Write the figures as example-NAME.png; all of them unless some are named."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or FIGURES:
        with mpl.rc_context(STYLE):
            figure = FIGURES[name]()
            path = folder / f"example-{name}.png"
            figure.savefig(path, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.05)
            plt.close(figure)
        colours = PALETTE_SIZE.get(name, 256)
        Image.open(path).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        yield path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FIGURES)}; default: all")
    arguments = parser.parse_args()
    for written in draw(arguments.folder, arguments.names):
        print(written, f"{written.stat().st_size / 1000:.0f} kB")
