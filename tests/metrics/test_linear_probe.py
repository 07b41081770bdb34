"""The linear probe: its penalty, exemplars that stay whole, and the corners."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeClassifier, RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hf_clipdyn.metrics.linear_probe import PENALTIES, LinearProbe, decide_crossed, probe_folds


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


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("n", "d"), [(300, 20), (60, 60), (40, 200)])
def test_it_decides_as_scikit_learn_does(n, d, classes):
    features, labels = blobs(1, n, d, classes, signal=0.4)
    unseen = blobs(2, 500, d, classes, signal=0.4)[0]
    reference = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=n * np.array(PENALTIES)))
    expected = reference.fit(features, labels).predict(unseen)
    assert len(set(expected)) == classes
    rows, folds = np.concatenate([features, unseen]), np.repeat([0, 1], [n, 500])
    probe = LinearProbe(rows, np.concatenate([labels, np.arange(500) % classes]), folds)
    assert np.array_equal(probe.decide(rows)[n:], expected)


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


def procedural_names(classes=8, exemplars=12, per_pair=18):
    """The crossing of the synthetic cue-conflict images, (shape exemplar, texture exemplar)."""
    return [
        (
            f"{chr(97 + i)}{(k + j * per_pair) % exemplars}",
            f"{chr(97 + j)}{(k + k // exemplars + i * per_pair) % exemplars}",
        )
        for i in range(classes)
        for j in range(classes)
        if i != j
        for k in range(per_pair)
    ]


def official_names(real_data):
    """All 1,200 conflicts as the observers saw them."""
    trials = real_data("cue-conflict-human-trials").rglob("*.csv")
    names = {name for file in trials for name in re.findall(r"([a-z]+\d+-[a-z]+\d+)\.png", file.read_text())}
    pairs = [tuple(name.split("-")) for name in sorted(names)]
    return [pair for pair in pairs if class_of(pair[0]) != class_of(pair[1])]


def class_of(exemplar):
    return exemplar.rstrip("0123456789")


@pytest.fixture(params=["procedural", "official"])
def crossing(request, real_data):
    """Columns of a set of conflicts: codes of shape, shape exemplar, texture, texture exemplar."""
    names = procedural_names() if request.param == "procedural" else official_names(real_data)
    assert len(names) == {"procedural": 1008, "official": 1200}[request.param]
    exemplars = [np.array(column) for column in zip(*names, strict=True)]
    classes = [np.array([class_of(name) for name in column]) for column in exemplars]
    known = np.unique(classes)
    return {
        "shape": np.searchsorted(known, classes[0]),
        "texture": np.searchsorted(known, classes[1]),
        "shape_exemplar": exemplars[0],
        "texture_exemplar": exemplars[1],
    }


def read(features, crossing, cue):
    other = "texture" if cue == "shape" else "shape"
    columns = (cue, f"{cue}_exemplar", other, f"{other}_exemplar")
    return decide_crossed(features, *(crossing[column] for column in columns))


def vectors(codes, seed, n=32):
    codes = np.unique(codes, return_inverse=True)[1]
    return np.random.default_rng(seed).normal(size=(codes.max() + 1, n))[codes]


def noise(crossing, size):
    return size * np.random.default_rng(9).normal(size=(len(crossing["shape"]), 32))


@pytest.mark.parametrize("cue", ["shape", "texture"])
@pytest.mark.parametrize("size", [0.0, 0.2])
def test_a_code_of_one_cue_is_at_chance_for_the_other(cue, size, crossing):
    """A plain probe of shapes reads .003 from a code of textures, since no image has both of one class."""
    other = "texture" if cue == "shape" else "shape"
    n, n_classes = len(crossing["shape"]), crossing["shape"].max() + 1
    chance, error = 1 / (n_classes - 1), np.sqrt(1 / n_classes / n)
    for code in (other, f"{other}_exemplar"):
        features = vectors(crossing[code], seed=1) + noise(crossing, size)
        accuracy = np.mean(read(features, crossing, cue) == crossing[cue])
        assert abs(accuracy - chance) < 4 * error, (code, accuracy)
    own = vectors(crossing[other], seed=1) + noise(crossing, size)
    assert np.mean(read(own, crossing, other) == crossing[other]) >= 1 - size


@pytest.mark.parametrize("cue", ["shape", "texture"])
def test_both_cues_are_decoded_from_a_code_of_both_and_none_from_a_code_of_neither(cue, crossing):
    n, n_classes = len(crossing["shape"]), crossing["shape"].max() + 1
    one_space = np.eye(n_classes)  # shape and texture on the same axes, the other cue five times as strong
    other = "texture" if cue == "shape" else "shape"
    both = one_space[crossing[cue]] + 5 * one_space[crossing[other]]
    assert np.mean(read(both, crossing, cue) == crossing[cue]) > 0.95
    for neither in (np.ones((n, 3)), noise(crossing, 1.0)):
        accuracy = np.mean(read(neither, crossing, cue) == crossing[cue])
        assert abs(accuracy - 1 / (n_classes - 1)) < 4 * np.sqrt(1 / n_classes / n)


@pytest.mark.parametrize("cue", ["shape", "texture"])
def test_memorised_exemplars_do_not_reveal_a_class(cue, crossing):
    features = np.hstack([vectors(crossing[f"{one}_exemplar"], seed=2) for one in ("shape", "texture")])
    accuracy = np.mean(read(features, crossing, cue) == crossing[cue])
    # One draw of random vectors scatters around chance: the exemplars are the sample, not the images.
    assert accuracy < 2.5 / (crossing["shape"].max() + 1)


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
