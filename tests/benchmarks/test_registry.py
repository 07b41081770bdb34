"""Kinds are found by themselves, and names mean what the command line says."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from hf_clipdyn.benchmarks import registry
from hf_clipdyn.benchmarks.kind import KindSettings
from hf_clipdyn.benchmarks.kinds.noise import Noise, NoiseSettings
from hf_clipdyn.benchmarks.kinds.retrieval import RetrievalSettings
from hf_clipdyn.benchmarks.registry import (
    parse_benchmark,
    relations,
    select_benchmarks,
    suite,
    suite_names,
    suite_relations,
)
from hf_clipdyn.benchmarks.vectors import cosine_distance
from hf_clipdyn.errors import ConfigError, UnknownNameError


def names(*arguments, **keywords):
    return [one.name for one in select_benchmarks(*arguments, **keywords)]


def test_every_suite_names_each_benchmark_once_and_its_data_set_fits():
    assert suite_names() == ["dynamics", "embedded", "full", "human", "paper"]
    for name in suite_names():
        assert len(set(suite(name))) == len(suite(name))
        assert [parse_benchmark(one).name for one in suite(name)] == suite(name)
        assert names(name) == suite(name)
    assert {one.rpartition("/")[2] for one in suite("embedded")} == {"procedural"}, "without a download"
    assert sorted(suite_relations("dynamics")) == list(relations())
    assert suite_relations("embedded") == []


def test_a_suite_has_settings_for_calls_that_give_none_of_the_kind(monkeypatch):
    entries = [{"noise/procedural": {"conditions": ["gaussian", "grey"]}}, "zero_shot/procedural"]
    monkeypatch.setattr(registry, "_suites", lambda: {"mine": entries})
    assert suite("mine") == ["noise/procedural", "zero_shot/procedural"]
    noise, _ = select_benchmarks("mine")
    assert noise.settings == NoiseSettings(conditions=("gaussian", "grey"))
    for given in (NoiseSettings(stage="input"), NoiseSettings()):  # also if these are the defaults
        noise, _ = select_benchmarks("mine", settings={"noise": given})
        assert noise.settings == given
    (noise,) = select_benchmarks("mine", ["noise/procedural"])
    assert noise.settings == NoiseSettings(), "a name is asked for on its own"
    with pytest.raises(UnknownNameError, match="embedded"):
        select_benchmarks("embedded")


def test_a_full_name_need_not_be_in_the_suite_and_patterns_also_choose_what_fits_the_given_folders():
    assert names("embedded", ["noise/cifar10", "noise"]) == ["noise/cifar10", "noise/procedural"]
    assert names("embedded", ["noise", "noise/cifar*", "zero_*/cifar*"], data_dirs=["cifar10"]) == [
        "noise/procedural",
        "noise/cifar10",
        "zero_shot/cifar10",
    ]


def test_settings_of_a_kind_are_those_of_its_benchmarks_that_are_given_by_name():
    settings = {"noise": NoiseSettings(stage="input")}
    wanted = ["noise/cifar10", Noise.on("cifar100", sigmas=(0.1,)), "zero_shot/cifar10"]
    first, second, _ = select_benchmarks("embedded", wanted, settings)
    assert first.settings == NoiseSettings(stage="input")
    assert second.settings == NoiseSettings(sigmas=(0.1,))


@pytest.mark.parametrize(
    ("wanted", "keywords", "subject"),
    [
        (["saturn*"], {}, r"saturn\*"),
        (["niose/cifar10"], {}, "'noise'"),
        (["noise/cifar"], {}, "'noise/cifar10'"),
        ([Noise.on("nights")], {}, "noise/nights"),
        (["noise"], {"settings": {"nosie": NoiseSettings()}}, "nosie"),
        (["noise"], {"settings": {"noise": RetrievalSettings()}}, "NoiseSettings"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(wanted, keywords, subject):
    with pytest.raises(ConfigError, match=subject):
        select_benchmarks("embedded", wanted, **keywords)


def test_cosine_distance_keeps_its_digits_where_all_vectors_are_nearly_equal():
    base = np.ones(64)
    near = base.copy()
    near[0] += 1e-7
    expected = 0.5 * (1e-14 / 64) * (1 - 1 / 64)
    assert cosine_distance(base, near) == pytest.approx(expected, rel=1e-4, abs=0)


def test_a_settings_key_leaves_out_paths_and_keeps_what_left():
    class Settings(KindSettings):
        gone: ClassVar = {"published": False}
        folder: Path | None = Path("here")
        names: tuple[str, ...] | None = None
        grey: bool = False

    class OnlySet(Settings):
        gone: ClassVar = {}
        only_set = True

    assert Settings().in_key() == {"published": False, "grey": False}
    assert OnlySet().in_key() == {}
