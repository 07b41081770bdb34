"""The figure of the claims: what is planned, and what stands in matplotlib's own objects."""

import math
import re
from itertools import pairwise

import pytest
from made_verdicts import judged, made
from matplotlib.colors import to_hex
from result_rows import row

from hf_clipdyn.report.charts.claims import draw_claims
from hf_clipdyn.report.claims import claims_axis, plan_claims
from hf_clipdyn.report.figures import COLUMN, PAGE, saved, write_figures
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.style import GREY, figure_style, hue

_LEVELS = (0.1, 0.2, 0.3, 0.4)


def _run(scale, seed, arm="", length=1.0, levels=_LEVELS):
    """Made-up rows of shape bias and noise drop of one run: eleven revisions, the first not interpretable."""
    name = f"me/{'-'.join(filter(None, [scale, arm, str(seed)]))}"
    rows = []
    for epoch in range(11):
        of_run = {"epoch": epoch, "repo_id": name, "scale": scale, "seed": seed, "arm": arm}
        of_run["samples_seen"] = int(6400 * epoch * length)
        shown = {"interpretable": epoch > 0} | of_run
        rows.append(row("shape_bias/procedural", "shape_bias", 0.3 + 0.05 * epoch, 0.04, **shown))
        rows.append(row("shape_bias/procedural", "cue_accuracy", 0.8, 0.04, **of_run))
        for level in levels:
            noisy = {"condition": "gaussian", "level": level} | of_run
            drop = math.nan if epoch == 0 else level + 0.1 / epoch
            rows.append(
                row("noise/procedural", "chance_corrected_drop", drop, note="no clean accuracy", **noisy)
            )
    return rows


@pytest.fixture
def planned(read):
    """The panels of a study of these rows, with made-up verdicts on claims 1 and 5."""

    def planned(*runs, verdicts=None):
        study = read([one for run in runs for one in run])
        make = verdicts or (lambda one: [made(one, 1, (0.2, 0.05), (0.4, 0.1)), made(one, 5, (0.03, 0.04))])
        return judged(study, *make(study))

    return planned


def _draw(study, width=7.2):
    with figure_style():
        return draw_claims(study, width)


def _texts(figure):
    return [text.get_text() for cell in figure.axes for text in cell.texts]


def test_each_endpoint_is_one_panel_with_the_contrasts_of_all_its_claims(planned):
    study = planned(
        _run("tiny", 10),
        verdicts=lambda one: [
            made(one, 1, (0.2, 0.05), (0.4, 0.1)),
            made(one, 5, (0.03, 0.04)),
            made(one, 7, (0.03, 0.04)),
        ],
    )
    bias, drop = plan_claims(study)
    assert bias.title == "shape bias\nembedded world (synthetic)"
    assert [(verdict.claim.number, len(parts)) for verdict, parts in bias.contrasts] == [(1, 2)]
    assert [verdict.claim.number for verdict, _ in drop.contrasts] == [5, 7]


def test_an_endpoint_of_several_levels_is_their_mean_and_has_no_interval(planned):
    _, drop = plan_claims(planned(_run("tiny", 10)))
    course = drop.lines[0].trajectory
    assert len(drop.lines) == 1
    assert course.points["value"].iloc[1:].tolist() == pytest.approx(
        [0.25 + 0.1 / epoch for epoch in range(1, 11)]
    )
    assert not course.points["defined"].iloc[0]
    assert course.points["ci_low"].isna().all()


def test_the_null_of_a_number_is_a_line(planned):
    """Rows of the role ``null``, such as the error of a flat observer."""
    of_run = {"repo_id": "me/tiny-10", "scale": "tiny", "seed": 10, "epoch": 1}
    null = row("shape_bias/procedural", "shape_bias", 0.35, role="null", **of_run)
    (bias, _) = plan_claims(planned([*_run("tiny", 10), null]))
    assert ("null", 0.35) in [(one.role, one.height) for one in bias.levels]


def test_a_level_that_was_not_shown_leaves_the_panel_out(planned):
    (panel,) = plan_claims(planned(_run("tiny", 10, levels=(0.1, 0.2))))
    assert panel.title.startswith("shape bias")


def test_windows_are_shares_of_the_samples_of_each_length_of_run(planned):
    (bias, _) = plan_claims(planned(_run("tiny", 10), _run("tiny", 11)))
    spans = [(one.window, one.start, one.end, one.scale) for one in bias.spans]
    assert spans == [("early", 6400, 12800, ""), ("late", 57600, 64000, "")]
    (bias, _) = plan_claims(planned(_run("tiny", 10), _run("base", 10, length=2)))
    assert {(one.window, one.start, one.scale) for one in bias.spans} == {
        ("early", 6400, "tiny"),
        ("early", 12800, "base"),
        ("late", 57600, "tiny"),
        ("late", 115200, "base"),
    }


@pytest.mark.parametrize("first", [True, False])
def test_a_run_without_a_trained_revision_leaves_the_first_trained_one_of_the_others(planned, first):
    at_start = {
        "epoch": 0,
        "step": 0,
        "samples_seen": 0,
        "repo_id": "me/tiny-12",
        "scale": "tiny",
        "seed": 12,
    }
    untrained = [
        row("shape_bias/procedural", "shape_bias", 0.3, revision=name, **at_start)
        for name in ("main", "other")
    ]
    runs = [untrained, _run("tiny", 10)] if first else [_run("tiny", 10), untrained]
    axis = claims_axis(plan_claims(planned(*runs)))
    assert (axis.kind, axis.first) == ("samples_seen", 6400)


def test_samples_are_the_axis_and_epochs_where_a_run_does_not_know_them(planned):
    assert claims_axis(plan_claims(planned(_run("tiny", 10)))).kind == "samples_seen"
    rows = [
        row("shape_bias/procedural", "shape_bias", 0.5, epoch=epoch, step=None, samples_seen=None)
        for epoch in range(3)
    ]
    axis = claims_axis(plan_claims(planned(rows)))
    assert (axis.kind, axis.log) == ("epoch", True)


def test_seeds_are_thin_lines_in_the_colour_of_their_scale_and_control_arms_are_grey(planned):
    figure = _draw(planned(_run("tiny", 10), _run("tiny", 11), _run("small", 10), _run("tiny", 10, "noise")))
    cell = next(cell for cell in figure.axes if cell.get_title("left").startswith("shape bias"))
    colours = {line.get_label(): to_hex(line.get_color()) for line in cell.lines if "me/" in line.get_label()}
    assert colours == {
        "me/tiny-10": hue(0),
        "me/tiny-11": hue(0),
        "me/small-10": hue(1),
        "me/tiny-noise-10": GREY,
    }
    assert all(line.get_linewidth() < 1 for line in cell.lines if "me/" in line.get_label())
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"scale tiny", "scale small", "arm noise", "not interpretable", "registered windows"} <= legend


def test_one_run_alone_has_its_intervals_and_hollow_marks(planned):
    figure = _draw(planned(_run("tiny", 10)))
    cell = figure.axes[0]
    heights = cell.collections[-1].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.84)
    hollow = next(line for line in cell.lines if line.get_label() == "not interpretable")
    assert list(hollow.get_ydata()) == pytest.approx([0.3])


def test_the_verdict_stands_in_words_beside_each_interval(planned):
    texts = _texts(_draw(planned(_run("tiny", 10))))
    assert "1  Texture first, then shape: holds" in texts
    assert "0.20 [0.15, 0.25]" in texts
    # The claim was said to hold, and the rule says something else of this contrast.
    assert "drop falls (early - late): undecided" in texts


def test_an_interval_lies_over_its_band_in_units_of_delta_and_an_arrow_says_that_it_goes_on(planned):
    wide = planned(_run("tiny", 10), verdicts=lambda one: [made(one, 5, (0.03, 0.6), word="undecided")])
    figure = _draw(wide)
    cell = next(
        cell for cell in figure.axes if "5  Sensitivity" in " ".join(text.get_text() for text in cell.texts)
    )
    band = cell.collections[0].get_paths()[0].vertices[:, 0]
    assert (band.min(), band.max()) == (-1, 1)
    (value,) = [line for line in cell.lines if line.get_marker() == "o"]
    assert list(value.get_xdata()) == pytest.approx([0.03 / 0.05])
    assert {line.get_marker() for line in cell.lines} == {"o", "<", ">"}


def test_a_reader_of_a_claim_that_is_not_decided_sees_no_word_at_its_contrasts(planned):
    silent = planned(
        _run("tiny", 0), verdicts=lambda one: [made(one, 5, (0.2, 0.05), word="not testable here")]
    )
    texts = _texts(_draw(silent))
    assert any(text.startswith("5  Sensitivity to noise falls: not") for text in texts)
    assert not any("holds" in text for text in texts)


def test_without_any_estimate_there_is_no_figure(planned):
    nothing = planned(
        _run("tiny", 10),
        verdicts=lambda one: [made(one, 5, (math.nan, 0.0), word="not testable here", cause="no seed")],
    )
    assert _draw(nothing) is None


def test_panels_have_letters_and_the_legend_says_the_confidence_level(planned):
    figure = _draw(planned(_run("tiny", 10)))
    assert [text for text in _texts(figure) if text in ("a", "b")] == ["a", "b"]
    assert "99 % interval" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_without_an_endpoint_of_the_claims_there_is_no_figure(planned):
    rows = [row("zero_shot/cifar10", "top1", 0.5, 0.1)]
    assert _draw(planned(rows, verdicts=lambda one: [made(one, 1, (0.2, 0.05))])) is None


def test_a_public_model_beside_a_run_is_a_level_line(planned):
    public = [
        row("shape_bias/procedural", "shape_bias", 0.7, repo_id="org/clip", revision="main", epoch=None)
    ]
    figure = _draw(planned(_run("tiny", 10), public))
    level = next(line for line in figure.axes[0].lines if line.get_label() == "org/clip")
    assert list(level.get_ydata()) == [0.7, 0.7]


@pytest.mark.parametrize("width", [3.3, 7.2, 11.0])
def test_the_figure_keeps_its_width_and_its_texts_within(planned, width):
    figure = _draw(planned(_run("tiny", 10), _run("small", 10)), width)
    assert figure.get_figwidth() == width
    with figure_style():
        saved(figure)  # a layout that fails is a warning, and a warning an error
        assert figure.get_tightbbox().x1 <= width + 0.02


def test_the_same_study_gives_the_same_svg(planned):
    study = planned(_run("tiny", 10))
    with figure_style():
        assert saved(draw_claims(study)) == saved(draw_claims(study))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "size"), [("column", COLUMN), ("page", PAGE)])
def test_it_is_printed_with_letters_of_7_points_no_higher_than_a_page(planned, tmp_path, width, size):
    study = planned(_run("tiny", 10), _run("small", 10), _run("tiny", 10, "noise"))
    write_figures(study, tmp_path, formats=("svg",), width=width)
    document = (tmp_path / "claims.svg").read_text()
    (points,) = re.findall(r'<svg[^>]* width="([\d.]+)pt"', document)
    (height,) = re.findall(r'<svg[^>]* height="([\d.]+)pt"', document)
    assert float(points) == pytest.approx(size.width * 72)
    assert float(height) <= 8 * 72
    sizes = {float(one) for one in re.findall(r"font(?:-size)?: (?:bold )?([\d.]+)px", document)}
    assert sizes == {7, 7.5}
    widths = {float(one) for one in re.findall(r"stroke-width: ([\d.]+)", document)} - {0}
    assert min(widths) >= 0.75


def test_in_a_column_the_contrasts_have_its_whole_width_and_their_lines_do_not_overlap(planned):
    with figure_style(printed=True):
        figure = draw_claims(planned(_run("tiny", 10)), COLUMN.width)
        lists = [cell for cell in figure.axes if any("δ" in text.get_text() for text in cell.texts)]
        assert len(lists) == 2
        for cell in lists:
            assert cell.get_position().width == pytest.approx(0.97)
            texts = [text for text in cell.texts if "δ" not in text.get_text()]
            boxes = [text.get_window_extent() for text in texts]
            assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))
            assert max(box.x1 for box in boxes) <= figure.get_figwidth() * figure.dpi


def test_a_panel_of_very_many_points_has_no_marks(planned):
    def marks(figure):
        return {line.get_marker() for line in figure.axes[0].lines if "me/" in line.get_label()}

    assert marks(_draw(planned(*(_run("tiny", seed) for seed in range(10, 14))))) == {"o"}
    assert marks(_draw(planned(*(_run("tiny", seed) for seed in range(10, 20))))) == {""}


def test_a_browser_without_scripts_gets_it_as_an_image_with_the_verdicts_in_words(planned):
    page = render(planned(_run("tiny", 10)), stimuli="none")
    images = re.findall(r'<img class="summary" src="data:image/svg\+xml,[^"]+" alt="([^"]+)"', page)
    assert len(images) == 2
    assert "1 Texture first, then shape: holds." in images[1]
