"""Charts of one file, of the package and of plug-ins: in the figures and on the page."""

import re

import pytest

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.style import figure_style


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """`plug(name, text)`: load a plug-in of this name for one test."""
    monkeypatch.setattr("hf_clipdyn.plugins._loaded", {})

    def plug(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        load_plugin(tmp_path / name)

    return plug


def test_the_charts_of_the_how_to_are_on_the_page_and_figures(browse, read, study, plug, checkout):
    text = (checkout / "docs/how-to/add-a-chart.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```python (\w+\.py)\n(.*?)```", text, re.DOTALL))
    assert list(files) == ["accuracies.py", "greatest.py"]
    files["accuracies.py"] = files["accuracies.py"].replace("Every accuracy", "Accuracy, <once> more")
    for name, content in files.items():
        plug(name, content)
    known, one = charts(), read(study())
    page = browse(render(one), fragment="zero-shot-procedural-accuracy-once-more")
    page.locator("#zero-shot-procedural-accuracy-once-more .main-svg").first.wait_for()
    assert page.locator("#zero-shot-procedural h4").inner_text() == "Accuracy, <once> more"
    page = browse(render(one), fragment="greatest-values-over-training")
    page.locator("#greatest-values-over-training .main-svg").first.wait_for()
    labels = page.locator("#greatest-values-over-training .yaxislayer-above").inner_html()
    assert all(row.label[:20] in labels for row in known["greatest"].panels(one)[0].rows)
    with figure_style(printed=True):
        assert all(known[name].draw(one, 6.0) is not None for name in ("accuracies", "greatest"))
    plug("claims.py", files["greatest.py"])
    with pytest.raises(ConfigError, match="two charts named 'claims'"):
        render(one)
