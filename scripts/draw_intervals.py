"""Draw the picture of docs/explanation/intervals.md: intervals over images and over objects, in forty repetitions.

python scripts/draw_intervals.py docs/images/intervals-coverage.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from hf_clipdyn.metrics.bootstrap import clustered_share_interval, wilson_interval
from hf_clipdyn.report.style import GREY, figure_style, hue

OBJECTS = np.repeat(np.arange(6), 10)
REPETITIONS = 40


def decisions(rng: np.random.Generator) -> np.ndarray:
    """Right (1) or wrong (0) for ten images of each of six objects; on average one half is right."""
    return (0.8 * rng.normal(size=6)[OBJECTS] + 0.6 * rng.normal(size=60) > 0).astype(float)


def draw() -> plt.Figure:
    rng = np.random.default_rng(0)
    studies = [decisions(rng) for _ in range(REPETITIONS)]
    intervals = {
        "over 60 images": [wilson_interval(right.mean(), 60) for right in studies],
        "over 6 objects": [clustered_share_interval(right, np.ones(60), [OBJECTS]) for right in studies],
    }
    with figure_style():
        figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
        for panel, (title, drawn) in zip(panels, intervals.items(), strict=True):
            covers = [low <= 0.5 <= high for low, high in drawn]
            for x, ((low, high), covered, right) in enumerate(zip(drawn, covers, studies, strict=True)):
                colour = hue(0) if covered else hue(1)
                panel.plot([x, x], [low, high], color=colour, linewidth=1.5)
                panel.plot(x, right.mean(), "o" if covered else "s", color=colour, markersize=3.5)
            panel.axhline(0.5, color=GREY, linewidth=1, zorder=0)
            panel.set(title=f"{title}: {sum(covers)} of {REPETITIONS} contain .5", xlabel="repetition", ylim=(0, 1))
        panels[0].set_ylabel("accuracy")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    draw().savefig(parser.parse_args().output, dpi=150)
