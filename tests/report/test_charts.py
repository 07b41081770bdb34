"""Charts of one file, of the package and of plug-ins: in the figures and on the page."""

import re

import pytest

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.style import figure_style

_PLANNED = """
from hf_clipdyn.report.charts import Chart


class Planned(Chart):
    title = "Accuracy, <once> more"

    @classmethod
    def panels(cls, study):
        return study.planner.benchmarks["noise/procedural"]
"""


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """`plugged(name, text)`: a plug-in of this name, loaded for one test; its file."""
    monkeypatch.setattr("hf_clipdyn.plugins._loaded", {})

    def plug(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return plug


def test_a_plug_in_of_one_file_adds_its_panels_to_the_page(browse, read, study, plugged):
    load_plugin(plugged("twice.py", _PLANNED))
    page = browse(render(read(study())), fragment="noise-procedural-accuracy-once-more")
    page.locator("#noise-procedural-accuracy-once-more .main-svg").first.wait_for()
    heading = page.locator("#noise-procedural h4")
    assert heading.inner_text() == "Accuracy, <once> more"
    load_plugin(plugged("claims.py", _PLANNED))
    with pytest.raises(ConfigError, match="two charts named 'claims'"):
        render(read(study()))


def test_the_charts_of_the_how_to_are_on_the_page_and_figures(browse, read, study, plugged, checkout):
    page = (checkout / "docs/how-to/add-a-chart.md").read_text(encoding="utf-8")
    files = re.findall(r"```python (\w+\.py)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in files] == ["accuracies.py", "greatest.py"]
    for name, text in files:
        load_plugin(plugged(name, text))
    known, one = charts(), read(study())
    shown = browse(render(one), fragment="greatest-values-over-training")
    shown.locator("#greatest-values-over-training .main-svg").first.wait_for()
    rows = known["greatest"].panels(one)[0].rows
    labels = shown.locator("#greatest-values-over-training .yaxislayer-above").inner_html()
    assert all(row.label[:20] in labels for row in rows)
    with figure_style(printed=True):
        assert all(known[name].draw(one, 6.0) is not None for name in ("accuracies", "greatest"))
