"""How people stand beside a model: as a curve over levels, beside each row, and never at chance."""

import pytest
from result_rows import row

from hf_clipdyn.benchmarks.kinds.classification import Classification
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.report.grid import grid
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
    assert sorted(text.get_text() for text in cell.texts) == [*revisions, "human observers"]


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
        assert {"human observers", "pixels"} <= {text.get_text() for text in cell.texts}
        assert cell.get_xlabel() == "spatial frequency (cycles/degree)"
