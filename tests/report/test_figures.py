"""Figures for papers: their files, sizes, fonts and lines, and that the same table gives the same bytes."""

import re
import subprocess
import sys

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image
from result_rows import row, write_rows
from study_rows import rows_of_seeds

from hf_clipdyn.report import figures
from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.draw import draw_panels
from hf_clipdyn.report.figures import COLUMN, FORMATS, PAGE, FigureFolder, plan_figures, saved, write_figures
from hf_clipdyn.report.study import read_study
from hf_clipdyn.report.style import figure_style, read_style


def _rows():
    return [one for one in rows_of_seeds() if one.kind == "noise"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The figures of a study of six runs; not to be changed."""
    path = tmp_path_factory.mktemp("papers")
    write_figures(read_study(write_rows(_rows(), path / "results.parquet")), path / "figures")
    return path / "figures"


def test_there_is_one_figure_for_each_benchmark_and_the_overview_in_two_sizes_and_three_formats(folder):
    names = ("summary", "noise-x")
    assert {path.name for path in folder.iterdir()} == {".figures.json"} | {
        f"{name}-{size}.{suffix}"
        for name in names
        for size in ("column", "page")
        for suffix in ("png", "svg", "pdf")
    }


@pytest.mark.parametrize("size", [COLUMN, PAGE], ids=lambda size: size.name)
def test_a_figure_is_exactly_as_wide_as_a_column_or_a_page(folder, size):
    with Image.open(folder / f"noise-x-{size.name}.png") as image:
        assert image.width == pytest.approx(size.width * 300, abs=1)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    document = (folder / f"noise-x-{size.name}.svg").read_text()
    assert float(re.findall(r' width="([\d.]+)pt"', document)[0]) == pytest.approx(size.width * 72)
    (box,) = re.findall(
        rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", (folder / f"noise-x-{size.name}.pdf").read_bytes()
    )
    assert float(box) == pytest.approx(size.width * 72)


def test_letters_have_7_to_8_points_and_are_text(folder):
    for path in folder.glob("*.svg"):
        document = path.read_text()
        sizes = {float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", document)}
        assert sizes
        assert all(7 <= size <= 8 for size in sizes)
        assert "<text" in document


def test_no_line_is_thinner_than_three_quarters_of_a_point(folder):
    for path in folder.glob("*.svg"):
        widths = {float(width) for width in re.findall(r"stroke-width: ([\d.]+)", path.read_text())}
        assert min(widths) >= 0.75


def test_a_pdf_embeds_its_fonts_as_truetype_and_has_no_date(folder):
    for path in folder.glob("*.pdf"):
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
        "from hf_clipdyn.report.study import read_study; write_figures(read_study(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(table), str(tmp_path / "again")], check=True)
    for path in folder.glob("*-*.*"):
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
    assert {path.name for path in tmp_path.glob("*.*g")} == {"mine.png", "b.png", "b.svg"}


def test_a_style_is_laid_over_the_projects_and_leaves_no_trace(read):
    before = dict(mpl.rcParams)
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)])
    with figure_style(read_style("dark_background"), printed=True):
        figure = draw_panels([plan_figures(study)["zero-shot-x"]], Axis("epoch"), 1)
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
        figure = draw_panels([plan_figures(read(rows))["summary"]], Axis("epoch"), 1)
        document = saved(figure).decode()
    assert "<script" not in document
    assert "me/&lt;script&gt;alert(1)&lt;/script&gt;&amp;$x^2$" in document


def test_benchmarks_whose_names_are_alike_have_files_of_their_own(read):
    rows = [row(f"noise/{name}", "area", 0.5) for name in ("a b", "a-b", "../../etc", "\u6f22")]
    names = list(plan_figures(read(rows)))
    assert names == ["summary", "noise-a-b", "noise-a-b-2", "noise-etc", "noise"]


def test_single_models_are_bars(read):
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, repo_id=f"me/{name}") for name in "ab"])
    with figure_style(printed=True):
        figure = draw_panels([plan_figures(study)["zero-shot-x"]], Axis("epoch"), 1, bars=True, width=3.35)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.5, 0.5]


def test_other_modules_add_figures(read, tmp_path, monkeypatch):
    def draw(study, width):
        return Figure(figsize=(width, 1)) if width == COLUMN.width else None

    monkeypatch.setitem(figures._OTHERS, "claims", draw)
    monkeypatch.setattr(figures, "plan_figures", lambda study: {})
    write_figures(read([row("zero_shot/x", "top1", 0.5)]), tmp_path)
    assert {path.name for path in tmp_path.glob("*.p*")} >= {"claims-column.png", "claims-column.pdf"}
    assert not list(tmp_path.glob("claims-page.*"))


def test_a_wrong_style_is_one_sentence_before_anything_is_drawn(write, tmp_path, clipdyn):
    table = write([row("zero_shot/x", "top1", 0.5)])
    code, _, said = clipdyn("report", table, "--output", tmp_path / "out", "--style", "ggplott")
    assert code == 2
    assert said.startswith(
        "clipdyn: error: There is no matplotlib style or file 'ggplott'. Did you mean 'ggplot'?"
    )
    assert not list((tmp_path / "out").glob("*.html"))
