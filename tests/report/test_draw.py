"""What stands in the figures: looked up in matplotlib's own objects and in the SVG's text."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from drawn import draw as draw_chart
from hypothesis import given
from hypothesis import strategies as st
from result_rows import VOCABULARY, row

from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.draw import draw_panels
from hf_clipdyn.report.figures import saved
from hf_clipdyn.report.labels import decimals, spread
from hf_clipdyn.report.plan import plan_benchmarks
from hf_clipdyn.report.style import HUMAN, figure_style
from hf_clipdyn.results.terms import Axis, Condition, Reference


@pytest.fixture
def draw(read):
    """Draw the chart of one metric from rows."""

    def draw(rows, metric):
        study = read(rows)
        (chart,) = [chart for chart in study.charts if chart[0].first.metric == metric]
        return draw_chart(study, chart)

    return draw


def _overview(study, columns):
    axis = choose_axis(study.trajectories)
    with figure_style():
        return draw_panels(study.overview, axis, columns=columns, bars=False)


def _texts(figure):
    return {text.get_text() for cell in figure.axes for text in cell.texts}


def test_points_near_chance_are_hollow_and_no_line_runs_through_them(study, draw):
    (cell,) = draw(study(), "shape_bias").axes
    by_label = {line.get_label(): line for line in cell.lines}
    values = list(by_label["me/fixture"].get_ydata())
    assert values[0] != values[0]
    assert values[1:] == pytest.approx([0.30, 0.33, 0.52, 0.74, 0.84])
    hollow = by_label["not interpretable"]
    assert list(hollow.get_ydata()) == [0.48]
    assert hollow.get_linestyle() == "None"
    assert hollow.get_markerfacecolor() == "#ffffff"


def test_the_interval_is_drawn(study, draw):
    (cell,) = draw(study(), "cue_accuracy").axes
    (band,) = cell.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(0.22)
    assert heights.max() == pytest.approx(0.88)


def test_a_long_title_stays_within_its_figure(read):
    rows = [
        row(
            "jnd/bapps",
            "map_of_just_noticeable_differences",
            0.5,
            epoch=epoch,
            variant="normalised_euclidean_distance",
        )
        for epoch in (0, 1)
    ]
    study = read(rows)
    (panels,) = plan_benchmarks(study.charts, study.runs).values()
    with figure_style():
        figure = draw_panels([panels], choose_axis(study.trajectories), 1)
    title = figure.axes[0].get_title("left")
    assert (
        title.replace("\n", " ") == "map of just noticeable differences, normalised euclidean distance bapps"
    )
    assert "\n" in title.removesuffix("\nbapps")
    assert figure.get_tightbbox().x1 <= figure.bbox_inches.x1


def test_the_human_line_is_for_the_real_images_only(study, draw):
    assert "people\n0.96" in _texts(draw(study(dataset="cue_conflict"), "shape_bias"))
    assert not any("human" in text for text in _texts(draw(study(), "shape_bias")))


def test_chance_and_null_come_from_their_rows(study, draw):
    assert "chance\n0.12" in _texts(draw(study(), "top1"))
    figure = draw(study(), "cue_accuracy")
    assert "null" in _texts(figure)
    assert any(list(line.get_ydata())[:2] == pytest.approx([0.262, 0.264]) for line in figure.axes[0].lines)


def test_an_undefined_point_leaves_a_cross_at_its_place(study, draw):
    (cell,) = draw(study(), "chance_corrected_drop").axes
    cross = next(line for line in cell.lines if line.get_label() == "not defined")
    assert list(cross.get_xdata()) == [0]
    assert cell.get_xlim()[0] < 0


def test_a_model_without_a_place_in_training_is_a_level_line(draw):
    rows = [row("quality/t", "alignment", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)]
    rows.append(row("quality/t", "alignment", 0.7, 0.1, repo_id="org/clip", revision="main", epoch=None))
    (cell,) = draw(rows, "alignment").axes
    level = next(line for line in cell.lines if line.get_label() == "org/clip")
    assert list(level.get_ydata()) == [0.7, 0.7]


def test_runs_differ_in_colour_and_in_marker(study, draw):
    (cell,) = draw([*study(), *study("me/other")], "shape_bias").axes
    lines = {line.get_label(): line for line in cell.lines}
    first, second = lines["me/fixture"], lines["me/other"]
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def _inside_an_epoch(step, samples):
    """A row of a revision inside the first epoch."""
    names = {"revision": f"step-{step:08d}", "epoch": 0, "step": step, "samples_seen": samples}
    return row("zero_shot/x", "top1", 0.5, 0.1, **names)


def test_the_logarithmic_axis_keeps_the_untrained_model(draw):
    rows = [_inside_an_epoch(step, step * 64) for step in (1, 4, 16)]
    rows += [row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1, 2)]
    (cell,) = draw(rows, "top1").axes
    assert cell.get_xlabel() == "samples seen"
    assert cell.get_xscale() == "symlog"
    assert cell.get_xlim()[0] < 0
    assert "epoch 1" in _texts(draw(rows, "top1"))
    assert cell.get_xticks(minor=True).size > 3, "powers of ten have small ticks between them"
    slashes = [
        line for line in cell.lines if not isinstance(line.get_marker(), str) and line.get_ydata()[0] == 0
    ]
    assert all(0 < line.get_xdata()[0] < 64 for line in slashes)
    assert len(slashes) == 3, "the axis is broken between 0 and the first trained revision"


def test_no_line_leads_over_the_break_to_a_revision_far_behind_it(draw):
    rows = [_inside_an_epoch(step, step * 64) for step in (1, 4, 16)]
    rows += [
        row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch, repo_id=run)
        for epoch in (0, 1, 2)
        for run in ("me/fixture", "me/coarse")
    ]
    (cell,) = draw(rows, "top1").axes
    lines = {line.get_label(): line.get_ydata() for line in cell.lines}
    assert np.isnan(lines["me/coarse"][1])
    assert not np.isnan(lines["me/fixture"]).any()


def test_a_logarithmic_axis_within_one_decade_names_its_ends(draw):
    rows = [_inside_an_epoch(step, step) for step in (20, 40, 60)]
    rows += [row("zero_shot/x", "top1", 0.5, 0.1, epoch=1, step=80, samples_seen=80)]
    (cell,) = draw(rows, "top1").axes
    assert cell.get_xticks().tolist() == [0, 20, 80]


def test_of_many_revisions_without_epochs_only_as_many_are_named_as_can_be_read(draw):
    rows = [
        row("zero_shot/x", "top1", 0.5, epoch=None, revision=f"step{1000 * number}")
        for number in range(1, 42)
    ]
    (cell,) = draw(rows, "top1").axes
    names = [label.get_text() for label in cell.get_xticklabels()]
    assert names[0] == "step41000"
    assert len(names) <= 6
    assert len(cell.lines[0].get_xdata()) == 41


def test_each_world_starts_a_row_of_the_overview(study, read):
    rows = [*study("me/a", "cue_conflict"), *study("me/b")]
    figure = _overview(read(rows), columns=3)
    titles = [cell.get_title(loc="left") if cell.get_visible() else "" for cell in figure.axes]
    assert titles[0] == "shape bias\nCue conflict"
    assert titles[6] == "shape bias\nembedded world (synthetic)"


def test_the_same_table_gives_the_same_svg(study, draw):
    with figure_style():
        assert saved(draw(study(), "shape_bias")) == saved(draw(study(), "shape_bias"))


def test_text_in_an_svg_stays_text(study, draw):
    with figure_style():
        assert b">epoch</text>" in saved(draw(study(), "top1"))


def test_the_style_leaves_no_trace():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with figure_style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert dict(mpl.rcParams) == before


def test_a_trajectory_that_is_nowhere_defined_leaves_axes_that_can_be_laid_out(read):
    rows = [
        row(benchmark, metric, value, epoch=epoch)
        for epoch in range(3)
        for benchmark, metric, value in (
            ("noise/x", "chance_corrected_drop", float("nan")),
            ("saliency/x", "nss", 0.5),
        )
    ]
    figure = _overview(read(rows), columns=1)
    with figure_style():
        saved(figure)  # a layout that fails is a warning, and a warning an error
    assert figure.axes[0].get_ylim() == pytest.approx((-0.1, 0.1))


def test_a_point_without_usable_neighbours_shows_its_interval_as_a_bar(draw):
    rows = [
        row("shape_bias/x", "shape_bias", 0.3, 0.1, epoch=epoch, interpretable=verdict)
        for epoch, verdict in enumerate((False, True, False, True, True))
    ]
    (cell,) = draw(rows, "shape_bias").axes
    bars = {
        bar[0][0]: [float(height) for _, height in bar]
        for lines in cell.collections[1:]
        for bar in (path.vertices for path in lines.get_paths())
        if len(bar) == 2
    }
    assert {1, 0, 2} <= set(bars)  # the lonely point and the two hollow ones
    assert 3 not in bars
    assert bars[1] == pytest.approx([0.2, 0.4])


def test_single_revisions_are_bars_with_intervals_and_references_as_lines(draw):
    rows = [
        row("zero_shot/x", "top1", value, 0.1, repo_id=model, revision="main", epoch=None, role=role)
        for model, value, role in (("org/a", 0.5, "value"), ("org/b", 0.7, "value"), ("org/a", 0.1, "chance"))
    ]
    rows.append(row("zero_shot/x", "top1", float("nan"), repo_id="org/c", revision="main", epoch=None))
    figure = draw(rows, "top1")
    (cell,) = figure.axes
    assert [bar.get_width() for bar in cell.patches] == [0.5, 0.7]
    assert len({bar.get_facecolor() for bar in cell.patches}) == 2
    (interval, _) = cell.collections
    assert interval.get_segments()[0][:, 0] == pytest.approx([0.4, 0.6])
    assert cell.get_xlim() == (0, 1)
    (legend,) = figure.legends
    shown = ["org/a", "org/b", "chance", "95 % interval", "not defined"]
    assert [text.get_text() for text in legend.get_texts()] == shown


def test_levels_of_single_revisions_are_a_curve_for_each_probe(draw):
    rows = [
        row("noise/x", "accuracy", value, 0.1, probe=probe, condition="blur", level=level)
        for probe, values in (("projection", (0.3, 0.5)), ("linear_probe", (0.6, float("nan"))))
        for level, value in zip((2.0, 1.0), values, strict=True)
    ]
    (cell,) = draw(rows, "accuracy").axes
    assert cell.get_xlabel() == "width (px)"
    lines = {line.get_label(): line for line in cell.lines}
    assert list(lines["projection"].get_xdata()) == [1, 2]
    assert list(lines["projection"].get_ydata()) == [0.5, 0.3]
    assert list(lines["linear probe"].get_ydata())[1] == 0.6
    assert list(lines["not defined"].get_xdata()) == [1]


@pytest.fixture
def filtered(read):
    """A study of levels that fall on a logarithmic axis, with people beside them."""
    kind = VOCABULARY.kinds["noise"]
    kind = replace(
        kind,
        conditions={
            "filter": Condition(title="filter", level=Axis(title="sigma", log=True, descending=True)),
            "noise": Condition(title="noise", level=Axis(title="width", log=True)),
        },
        references=(Reference(role="human", title="people", joins=("metric", "condition", "level")),),
    )
    words = replace(VOCABULARY, kinds={"noise": kind})

    def study(levels, epochs=(0,), condition="filter", *, people=True):
        at = [
            {"condition": condition, "level": level, "epoch": epoch} for level in levels for epoch in epochs
        ]
        rows = [row("noise/x", "accuracy", 0.9 - 0.1 * place, **one) for place, one in enumerate(at)]
        scale = [row("noise/x", "accuracy", 0.5, role="human", probe="", **one) for one in at if people]
        return read([*rows, *scale], vocabulary=words)

    return study


@pytest.mark.parametrize(
    ("condition", "levels", "beyond", "named"),
    [("filter", (3.0, np.inf, 0.5), 6.0, "∞"), ("noise", (0.0, 1.0, 40.0), 0.5, "0")],
)
def test_a_logarithmic_axis_runs_to_the_stronger_change_and_has_a_place_for_what_it_leaves_out(
    condition, levels, beyond, named, filtered
):
    study = filtered(levels, condition=condition)
    (chart,) = study.charts
    (cell,) = draw_chart(study, chart).axes
    assert cell.get_xscale() == "log"
    assert cell.xaxis_inverted() == (condition == "filter")
    drawn = next(line for line in cell.lines if line.get_label() == "me/fixture")
    finite = [level for level in levels if 0 < level < np.inf]
    assert drawn.get_xdata()[0] == beyond, "the weakest comes first"
    assert sorted(drawn.get_xdata()) == sorted([beyond, *finite])
    ticks = dict(zip(cell.get_xticks(), (text.get_text() for text in cell.get_xticklabels()), strict=True))
    assert ticks[beyond] == named
    assert all(0.9 * min(finite) < tick < 1.1 * max(finite) for tick in ticks if tick != beyond)


def test_lines_over_training_are_in_the_order_of_strength(filtered):
    (chart,) = filtered((0.5, 3.0, np.inf), epochs=(0, 1), people=False).charts
    (panel,) = chart
    assert [line.label for line in panel.lines] == ["sigma inf", "sigma 3", "sigma 0.5"]


def test_a_bar_that_is_not_interpretable_is_hollow(draw):
    rows = [row("shape_bias/x", "shape_bias", 0.3, 0.1, interpretable=False)]
    (cell,) = draw(rows, "shape_bias").axes
    (bar,) = cell.patches
    assert bar.get_facecolor() == (1, 1, 1, 1)
    assert bar.get_label() == "not interpretable" or "not interpretable" in {
        str(one.get_label()) for one in cell.containers
    }


def test_bars_with_long_labels_can_be_laid_out(read):
    probes = [f"a_probe_with_a_name_of_many_words_{'_and_more' * 5}_{i}" for i in range(24)]
    rows = [row(f"noise/{name}", "area", 0.5, probe=probe) for name in "xy" for probe in probes]
    study = read(rows)
    for chart in study.charts:
        figure = draw_chart(study, chart)  # a layout that fails is a warning, and a warning an error
        with figure_style():
            saved(figure)
        assert "\n" in figure.axes[0].get_yticklabels()[0].get_text()


def _runs(n, metric="top1", **columns):
    return [
        row(
            "zero_shot/x", metric, 0.1 * run + 0.05 * epoch, 0.02, repo_id=f"me/{run}", epoch=epoch, **columns
        )
        for run in range(n)
        for epoch in (0, 1)
    ]


def test_lines_are_named_at_their_ends_in_their_colour(draw):
    figure = draw(_runs(3), "top1")
    (cell,) = figure.axes
    colours = {line.get_label(): line.get_color() for line in cell.lines}
    named = {text.get_text(): text for text in cell.texts}
    assert {name: text.get_color() for name, text in named.items()} == {
        f"me/{n}": colours[f"me/{n}"] for n in range(3)
    }
    heights = [named[f"me/{run}"].xy[1] for run in range(3)]
    assert heights == sorted(heights)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["95 % interval"]


def test_more_lines_than_fit_are_named_in_the_legend(draw):
    figure = draw(_runs(9), "top1")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*(f"me/{run}" for run in range(9)), "95 % interval"]
    assert not _texts(figure)


def test_panels_beside_each_other_name_their_lines_once(read):
    study = read([*_runs(2), *(replace(one, metric="top5") for one in _runs(2))])
    panels = [panel for chart in study.charts for panel in chart]
    with figure_style(printed=True):
        figure = draw_panels([panels], choose_axis(study.trajectories), 2, width=7.0, lettered=True)
    texts = [[text.get_text() for text in cell.texts] for cell in figure.axes]
    assert texts == [["a"], ["b", "me/0", "me/1"]]


def test_of_a_long_ramp_some_steps_are_named(draw):
    rows = [
        row("zero_shot/x", "top1", 0.05 * layer, layer=layer, epoch=e) for layer in range(13) for e in (0, 1)
    ]
    (cell,) = draw(rows, "top1").axes
    assert [text.get_text() for text in cell.texts] == [f"layer {layer}" for layer in (0, 3, 6, 9, 12)]


def test_names_of_horizontal_lines_that_nearly_meet_do_not_overlap(study, draw):
    """As "no effect" over "pixels -0.0168"."""
    rows = [row("shape_bias/x", "shape_bias", 0.1, 0.1, epoch=epoch) for epoch in (0, 1)]
    rows += [
        row("shape_bias/x", "shape_bias", 0.4832, role="baseline", reference="pixels", epoch=e)
        for e in (0, 1)
    ]
    figure = draw([*rows, *(replace(one, repo_id="me/b") for one in rows)], "shape_bias")
    (cell,) = figure.axes
    assert len(cell.texts) == 4
    boxes = sorted((text.get_window_extent() for text in cell.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))


def test_no_halo_cuts_an_interval(draw):
    (cell,) = draw(_runs(6), "top1").axes
    assert {line.get_markeredgewidth() for line in cell.lines if "me/" in str(line.get_label())} == {0}


def test_people_are_one_solid_line_everywhere(filtered, study, draw):
    (levels,) = draw(study(dataset="cue_conflict"), "shape_bias").axes
    over_levels = filtered((0.5, 3.0))
    (curves,) = draw_chart(over_levels, over_levels.charts[0]).axes
    looks = {
        (line.get_color(), line.get_linestyle(), line.get_linewidth())
        for cell in (levels, curves)
        for line in cell.lines
        if line.get_color() == HUMAN
    }
    assert looks == {(HUMAN, "-", 1.4)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.959, "0.96"),
        (-0.0168, "-0.02"),
        (0.0042, "0.004"),
        (0.0, "0.00"),
        (3.14159, "3.14"),
        (1234.5, "1234"),
    ],
)
def test_numbers_have_two_decimals_unless_they_would_vanish(value, words):
    assert decimals(value) == words


def test_names_that_have_room_stay_at_their_lines():
    assert spread([0.9, 0.1], [0.1, 0.1]) == [0.9, 0.1]


def test_names_of_equal_lines_stand_above_each_other_around_them():
    assert spread([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=8))
def test_names_never_overlap_and_keep_their_order(places):
    found = spread(places, [0.07] * len(places))
    in_order = [found[index] for index in sorted(range(len(places)), key=lambda index: places[index])]
    assert all(above - below > 0.07 - 1e-9 for below, above in itertools.pairwise(in_order))
    assert sum(found) == pytest.approx(sum(places), abs=1e-9)
