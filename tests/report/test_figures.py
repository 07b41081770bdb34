"""Figures for papers: their files, sizes, fonts and lines, and that the same table gives the same bytes."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from result_rows import course, row, write_rows
from study_rows import rows_of_seeds

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.report.figures import (
    COLUMN,
    FORMATS,
    PAGE,
    grid,
    plan_figures,
    plot,
    saved,
    write_figures,
)
from hf_clipdyn.report.study import read_study
from hf_clipdyn.report.style import figure_style


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


@pytest.mark.parametrize(("width", "size"), [("column", COLUMN), ("page", PAGE)])
def test_each_benchmark_and_the_overview_have_a_figure_exactly_as_wide_as_a_column_or_a_page(
    folder, width, size
):
    files = {f"{name}.{suffix}" for name in ("summary", "noise-x") for suffix in FORMATS}
    assert {path.name for path in (folder / width).iterdir()} == {".figures.json", *files}
    with Image.open(folder / width / "noise-x.png") as image:
        assert image.width == pytest.approx(size * 300, abs=1)
        assert image.height <= 8 * 300
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    document = (folder / width / "noise-x.svg").read_text()
    assert float(re.findall(r' width="([\d.]+)pt"', document)[0]) == pytest.approx(size * 72)
    (box,) = re.findall(
        rb"/MediaBox \[ 0 0 ([\d.]+) [\d.]+ \]", (folder / width / "noise-x.pdf").read_bytes()
    )
    assert float(box) == pytest.approx(size * 72)


def test_a_pdf_embeds_its_fonts_as_truetype_and_has_no_date(folder):
    for path in folder.glob("*/*.pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content
        assert b"/CIDFontType2" in content
        assert b"/Type3" not in content
        assert b"CreationDate" not in content


@pytest.mark.slow
def test_processes_with_other_hashes_write_the_same_bytes(tmp_path, write):
    """A hash's seed must not show in the subsets of fonts or the ids of an SVG."""
    table = write(_rows())
    code = (
        "import sys; from pathlib import Path; from hf_clipdyn.report.figures import write_figures; "
        "from hf_clipdyn.report.study import read_study; write_figures(read_study(sys.argv[1]), Path(sys.argv[2]), "
        "formats=('png', 'svg', 'pdf'), width='column')"
    )
    for seed in "12":
        command = [sys.executable, "-c", code, str(table), str(tmp_path / seed)]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
    written = list((tmp_path / "1").glob("*-*.*"))
    assert {path.suffix for path in written} == {".png", ".svg", ".pdf"}
    for path in written:
        assert (tmp_path / "2" / path.name).read_bytes() == path.read_bytes(), path.name


def test_figures_of_an_earlier_report_are_removed_and_those_of_others_stay(two_metrics, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"mine")
    for benchmarks in (["zero_shot"], ["zero_shot/y"]):
        write_figures(two_metrics, tmp_path / "figures", formats=["svg"], benchmarks=benchmarks)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        ".figures.json",
        "mine.png",
        "zero-shot-y.svg",
    }


def test_a_name_that_is_markup_is_text_in_the_files(read):
    name = "me/<script>alert(1)</script>&$x^2$"
    rows = [one for run in (name, "me/b") for one in course("zero_shot/x", "top1", [0.5, 0.5], repo_id=run)]
    with figure_style(printed=True):
        figure = grid(plan_figures(read(rows))["summary"], 3.35, 1)
        document = saved(figure).decode()
    assert "<script" not in document
    assert "me/&lt;script&gt;alert(1)" in document
    assert "cript&gt;&amp;$x^2$" in document, "a long name goes on in the next line"


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
    with pytest.raises(ConfigError, match="x axis"):
        plan_figures(two_metrics, metric="top1", x="top1")


def test_plot_draws_a_metric_over_training_or_against_another_one(two_metrics):
    cell = plot(two_metrics, "top1", x="top5", benchmark="zero_shot/x", ax=Figure().subplots())
    line = next(line for line in cell.lines if line.get_label() == "me/fixture")
    known = np.isfinite(line.get_xdata())
    assert line.get_xdata()[known].tolist() == pytest.approx([0.4, 0.5, 0.6, 0.7])
    with pytest.raises(ConfigError):
        plot(two_metrics, "top1")
    with pytest.raises(UnknownNameError):
        plot(two_metrics, "top2")
