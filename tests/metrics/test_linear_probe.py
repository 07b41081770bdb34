"""The linear probe: its penalty, exemplars that stay whole, and the corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_formulas import probed

from hf_clipdyn.metrics.linear_probe import LinearProbe, decide_crossed, probe_folds


def blobs(seed=0, n=240, d=12, classes=4, signal=0.8):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * signal
    return centres[labels] + rng.normal(size=(n, d)) * rng.uniform(0.2, 3, d) + 5, labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("n", "d"), [(300, 20), (60, 60), (40, 200)])
def test_each_fold_is_decided_by_the_others_as_scikit_learn_does(n, d, classes):
    features, labels = blobs(1, n, d, classes, signal=0.4)
    folds = probe_folds(labels)
    (expected,) = probed(features, labels, folds)
    assert len(set(expected)) == classes
    assert np.array_equal(LinearProbe(features, labels, folds).decide(features), expected)


@pytest.mark.parametrize("signal", [1e-7, 1e-12])
def test_embeddings_that_are_almost_equal_are_separated(signal):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = 1 + signal * (labels[:, None] * [1, -1, 0] + 0.1 * rng.normal(size=(200, 3)))
    assert np.mean(LinearProbe(features, labels, probe_folds(labels)).decide(features) == labels) > 0.99


def test_another_view_of_an_item_is_decided_by_the_probe_that_has_not_seen_it():
    features, labels = blobs()
    probe = LinearProbe(features, labels, probe_folds(labels))
    order = np.array([*range(1, len(labels)), 0])
    assert np.array_equal(probe.decide(features), probe.decide(features.copy()))
    assert np.mean(probe.decide(features[order]) == labels) < 0.3


def test_features_without_any_variance_decide_for_one_class():
    labels = np.array([0, 1, 1] * 5)
    probe = LinearProbe(np.ones((15, 4)), labels, probe_folds(labels))
    assert set(probe.decide(np.ones((15, 4)))) == {1}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=60),
    st.integers(2, 6),
    st.sampled_from([(10, 1), (1, 10)]),
)
def test_folds_keep_exemplars_whole_and_hold_each_class(pairs, most, names):
    """Whether the exemplars of a class have names that follow each other or not."""
    classes = np.array([kind for kind, _ in pairs])
    groups = np.array(pairs) @ names
    folds = probe_folds(classes, groups, most)
    for group in set(groups):
        assert len(set(folds[groups == group])) == 1
    several = [kind for kind in set(classes) if len(set(groups[classes == kind])) > 1]
    if len(several) < 2:
        assert (folds == -1).all()
        return
    n_folds = folds.max() + 1
    assert 2 <= n_folds <= most
    for kind in set(classes):
        expected = set(range(n_folds)) if kind in several else {-1}
        assert set(folds[classes == kind]) == expected


def test_classes_with_one_exemplar_are_ignored():
    classes, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 3, 4, 4])
    folds = probe_folds(classes, groups)
    probe = LinearProbe(np.eye(6), classes, folds)
    assert (probe.decide(np.eye(6)) == -1).tolist() == [False] * 4 + [True] * 2
    none = LinearProbe(np.eye(2), [0, 1], probe_folds([0, 1]))
    assert none.decide(np.eye(2)).tolist() == [-1, -1]


@pytest.fixture(scope="module")
def crossing():
    """The embedded cue-conflict images: 8 shapes by 7 other textures, 12 exemplars each, 18 images a pair."""
    shape, texture, at = (one[~np.eye(8, dtype=bool)].ravel() for one in np.indices((8, 8, 18)))
    return {
        "shape": shape,
        "shape_exemplar": 12 * shape + (at + 18 * texture) % 12,
        "texture": texture,
        "texture_exemplar": 12 * texture + (at + at // 12 + 18 * shape) % 12,
    }


def accuracy(features, crossing, cue, other):
    columns = (cue, f"{cue}_exemplar", other, f"{other}_exemplar")
    return np.mean(decide_crossed(features, *(crossing[name] for name in columns)) == crossing[cue])


def vectors(codes, seed=1):
    return np.random.default_rng(seed).normal(size=(codes.max() + 1, 32))[codes]


@pytest.mark.parametrize(("cue", "other"), [("shape", "texture"), ("texture", "shape")])
def test_a_cue_is_decoded_from_its_own_code_alone(cue, other, crossing):
    """A plain probe of shapes reads .003 from a code of textures, since no image has both of one class."""
    n, n_classes = len(crossing[cue]), crossing[cue].max() + 1
    noise = np.random.default_rng(9).normal(size=(n, 32))
    chance, error = 1 / (n_classes - 1), np.sqrt(1 / n_classes / n)
    unrelated = [np.ones((n, 3)), noise]
    unrelated += [
        vectors(crossing[code]) + size * noise for code in (other, f"{other}_exemplar") for size in (0, 0.2)
    ]
    for features in unrelated:
        assert abs(accuracy(features, crossing, cue, other) - chance) < 4 * error
    assert accuracy(vectors(crossing[cue]), crossing, cue, other) == 1
    assert accuracy(vectors(crossing[cue]) + 0.2 * noise, crossing, cue, other) >= 0.8
    axes = np.eye(n_classes)  # shape and texture on the same axes, the other cue five times as strong
    assert accuracy(axes[crossing[cue]] + 5 * axes[crossing[other]], crossing, cue, other) > 0.95


@pytest.mark.parametrize(("cue", "other"), [("shape", "texture"), ("texture", "shape")])
def test_memorised_exemplars_do_not_reveal_a_class(cue, other, crossing):
    features = np.hstack([vectors(crossing[f"{one}_exemplar"], seed=2) for one in ("shape", "texture")])
    # One draw of random vectors scatters around chance: the exemplars are the sample, not the images.
    assert accuracy(features, crossing, cue, other) < 2.5 / (crossing[cue].max() + 1)


def test_no_cue_is_decoded_if_exemplars_of_the_other_are_combined_with_one_class_each():
    classes, exemplars = np.arange(12) % 3, np.arange(12)
    decided = decide_crossed(np.eye(12), classes, exemplars, (classes + 1) % 3, 100 + exemplars)
    assert (decided == -1).all()


def test_a_class_with_one_exemplar_is_neither_decided_nor_a_candidate():
    rng = np.random.default_rng(0)
    shape, texture = np.repeat(np.arange(4), 12), np.tile(np.arange(4, 7), 16)
    exemplars = 10 * shape + np.where(shape == 3, 0, np.tile(np.repeat([0, 1], 6), 4))
    decided = decide_crossed(rng.normal(size=(48, 5)), shape, exemplars, np.full(48, -1), texture)
    assert (decided[shape == 3] == -1).all()
    assert set(decided[shape < 3]) <= {0, 1, 2}
