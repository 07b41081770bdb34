"""Names in the margin of a panel."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.report.margin import spread


def test_names_that_have_room_stay_at_their_lines():
    assert spread([0.9, 0.1], [0.1, 0.1]) == [0.9, 0.1]


def test_names_of_equal_lines_stand_above_each_other_around_them():
    assert spread([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=8))
def test_names_never_overlap_and_keep_their_order(places):
    found = spread(places, [0.07] * len(places))
    in_order = [found[index] for index in sorted(range(len(places)), key=lambda index: places[index])]
    assert all(above - below > 0.07 - 1e-9 for below, above in itertools.pairwise(in_order))
    assert sum(found) == pytest.approx(sum(places), abs=1e-9)
