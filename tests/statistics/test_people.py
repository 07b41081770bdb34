"""The interval of people's shape bias beside a model's."""

import math

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.people import people_variance, with_people

_ESTIMATE = Estimate(value=0.2, ci_low=0.1, ci_high=0.3, standard_error=0.03, degrees_of_freedom=4.0)


def _answers(rng: np.random.Generator, observers: int, exemplars: int = 6) -> pd.DataFrame:
    """Observers who answer the shape as often as they and the image's exemplars make it likely."""
    hard = rng.normal(0, 0.05, size=(2, exemplars))
    rows = []
    for observer in range(observers):
        own = 0.8 + rng.normal(0, 0.05)
        for shape in range(exemplars):
            for texture in range(exemplars):
                says = rng.random() < own + hard[0, shape] + hard[1, texture]
                rows.append((shape * exemplars + texture, f"s{shape}", f"t{texture}", observer, says))
    table = pd.DataFrame(rows, columns=["item", "shape", "texture", "observer", "says"])
    return table.assign(
        protocol="human",
        shape_exemplar=table["shape"],
        texture_exemplar=table["texture"],
        decision=table["shape"].where(table["says"], table["texture"]),
    )


def test_the_variance_is_that_of_new_images_and_new_observers():
    rng = np.random.default_rng(0)
    tables = [_answers(rng, 8) for _ in range(80)]
    means = [(one["decision"] == one["shape"]).mean() for one in tables]
    stated = np.mean([people_variance(one)[0] for one in tables])
    assert stated == pytest.approx(np.var(means, ddof=1), rel=0.35)
    assert people_variance(tables[0])[1] == 8


def test_an_interval_with_people_is_wider_and_says_when_they_are_left_out():
    answers = _answers(np.random.default_rng(1), 4)
    found = with_people(_ESTIMATE, answers)
    assert found.value == _ESTIMATE.value
    assert found.standard_error > _ESTIMATE.standard_error
    assert found.degrees_of_freedom == 3
    assert found.ci_low < 0.1
    assert found.ci_high > 0.3
    for trials in (None, answers[answers["observer"] == 0], answers.iloc[:0]):
        left_out = with_people(_ESTIMATE, trials)
        assert (left_out.ci_low, left_out.ci_high) == (0.1, 0.3)
        assert "does not include the variation between people" in left_out.notes[0]
    assert math.isnan(people_variance(answers[answers["observer"] == 0])[0])
