# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Draw the two pictures of docs/explanation/world.md: sample images, and the turn from texture to shape.

python scripts/draw_world.py docs/images       # needs the table of the embedded study in model_cards/study
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from hf_clipdyn.data.sets.procedural import Procedural
from hf_clipdyn.data.world import CLASSES
from hf_clipdyn.report.style import GREY, HUES, INK, figure_style

STUDY = Path(__file__).resolve().parents[1] / "model_cards" / "study" / "results.parquet"
SIDE, GAP, LEFT, TOP = 80, 18, 96, 34
GROUPS = {"training images": 3, "test images": 3, "cue conflicts": 4, "one image in five distortions": 5}
CONTROLS = {"texture-always": "texture always right", "swapped-roles": "roles swapped"}


def draw_samples() -> Image.Image:
    """A row for each class: training images, test images, cue conflicts, and distortions of level 4."""
    columns = sum(GROUPS.values())
    size = LEFT + columns * SIDE + (len(GROUPS) - 1) * GAP, TOP + len(CLASSES) * SIDE
    page = Image.new("RGB", size, "white")
    ink, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    for row, name in enumerate(CLASSES):
        ink.text((LEFT - 10, TOP + (row + 0.5) * SIDE), name, INK, font, anchor="rm")
    left = LEFT
    for (title, count), images in zip(GROUPS.items(), map(dict, _groups()), strict=True):
        ink.text((left + count * SIDE / 2, TOP / 2), title, INK, font, anchor="mm")
        for row, name in enumerate(CLASSES):
            for column, content in enumerate(islice(images[name], count)):
                tile = (
                    Image.open(BytesIO(content)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
                )
                page.paste(tile, (left + column * SIDE, TOP + row * SIDE))
        left += count * SIDE + GAP
    return page.quantize(192, kmeans=4, dither=Image.Dither.NONE)


def _groups() -> Iterator[dict[str, list[bytes]]]:
    """The images of each group by class, as PNG."""
    groups: list[dict[str, list[bytes]]] = [defaultdict(list) for _ in GROUPS]
    train, test, conflicts, distortions = groups
    for row in islice(Procedural(config_name="captions_small").rows("train"), 200):
        (name,) = (one for one in CLASSES if one in row["captions"][0].split())
        train[name].append(row["image"]["bytes"])
    for row in islice(Procedural(config_name="labels").rows("test"), 64):
        test[row["label"]].append(row["image"]["bytes"])
    pairs = islice(
        Procedural(config_name="cue_conflict").rows("test"), 0, None, 18
    )  # one image of each pair of cues
    for index, row in enumerate(pairs):
        if index % 7 % 2 == 0:  # every other texture
            conflicts[row["shape"]].append(row["image"]["bytes"])
    for index, row in enumerate(islice(Procedural(config_name="distortion").rows("test"), 25 * len(CLASSES))):
        if row["level"] == 4:
            distortions[CLASSES[index // 25]].append(row["distorted"]["bytes"])
    yield from groups


def draw_turn() -> plt.Figure:
    """Shape bias and accuracy of the runs of size `tiny` in the embedded study; open circles are not interpretable."""
    rows = pd.read_parquet(STUDY).query(
        "scale == 'tiny' and role == 'value' and texts == 'own' and probe == 'projection'"
    )
    rows = rows[rows["epoch"].notna() & (rows["epoch"] % 1 == 0) & rows["revision"].str.startswith("epoch")]
    with figure_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True, layout="constrained")
        for panel, metric, title in (
            (left, "shape_bias", "shape bias"),
            (right, "top1", "zero-shot accuracy"),
        ):
            _draw_runs(panel, rows[rows["metric"] == metric])
            panel.set(title=title, xlabel="epoch", ylim=(-0.03, 1.03))
        left.axhline(0.5, color=GREY, linewidth=1, zorder=0)
        right.axhline(1 / len(CLASSES), color=GREY, linewidth=1, linestyle="dashed", zorder=0)
        right.annotate(
            "chance", (10, 1 / len(CLASSES)), (0, 4), textcoords="offset points", ha="right", color=GREY
        )
        left.annotate(
            "texture always right,\nor roles swapped", (10, 0.05), ha="right", va="bottom", color=GREY
        )
        right.legend(loc="lower right", bbox_to_anchor=(1, 0.2), title="five runs: seed")
    return figure


def _draw_runs(panel: plt.Axes, rows: pd.DataFrame) -> None:
    for arm in CONTROLS:
        for _, run in rows[rows["arm"] == arm].groupby("seed"):
            panel.plot(run["epoch"], run["value"], color=GREY, linewidth=1)
    for index, (seed, run) in enumerate(rows.query("arm == ''").sort_values("epoch").groupby("seed")):
        panel.plot(run["epoch"], run["value"], color=HUES[index % len(HUES)], label=str(seed))
        for flag, face in ((True, HUES[index % len(HUES)]), (False, "white")):
            part = run[run["interpretable"].fillna(True).astype(bool) == flag]
            panel.plot(
                part["epoch"],
                part["value"],
                "o",
                color=HUES[index % len(HUES)],
                markerfacecolor=face,
                markersize=5,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    draw_samples().save(folder / "world-samples.png", optimize=True)
    draw_turn().savefig(folder / "world-turn.png", dpi=150)
