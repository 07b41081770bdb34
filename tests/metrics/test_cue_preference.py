"""Text-free cue preference against loops over the triplets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference, triplet_preferences
from hf_clipdyn.metrics.scores import interval, left_out, over

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("abcdef")), min_size=1, max_size=50
)


@given(ROWS)
def test_without_anchors_every_row_counts_alike(rows):
    to_shape, to_texture, _ = zip(*rows, strict=True)
    result = cue_preference(to_shape, to_texture)
    wins = [0.5 if a == b else float(a < b) for a, b, _ in rows]
    assert result["shape_preference"].value == pytest.approx(sum(wins) / len(wins))
    assert result.facts == {"n": len(rows), "n_ties": wins.count(0.5)}


@given(ROWS)
def test_the_rows_of_an_anchor_are_averaged_first(rows):
    to_shape, to_texture, anchor = zip(*rows, strict=True)
    result = cue_preference(to_shape, to_texture, anchors=anchor)["shape_preference"]
    anchors = {}
    for a, b, name in rows:
        anchors.setdefault(name, []).append(0.5 if a == b else float(a < b))
    assert result.value == pytest.approx(np.mean([np.mean(wins) for wins in anchors.values()]))
    if len(anchors) > 1:  # the influence of an anchor is that of the jackknife
        names = np.array(anchor)
        without = left_out(
            lambda a, b, of: cue_preference(a, b, anchors=of)["shape_preference"].value,
            [np.array(to_shape), np.array(to_texture), names],
            names,
        )
        of_anchors = np.bincount(np.unique(names, return_inverse=True)[1], result.influence)
        assert of_anchors == pytest.approx(without)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(agree, rows, random):
    def compute(chosen):
        to_shape, to_texture, anchor = zip(*chosen, strict=True)
        return cue_preference(to_shape, to_texture, anchors=anchor).report(anchor)

    agree(compute(random.sample(rows, len(rows))), compute(rows))


@given(ROWS)
def test_swapping_the_cues_mirrors_the_preference_and_a_monotone_transform_changes_nothing(agree, rows):
    to_shape, to_texture, _ = (np.array(column) for column in zip(*rows, strict=True))
    result = cue_preference(to_shape, to_texture).report()
    swapped = cue_preference(to_texture, to_shape)["shape_preference"]
    assert swapped.value == pytest.approx(1 - result["shape_preference"])
    agree(cue_preference(np.exp(to_shape), np.exp(to_texture)).report(), result)


def test_embeddings_that_have_collapsed_prefer_neither_cue():
    result = cue_preference(np.zeros(100), np.zeros(100))
    assert result["shape_preference"].value == 0.5
    assert result.facts["n_ties"] == 100


def test_a_planted_encoder_of_the_silhouette_prefers_the_shape_always_with_an_interval_of_some_width():
    low, high = cue_preference(np.zeros(200), np.ones(200)).report()["shape_preference_ci"]
    assert 0.9 < low < high == 1


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


def classes_of(exemplars):
    return [one[0] for one in exemplars]


@given(st.integers(0, 2**32 - 1))
def test_preferences_and_mate_effects_are_those_of_a_triple_loop_over_images(seed):
    rng = np.random.default_rng(seed)
    shapes, textures = (
        rng.choice(names, 24) for names in (["a1", "a2", "b1", "b2", "c1"], ["x1", "x2", "y1"])
    )
    shapes, textures = (list(one) for one in zip(*set(zip(shapes, textures, strict=True)), strict=True))
    rows = rng.integers(0, 2, (len(shapes), 3)).astype(float)  # with ties
    found = triplet_preferences(rows, classes_of(shapes), classes_of(textures), shapes, textures)
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
    score = anchor_preference(*found)["shape_preference"]
    if by_anchor:
        assert score.value == pytest.approx(np.nanmean(preferences))
        assert score.influence.sum() == pytest.approx(0, abs=1e-12)
    else:
        assert score.cause == "no image has both a shape and a texture mate"


def test_preferences_counted_by_the_caller_are_those_of_the_triplets_written_out():
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 5, size=72)  # of four triplets each
    to_shape = np.concatenate([np.repeat([0.0, 2.0], [w, 4 - w]) for w in wins])
    anchors = np.repeat(np.arange(72), 4)
    triplets = cue_preference(to_shape, np.ones(288), anchors=anchors)
    counted = anchor_preference(wins / 4)
    assert counted["shape_preference"].value == pytest.approx(triplets["shape_preference"].value)
    of_anchors = np.bincount(anchors, triplets["shape_preference"].influence)
    assert counted["shape_preference"].influence == pytest.approx(of_anchors)
    assert counted.facts == {"n": 72}


def test_what_images_do_as_mates_widens_the_interval():
    rng = np.random.default_rng(0)
    images = [(f"{s}{i}", f"{t}{j}") for s in "abc" for i in range(4) for t in "xyz" for j in range(4)]
    shapes, textures = zip(*images, strict=True)
    by_exemplar = {name: rng.normal() for name in sorted({*shapes, *textures})}
    angles = np.array([by_exemplar[shape] + by_exemplar[texture] for shape, texture in images]) / 4
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    preferences, effects = triplet_preferences(
        rows, classes_of(shapes), classes_of(textures), shapes, textures
    )
    ends = [
        interval(one.value, over(one.influence, images), one.scale)
        for one in (anchor_preference(preferences, of)["shape_preference"] for of in (effects, None))
    ]
    assert np.ptp(ends[0]) > 1.2 * np.ptp(ends[1])


@pytest.mark.parametrize(
    ("function", "wrong", "message"),
    [
        (cue_preference, ([1.0, 2.0], [1.0]), r"distances_shape \(2,\), distances_texture \(1,\)"),
        (cue_preference, ([np.nan, 1.0], [1.0, 2.0]), "distances_shape must be finite"),
        (anchor_preference, ([0.5, 1.5],), r"preferences must be in \[0, 1\]"),
        (anchor_preference, ([0.5, 1.0], [0.0]), r"preferences \(2,\), mate_effects \(1,\)"),
    ],
)
def test_a_wrong_argument_is_named(function, wrong, message):
    with pytest.raises(MetricError, match=message):
        function(*wrong)
