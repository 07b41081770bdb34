"""Figures for papers: their files, sizes, fonts and lines, and that the same table gives the same bytes."""

import re
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from result_rows import row, write_rows
from study_rows import rows_of_seeds

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.report import figures
from hf_clipdyn.report.charts.arms import Arms
from hf_clipdyn.report.figures import (
    COLUMN,
    FORMATS,
    PAGE,
    FigureFolder,
    plan_figures,
    plot,
    saved,
    write_figures,
)
from hf_clipdyn.report.mpl import grid
from hf_clipdyn.report.study import read_study
from hf_clipdyn.report.style import figure_style, read_style


def _rows():
    return [one for one in rows_of_seeds() if one.kind == "noise"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The figures of a study of six runs; not to be changed."""
    path = tmp_path_factory.mktemp("papers")
    study = read_study(write_rows(_rows(), path / "results.parquet"))
    for width in ("column", "page"):
        write_figures(study, path / width, formats=FORMATS, width=width)
    return path


def test_there_is_one_figure_for_each_benchmark_and_the_overview_in_each_format(folder):
    for width in ("column", "page"):
        assert {path.name for path in (folder / width).iterdir()} == {".figures.json"} | {
            f"{name}.{suffix}" for name in ("summary", "noise-x") for suffix in FORMATS
        }


@pytest.mark.parametrize(("width", "size"), [("column", COLUMN), ("page", PAGE)])
def test_a_figure_is_exactly_as_wide_as_a_column_or_a_page(folder, width, size):
    with Image.open(folder / width / "noise-x.png") as image:
        assert image.width == pytest.approx(size.width * 300, abs=1)
        assert image.height <= 8 * 300
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    document = (folder / width / "noise-x.svg").read_text()
    assert float(re.findall(r' width="([\d.]+)pt"', document)[0]) == pytest.approx(size.width * 72)
    (box,) = re.findall(
        rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", (folder / width / "noise-x.pdf").read_bytes()
    )
    assert float(box) == pytest.approx(size.width * 72)


def test_by_default_the_number_of_panels_gives_the_width_and_there_are_two_formats(
    read, tmp_path, monkeypatch
):
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)])
    (panel,) = plan_figures(study)["zero-shot-x"]
    monkeypatch.setattr(figures, "plan_figures", lambda *_: {"two": [panel] * 2, "three": [panel] * 3})
    write_figures(study, tmp_path / "out")
    names = {f"{name}.{suffix}" for name in ("two", "three") for suffix in ("png", "pdf")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, ".figures.json"}
    for name, size in (("two", COLUMN), ("three", PAGE)):
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            assert image.width == pytest.approx(size.width * 300, abs=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"formats": ["pgn"]}, "figure format 'pgn'. Did you mean 'png'"),
        ({"width": "pages"}, "figure width 'pages'"),
    ],
)
def test_an_unknown_format_or_width_is_one_sentence(read, tmp_path, options, says):
    with pytest.raises(UnknownNameError, match=says):
        write_figures(read([row("zero_shot/x", "top1", 0.5)]), tmp_path, **options)


def test_letters_have_7_to_8_points_and_are_text(folder):
    for path in folder.glob("*/*.svg"):
        document = path.read_text()
        sizes = {float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", document)}
        assert sizes
        assert all(7 <= size <= 8 for size in sizes)
        assert "<text" in document
        assert "font-family: 'Arial', 'Helvetica', 'Liberation Sans', 'Arimo'," in document


def test_no_line_is_thinner_than_three_quarters_of_a_point(folder):
    for path in folder.glob("*/*.svg"):
        widths = {float(width) for width in re.findall(r"stroke-width: ([\d.]+)", path.read_text())}
        assert min(widths) >= 0.75


def test_a_pdf_embeds_its_fonts_as_truetype_and_has_no_date(folder):
    for path in folder.glob("*/*.pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content
        assert b"/CIDFontType2" in content
        assert b"/Type3" not in content
        assert b"CreationDate" not in content


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(folder, tmp_path, write):
    """A hash of another seed must not show in the subsets of fonts or the ids of an SVG."""
    table = write(_rows())
    code = (
        "import sys; from pathlib import Path; from hf_clipdyn.report.figures import write_figures; "
        "from hf_clipdyn.report.study import read_study; write_figures(read_study(sys.argv[1]), Path(sys.argv[2]), "
        "formats=('png', 'svg', 'pdf'), width='column')"
    )
    subprocess.run([sys.executable, "-c", code, str(table), str(tmp_path / "again")], check=True)
    for path in (folder / "column").glob("*-*.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with figure_style(printed=True):
            figure = Figure(figsize=(1, 1))
            figure.subplots().plot([0, 1])
            FigureFolder(tmp_path / name).save(figure, "x", FORMATS)
    for suffix in FORMATS:
        assert (tmp_path / "a" / f"x.{suffix}").read_bytes() == (tmp_path / "b" / f"x.{suffix}").read_bytes()


def test_figures_of_an_earlier_report_are_removed_and_those_of_others_stay(tmp_path):
    (tmp_path / "mine.png").write_bytes(b"mine")
    for names in ("ab", "b"):
        folder = FigureFolder(tmp_path)
        for name in names:
            folder.save(Figure(figsize=(1, 1)), name)
        folder.sweep()
    assert {path.name for path in tmp_path.glob("*.p*")} == {"mine.png", "b.png", "b.pdf"}


def test_a_style_is_laid_over_the_projects_and_leaves_no_trace(read):
    before = dict(mpl.rcParams)
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)])
    with figure_style(read_style("dark_background"), printed=True):
        figure = grid(plan_figures(study)["zero-shot-x"], 3.35, 1)
        document = saved(figure).decode()
    assert dict(mpl.rcParams) == before
    assert figure.get_facecolor() == (0, 0, 0, 1)
    assert "#8dd3c7" in document, "the style's first colour"
    assert "7px" in document, "the project's size stays, since the style does not set it"


def test_what_a_style_cannot_change():
    style = {"text.usetex": True, "svg.fonttype": "path", "pdf.fonttype": 3, "text.parse_math": True}
    with figure_style(style, printed=True):
        kept = {name: mpl.rcParams[name] for name in style}
    assert kept == {
        "text.usetex": False,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "text.parse_math": False,
    }


def test_a_name_that_is_markup_is_text_in_the_files(read):
    name = "me/<script>alert(1)</script>&$x^2$"
    rows = [
        row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch, repo_id=run)
        for epoch in (0, 1)
        for run in (name, "me/b")
    ]
    with figure_style(printed=True):
        figure = grid(plan_figures(read(rows))["summary"], 3.35, 1)
        document = saved(figure).decode()
    assert "<script" not in document
    assert "me/&lt;script&gt;alert(1)" in document
    assert "cript&gt;&amp;$x^2$" in document, "a long name goes on in the next line"


def test_benchmarks_whose_names_are_alike_have_files_of_their_own(read):
    rows = [row(f"noise/{name}", "area", 0.5) for name in ("a b", "a-b", "../../etc", "\u6f22")]
    names = list(plan_figures(read(rows)))
    assert names == ["summary", "noise-a-b", "noise-a-b-2", "noise-etc", "noise"]


def test_single_models_are_rows_with_their_intervals(read):
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, repo_id=f"me/{name}") for name in "ab"])
    (panel,) = plan_figures(study)["zero-shot-x"]
    assert [(one.label, one.value, one.low, one.high) for one in panel.rows] == [
        ("me/a", 0.5, 0.4, 0.6),
        ("me/b", 0.5, 0.4, 0.6),
    ]
    with figure_style(printed=True):
        (cell,) = grid([panel], 3.35, 1).axes
    assert [label.get_text() for label in cell.get_yticklabels()] == ["me/a", "me/b"]


@pytest.fixture
def two_metrics(read):
    rows = [
        row(f"zero_shot/{name}", metric, shift + epoch / 10, 0.02, epoch=epoch, samples_seen=64 * epoch)
        for name in ("x", "y")
        for metric, shift in (("top1", 0.2), ("top5", 0.4))
        for epoch in range(4)
    ]
    return read(rows)


def test_benchmarks_metric_and_x_choose_the_panels(two_metrics):
    assert list(plan_figures(two_metrics)) == ["summary", "zero-shot-x", "zero-shot-y"]
    assert list(plan_figures(two_metrics, ["zero_shot/y"])) == ["zero-shot-y"]
    chosen = plan_figures(two_metrics, ["zero_shot"], "top5")
    assert [[panel.metric for panel in panels] for panels in chosen.values()] == [["top5"], ["top5"]]
    (panel,) = plan_figures(two_metrics, ["zero_shot/x"], "top1", "top5")["zero-shot-x"]
    (line,) = panel.lines
    assert line.x.tolist() == pytest.approx([0.4, 0.5, 0.6, 0.7])
    assert line.y.tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    (panel,) = plan_figures(two_metrics, ["zero_shot/x"], x="samples")["zero-shot-x"]
    assert (panel.lines[0].x.tolist(), panel.x.title) == ([0, 64, 128, 192], "samples seen")
    for wrong in ({"benchmarks": ["zero_shot/z"]}, {"metric": "top9"}, {"x": "top9"}):
        with pytest.raises(UnknownNameError):
            plan_figures(two_metrics, **wrong)


def test_plot_draws_a_metric_over_training_or_against_another_one(two_metrics):
    cell = plot(two_metrics, "top1", x="top5", benchmark="zero_shot/x", ax=Figure().subplots())
    line = next(line for line in cell.lines if line.get_label() == "me/fixture")
    known = np.isfinite(line.get_xdata())
    assert line.get_xdata()[known].tolist() == pytest.approx([0.4, 0.5, 0.6, 0.7])
    with pytest.raises(ConfigError):
        plot(two_metrics, "top1")
    with pytest.raises(UnknownNameError):
        plot(two_metrics, "top2")


def test_other_modules_add_figures(read, tmp_path, monkeypatch):
    def draw(study, width):
        return Figure(figsize=(width, 1)) if width == COLUMN.width else None

    monkeypatch.setattr("hf_clipdyn.report.charts.claims.ClaimsChart.draw", draw)
    monkeypatch.setattr(figures, "plan_figures", lambda *_: {})
    study = read([row("zero_shot/x", "top1", 0.5)])
    write_figures(study, tmp_path, width="column")
    assert {path.name for path in tmp_path.glob("claims.*")} == {"claims.png", "claims.pdf"}
    write_figures(study, tmp_path)
    assert not list(tmp_path.glob("claims.*")), "what the study no longer has"


def _arms(n_arms):
    rows = [
        row(
            "zero_shot/x",
            "top1",
            0.2 + 0.1 * epoch,
            0.02,
            repo_id=f"me/{scale}{arm}{seed}",
            scale=scale,
            arm=arm,
            seed=seed,
            epoch=epoch,
        )
        for scale, arms in (("tiny", ["", *(f"arm{index}" for index in range(n_arms))]), ("small", [""]))
        for arm in arms
        for seed in (0, 1)
        for epoch in range(3)
    ]
    return [*rows, *(replace(one, role="chance", value=0.125) for one in rows if one.role == "value")]


def test_few_arms_are_in_every_figure_with_dashes(read):
    study = read(_arms(2))
    assert Arms.draw(study, PAGE.width) is None
    (summary,) = plan_figures(study)["summary"]
    assert [(line.label, line.place) for line in summary.values] == [
        ("tiny, main", 0),
        ("tiny, arm0", 4),
        ("tiny, arm1", 5),
        ("small, main", 1),
    ]


def test_a_wrong_style_is_one_sentence_before_anything_is_drawn(write, tmp_path, clipdyn):
    table = write([row("zero_shot/x", "top1", 0.5)])
    code, _, said = clipdyn("report", table, "--output", tmp_path / "out", "--style", "ggplott")
    assert code == 2
    assert said.startswith(
        "clipdyn: error: There is no matplotlib style or file 'ggplott'. Did you mean 'ggplot'?"
    )
    assert not list((tmp_path / "out").glob("*.html"))
