"""How people stand beside a model in the figures: as a curve over levels, beside each bar, and never at chance."""

import pytest
from drawn import draw
from result_rows import row

from hf_clipdyn.benchmarks.kinds.classification import Classification
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.report.style import HUMAN
from hf_clipdyn.results.terms import Vocabulary

WORDS = Vocabulary(kinds={"classification": Classification.terms})
LEVELS = {1.0: 0.86, 0.3: 0.8, 0.1: 0.6}
PEOPLE = {"role": "human", "reference": "observers", "probe": ""}


def rows_of(metric, values, epochs=range(7), **columns):
    return [
        row("classification/mvh", metric, values(epoch), 0.02, epoch=epoch, **columns) for epoch in epochs
    ]


def by_level(epochs=range(7)):
    """Accuracy by contrast at seven revisions, and that of people, which does not change."""
    found = []
    for level, human in LEVELS.items():
        place = {"subset": "contrast", "condition": "contrast", "level": level}
        found += rows_of("accuracy", lambda epoch, level=level: level * epoch / 10, epochs, **place)
        found += rows_of("accuracy", lambda epoch, human=human: human, epochs, **place, **PEOPLE)
    return found


@pytest.fixture
def drawn(read):
    """The only chart of some rows, and its figure."""

    def drawn(rows):
        study = read(rows, vocabulary=WORDS)
        (chart,) = study.charts
        return chart, draw(study, chart)

    return drawn


def test_levels_are_the_axis_if_people_have_a_value_at_each_and_some_revisions_are_lines(drawn):
    chart, figure = drawn(by_level())
    assert [(panel.first.metric, panel.x) for panel in chart] == [("accuracy", "revisions")]
    (cell,) = figure.axes
    lines = {line.get_label(): line for line in cell.lines if len(line.get_xdata()) == 3}
    revisions = [f"epoch-00{epoch}" for epoch in (0, 2, 3, 4, 6)]
    assert [label for label in lines if label.startswith("epoch")] == revisions
    assert list(lines["epoch-006"].get_xdata()) == [0.1, 0.3, 1.0]
    assert list(lines["epoch-006"].get_ydata()) == pytest.approx([0.06, 0.18, 0.6])
    (people,) = [line for line in lines.values() if line.get_color() == HUMAN]
    assert list(people.get_ydata()) == [0.6, 0.8, 0.86]
    assert sorted(text.get_text() for text in cell.texts) == [*revisions, "people"]
    assert cell.get_xlabel() == "contrast"


def test_people_are_a_curve_beside_the_one_of_a_single_revision_too(drawn):
    chart, figure = drawn(by_level(epochs=[3]))
    assert chart[0].x == "level"
    (cell,) = figure.axes
    curves = {line.get_color(): list(line.get_ydata()) for line in cell.lines if len(line.get_xdata()) == 3}
    assert curves[HUMAN] == [0.6, 0.8, 0.86]
    assert len(curves) == 2


def by_subset(epochs, interpretable=True):
    found = []
    for subset, human in {"edge": 0.32, "silhouette": 0.48, "sketch": 0.37}.items():
        place = {"subset": subset, "condition": ""}
        found += rows_of(
            "error_consistency", lambda epoch: epoch / 100, epochs, interpretable=interpretable, **place
        )
        found += rows_of("error_consistency", lambda epoch, human=human: human, epochs, **place, **PEOPLE)
        for role, value in (("lower_bound", -0.3), ("upper_bound", human + 0.1)):
            found += rows_of(
                "error_consistency", lambda epoch, value=value: value, epochs, role=role, **place
            )
    return found


def test_lines_with_many_references_of_their_own_have_a_panel_each(drawn):
    chart, _ = drawn(by_subset(range(3)))
    assert [panel.first.detail(["subset"]) for panel in chart] == ["edges", "silhouettes", "sketch"]
    assert [line.label for line in chart[0].references] == [
        "people",
        "lowest possible",
        "highest possible",
    ]


def test_a_reference_of_one_bar_is_drawn_across_this_bar_alone(drawn):
    _, figure = drawn(by_subset([3]))
    (cell,) = figure.axes
    people = [one for one in cell.collections if one.get_label() == "people"]
    spans = [[list(point) for point in one.get_segments()[0]] for one in people]
    assert [span[0][0] for span in spans] == [0.32, 0.48, 0.37]
    heights = [point[1] for span in spans for point in span]
    assert heights == pytest.approx([-0.4, 0.4, 0.6, 1.4, 1.6, 2.4])
    assert [line for line in cell.lines if line.get_label() == "lowest possible"], "one value for all bars"


@pytest.mark.parametrize("epochs", [range(3), [3]])
def test_a_kappa_at_chance_is_not_drawn_but_written_into_the_table(drawn, epochs):
    chart, figure = drawn(by_subset(epochs, interpretable=False))
    for cell in figure.axes:
        marks = [line for line in cell.lines if line.get_marker() not in ("", "None", None)]
        assert not [mark for mark in marks if not all(value != value for value in mark.get_ydata())]
        assert not cell.patches
    points = [line.trajectory.points for panel in chart for line in panel.lines]
    assert all((of_line["defined"] & ~of_line["usable"]).all() for of_line in points)


def test_contrasts_of_people_and_pixels_are_curves_on_logarithmic_scales(read):
    """Equal values at two levels stay two points, and each criterion has a panel."""
    rows = []
    for parameter in (0.1, 0.2):
        at = {"condition": "csf_achromatic", "parameter": parameter}
        for level, value in ((2.0, 0.02), (1.0, 0.04), (10.0, 0.04)):
            own = {"level": level, **at}
            cell = "psychophysics/procedural", "contrast"
            pixels = {"role": "baseline", "reference": "pixels", "variant": "rmse", "probe": ""}
            people = {"role": "human", "probe": ""}
            for epoch in (0, 1):
                rows.append(row(*cell, value * parameter, 0.001, epoch=epoch, variant="cosine", **own))
                rows.append(row(*cell, parameter, epoch=epoch, **own, **pixels))
                rows.append(row(*cell, value, epoch=epoch, **own, **people))
    study = read(rows, vocabulary=Vocabulary(kinds={"psychophysics": Psychophysics.terms}))
    (chart,) = study.charts
    cells = draw(study, chart).axes
    assert len(cells) == 2
    for cell, parameter in zip(cells, (0.1, 0.2), strict=True):
        assert (cell.get_xscale(), cell.get_yscale()) == ("log", "log")
        drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in cell.lines]
        for heights in ([0.04, 0.02, 0.04], [parameter] * 3):
            assert ([1.0, 2.0, 10.0], heights) in drawn
        assert {"people", "pixels"} <= {text.get_text() for text in cell.texts}
    assert cells[0].get_xlabel() == "spatial frequency (cycles/degree)"
