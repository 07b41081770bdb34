"""The page's data: what Python wrote for the program."""

import json
import math

import pytest
from result_rows import row

from hf_clipdyn.report.page.payload import Packed, payload, story


def unpacked(values):
    """Values where they are named, as `unpacked` of core.js puts them."""
    known = []

    def put(given):
        if isinstance(given, str):
            return known[int(given[1:])]
        if not isinstance(given, list):
            return given
        if given and isinstance(given[0], str) and given[0][:1] == "#":
            return dict(zip(known[int(given[0][1:])], map(put, given[1:]), strict=True))
        return list(map(put, given))

    for one in values:
        known.append(one if isinstance(one, str) else put(one))  # noqa: PERF401 (`put` looks into it)
    return known[-1]


@pytest.fixture
def data(read):
    """The data of a page on these rows, after a round trip through JSON."""

    def made(rows):
        planner = read(rows).planner
        put = Packed()
        put(payload(planner, {}, story(planner), put))
        found = unpacked(json.loads(json.dumps(put.values, allow_nan=False)))
        assert found == json.loads(json.dumps(payload(planner, {}, story(planner))))
        return found

    return made


def _lines(data, kind="line"):
    panel = data["benchmarks"][0]["views"][0]["panels"][0]
    traces = [one for one in panel["data"] if one["meta"]["kind"] == kind]
    return [{**one, "meta": {**panel["lines"][one["meta"]["line"]], **one["meta"]}} for one in traces]


@pytest.mark.parametrize("size", [1e-3, 1.0, 123456.0])
def test_values_and_intervals_come_back_to_five_digits(data, size):
    rows = [
        row("noise/x", "area", value * size, 0.0123 * size, epoch=at)
        for at, value in enumerate((0.123456789, 0.5))
    ]
    found = data(rows)
    (line,) = _lines(found)
    assert line["y"] == pytest.approx([0.12346 * size, 0.5 * size], rel=1e-4)
    ends = [line["meta"][name][1] for name in ("low", "high")]
    assert ends == pytest.approx([0.4877 * size, 0.5123 * size], rel=1e-4)
    (band,) = _lines(found, "band")
    assert (band["meta"]["points"], band["meta"]["upper"]) == ([0, 1, 1, 0], [1, 1, 0, 0])


def test_undefined_and_not_interpretable_values_keep_their_cause(data):
    rows = [
        row("noise/x", "area", math.nan, math.nan, epoch=0, note="at chance"),
        row("noise/x", "area", 0.5, 0.1, epoch=1, interpretable=False),
    ]
    found = data(rows)
    (missing,), (hollow,) = _lines(found, "missing"), _lines(found, "hollow")
    assert missing["meta"]["notes"][missing["meta"]["points"][0]] == "at chance"
    assert (hollow["y"], hollow["meta"]["points"]) == ([0.5], [1])
    assert _lines(found)[0]["y"] == [None, None]


def test_a_text_that_looks_like_a_name_of_a_shared_value_stays_a_text(data):
    rows = [
        row("noise/x", "area", 0.5, repo_id=name, epoch=at)
        for name in ("$0", "#1", "@hue 1")
        for at in (0, 1)
    ]
    found = data(rows)
    assert [run["name"] for run in found["runs"]] == ["$0", "#1", "@hue 1"]
    assert [line["name"] for line in _lines(found)] == ["$0", "#1", "&#64;hue 1"]
    assert [line["meta"]["run"] for line in _lines(found)] == ["$0", "#1", "@hue 1"]
