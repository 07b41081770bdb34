"""Kinds are found by themselves, and names mean what the command line says."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.base import cosine_distance, unit
from hf_clipdyn.benchmarks.registry import benchmark_class, kinds, select_benchmarks, suite
from hf_clipdyn.data.registry import dataset_names
from hf_clipdyn.errors import UnknownNameError


def test_the_embedded_suite_holds_what_needs_no_download():
    assert {
        "shape_bias/procedural",
        "noise/procedural",
        "distortion/procedural",
        "zero_shot/procedural",
    } <= set(suite("embedded"))
    assert all(name.endswith("/procedural") for name in suite("embedded"))


def test_every_suite_names_data_sets_that_exist_and_fit():
    for name in ("embedded", "paper", "full"):
        for benchmark in suite(name):
            assert benchmark.partition("/")[2] in dataset_names()
            assert benchmark_class(benchmark) is kinds()[benchmark.partition("/")[0]]


def test_every_kind_is_documented_and_found_by_its_name():
    for name, kind in kinds().items():
        assert kind.kind == name
        assert kind.__doc__
        assert "Trials:" in kind.__doc__


def test_a_full_name_need_not_be_in_the_suite():
    assert select_benchmarks("embedded", ["noise/cifar10", "noise"]) == ["noise/cifar10", "noise/procedural"]


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UnknownNameError, match=r"matches 'saturn\*'"):
        select_benchmarks("embedded", ["saturn*"])


def test_cosine_distance_keeps_its_digits_where_all_vectors_are_nearly_equal():
    base = np.ones(64)
    near = base.copy()
    near[0] += 1e-7
    expected = 0.5 * (1e-14 / 64) * (1 - 1 / 64)
    assert cosine_distance(base, near) == pytest.approx(expected, rel=1e-4, abs=0)


def test_a_zero_vector_stays_zero():
    assert unit([[0.0, 0.0], [3.0, 4.0]]).tolist() == [[0, 0], [0.6, 0.8]]
