"""Alignment of matrices of dissimilarities: SciPy and brute force, literal resampling, and the published numbers."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.representational_similarity import (
    METHODS,
    Variances,
    noise_ceiling,
    representational_similarity,
    similarities_with_people,
    similarity_influences,
)


def brute_tau_a(x, y):
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(len(x)), 2)]
    return np.mean(signs)


ALONE = {
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "tau_a": brute_tau_a,
}


@pytest.fixture
def data():
    """Nine images, four people, a model with many ties."""
    rng = np.random.default_rng(0)
    model = rng.integers(0, 5, 36).astype(float)
    return model, model + rng.normal(0, 3, (4, 36)).round()


@pytest.mark.parametrize("method", METHODS)
def test_values_are_those_of_scipy_and_brute_force(data, method):
    model, people = data
    result = representational_similarity(model, people, method=method, n_resamples=0)
    assert result["by_person"] == pytest.approx([ALONE[method](model, person) for person in people])
    assert result["alignment"] == pytest.approx(np.mean(result["by_person"]))
    assert (result["n"], result["n_images"], result["n_people"]) == (36, 9, 4)


@pytest.mark.parametrize("method", METHODS)
def test_within_groups_is_the_mean_of_the_groups(data, method):
    model, people = data
    groups = list("aaaabbbbc")  # one image alone has no pairs
    first, second = np.triu_indices(9, 1)
    parts = [[p for p in range(36) if groups[first[p]] == groups[second[p]] == name] for name in "ab"]
    expected = np.mean([[ALONE[method](model[part], person[part]) for part in parts] for person in people])
    result = representational_similarity(model, people, method=method, groups=groups, n_resamples=0)
    assert result["alignment"] == pytest.approx(expected)
    assert result["n"] == 12


@pytest.mark.parametrize("method", METHODS)
def test_the_ceiling_leaves_each_person_out_of_the_lower_bound_only(data, method):
    _, people = data
    level = stats.zscore if method == "pearson" else stats.rankdata
    levels = level(people, axis=1)
    lower = [
        ALONE[method](person, np.delete(levels, at, axis=0).mean(axis=0)) for at, person in enumerate(people)
    ]
    ceiling = noise_ceiling(people, method=method)
    assert ceiling["lower_by_person"] == pytest.approx(lower)
    assert ceiling["upper"] == pytest.approx(
        np.mean([ALONE[method](one, levels.mean(axis=0)) for one in people])
    )
    pairs = [ALONE[method](one, other) for one, other in combinations(people, 2)]
    assert ceiling["pairwise"] == pytest.approx(np.mean(pairs))


def drawn_literally(models, people, alone, n_images, draws):
    """Values with drawn images and all people, and with drawn people too, (draws, 2, models)."""
    rng = np.random.default_rng(1)
    place = np.zeros((n_images, n_images), int)
    place[np.triu_indices(n_images, 1)] = np.arange(people.shape[1])
    place += place.T
    found = []
    for _ in range(draws):
        images = rng.integers(0, n_images, n_images)
        pairs = [place[i, j] for i, j in combinations(images, 2) if i != j]
        table = np.array([[alone(model[pairs], person[pairs]) for person in people] for model in models])
        some = rng.integers(0, len(people), len(people))
        found.append((table.mean(axis=1), table[:, some].mean(axis=1)))
    return np.array(found)


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_variances_are_those_of_literally_drawn_images_and_people(method):
    rng = np.random.default_rng(2)
    n = 20
    truth = rng.normal(size=(n, 3))
    first, second = np.triu_indices(n, 1)
    distances = np.linalg.norm(truth[first] - truth[second], axis=1)
    people = distances + rng.normal(0, 1, (5, len(distances)))
    model = distances + rng.normal(0, 1, len(distances))
    alone = {"spearman": ALONE["spearman"], "pearson": lambda x, y: np.corrcoef(x, y)[0, 1]}[method]
    literal = drawn_literally([model], people, alone, n, 300)[:, :, 0].var(axis=0)
    found = representational_similarity(model, people, method=method, n_resamples=2000)
    variances = found["variances"]
    assert [variances.images, variances.both] == pytest.approx(literal, rel=0.25)
    assert variances.people == pytest.approx(np.var(found["by_person"]) / 5)


def test_the_jackknife_of_tau_a_leaves_one_image_out_in_turn(data):
    model, people = data
    first, second = np.triu_indices(9, 1)
    left_out = []
    for image in range(9):
        kept = (first != image) & (second != image)
        left_out.append(np.mean([brute_tau_a(model[kept], person[kept]) for person in people]))
    expected = 8 / 9 * np.square(np.array(left_out) - np.mean(left_out)).sum()
    variances = representational_similarity(model, people, method="tau_a")["variances"]
    assert variances.images == pytest.approx(expected)
    alone = [brute_tau_a(model, person) for person in people]
    assert variances.people == pytest.approx(np.var(alone) / len(people))


def test_the_corrected_variance_stays_between_its_bounds():
    assert Variances(images=1.0, people=1.0, both=3.0).corrected == 1.0
    assert Variances(images=1.0, people=1.0, both=2.5).corrected == 1.5
    assert Variances(images=1.0, people=0.1, both=1.05).corrected == 1.05
    assert Variances(images=2.0, people=0.1, both=4.0).corrected == 2.0


@pytest.mark.parametrize("method", METHODS)
def test_what_an_image_contributes_is_what_leaving_it_out_changes(data, method):
    model, people = data
    (found,) = similarity_influences([model], people, method=method)
    first, second = np.triu_indices(9, 1)
    left_out = np.array(
        [
            representational_similarity(model[kept], people[:, kept], method=method, n_resamples=0)[
                "by_person"
            ]
            for kept in ((first != image) & (second != image) for image in range(9))
        ]
    )
    assert found == pytest.approx((left_out.mean(axis=0) - left_out) * 8 / 9)


def test_constant_dissimilarities_are_undefined_with_a_cause(data):
    result = representational_similarity(np.ones(36), data[1])
    assert np.isnan(result["alignment"])
    assert result["causes"] == {"alignment": "the dissimilarities are constant"}
    assert np.isnan(result["alignment_ci"]).all()


@pytest.mark.parametrize(
    ("predictions", "references", "keywords", "says"),
    [
        (np.ones(35), np.ones((2, 35)), {}, "do not form the upper triangle"),
        (np.ones(36), np.ones((2, 28)), {}, "give the same pairs"),
        (np.full(36, np.nan), np.ones((2, 36)), {}, "must be finite, but 36"),
        (np.ones(36), np.ones(36), {}, "one row for each matrix"),
        (np.ones(36), [["a"]], {}, "must be numbers"),
        (np.ones(36), np.ones((2, 36)), {"method": "tau_b"}, "spearman, tau_a, pearson"),
        (np.ones(36), np.ones((2, 36)), {"groups": ["a"]}, "one name for each of the 9"),
        (np.ones(36), np.ones((2, 36)), {"groups": list("aabbccdde")}, "fewer than three"),
    ],
)
def test_wrong_input_is_one_sentence(predictions, references, keywords, says):
    with pytest.raises(MetricError, match=says):
        representational_similarity(predictions, references, **keywords)


def test_a_ceiling_needs_two_people():
    with pytest.raises(MetricError, match="at least two"):
        noise_ceiling(np.arange(36.0)[None])


# Spearman's and Pearson's correlation; the kind's slow test has the whole table.
PUBLISHED = {
    "model_animacy": (0.3776, 0.3777),
    "monkey_it": (0.2714, 0.3239),
    "model_hmax": (0.1613, 0.1495),
    "model_v1": (0.0693, 0.0695),
}


def test_the_published_matrices_have_their_published_alignment(real_data):
    held = np.load(real_data("objects92") / "rdms.npz")
    people = held["behaviour"]
    for column, method in enumerate(("spearman", "pearson")):
        results = similarities_with_people(
            [held[name] for name in PUBLISHED], people, method=method, n_resamples=0
        )
        found = [round(result["alignment"], 4) for result in results]
        assert found == [published[column] for published in PUBLISHED.values()]
    ceiling = noise_ceiling(people)
    assert [round(ceiling[name], 4) for name in ("lower", "upper", "pairwise")] == [0.4770, 0.5767, 0.3438]
    assert round(noise_ceiling(people, method="pearson")["lower"], 4) == 0.5718
