"""Text-free cue preference against loops over the triplets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
def test_the_mates_exemplars_count_as_in_a_double_loop_over_images(seed):
    rng = np.random.default_rng(seed)
    shapes, textures = (
        rng.choice(["a1", "a2", "b1", "b2", "c1"], 24),
        rng.choice(["x1", "x2", "y1", "y2"], 24),
    )
    shapes, textures = (list(one) for one in zip(*set(zip(shapes, textures, strict=True)), strict=True))
    rows = triplets_of(shapes, textures)
    if len({a for a, *_ in rows}) < 3:
        return
    wins = rng.integers(0, 3, len(rows)) / 2
    names = [[[column[image] for image in row] for row in rows] for column in (shapes, textures)]
    result = cue_preference(
        1 - wins, np.full(len(rows), 0.5), shape_exemplars=names[0], texture_exemplars=names[1]
    )

    anchors = sorted({a for a, *_ in rows})
    preference = {a: np.mean([w for (b, *_), w in zip(rows, wins, strict=True) if a == b]) for a in anchors}
    mean = np.mean(list(preference.values()))
    assert result["shape_preference"] == pytest.approx(mean)
    influence = dict.fromkeys(range(len(shapes)), 0.0)
    for a in anchors:
        influence[a] += (preference[a] - mean) / len(anchors)
    for (a, s, t), win in zip(rows, wins, strict=True):
        n = sum(a == b for b, *_ in rows)
        for mate in (s, t):
            influence[mate] += (win - preference[a]) / n / len(anchors)
    shown = sorted({image for row in rows for image in row})
    parts = [
        sum(influence[i] * influence[j] for i in shown for j in shown if same(i, j)) * count / (count - 1)
        for same, count in (
            (lambda i, j: shapes[i] == shapes[j], len({shapes[i] for i in shown})),
            (lambda i, j: textures[i] == textures[j], len({textures[i] for i in shown})),
            (lambda i, j: i == j, len(shown)),
        )
    ]
    variance = parts[0] + parts[1] - parts[2]
    variance = variance if variance > 0 else max(parts)
    effective = mean * (1 - mean) / variance if variance > 0 else len(anchors)
    effective = min(max(effective, 1.0), len(anchors))
    df = min(len({shapes[i] for i in shown}), len({textures[i] for i in shown})) - 1
    assert result["shape_preference_ci"] == pytest.approx(wilson_interval(mean, effective, 0.95, df))


def test_what_images_do_as_mates_widens_the_interval_counted_by_the_caller_too(agree):
    rng = np.random.default_rng(0)
    images = [(f"{s}{i}", f"{t}{j}") for s in "abc" for i in range(4) for t in "xyz" for j in range(4)]
    shapes, textures = zip(*images, strict=True)
    rows = triplets_of(shapes, textures)
    by_exemplar = {name: rng.normal() for name in sorted({*shapes, *textures})}
    depth = [by_exemplar[shape] + by_exemplar[texture] for shape, texture in images]
    to_shape, to_texture = (
        np.abs([depth[row[0]] - depth[row[i]] for row in rows]) + (i - 1) * 0.2 for i in (1, 2)
    )
    names = [[[column[image] for image in row] for row in rows] for column in (shapes, textures)]
    triplets = cue_preference(to_shape, to_texture, shape_exemplars=names[0], texture_exemplars=names[1])
    wins = np.where(to_shape < to_texture, 1.0, 0.0)
    preference, effects = np.full(len(images), np.nan), np.zeros(len(images))
    for a in range(len(images)):
        of_a = [index for index, row in enumerate(rows) if row[0] == a]
        preference[a] = wins[of_a].mean()
        for index in of_a:
            for mate in rows[index][1:]:
                effects[mate] += (wins[index] - preference[a]) / len(of_a)
    keywords = {"shape_exemplars": shapes, "texture_exemplars": textures}
    counted = anchor_preference(preference, effects, **keywords)
    agree({**counted, "n": len(rows), "n_ties": 0}, triplets)
    alone = anchor_preference(preference, **keywords)["shape_preference_ci"]
    assert np.ptp(counted["shape_preference_ci"]) > 1.2 * np.ptp(alone)
