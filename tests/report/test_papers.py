"""Figures for papers: their files, sizes, fonts and lines, and that the same table gives the same bytes."""

import re
import subprocess
import sys

import matplotlib as mpl
import pytest
from PIL import Image
from result_rows import row, write_rows
from study_rows import rows_of_seeds

from hf_clipdyn.report.papers import COLUMN, PAGE, write_figures
from hf_clipdyn.report.study import read_study
from hf_clipdyn.report.style import figure_style



@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The figures of a study of six runs; not to be changed."""
    path = tmp_path_factory.mktemp("papers")
    write_figures(read_study(write_rows(rows_of_seeds(), path / "results.parquet")), path / "figures")
    return path / "figures"


def test_there_is_one_figure_for_each_benchmark_and_the_overview_in_two_sizes_and_three_formats(folder):
    names = ("summary", "zero-shot-x", "noise-x")
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
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", (folder / f"noise-x-{size.name}.pdf").read_bytes())
    assert float(box) == pytest.approx(size.width * 72)


def test_letters_have_7_to_8_points_and_are_text(folder):
    for path in folder.glob("*.svg"):
        document = path.read_text()
        sizes = {float(size) for size in re.findall(r"font: (?:\w+ )?([\d.]+)px", document)}
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


def test_another_process_writes_the_same_bytes(folder, tmp_path, write):
    """A hash of another seed must not show in the subsets of fonts or the ids of an SVG."""
    table = write([one for one in rows_of_seeds() if one.kind == "zero_shot"])
    code = (
        "import sys; from pathlib import Path; from hf_clipdyn.report.papers import write_figures; "
        "from hf_clipdyn.report.study import read_study; write_figures(read_study(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(table), str(tmp_path / "again")], check=True)
    for path in folder.glob("zero-shot-x-*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_figures_of_an_earlier_report_are_removed_and_those_of_others_stay(tmp_path, read):
    (tmp_path / "mine.png").write_bytes(b"mine")
    write_figures(read([row("noise/x", "area", 0.5), row("noise/y", "area", 0.5)]), tmp_path)
    assert (tmp_path / "noise-y-column.pdf").is_file()
    write_figures(read([row("noise/x", "area", 0.5)]), tmp_path)
    assert not list(tmp_path.glob("noise-y-*"))
    assert (tmp_path / "noise-x-column.pdf").is_file()
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


def test_a_style_is_laid_over_the_projects_and_leaves_no_trace(tmp_path, read):
    before = dict(mpl.rcParams)
    study = read([row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch) for epoch in (0, 1)])
    write_figures(study, tmp_path, "dark_background")
    assert dict(mpl.rcParams) == before
    with Image.open(tmp_path / "zero-shot-x-column.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
    document = (tmp_path / "zero-shot-x-column.svg").read_text()
    assert "#8dd3c7" in document, "the style's first colour"
    assert "font: 7px" in document, "the project's size stays, since the style does not set it"


def test_what_a_style_cannot_change():
    style = {"text.usetex": True, "svg.fonttype": "path", "pdf.fonttype": 3, "text.parse_math": True}
    with figure_style(style, printed=True):
        kept = {name: mpl.rcParams[name] for name in style}
    assert kept == {"text.usetex": False, "svg.fonttype": "none", "pdf.fonttype": 42, "text.parse_math": False}


def test_a_name_that_is_markup_is_text_in_the_files(tmp_path, read):
    name = "me/<script>alert(1)</script>&$x^2$"
    rows = [row("zero_shot/x", "top1", 0.5, 0.1, epoch=epoch, repo_id=one) for epoch in (0, 1) for one in (name, "me/b")]
    write_figures(read(rows), tmp_path)
    document = (tmp_path / "zero-shot-x-page.svg").read_text()
    assert "<script" not in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;$x^2$" in document


def test_two_benchmarks_whose_names_are_alike_have_files_of_their_own(tmp_path, read):
    rows = [row("noise/a b", "area", 0.5), row("noise/a-b", "area", 0.6)]
    write_figures(read(rows), tmp_path)
    assert {path.name for path in tmp_path.glob("noise-*-page.svg")} == {"noise-a-b-page.svg", "noise-a-b-2-page.svg"}
