"""How the cause of a NaN reaches the caller."""

import warnings

import numpy as np

from hf_clipdyn.metrics import undefined


def test_causes_are_collected_by_the_key_that_is_nan_and_not_shown():
    with undefined.undefined_causes() as causes:
        value = undefined.undefined(("srcc", "krcc"), "the predictions are constant")
    assert np.isnan(value)
    assert causes == dict.fromkeys(("srcc", "krcc"), "the predictions are constant")


def test_the_cause_is_collected_again_when_it_occurs_again():
    for _ in range(2):
        with undefined.undefined_causes() as causes:
            undefined.undefined("srcc", "the references are constant")
        assert causes


def test_warnings_of_other_kinds_are_passed_on():
    def collect():
        with undefined.undefined_causes() as causes:
            warnings.warn("old", FutureWarning, stacklevel=1)
        return causes

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert collect() == {}
    assert [str(warning.message) for warning in caught] == ["old"]
