"""JND average precision against the reference's loop, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.metrics.jnd_map import jnd_map

SAME = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
PAIRS = st.lists(st.tuples(st.integers(0, 30), SAME), min_size=1, max_size=60).filter(
    lambda pairs: any(same for _, same in pairs)
)


def voc_average_precision(distances, same):
    """Zhang et al.'s procedure for distinct distances: one threshold a pair, PASCAL VOC's envelope."""
    order = sorted(range(len(distances)), key=lambda i: distances[i])
    true = retrieved = 0.0
    recall, precision = [0.0], [0.0]
    for i in order:
        true += same[i]
        retrieved += 1
        recall.append(true / sum(same))
        precision.append(true / retrieved)
    area = 0.0
    for k in range(1, len(recall)):
        area += (recall[k] - recall[k - 1]) * max(precision[k:])
    return area


@given(PAIRS)
def test_the_value_equals_the_reference_procedure_for_distinct_distances(pairs):
    _, same = zip(*pairs, strict=True)
    distances = np.random.default_rng(len(same)).permutation(len(same))
    expected = voc_average_precision(distances, same)
    assert jnd_map(distances, same)["jnd_map"].value == pytest.approx(expected)


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing_even_with_ties(pairs, random):
    value = jnd_map(*zip(*pairs, strict=True))["jnd_map"].value
    shuffled = random.sample(pairs, len(pairs))
    assert jnd_map(*zip(*shuffled, strict=True))["jnd_map"].value == pytest.approx(value)


def test_a_constant_distance_scores_the_share_of_same():
    assert jnd_map(np.zeros(60), np.repeat([1.0, 0.0], [20, 40]))["jnd_map"].value == pytest.approx(1 / 3)
