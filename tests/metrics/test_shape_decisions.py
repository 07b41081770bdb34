"""The two protocols that turn class scores into one of the 16 categories."""

import numpy as np

from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES, IMAGENET_CATEGORIES, shape_decisions

PUBLISHED_SIZES = {
    "airplane": 1,
    "bear": 4,
    "bicycle": 2,
    "bird": 49,
    "boat": 5,
    "bottle": 7,
    "car": 3,
    "cat": 6,
}
PUBLISHED_SIZES |= {"chair": 4, "clock": 3, "dog": 109, "elephant": 2, "keyboard": 2, "knife": 1, "oven": 1}
PUBLISHED_SIZES |= {"truck": 8}


def test_the_categories_have_the_published_sizes_and_share_no_class():
    assert {name: len(indices) for name, indices in IMAGENET_CATEGORIES.items()} == PUBLISHED_SIZES
    everything = [index for indices in IMAGENET_CATEGORIES.values() for index in indices]
    assert len(set(everything)) == len(everything)
    assert tuple(IMAGENET_CATEGORIES) == GEIRHOS_CLASSES


def test_sixteen_way_takes_the_highest_score():
    scores = np.random.default_rng(0).normal(size=(50, 16))
    expected = [GEIRHOS_CLASSES[max(range(16), key=lambda j: row[j])] for row in scores]
    assert shape_decisions(scores) == expected


def test_thousand_way_takes_the_highest_mean_probability_of_a_loop():
    scores = np.random.default_rng(1).normal(scale=4, size=(50, 1000))
    expected = []
    for row in scores:
        probabilities = np.exp(row) / np.exp(row).sum()
        means = {
            name: np.mean([probabilities[i] for i in found]) for name, found in IMAGENET_CATEGORIES.items()
        }
        expected.append(max(means, key=means.__getitem__))
    assert shape_decisions(scores, protocol="1000-way") == expected
