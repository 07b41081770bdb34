"""The control arms of a study of many runs, each over the main arm."""

from result_rows import row

from hf_clipdyn.report.charts.arms import Arms
from hf_clipdyn.report.style import figure_style


def _rows(n_arms):
    return [
        row(
            "zero_shot/x",
            "top1",
            0.1 * epoch + 0.01 * seed,
            0.1,
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


def test_of_more_arms_than_hues_each_has_a_panel_over_the_main_arm_of_its_scale(read):
    study = read(_rows(5))
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
