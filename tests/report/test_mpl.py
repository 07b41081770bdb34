"""Every panel goes through matplotlib without an error; names do not overlap; marks say what is known."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from result_rows import row
from study_rows import rows_of_seeds

from hf_clipdyn.report.margin import decimals, place_names, spread
from hf_clipdyn.report.mpl import draw, grid
from hf_clipdyn.report.panel import Line, Map, Panel, Row, Scale, Span
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.report.style import GREY, HUMAN, figure_style
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
    assert spread([0.9, 0.1], [0.1, 0.1]) == [0.9, 0.1]
    assert spread([0.5, 0.5], [0.2, 0.2]) == pytest.approx([0.4, 0.6])


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=8))
def test_names_never_overlap_and_keep_their_order(places):
    found = spread(places, [0.07] * len(places))
    in_order = [found[at] for at in sorted(range(len(places)), key=lambda at: places[at])]
    assert all(above - below > 0.07 - 1e-9 for below, above in pairwise(in_order))
    assert sum(found) == pytest.approx(sum(places), abs=1e-9)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.125, "0.12"),
        (-0.0168, "-0.02"),
        (0.0042, "0.004"),
        (0.0, "0.00"),
        (3.14159, "3.14"),
        (1234.5, "1234"),
    ],
)
def test_numbers_have_two_decimals_unless_they_would_vanish(value, words):
    assert decimals(value) == words


# --- the panels of rows ------------------------------------------------------------------------------------------


def _panel(study, **choices):
    """The only panel with these choices."""
    panels = [panel for own in study.planner.benchmarks.values() for panel in own]
    (found,) = [panel for panel in panels if {**panel.choices, **choices} == dict(panel.choices)]
    return found


def _cells(*panels, width=7.0, columns=3):
    with figure_style(printed=True):
        return grid(panels, width, columns, intervals="95 %").axes


def _line_of(cell, label):
    return next(line for line in cell.lines if line.get_label() == label)


def _legend(cell):
    return [text.get_text() for text in cell.figure.legends[0].get_texts()]


def _runs(n, metric="top1"):
    return [
        row("zero_shot/x", metric, 0.1 * run + 0.05 * epoch, 0.02, repo_id=f"me/{run}", epoch=epoch)
        for run in range(n)
        for epoch in (0, 1)
    ]


def test_a_line_has_the_values_of_its_rows_and_its_interval(study, read):
    (cell,) = _cells(_panel(read(study()), metric="cue accuracy"))
    assert _line_of(cell, "me/fixture").get_ydata()[:6].tolist() == pytest.approx(
        [0.25, *(0.7 + 0.03 * epoch for epoch in range(1, 6))]
    )
    heights = cell.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.22, 0.88))


def test_a_long_title_stays_within_its_figure(read):
    variant = "normalised_euclidean_distance"
    rows = [
        row("jnd/bapps", "map_of_just_noticeable_differences", 0.5, epoch=epoch, variant=variant)
        for epoch in (0, 1)
    ]
    (cell,) = _cells(*read(rows).planner.glance or read(rows).planner.benchmarks["jnd/bapps"], width=3.35)
    title = cell.get_title("left")
    assert (
        title.replace("\n", " ") == "map of just noticeable differences, normalised euclidean distance bapps"
    )
    assert "\n" in title.removesuffix("\nbapps")
    figure = cell.figure
    assert figure.get_tightbbox().x1 <= figure.bbox_inches.x1


def test_a_model_without_a_place_in_training_is_a_level_line(read):
    rows = [row("quality/t", "alignment", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)]
    rows.append(row("quality/t", "alignment", 0.7, 0.1, repo_id="org/clip", revision="main", epoch=None))
    (cell,) = _cells(*read(rows).planner.glance)
    assert list(_line_of(cell, "org/clip").get_ydata()) == [0.7, 0.7]


def test_runs_differ_in_colour_and_in_marker(study, read):
    (cell,) = _cells(_panel(read([*study(), *study("me/other")]), metric="shape bias"))
    first, second = (_line_of(cell, name) for name in ("me/fixture", "me/other"))
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert (first.get_markeredgewidth(), second.get_markeredgewidth()) == (0, 0), "no halo cuts an interval"


def _inside_an_epoch(step, samples):
    names = {"revision": f"step-{step:08d}", "epoch": 0, "step": step, "samples_seen": samples}
    return row("zero_shot/x", "top1", 0.5, 0.1, **names)


def test_the_logarithmic_axis_keeps_the_untrained_model_behind_a_break(read):
    rows = [_inside_an_epoch(step, step * 64) for step in (1, 4, 16)]
    rows += [row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1, 2)]
    (cell,) = _cells(*read(rows).planner.glance)
    assert (cell.get_xlabel(), cell.get_xscale()) == ("samples seen", "log")
    ticks = dict(zip(cell.get_xticks(), (text.get_text() for text in cell.get_xticklabels()), strict=True))
    (beyond,) = [tick for tick, name in ticks.items() if name == "0"]
    assert 0 < beyond < 64
    assert beyond in _line_of(cell, "me/fixture").get_xdata()
    assert cell.get_xticks(minor=True).size > 3, "powers of ten have small ticks between them"
    slashes = [
        mark for mark in cell.lines if not isinstance(mark.get_marker(), str) and mark.get_ydata()[0] == 0
    ]
    assert len(slashes) == 3, "the axis is broken between 0 and the first trained revision"
    assert all(beyond < mark.get_xdata()[0] < 64 for mark in slashes)


@pytest.mark.parametrize(
    ("condition", "levels", "beyond", "named"),
    [("filter", (3.0, np.inf, 0.5), 6.0, "∞"), ("noise", (0.0, 1.0, 40.0), 0.5, "0")],
)
def test_a_logarithmic_axis_of_levels_has_a_place_for_what_it_leaves_out(
    condition, levels, beyond, named, filtered
):
    study = filtered(levels, condition=condition)
    curves = next(panel for panel in study.planner.benchmarks["noise/x"] if "level" not in panel.choices)
    (cell,) = _cells(curves)
    assert cell.get_xscale() == "log"
    assert cell.xaxis_inverted() == (condition == "filter")
    finite = [level for level in levels if 0 < level < np.inf]
    assert set(_line_of(cell, "me/fixture").get_xdata()[:3]) == {beyond, *finite}
    ticks = dict(zip(cell.get_xticks(), (text.get_text() for text in cell.get_xticklabels()), strict=True))
    assert ticks[beyond] == named
    assert all(0.9 * min(finite) < tick < 1.1 * max(finite) for tick in ticks if tick != beyond)
    people = [line for line in cell.lines if line.get_color() == HUMAN]
    assert [(line.get_linestyle(), line.get_linewidth(), set(line.get_ydata()[:3])) for line in people] == [
        ("-", 1.4, {0.5})
    ]


def test_of_many_revisions_without_epochs_only_as_many_are_named_as_can_be_read(read):
    rows = [
        row("zero_shot/x", "top1", 0.5, epoch=None, revision=f"revision{number}") for number in range(1, 42)
    ]
    (cell,) = _cells(*read(rows).planner.glance)
    names = [label.get_text() for label in cell.get_xticklabels()]
    assert "revision41" in names
    assert len(names) <= 6
    assert len(cell.lines[0].get_xdata()) == 41


def test_a_number_that_is_nowhere_defined_leaves_axes_that_can_be_laid_out(read):
    rows = [row("noise/x", "chance_corrected_drop", float("nan"), epoch=epoch) for epoch in range(3)]
    (cell,) = _cells(*read(rows).planner.glance)  # a layout that fails is a warning, and a warning an error
    assert cell.get_ylim() == pytest.approx((-0.1, 0.1))


def test_rows_with_long_labels_can_be_laid_out(read):
    probes = [f"a_probe_with_a_name_of_many_words_{'_and_more' * 5}_{i}" for i in range(8)]
    study = read([row("noise/x", "area", 0.5, probe=probe) for probe in probes])
    (cell,) = _cells(_panel(study, probe="all, a line each"))
    assert "\n" in cell.get_yticklabels()[0].get_text()


def test_lines_are_named_at_their_ends_in_their_colour(read):
    (cell,) = _cells(*read(_runs(3)).planner.glance)
    named = {text.get_text(): text for text in cell.texts}
    assert {name: text.get_color() for name, text in named.items()} == {
        f"me/{run}": _line_of(cell, f"me/{run}").get_color() for run in range(3)
    }
    heights = [named[f"me/{run}"].xy[1] for run in range(3)]
    assert heights == sorted(heights)
    assert _legend(cell) == ["95 % interval"]


def test_more_lines_than_fit_are_named_in_the_legend(read):
    (cell,) = _cells(*read(_runs(9)).planner.glance)
    assert _legend(cell) == [*(f"me/{run}" for run in range(9)), "95 % interval"]
    assert not cell.texts


def test_panels_beside_each_other_name_their_lines_once(read):
    study = read([*_runs(2), *(replace(one, metric="top5") for one in _runs(2))])
    cells = _cells(*study.planner.benchmarks["zero_shot/x"])
    assert [[text.get_text() for text in cell.texts] for cell in cells] == [["a"], ["b", "me/0", "me/1"]]


def test_of_a_long_ramp_some_steps_are_named(read):
    rows = [
        row("zero_shot/x", "top1", 0.05 * layer, layer=layer, epoch=epoch)
        for layer in range(13)
        for epoch in (0, 1)
    ]
    (cell,) = _cells(_panel(read(rows), layer="all, a line each"))
    assert [text.get_text() for text in cell.texts] == [f"layer {layer}" for layer in (0, 3, 6, 9, 12)]


def test_names_of_levels_that_nearly_meet_do_not_overlap(read):
    rows = [row("shape_bias/x", "shape_bias", 0.1, 0.1, epoch=epoch) for epoch in (0, 1)]
    pixels = {"role": "baseline", "reference": "pixels"}
    rows += [row("shape_bias/x", "shape_bias", 0.4832, epoch=epoch, **pixels) for epoch in (0, 1)]
    (cell,) = _cells(*read([*rows, *(replace(one, repo_id="me/b") for one in rows)]).planner.glance)
    assert len(cell.texts) == 4
    boxes = sorted((text.get_window_extent() for text in cell.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_seeds_are_thin_lines_and_means_differ_in_colour_and_marker(read):
    (cell,) = _cells(*read(rows_of_seeds()).planner.benchmarks["zero_shot/x"])
    means = [_line_of(cell, name) for name in ("tiny", "small")]
    seeds = [line for line in cell.lines if len(line.get_xdata()) == 3 * 5 - 1]  # with a gap between two
    assert len(seeds) == 2
    assert len({line.get_color() for line in means}) == len({line.get_marker() for line in means}) == 2
    assert {line.get_linestyle() for line in means} == {"-"}, "arms alone have dashes"
    for mean, seed in zip(means, seeds, strict=True):
        assert seed.get_linewidth() == 0.75 < mean.get_linewidth()
        assert seed.get_color() == mean.get_color()
    assert sorted(text.get_text() for text in cell.texts) == ["chance 0.12", "small", "tiny"]
    assert sum(line.get_color() == GREY for line in cell.lines) == 1, "the same for all"
    assert _legend(cell) == ["mean of 3 seeds", "each seed", "95 % interval"]
