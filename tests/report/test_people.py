"""How people stand beside a model: as a curve over levels, beside each row, and never at chance."""

from dataclasses import replace

import pytest
from result_rows import row

from hf_clipdyn.benchmarks.kinds.classification import Classification
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.report.mpl import grid
from hf_clipdyn.report.style import HUMAN, figure_style
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
def planned(read):
    """The panels of the only benchmark of some rows."""
    return lambda rows, words=WORDS: next(iter(read(rows, vocabulary=words).planner.benchmarks.values()))


def _drawn(panel):
    with figure_style(printed=True):
        return grid([panel], 7.0, 1).axes[0]


def _curves(panels):
    return [panel for panel in panels if "level" not in panel.choices]


def test_levels_are_an_axis_with_people_as_a_curve_and_some_revisions_as_lines(planned):
    (curves,) = _curves(planned(by_level()))
    assert (curves.metric, curves.main, curves.x.title) == ("accuracy", True, "contrast")
    cell = _drawn(curves)
    lines = {line.get_label(): line for line in cell.lines if len(line.get_xdata()) == 3}
    revisions = [f"epoch-00{epoch}" for epoch in (0, 2, 3, 4, 6)]
    assert [label for label in lines if label.startswith("epoch")] == revisions
    assert lines["epoch-006"].get_xdata()[:3].tolist() == [0.1, 0.3, 1.0]
    assert lines["epoch-006"].get_ydata()[:3].tolist() == pytest.approx([0.06, 0.18, 0.6])
    (people,) = [line for line in lines.values() if line.get_color() == HUMAN]
    assert sorted(people.get_ydata()[:3]) == [0.6, 0.8, 0.86]
    assert sorted(text.get_text() for text in cell.texts) == [*revisions, "people"]


def test_people_are_a_curve_beside_the_one_of_a_single_revision_too(planned):
    (curves,) = _curves(planned(by_level(epochs=[3])))
    model, people = curves.lines
    assert dict(zip(model.x, model.y, strict=True)) == pytest.approx({1.0: 0.3, 0.3: 0.09, 0.1: 0.03})
    assert (people.role, dict(zip(people.x, people.y, strict=True))) == ("human", LEVELS)


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


def test_lines_with_many_references_of_their_own_have_a_panel_each(planned):
    panels = [panel for panel in planned(by_subset(range(3))) if len(panel.values) == 1]
    people = {"edges": 0.32, "silhouettes": 0.48, "sketch": 0.37}
    assert [panel.choices["subset"] for panel in panels] == list(people)
    for panel, human in zip(panels, people.values(), strict=True):
        assert {level.title: level.height for level in panel.levels} == pytest.approx(
            {"chance": 0.0, "people": human, "lowest possible": -0.3, "highest possible": human + 0.1}
        )


def test_a_reference_of_a_row_stands_across_this_row_alone(planned):
    rows = by_subset([3]) + [replace(one, repo_id="me/b", value=one.value + 0.02) for one in by_subset([3])]
    panel = next(panel for panel in planned(rows) if panel.choices["subset"] == "edges")
    cell = _drawn(panel)
    people = [one for one in cell.collections if one.get_label() == "people"]
    spans = [[list(point) for point in one.get_segments()[0]] for one in people]
    assert [span[0][0] for span in spans] == pytest.approx([0.32, 0.34])
    assert [point[1] for span in spans for point in span] == pytest.approx([-0.4, 0.4, 0.6, 1.4])


@pytest.mark.parametrize("epochs", [range(3), [3]])
def test_a_kappa_at_chance_is_not_drawn(planned, epochs):
    for panel in planned(by_subset(epochs, interpretable=False)):
        marks = [line for line in _drawn(panel).lines if line.get_marker() not in ("", "None", None)]
        assert not [mark for mark in marks if not all(value != value for value in mark.get_ydata())]


def test_contrasts_of_people_and_pixels_are_curves_on_logarithmic_scales(planned):
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
    words = Vocabulary(kinds={"psychophysics": Psychophysics.terms})
    panels = _curves(planned(rows, words))
    assert len(panels) == 2
    for panel, parameter in zip(panels, (0.1, 0.2), strict=True):
        cell = _drawn(panel)
        assert (cell.get_xscale(), cell.get_yscale()) == ("log", "log")
        drawn = [
            sorted(zip(line.get_xdata()[:3], line.get_ydata()[:3], strict=True))
            for line in cell.lines
            if len(line.get_xdata()) == 3
        ]
        for heights in ([0.04, 0.02, 0.04], [parameter] * 3):
            assert list(zip([1.0, 2.0, 10.0], heights, strict=True)) in drawn
        assert {"people", "pixels"} <= {text.get_text() for text in cell.texts}
        assert cell.get_xlabel() == "spatial frequency (cycles/degree)"
