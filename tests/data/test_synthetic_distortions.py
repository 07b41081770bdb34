"""The ladders of synthetic distortions."""

import numpy as np

from hf_clipdyn.data.synthetic_distortions import DISTORTIONS, LEVELS, distortion_ladder


def test_each_step_of_a_ladder_is_further_from_the_reference():
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    rows = list(distortion_ladder(image, "one", rng))
    for name, distort in DISTORTIONS.items():
        errors = [np.square(distort(image, level, rng) - image.astype(float)).mean() for level in LEVELS]
        assert errors == sorted(errors), name
        assert errors[0] > 0
    assert len(rows) == 25
