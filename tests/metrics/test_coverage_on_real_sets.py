"""Do 95 % intervals cover where images are shared as in the real sets: their own triplets, their own exemplars?

Materials and exemplars are drawn again and again from normal models, which images meet which stays. The ordinary run
draws a few times, `make test-slow` a thousand times; seeds are fixed.
"""

import json

import numpy as np
import pandas as pd
import pytest
from coverage_choices import of_two_afc
from scipy import stats

from hf_clipdyn.benchmarks.vectors import unit
from hf_clipdyn.metrics.cue_preference import triplet_preferences
from hf_clipdyn.metrics.scores import interval, over


def coverage(draw, truth, n_draws):
    """Share of draws whose interval contains the truth."""
    intervals = [draw(np.random.default_rng(seed)) for seed in range(n_draws)]
    return np.mean([low <= truth <= high for low, high in intervals])


def interval_of(number):
    return interval(number.value, number.influence, number.scale)


def sample_and_all(names, cases, few, many):
    """Cases with a number of draws and the least coverage: a fast sample of the first in the ordinary run."""
    slow = [pytest.param(*case, many, 0.92, marks=pytest.mark.slow) for case in cases]
    return pytest.mark.parametrize((*names, "n_draws", "least"), [(*cases[0], few, 0.86), *slow])


@pytest.fixture(scope="module")
def materials(real_data):
    """Reference and candidates of the 3,000 test triplets, and the votes of each."""
    path = real_data("material-similarity") / "data" / "answers_processed_test.json"
    content = json.loads(path.read_text())
    return np.array(content["answers"]), np.sum(content["agreement"], axis=1)


def judged(rng, triplets, votes, dimensions, noise):
    """Distances and judgements where people see materials as points, and a model sees them blurred."""
    points = rng.normal(size=(triplets.max() + 1, dimensions))
    seen = points + noise * rng.normal(size=points.shape)

    def distances(places):
        reference, *candidates = places[triplets.T]
        return [np.linalg.norm(reference - candidate, axis=1) for candidate in candidates]

    near, far = distances(points)
    prefer_1 = rng.binomial(votes, stats.norm.cdf((near - far) / 0.7)) / votes
    return *distances(seen), prefer_1


KEYS, BLURS = ("two_afc", "human", "ceiling"), ((3, 0.7), (2, 0.3), (4, 1.0))
CASES = [(key, *blur) for blur in BLURS for key in KEYS]


@sample_and_all(("key", "dimensions", "noise"), CASES, 60, 1000)
def test_two_afc_covers_for_triplets_of_the_hundred_materials(
    materials, key, dimensions, noise, n_draws, least
):
    triplets, votes = materials

    def draw(rng):
        return interval_of(of_two_afc((*judged(rng, triplets, votes, dimensions, noise), triplets))[key])

    other = np.arange(900_000).reshape(-1, 3)  # triplets that share nothing
    many = judged(np.random.default_rng(10**6), other, np.resize(votes, len(other)), dimensions, noise)
    truth = of_two_afc((*many, np.arange(len(other))))[key].value
    assert coverage(draw, truth, n_draws) >= least


def conflicts_of(names):
    rows = pd.DataFrame([name.split("-") for name in names], columns=["shape_exemplar", "texture_exemplar"])
    for cue in ("shape", "texture"):
        rows[cue] = rows[f"{cue}_exemplar"].str.replace(r"\d+", "", regex=True)
    return rows[rows["shape"] != rows["texture"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def quarter(real_data):
    """The 300 conflict images of the test data."""
    return conflicts_of(sorted(path.stem for path in real_data("cue-conflict").rglob("*.png")))


def planted(rng, rows, of_shape, of_texture, of_image, of_class):
    """Embeddings around a common direction, as CLIP's are: classes that stay, exemplars and images that are drawn."""
    classes = np.random.default_rng(7)
    embedding = 10 * np.eye(8)[0] + of_image * rng.normal(size=(len(rows), 8))
    for cue, size in (("shape", of_shape), ("texture", of_texture)):
        embedding += of_class * classes.normal(size=(16, 8))[pd.factorize(rows[cue], sort=True)[0]]
        exemplars = pd.factorize(rows[f"{cue}_exemplar"])[0]
        embedding += size * rng.normal(size=(exemplars.max() + 1, 8))[exemplars]
    return embedding


def preference_coverage(rows, spread, n_draws):
    """Coverage; the truth is the mean of many draws, as the classes stay."""
    exemplars = rows[["shape_exemplar", "texture_exemplar"]].to_numpy()
    cues = [rows[name] for name in ("shape", "texture", "shape_exemplar", "texture_exemplar")]
    values, intervals = [], []
    for seed in range(n_draws):
        preferences, effects = triplet_preferences(
            unit(planted(np.random.default_rng(seed), rows, *spread)), *cues
        )
        anchors = ~np.isnan(preferences)
        values.append(preferences[anchors].mean())
        influence = np.where(anchors, preferences - values[-1], 0.0) + effects
        intervals.append(interval(values[-1], over(influence / anchors.sum(), exemplars), "share"))
    return np.mean([low <= np.mean(values) <= high for low, high in intervals])


SPREADS = [((1, 1, 1, 1),), ((2, 2, 0.5, 1),), ((0.3, 1, 0.3, 1),), ((1, 1, 0.3, 0.1),)]


@sample_and_all(("spread",), SPREADS, 40, 500)
def test_cue_preference_covers_for_the_exemplars_of_the_test_images(quarter, spread, n_draws, least):
    assert preference_coverage(quarter, spread, n_draws) >= least
