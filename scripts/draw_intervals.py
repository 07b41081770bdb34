"""Draw two pictures of docs/explanation: intervals over images and over objects, and the rule of verdicts.

python scripts/draw_intervals.py docs/images
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from hf_clipdyn.metrics.scores import interval, mean, over
from hf_clipdyn.report.style import GREY, HUES, INK, figure_style
from hf_clipdyn.statistics.judge import word_of

OBJECTS = np.repeat(np.arange(6), 10)
REPETITIONS = 40
SMALLEST_EFFECT = 0.05
EXAMPLES = [(0.06, 0.14), (0.01, 0.11), (-0.03, 0.04), (-0.14, -0.06), (-0.03, 0.09), (-0.146, -0.035)]


def decisions(rng: np.random.Generator) -> np.ndarray:
    """Right (1) or wrong (0) for ten images of each of six objects; on average one half is right."""
    return (0.8 * rng.normal(size=6)[OBJECTS] + 0.6 * rng.normal(size=60) > 0).astype(float)


def draw_coverage() -> plt.Figure:
    """How often either interval contains the true accuracy, in forty repetitions."""
    rng = np.random.default_rng(0)
    studies = [mean(decisions(rng), "count") for _ in range(REPETITIONS)]
    clusters = {"over 60 images": None, "over 6 objects": OBJECTS}
    intervals = {
        name: [interval(one.value, over(one.influence, groups), "count") for one in studies]
        for name, groups in clusters.items()
    }
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for panel, (title, drawn) in zip(panels, intervals.items(), strict=True):
        covers = [low <= 0.5 <= high for low, high in drawn]
        for x, ((low, high), covered, study) in enumerate(zip(drawn, covers, studies, strict=True)):
            colour = HUES[0] if covered else HUES[1]
            panel.plot([x, x], [low, high], color=colour, linewidth=1.5)
            panel.plot(x, study.value, "o" if covered else "s", color=colour, markersize=3.5)
        panel.axhline(0.5, color=GREY, linewidth=1, zorder=0)
        panel.set(
            title=f"{title}: {sum(covers)} of {REPETITIONS} contain .5", xlabel="repetition", ylim=(0, 1)
        )
    panels[0].set_ylabel("accuracy")
    return figure


def draw_rule(examples: Sequence[tuple[float, float]], names: Sequence[str], height: float) -> plt.Figure:
    """Intervals with the words of a rule, over the band from -δ to δ."""
    figure, panel = plt.subplots(figsize=(7.5, height), layout="constrained")
    panel.axvspan(-SMALLEST_EFFECT, SMALLEST_EFFECT, color=GREY, alpha=0.15, linewidth=0)
    panel.axvline(0, color=GREY, linewidth=1)
    for y, (low, high) in enumerate(examples):
        panel.plot([low, high], [y, y], color=HUES[0], linewidth=2.5, solid_capstyle="butt")
        panel.plot((low + high) / 2, y, "o", color=HUES[0])
    panel.set_yticks(range(len(names)), names, color=INK)
    panel.set_xticks([-SMALLEST_EFFECT, 0, SMALLEST_EFFECT], ["-δ", "0", "δ"])
    panel.set(
        xlim=(-0.17, 0.17), ylim=(len(names) - 0.5, -0.5), xlabel="contrast, positive in favour of the claim"
    )
    panel.grid(visible=False)
    return figure


def draw_five() -> plt.Figure:
    """An interval for each verdict of the rule; the last one is claim 5 of the embedded study."""
    names = [word_of(low, high, SMALLEST_EFFECT) for low, high in EXAMPLES]
    return draw_rule(EXAMPLES, [*names[:-1], f"{names[-1]} (claim 5)"], 3.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with figure_style():
        draw_coverage().savefig(folder / "intervals-coverage.png", dpi=150)
        draw_five().savefig(folder / "verdict-rule.png", dpi=150)
