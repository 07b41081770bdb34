"""Text-free cue preference against loops over the triplets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.bootstrap import wilson_interval
from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("xyz")),
    min_size=1,
    max_size=50,
)


@given(ROWS)
def test_without_exemplars_every_row_counts_alike(rows):
    to_shape, to_texture, *_ = zip(*rows, strict=True)
    result = cue_preference(to_shape, to_texture, n_resamples=0)
    wins = [0.5 if a == b else float(a < b) for a, b, *_ in rows]
    assert result["shape_preference"] == pytest.approx(sum(wins) / len(wins))
    assert result["n_ties"] == wins.count(0.5)
    assert result["n"] == len(rows)


@given(ROWS)
def test_with_exemplars_the_rows_of_an_anchor_are_averaged_first(rows):
    to_shape, to_texture, shape, texture = zip(*rows, strict=True)
    result = cue_preference(
        to_shape, to_texture, shape_exemplars=shape, texture_exemplars=texture, n_resamples=0
    )
    anchors = {}
    for a, b, *anchor in rows:
        anchors.setdefault(tuple(anchor), []).append(0.5 if a == b else float(a < b))
    assert result["shape_preference"] == pytest.approx(np.mean([np.mean(wins) for wins in anchors.values()]))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(agree, rows, random):
    def compute(chosen):
        to_shape, to_texture, shape, texture = zip(*chosen, strict=True)
        return cue_preference(to_shape, to_texture, shape_exemplars=shape, texture_exemplars=texture)

    agree(compute(random.sample(rows, len(rows))), compute(rows))


@given(ROWS)
def test_swapping_the_cues_mirrors_the_preference_and_a_monotone_transform_changes_nothing(agree, rows):
    to_shape, to_texture, *_ = (np.array(column) for column in zip(*rows, strict=True))
    result = cue_preference(to_shape, to_texture, n_resamples=0)
    swapped = cue_preference(to_texture, to_shape, n_resamples=0)
    assert swapped["shape_preference"] == pytest.approx(1 - result["shape_preference"])
    agree(cue_preference(np.exp(to_shape), np.exp(to_texture), n_resamples=0), result)


def test_embeddings_that_have_collapsed_prefer_neither_cue():
    result = cue_preference(np.zeros(100), np.zeros(100))
    assert result["shape_preference"] == 0.5
    assert result["n_ties"] == 100


def test_a_planted_encoder_of_the_silhouette_prefers_the_shape_always_with_an_interval_of_some_width():
    exemplars = [np.repeat([f"cat{i}" for i in range(20)], 10), np.tile([f"dog{i}" for i in range(10)], 20)]
    result = cue_preference(
        np.zeros(200), np.ones(200), shape_exemplars=exemplars[0], texture_exemplars=exemplars[1]
    )
    assert result["shape_preference"] == 1
    assert result["shape_preference_ci"] == pytest.approx(wilson_interval(1.0, 200, 0.95, 9))


def test_preferences_counted_by_the_caller_have_the_interval_of_the_triplets_written_out(agree):
    rng = np.random.default_rng(0)
    shape, texture = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    wins = rng.integers(0, 5, size=72)  # of four triplets each
    to_shape = np.concatenate([np.repeat([0.0, 2.0], [w, 4 - w]) for w in wins])
    triplets = cue_preference(
        to_shape, np.ones(288), shape_exemplars=np.repeat(shape, 4), texture_exemplars=np.repeat(texture, 4)
    )
    anchors = anchor_preference(wins / 4, shape_exemplars=shape, texture_exemplars=texture)
    agree({**anchors, "n": 288, "n_ties": 0}, triplets)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"distances_texture": [1.0]}, "distances_shape 2, distances_texture 1"),
        ({"distances_shape": [np.nan, 1.0]}, "distances_shape must be finite"),
        ({"shape_exemplars": ["a", "b"]}, "give both or neither"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(MetricError, match=message):
        cue_preference(**{"distances_shape": [1.0, 2.0], "distances_texture": [2.0, 1.0], **call})
