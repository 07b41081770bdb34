"""What kinds declare for the browser of stimuli, and the small helpers that they share."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.metrics.fixation_maps import KEPT_MAP, kept_map
from hf_clipdyn.report.gallery import NOT_SHOWN, read, shares_below
from hf_clipdyn.report.page.stimuli import payload
from hf_clipdyn.report.study import read_study


def test_the_page_shows_the_stimuli_of_every_such_kind():
    parts = payload(read_study(Path(__file__).parents[1] / "goldens" / "results.parquet"), stimuli="none")
    assert {name.partition("/")[0] for name in parts} == set(kinds()) - set(NOT_SHOWN)
    json.dumps(parts, allow_nan=False)


def test_a_kind_of_a_plug_in_with_decisions_has_a_gallery_and_others_lack_a_column():
    class Brightness(ZeroShot):
        name = "brightness"

    trials = pd.DataFrame({"item": [3, 4], "label": [0, 1], "decision": [0, 0], "observer": ["ann", "ben"]})
    gallery = read(Brightness, trials)
    assert gallery.answers["decision"].to_dict() == {3: 0, 4: 0}
    assert gallery.facts["truth"].to_dict() == {3: 0, 4: 1}
    assert gallery.observers is None, "only some kinds have answers of people"
    with pytest.raises(KeyError):
        read(Brightness, trials.drop(columns="decision"))


def test_a_kept_map_of_a_size_that_no_grid_divides_keeps_its_total():
    rng = np.random.default_rng(0)
    fine = rng.uniform(size=(37, 53))
    kept = np.frombuffer(kept_map(fine, (0, 0), (53, 37)), np.uint8).reshape(KEPT_MAP)
    exact = np.array(
        [
            [
                # Each cell against a fine numerical integral of the map, which is constant on its pixels.
                fine[np.ix_(_pixels(row, 37, 12), _pixels(column, 53, 16))].mean()
                for column in range(16)
            ]
            for row in range(12)
        ]
    )
    assert np.abs(kept / 255 - exact / exact.max()).max() < 0.01


def _pixels(cell: int, length: int, n: int) -> np.ndarray:
    points = (cell + (np.arange(500) + 0.5) / 500) * length / n
    return points.astype(np.int64)


def test_a_kept_map_of_a_part_lies_where_the_part_is():
    kept = np.frombuffer(kept_map(np.ones((6, 8)), (8, 6), (16, 12)), np.uint8).reshape(KEPT_MAP)
    assert (kept[6:, 8:] == 255).all()
    assert kept[:6].max() == 0
    assert kept[:, :8].max() == 0


def test_places_run_from_zero_to_one_with_ties_in_their_middle():
    places = shares_below(pd.Series([0.1, 5.0, 5.0, 9.0, np.nan], index=[4, 3, 2, 1, 0]))
    assert places[[4, 3, 2, 1]].tolist() == pytest.approx([0.0, 0.5, 0.5, 1.0])
    assert np.isnan(places[0])
