"""The linear probe: its penalty, exemplars that stay whole, and the corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_clipdyn.benchmarks.linear_probe import PENALTIES, LinearProbe, probe_folds
from hf_clipdyn.errors import MetricError


def blobs(seed=0, n=240, d=12, classes=4, signal=0.8):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * signal
    return centres[labels] + rng.normal(size=(n, d)) * rng.uniform(0.2, 3, d) + 5, labels


def ridge(features, labels, penalty):
    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty * len(labels))).fit(features, labels)


def left_out_errors(features, labels, penalty):
    """Squared error of each item's scores by a ridge regression of all other items, one by one."""
    rows = StandardScaler().fit_transform(features)
    targets = 2.0 * np.eye(labels.max() + 1)[labels] - 1
    errors = []
    for item in range(len(rows)):
        rest = np.arange(len(rows)) != item
        model = Ridge(alpha=penalty * len(rows)).fit(rows[rest], targets[rest])
        errors.append(np.square(model.predict(rows[[item]])[0] - targets[item]))
    return np.mean(errors)


def test_each_fold_is_decided_by_the_others_with_the_penalty_of_the_least_left_out_error():
    features, labels = blobs(n=60, signal=0.5)
    folds = probe_folds(labels)
    expected = np.full(len(labels), -1)
    for fold in range(5):
        train = folds != fold
        errors = [left_out_errors(features[train], labels[train], penalty) for penalty in PENALTIES]
        model = ridge(features[train], labels[train], PENALTIES[int(np.argmin(errors))])
        expected[~train] = model.predict(features[~train])
    assert np.array_equal(LinearProbe(features, labels, folds).decide(features), expected)


@pytest.mark.parametrize("signal", [1e-7, 1e-12])
def test_embeddings_that_are_all_but_equal_are_told_apart(signal):
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
)
def test_folds_keep_exemplars_whole_and_hold_each_class(pairs, most):
    classes = np.array([kind for kind, _ in pairs])
    groups = np.array([10 * kind + exemplar for kind, exemplar in pairs])
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


def test_classes_with_one_exemplar_take_no_part():
    classes, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 3, 4, 4])
    folds = probe_folds(classes, groups)
    probe = LinearProbe(np.eye(6), classes, folds)
    assert (probe.decide(np.eye(6)) == -1).tolist() == [False] * 4 + [True] * 2
    none = LinearProbe(np.eye(2), [0, 1], probe_folds([0, 1]))
    assert none.decide(np.eye(2)).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("features", "classes"),
    [(np.ones(3), [0, 1, 0]), (np.ones((2, 2)), [0]), (np.full((2, 2), np.nan), [0, 1])],
)
def test_other_shapes_and_nan_are_refused(features, classes):
    with pytest.raises(MetricError):
        LinearProbe(features, classes, np.zeros(len(classes)))
