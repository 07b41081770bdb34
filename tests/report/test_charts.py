"""Charts of plug-ins, in the figures and on the page; and the control arms of a study, each over the main arm."""

import re

import pytest
from result_rows import course

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.charts.arms import Arms
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


def test_of_more_arms_than_hues_each_has_a_panel_over_the_main_arm_of_its_scale(read):
    arms = ("", "arm0", "arm1", "arm2", "arm3", "arm4")
    runs = [("tiny", arm, seed) for arm in arms for seed in (0, 1)] + [("small", "", 0), ("small", "", 1)]
    rows = []
    for scale, arm, seed in runs:
        run = {"repo_id": f"me/{scale}{arm}{seed}", "scale": scale, "arm": arm, "seed": seed}
        rows += course("zero_shot/x", "top1", [0.01 * seed, 0.1, 0.2], 0.1, **run)
    study = read(rows)
    panels = Arms.panels(study)
    assert len(panels) == 5
    for index, panel in enumerate(panels):
        assert f"arm{index}" in panel.title
        main, arm = panel.lines
        assert (main.label, main.place, main.seeds) == ("main arm, mean of 2 seeds", -1, ())
        assert len(arm.seeds) == 2
        assert all("/tiny" in seed.run for seed in arm.seeds), "of the same scale"
    with figure_style():
        figure = Arms.draw(study, 7.0)
    assert len([cell for cell in figure.axes if cell.get_visible()]) == 5
