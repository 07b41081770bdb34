"""Text-free cue preference against loops over the triplets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference, triplet_preferences

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("abcdef")), min_size=1, max_size=50
)


@given(ROWS)
def test_every_row_counts_alike_or_the_rows_of_an_anchor_are_averaged_first(rows):
    to_shape, to_texture, names = zip(*rows, strict=True)
    wins = np.array([0.5 if a == b else float(a < b) for a, b, _ in rows])
    result = cue_preference(to_shape, to_texture)
    assert result["shape_preference"].value == pytest.approx(wins.mean())
    assert result.facts == {"n": len(rows), "n_ties": (wins == 0.5).sum()}
    of_anchors = [wins[np.array(names) == name].mean() for name in set(names)]
    found = cue_preference(to_shape, to_texture, anchors=names)["shape_preference"]
    assert found.value == pytest.approx(np.mean(of_anchors))


def triplets_of(shapes, textures):
    """Anchor, shape mate and texture mate of all triplets of images with these exemplars ("a1": class a)."""
    images = list(zip(shapes, textures, strict=True))
    return [
        (a, s, t)
        for a, (shape, texture) in enumerate(images)
        for s, (shape_s, texture_s) in enumerate(images)
        for t, (shape_t, texture_t) in enumerate(images)
        if shape[0] == shape_s[0] and shape != shape_s and texture[0] != texture_s[0]
        if texture[0] == texture_t[0] and texture != texture_t and shape[0] != shape_t[0]
    ]


@given(st.integers(0, 2**32 - 1))
def test_preferences_and_mate_effects_are_those_of_a_triple_loop_over_images(seed):
    rng = np.random.default_rng(seed)
    shapes, textures = (
        rng.choice(names, 24) for names in (["a1", "a2", "b1", "b2", "c1"], ["x1", "x2", "y1"])
    )
    shapes, textures = (list(one) for one in zip(*set(zip(shapes, textures, strict=True)), strict=True))
    rows = rng.integers(0, 2, (len(shapes), 3)).astype(float)  # with ties
    classes = [[one[0] for one in column] for column in (shapes, textures)]
    found = triplet_preferences(rows, *classes, shapes, textures)
    preferences, effects = np.full(len(shapes), np.nan), np.zeros(len(shapes))
    by_anchor = {}
    for a, s, t in triplets_of(shapes, textures):
        to_shape, to_texture = (np.square(rows[a] - rows[mate]).sum() for mate in (s, t))
        by_anchor.setdefault(a, []).append((s, t, (np.sign(to_texture - to_shape) + 1) / 2))
    for a, triplets in by_anchor.items():
        preferences[a] = np.mean([won for *_, won in triplets])
        for s, t, won in triplets:
            effects[[s, t]] += (won - preferences[a]) / len(triplets)
    np.testing.assert_allclose(found[0], preferences)
    np.testing.assert_allclose(found[1], effects, atol=1e-12)
    if by_anchor:
        score = anchor_preference(*found)["shape_preference"]
        assert score.value == pytest.approx(np.nanmean(preferences))
        assert score.influence.sum() == pytest.approx(0, abs=1e-12)
