"""Do 95 % intervals of the cue preference cover where exemplars are shared as in the real images?

Exemplars are drawn again and again from normal models, which exemplars meet which stays. The ordinary run
draws a few times, `make test-slow` a thousand times; seeds are fixed.
"""

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.vectors import unit
from hf_clipdyn.metrics.cue_preference import triplet_preferences
from hf_clipdyn.metrics.scores import interval, over


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


SPREADS = [(1, 1, 1, 1), (2, 2, 0.5, 1), (0.3, 1, 0.3, 1), (1, 1, 0.3, 0.1)]


@pytest.mark.parametrize(
    ("spread", "n_draws", "least"),
    [(SPREADS[0], 40, 0.86), *(pytest.param(one, 500, 0.92, marks=pytest.mark.slow) for one in SPREADS)],
)
def test_cue_preference_covers_for_the_exemplars_of_the_test_images(quarter, spread, n_draws, least):
    assert preference_coverage(quarter, spread, n_draws) >= least
