"""Every panel goes through matplotlib without an error; names do not overlap; marks say what is known."""

import math
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from result_rows import course, row

from hf_clipdyn.benchmarks.kinds.classification import Classification
from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.report.figures import grid
from hf_clipdyn.report.mpl import draw, place_names, spread, write_names
from hf_clipdyn.report.panel import Line, Map, Panel, Row, Scale
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.style import HUMAN, figure_style
from hf_clipdyn.results.table import load
from hf_clipdyn.results.terms import Vocabulary

DEMO = Path(__file__).resolve().parents[2] / "model_cards" / "demo" / "results.parquet"


def _line(y, **given):
    n = len(y)
    unknown = np.full(n, np.nan)
    columns = {"x": np.arange(n, dtype=float), "low": unknown, "high": unknown, "usable": np.isfinite(y)}
    columns |= {"at": np.arange(n), "n": np.ones(n, int), "n_clusters": np.ones(n, int)}
    return Line(**{"label": "a", "y": np.array(y, float), **columns, **given})


def _draw(panel):
    with figure_style(printed=True):
        ax = Figure().subplots()
        names = draw(panel, ax)
        place_names(ax, names, write_names(ax, names))
        ax.figure.canvas.draw()
    return ax, names


def test_every_panel_of_the_demo_is_drawn_and_has_an_alternative_text():
    planner = Planner(load(DEMO))
    panels = [panel for own in planner.benchmarks.values() for panel in own]
    assert len(panels) > 500
    with figure_style(printed=True):
        for panel in panels:
            ax = Figure().subplots()
            names = draw(panel, ax)
            place_names(ax, names, write_names(ax, names))
            assert panel.alt.startswith(panel.title)


def test_points_that_say_nothing_are_hollow_or_crosses_and_interrupt_the_line():
    line = _line([0.1, 0.2, np.nan, 0.4], usable=np.array([True, False, False, True]))
    ax, _ = _draw(Panel(title="t", lines=(line,)))
    by_label = {one.get_label(): one for one in ax.lines}
    drawn = by_label["a"].get_ydata()
    assert drawn[:4].tolist() == pytest.approx([0.1, math.nan, math.nan, 0.4], nan_ok=True)
    assert by_label["not interpretable"].get_ydata().tolist() == [0.2]
    assert by_label["not interpretable"].get_markerfacecolor() == mpl.colors.to_hex("white")
    crosses = [one for one in ax.artists if one.get_label() == "not defined"] or [by_label["not defined"]]
    assert crosses[0].get_xdata().tolist() == [2]
    hidden, _ = _draw(Panel(title="t", lines=(line,), hide=True))
    assert "not interpretable" not in {one.get_label() for one in hidden.lines}


def test_a_band_follows_neighbours_and_a_lonely_point_has_a_bar():
    ends = {"low": np.array([0, 0.1, 0.2, 0.3]), "high": np.array([0.2, 0.3, 0.4, 0.5])}
    line = _line([0.1, 0.2, 0.3, 0.4], usable=np.array([True, True, False, True]), **ends)
    ax, _ = _draw(Panel(title="t", lines=(line,)))
    segments = [
        collection.get_segments() for collection in ax.collections if hasattr(collection, "get_segments")
    ]
    assert [[3, 0.3], [3, 0.5]] in [one[0].tolist() for one in segments]
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 0.3)


def test_rows_have_their_intervals_and_a_map_its_bar_rules_and_margin():
    rows = (
        Row(label="a", value=0.5, low=0.4, high=0.6),
        Row(label="b", value=np.nan),
        Row(label="c", value=0.2, usable=False),
    )
    ax, _ = _draw(Panel(title="t", form="rows", rows=rows, x=Scale(title="share", limits=(0, 1))))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_xlim() == (0, 1)
    cells = Map(
        values=np.array([[[0.0, 1.0], [np.nan, -2.0]]]),
        bar="kappa",
        neutral=0.0,
        rules=(0,),
        margin=np.array([0.5, 1]),
    )
    names = {"x": Scale(names=("r", "s")), "y": Scale(names=("r", "s"))}
    ax, _ = _draw(Panel(title="t", form="map", cells=cells, **names))
    assert ax.images[0].norm.vmin == -2
    assert ax.images[0].norm.vmax == 2
    assert len(ax.figure.axes) == 2
    assert len(ax.child_axes) == 1


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=8))
def test_names_never_overlap_and_keep_their_order(places):
    found = spread(places, [0.07] * len(places))
    in_order = [found[at] for at in sorted(range(len(places)), key=lambda at: places[at])]
    assert all(above - below > 0.07 - 1e-9 for below, above in pairwise(in_order))
    assert sum(found) == pytest.approx(sum(places), abs=1e-9)


# --- curves over levels ------------------------------------------------------------------------------------------


def _curves(study):
    """The panel of the only benchmark over its levels, and its cell."""
    (panels,) = study.planner.benchmarks.values()
    curves = next(panel for panel in panels if "level" not in panel.choices)
    with figure_style(printed=True):
        return curves, grid([curves], 7.0, 1).axes[0]


PEOPLE = {"role": "human", "reference": "observers", "probe": ""}


def test_levels_are_an_axis_with_people_as_a_curve_and_some_revisions_as_lines(read):
    rows = []
    for level, human in {1.0: 0.86, 0.3: 0.8, 0.1: 0.6}.items():
        place = {"subset": "contrast", "condition": "contrast", "level": level}
        for values, columns in (([level * at / 10 for at in range(7)], {}), ([human] * 7, PEOPLE)):
            rows += course("classification/mvh", "accuracy", values, 0.02, **place, **columns)
    curves, cell = _curves(read(rows, vocabulary=Vocabulary(kinds={"classification": Classification.terms})))
    assert (curves.metric, curves.main, curves.x.title) == ("accuracy", True, "contrast")
    lines = {line.get_label(): line for line in cell.lines if len(line.get_xdata()) == 3}
    revisions = [f"epoch-00{epoch}" for epoch in (0, 2, 3, 4, 6)]
    assert [label for label in lines if label.startswith("epoch")] == revisions
    assert lines["epoch-006"].get_xdata()[:3].tolist() == [0.1, 0.3, 1.0]
    assert lines["epoch-006"].get_ydata()[:3].tolist() == pytest.approx([0.06, 0.18, 0.6])
    (people,) = [line for line in lines.values() if line.get_color() == HUMAN]
    assert sorted(people.get_ydata()[:3]) == [0.6, 0.8, 0.86]
    assert sorted(text.get_text() for text in cell.texts) == [*revisions, "human observers"]


@pytest.mark.parametrize(
    ("condition", "levels", "beyond", "named"),
    [("high_pass", (3.0, np.inf, 0.5), 6.0, "∞"), ("low_pass", (0.0, 1.0, 40.0), 0.5, "0")],
)
def test_a_logarithmic_axis_of_levels_has_a_place_for_what_it_leaves_out(
    read, condition, levels, beyond, named
):
    rows = [row("noise/x", "accuracy", 0.9, condition=condition, level=level) for level in levels]
    _, cell = _curves(read(rows, vocabulary=Vocabulary(kinds={"noise": Noise.terms})))
    assert cell.get_xscale() == "log"
    assert cell.xaxis_inverted() == (condition == "high_pass")
    finite = [level for level in levels if 0 < level < np.inf]
    (line,) = (line for line in cell.lines if line.get_label() == "me/fixture")
    assert set(line.get_xdata()[:3]) == {beyond, *finite}
    ticks = dict(zip(cell.get_xticks(), (text.get_text() for text in cell.get_xticklabels()), strict=True))
    assert ticks[beyond] == named
    assert all(0.9 * min(finite) < tick < 1.1 * max(finite) for tick in ticks if tick != beyond)
