# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: its wheel lies here
# ///
"""Draw the example images of the pages in docs/explanation/dynamics/, from a finished demo.

python scripts/draw_dynamics.py docs/images [NAME …] [--demo runs/demo]
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from draw_docs_images import BLUE, GREY, INK, RED, STYLE, mpl, plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hf_clipdyn.benchmarks.answers import AnswerTable, stack
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.results.table import load_results


def rows_of(table: Path, kind: str, metric: str, **columns: object) -> pd.DataFrame:
    """The rows of one metric in the order of training, with the revisions' own texts."""
    rows = load_results(table)
    wanted = {"role": "value"} | columns
    chosen = (rows["texts"] == "own") & (rows["kind"] == kind) & (rows["metric"] == metric)
    for name, value in wanted.items():
        chosen &= rows[name] == value
    return rows[chosen].sort_values("epoch")


def line(ax: Axes, rows: pd.DataFrame, colour: str, label: str, style: str = "-") -> None:
    """A trajectory with its interval."""
    ax.fill_between(rows["epoch"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.15, linewidth=0)
    ax.plot(rows["epoch"], rows["value"], style, color=colour, label=label, marker="o", markersize=2.5)


def finish(figure: Figure, xlabel: str = "epoch") -> Figure:
    """Frames and legends of all panels."""
    for ax in (one for one in figure.axes if one.get_label() != "<colorbar>"):
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
        if not ax.get_xlabel():
            ax.set_xlabel(xlabel)
    return figure


def error_consistency(demo: Path) -> Figure:
    """Kappa with the previous and the last revision, and the range that the accuracies allow with the last one."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.5), sharey=True)
    titles = {"zero_shot": "objects, 1,000 images", "shape_bias": "cue conflicts, 1,008 images"}
    for ax, (kind, title) in zip(axes, titles.items(), strict=True):
        name, place = f"error_consistency-{kind}", {"probe": "projection"}
        ends = [
            rows_of(demo, name, "kappa", role=role, reference="last", **place)
            for role in ("lower_bound", "upper_bound")
        ]
        low, high = (one["value"] for one in ends)
        ax.fill_between(ends[0]["epoch"], low, high, color=GREY, alpha=0.15, label="possible with the last")
        for reference, colour in (("last", BLUE), ("previous", RED)):
            rows = rows_of(demo, name, "kappa", reference=reference, **place)
            line(ax, rows, colour, f"with the {reference} revision")
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.set_title(title)
    axes[0].set_ylabel("kappa (0: chance)")
    return finish(figure)


def right_answers(demo: Path, kind: str) -> AnswerTable:
    """The first answers of a kind, by revision."""
    rows = load_results(demo)
    cells = rows[(rows["texts"] == "own") & (rows["kind"] == kind)].drop_duplicates("revision")
    files = (demo.with_suffix(".trials") / f"{key}.parquet" for key in cells.sort_values("epoch")["cell"])
    return stack([next(iter(kinds()[kind].answers(pd.read_parquet(file)))) for file in files])


def learning_order(demo: Path) -> Figure:
    """Which image is right when, and what is learned and forgotten."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    table = right_answers(demo, "zero_shot").right
    order = np.lexsort((table.argmax(axis=0), -table.mean(axis=0)))
    left.imshow(table[:, order].T, aspect="auto", cmap="Blues", vmax=1.3, interpolation="nearest")
    left.set(ylabel="images, by share of right epochs", yticks=[], title="right (blue) or wrong (white)")
    for metric, colour in (("learned", BLUE), ("stably_learned", INK), ("forgotten", RED)):
        line(right, rows_of(demo, "learning_order-zero_shot", metric), colour, metric.replace("_", " "))
    chance = rows_of(demo, "learning_order-zero_shot", "forgotten", role="chance")
    right.plot(chance["epoch"], chance["value"], ":", color=RED, label="forgotten by a random learner")
    right.set(ylabel="share of 1,000 images", title="learned and forgotten")
    return finish(figure)


def representation(demo: Path) -> Figure:
    """Debiased CKA of each layer with the last revision."""
    figure, ax = plt.subplots(figsize=(4, 2.5))
    rows = rows_of(demo, "representation_change-geometry", "cka_debiased", reference="last")
    layers = rows.assign(layer=rows["layer"].fillna(rows["layer"].max() + 1))
    table = layers.pivot_table(index="layer", columns="epoch", values="value", dropna=False)
    drawn = ax.imshow(table, aspect="auto", origin="lower", cmap="viridis", vmin=min(0, table.min().min()))
    names = [f"layer {one:.0f}" for one in table.index[:-1]]
    ax.set_yticks(range(len(table)), [*names, "projection"])
    ax.set_title("debiased CKA with the last revision")
    figure.colorbar(drawn, ax=ax)
    return finish(figure)


def weights(demo: Path) -> Figure:
    """Lengths of the steps of both towers."""
    figure, ax = plt.subplots(figsize=(4, 2.4))
    for subset, colour in (("image", BLUE), ("text", RED)):
        line(ax, rows_of(demo, "weights", "step", subset=subset), colour, f"{subset} encoder")
    ax.set_title("length of the step")
    return finish(figure)


def cue_learning(demo: Path) -> Figure:
    """Answers for either cue, and what a linear probe reads of each from the projection."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.5), sharey=True)
    colours = {"shape": BLUE, "texture": RED, "other": GREY}
    for name, colour in colours.items():
        rows = rows_of(demo, "cue_learning-shape_bias", f"{name}_share", variant="")
        line(left, rows, colour, "another class" if name == "other" else name)
    for name in ("shape", "texture"):
        line(right, rows_of(demo, "decodability", name, probe="projection"), colours[name], name)
    chance = rows_of(demo, "decodability", "shape", role="chance")
    right.plot(chance["epoch"], chance["value"], ":", color=INK, label="chance")
    left.set(ylabel="share", title="answers on cue conflicts")
    right.set(title="decodable from the embedding (balanced accuracy)")
    return finish(figure)


def geometry(demo: Path) -> Figure:
    """Gap, uniformity, and dimensions."""
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.4))
    titles = {
        "gap": "modality gap",
        "uniformity_image": "uniformity of the images",
        "participation_ratio_debiased_image": "participation ratio of the images",
    }
    for ax, (metric, title) in zip(axes, titles.items(), strict=True):
        line(ax, rows_of(demo, "geometry", metric), BLUE, "")
        ax.set_title(title)
    return finish(figure)


FIGURES: dict[str, Callable[[Path], Figure]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        *(error_consistency, learning_order, representation, weights),
        *(cue_learning, geometry),
    )
}


def draw(folder: Path, demo: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Write the figures as dynamics-NAME.png; all of them unless some are named."""
    for name in names or FIGURES:
        with mpl.rc_context(STYLE | {"legend.fontsize": 7}):
            figure = FIGURES[name](demo / "results.parquet")
            path = folder / f"dynamics-{name}.png"
            figure.savefig(path, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.05)
            plt.close(figure)
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        yield path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    arguments = parser.parse_args()
    for written in draw(arguments.folder, arguments.demo, arguments.names):
        print(written, f"{written.stat().st_size / 1000:.0f} kB")
