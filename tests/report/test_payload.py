"""The page's data: the table's numbers in a compact form that loses nothing a reader sees."""

import json
import math

import pytest
from result_rows import row

from hf_clipdyn.report.page.payload import payload


@pytest.fixture
def data(read):
    """The data of a page on these rows, after a round trip through JSON."""
    return lambda rows: json.loads(json.dumps(payload(read(rows)), allow_nan=False))


def _numbers(points):
    """Values, lower and upper ends as the program reads them."""
    scale = 10 ** points["e"]
    upper = [None if low is None else low + more for low, more in zip(points["l"], points["h"], strict=True)]
    ends = [
        [
            None if v is None or arm is None else (v + sign * arm) / scale
            for v, arm in zip(points["v"], arms, strict=True)
        ]
        for sign, arms in ((-1, points["l"]), (1, upper))
    ]
    return [None if v is None else v / scale for v in points["v"]], *ends


def test_values_and_intervals_come_back_to_five_digits(data):
    values = [0.123456789, 0.5, -0.25]
    rows = [row("noise/x", "area", value, 0.0123, epoch=epoch) for epoch, value in enumerate(values)]
    found = data(rows)["series"]["points"][0]
    read, low, high = _numbers(found)
    assert read == pytest.approx(values, abs=5e-6)
    assert low == pytest.approx([one - 0.0123 for one in values], abs=1e-5)
    assert high == pytest.approx([one + 0.0123 for one in values], abs=1e-5)
    assert (found["n"], found["k"]) == (1000, 64)


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 123456.0, 1e12])
def test_the_exponent_follows_the_size(data, size):
    (points,) = data([row("noise/x", "area", 0.12345 * size, 0.01 * size)])["series"]["points"]
    assert _numbers(points)[0] == [pytest.approx(0.12345 * size, rel=1e-4)]


def test_undefined_and_not_interpretable_values_keep_their_cause(data):
    rows = [
        row("noise/x", "area", math.nan, math.nan, epoch=0, note="at chance"),
        row("noise/x", "area", 0.5, 0.1, epoch=1, interpretable=False),
    ]
    series = data(rows)["series"]
    (points,) = series["points"]
    assert points["v"] == [None, 50000]
    assert points["l"] == [None, 10000]
    assert points["x"] == [1]
    assert series["strings"][points["c"]["0"]] == "at chance"


def test_a_run_without_a_revision_of_another_benchmark_names_its_places(data):
    rows = [row("noise/x", "area", 0.5, epoch=epoch) for epoch in (0, 1, 2)]
    rows += [row("zero_shot/x", "top1", 0.5, epoch=epoch) for epoch in (0, 2)]
    found = data(rows)
    assert found["runs"][0]["revisions"] == ["epoch-000", "epoch-001", "epoch-002"]
    places = [points.get("r") for points in found["series"]["points"]]
    assert places == [None, [0, 2]]


def test_references_point_to_their_series(data):
    rows = [row("zero_shot/x", "top1", 0.5), row("zero_shot/x", "top1", 0.1, role="chance")]
    series = data(rows)["series"]
    roles = [series["strings"][place] for place in series["columns"]["role"]]
    assert series["references"] == {str(roles.index("value")): [roles.index("chance")]}
    assert series["strings"][series["columns"]["title"][roles.index("chance")]] == "chance"


def test_runs_that_differ_in_their_seed_only_share_a_group_and_a_colour(data):
    rows = [
        row("zero_shot/x", "top1", 0.5, repo_id=f"me/{scale}{seed}", scale=scale, seed=seed, epoch=epoch)
        for scale in ("tiny", "small")
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    found = data(rows)
    assert [one["title"] for one in found["groups"]] == ["tiny", "small"]
    assert [one["group"] for one in found["runs"]] == [0, 0, 1, 1]
    assert found["runs"][0]["colour"] == found["runs"][1]["colour"] != found["runs"][2]["colour"]


def test_two_runs_of_one_scale_and_seed_are_two_groups(data):
    rows = [row("zero_shot/x", "top1", 0.5, repo_id=f"me/{name}", scale="tiny", seed=0) for name in "ab"]
    assert [one["title"] for one in data(rows)["groups"]] == ["me/a", "me/b"]


def test_the_slider_stops_at_the_epochs_of_all_runs_and_ignores_models_without_a_place(data):
    rows = [row("zero_shot/x", "top1", 0.5, repo_id="me/a", epoch=epoch) for epoch in (0, 2)]
    rows += [row("zero_shot/x", "top1", 0.5, repo_id="me/b", epoch=epoch) for epoch in (0, 1)]
    rows.append(row("zero_shot/x", "top1", 0.5, repo_id="them/public", epoch=None, revision="main"))
    meta = data(rows)["meta"]
    assert [one["label"] for one in meta["stops"]] == ["epoch 0", "epoch 1", "epoch 2"]
    assert meta["axis"] == "epoch"


def test_runs_can_be_aligned_by_their_zero_shot_accuracy(data):
    rows = [row("zero_shot/x", "top1", 0.1 + epoch / 10, epoch=epoch) for epoch in (0, 1)]
    found = data(rows)
    assert found["runs"][0]["accuracy"] == [0.1, 0.2]
    assert ["accuracy", "zero-shot accuracy"] in found["meta"]["axes"]


def test_cells_that_differ_in_their_preprocessing_are_told_apart(data):
    rows = [row("zero_shot/x", "top1", 0.5, preprocess=name) for name in ("processor", "squash")]
    series = data(rows)["series"]
    assert [series["strings"][place] for place in series["columns"]["setup"]] == ["processor", "squash"]


def test_an_infinite_level_is_a_word(data):
    rows = [row("noise/x", "accuracy", 0.5, condition="gaussian", level=level) for level in (1.0, math.inf)]
    assert sorted(data(rows)["series"]["columns"]["level"], key=str) == [1, "inf"]


def test_checkpoints_of_others_at_powers_of_two_begin_over_a_logarithm_of_their_steps(data):
    steps = [0, 1, 2, 4, 8, 16, 32, 1000]
    found = data(
        [row("zero_shot/x", "top1", 0.5, epoch=None, revision=f"step{step}", step=step) for step in steps]
    )
    assert found["meta"]["axis"] == "logsteps"
    assert ["logsteps", "training steps, logarithmic"] in found["meta"]["axes"]
