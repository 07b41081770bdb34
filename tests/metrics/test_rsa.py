"""Alignment of matrices of dissimilarities: SciPy, a loop that leaves one image out, and the published numbers."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hf_clipdyn.metrics.rsa import noise_ceiling, rsa, rsa_of_models


def spearman(x, y):
    return stats.spearmanr(x, y).statistic


@pytest.fixture
def data():
    """Nine images, four people, a model with many ties."""
    rng = np.random.default_rng(0)
    model = rng.integers(0, 5, 36).astype(float)
    return model, model + rng.normal(0, 3, (4, 36)).round()


def test_values_are_those_of_scipy(data):
    model, people = data
    found = rsa(model, people)
    assert found.facts["by_person"] == pytest.approx([spearman(model, person) for person in people])
    assert found["alignment"].value == pytest.approx(np.mean(found.facts["by_person"]))
    assert (found["alignment"].n, found.facts["n_images"], found.facts["n_people"]) == (36, 9, 4)


def test_the_ceiling_leaves_each_person_out_of_the_lower_bound_only(data):
    _, people = data
    ranks = stats.rankdata(people, axis=1)
    lower = [spearman(person, np.delete(ranks, at, axis=0).mean(axis=0)) for at, person in enumerate(people)]
    ceiling = noise_ceiling(people)
    assert ceiling["lower"] == pytest.approx(np.mean(lower))
    assert ceiling["upper"] == pytest.approx(np.mean([spearman(one, ranks.mean(axis=0)) for one in people]))
    pairs = [spearman(one, other) for one, other in combinations(people, 2)]
    assert ceiling["pairwise"] == pytest.approx(np.mean(pairs))


def test_an_image_contributes_what_leaving_it_out_changes_and_a_person_what_is_beyond_the_mean(data):
    model, people = data
    found = rsa(model, people)
    cells = found["alignment"].influence.reshape(9, 4)
    first, second = np.triu_indices(9, 1)
    left_out = np.array(
        [
            np.mean([spearman(model[kept], person[kept]) for person in people])
            for kept in ((first != image) & (second != image) for image in range(9))
        ]
    )
    assert cells.sum(axis=1) == pytest.approx((left_out.mean() - left_out) * 8 / 9)
    of_people = np.subtract(found.facts["by_person"], found["alignment"].value)
    assert cells.sum(axis=0) == pytest.approx(of_people / 4)


PUBLISHED = {
    "model_animacy": 0.3776,
    "monkey_it": 0.2714,
    "model_hmax": 0.1613,
    "model_v1": 0.0693,
}
ERRORS = {"model_hmax": (0.038, 0.014, 0.038), "model_animacy": (0.027, 0.038, 0.045)}
"""Published standard errors over images, people and both."""


def test_the_published_matrices_have_their_published_alignment_and_standard_errors(real_data):
    matrices = np.load(real_data("objects92") / "rdms.npz")
    people = matrices["behaviour"]
    found = dict(zip(PUBLISHED, rsa_of_models([matrices[name] for name in PUBLISHED], people), strict=True))
    values = {name: round(one["alignment"].value, 4) for name, one in found.items()}
    assert values == PUBLISHED
    ceiling = noise_ceiling(people)
    assert [round(ceiling[name], 4) for name in ("lower", "upper", "pairwise")] == [0.4770, 0.5767, 0.3438]
    for name, published in ERRORS.items():
        cells = found[name]["alignment"].influence.reshape(92, -1)
        images, persons, both = (
            np.square(part).sum() for part in (cells.sum(axis=1), cells.sum(axis=0), cells)
        )
        errors = np.sqrt([images, persons, images + persons - both])
        assert errors == pytest.approx(published, abs=0.004)
