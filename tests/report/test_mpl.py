"""Every panel goes through matplotlib without an error; names do not overlap; marks say what is known."""

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from result_rows import row
from study_rows import rows_of_seeds

from hf_clipdyn.report.margin import decimals, place_names, spread
from hf_clipdyn.report.mpl import draw, grid
from hf_clipdyn.report.panel import Line, Map, Panel, Row, Scale, Span
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.style import HUMAN, figure_style
from hf_clipdyn.results.table import load

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
        place_names(ax, names)
        ax.figure.canvas.draw()
    return ax, names


def test_every_panel_of_the_demo_is_drawn_and_has_an_alternative_text():
    planner = Planner(load(DEMO))
    panels = [panel for own in planner.benchmarks.values() for panel in own]
    assert len(panels) > 500
    with figure_style(printed=True):
        for panel in panels:
            ax = Figure().subplots()
            place_names(ax, draw(panel, ax))
            assert panel.alt.startswith(panel.title)


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_every_panel_of_a_study_of_seeds_is_laid_out(read, n_seeds):
    planner = read(rows_of_seeds(n_seeds=n_seeds)).planner
    with figure_style(printed=True):
        for panels in planner.benchmarks.values():
            figure = grid(panels, 7.0, 3, intervals="95 %")
            figure.canvas.draw()
            assert all(panel.alt for panel in panels)


def test_points_that_say_nothing_are_hollow_or_crosses_and_interrupt_the_line():
    line = _line([0.1, 0.2, np.nan, 0.4], usable=np.array([True, False, False, True]))
    ax, _ = _draw(Panel(title="t", lines=(line,)))
    by_label = {one.get_label(): one for one in ax.lines}
    drawn = by_label["a"].get_ydata()
    assert np.isnan(drawn[1:3]).all()
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


def test_levels_windows_and_descending_logarithmic_axes():
    x = Scale(title="contrast", log=True, descending=True, beyond=20.0, beyond_name="∞")
    line = _line([0.1, 0.2, 0.3], x=np.array([np.inf, 10.0, 1.0]))
    people = _line([0.5, 0.6], x=np.array([10.0, 1.0]), role="human", label="people", place=-1)
    panel = Panel(title="t", x=x, lines=(line, people), spans=(Span("early", 1.0, 3.0),))
    ax, names = _draw(panel)
    assert ax.get_xscale() == "log"
    assert ax.xaxis.get_inverted()
    assert "∞" in [label.get_text() for label in ax.get_xticklabels()]
    assert ("people", HUMAN) in {(name.text, name.colour) for name in names}
    assert "early" in [text.get_text() for text in ax.texts]


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


def test_names_in_the_margin_do_not_overlap(read):
    rows = [
        row("zero_shot/x", "top1", 0.5 + run / 1e4, epoch=epoch, repo_id=f"me/{run}")
        for run in range(6)
        for epoch in (0, 1)
    ]
    with figure_style(printed=True):
        figure = grid(read(rows).planner.benchmarks["zero_shot/x"], 3.35, 1)
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [
            text.get_window_extent(renderer)
            for text in figure.axes[0].texts
            if text.get_text().startswith("me/")
        ]
    assert len(boxes) == 6
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1.5 for low, high in pairwise(boxes))


def test_heights_keep_the_order_and_move_as_little_as_possible():
    assert spread([], []) == []
    assert spread([0.2, 0.8], [0.1, 0.1]) == [0.2, 0.8]
    assert spread([0.5, 0.5], [0.2, 0.2]) == pytest.approx([0.4, 0.6])


def test_numbers_have_two_decimals_or_what_says_something():
    assert list(map(decimals, (0.125, 0.0012, 250.0, 0.0))) == ["0.12", "0.001", "250", "0.00"]
