"""The worlds of the second study: what differs between two of them, and what does not."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hf_clipdyn.data.sets.crossed_world import EASY, HARD, SEEDS, TUNING_SEEDS, CrossedWorld
from hf_clipdyn.data.sets.procedural import Procedural
from hf_clipdyn.study import Study

_CONFIGS = {config.name: config for config in CrossedWorld.BUILDER_CONFIGS}


def _rows(tmp_path: Path, name: str, split: str, n: int = 8) -> list[dict[str, Any]]:
    builder = CrossedWorld(config_name=name, cache_dir=tmp_path)
    assert builder.splits() == [split]
    return list(itertools.islice(builder.rows(split), n))


def _images(rows: list[dict[str, Any]]) -> list[bytes]:
    return [row["image"]["bytes"] for row in rows]


def test_ease_and_reliability_are_crossed_and_every_seed_has_images_of_its_own():
    settings = {
        (name, percent, seed): (one.texture_contrast, one.texture_reliability, one.images)
        for name, percent in itertools.product(("easy", "hard"), (80, 100))
        for seed in (*TUNING_SEEDS, *SEEDS)
        for one in [_CONFIGS[f"{name}_{percent}_seed{seed}"]]
    }
    assert len(set(settings.values())) == len(settings) == 4 * (len(SEEDS) + 2)
    crossed = Counter((contrast, reliability) for contrast, reliability, _ in settings.values())
    assert set(crossed) == set(itertools.product((EASY, HARD), (0.8, 1.0)))
    assert _CONFIGS["easy_80_noise_seed30"].extra_noise == 0.1


def test_easy_and_hard_worlds_show_the_same_scenes(tmp_path: Path):
    easy, hard = (_rows(tmp_path, f"{name}_80_seed30", "train") for name in ("easy", "hard"))
    assert [row["captions"] for row in easy] == [row["captions"] for row in hard]
    assert _images(easy) != _images(hard)
    assert not set(_images(easy)) & set(_images(_rows(tmp_path, "easy_80_seed31", "train")))


def test_a_seed_that_is_not_given_leaves_the_images_of_the_first_study(tmp_path: Path):
    first = Procedural(config_name="study", cache_dir=tmp_path).rows("train")
    assert list(itertools.islice(first, 3)) == _rows(tmp_path, "easy_80_seed0", "train", 3)


@pytest.mark.parametrize("name", ["labels", "cue_conflict"])
def test_test_images_are_new_and_about_2000(tmp_path: Path, name: str):
    before = Procedural(config_name=name, cache_dir=tmp_path).rows("test")
    assert not set(_images(list(itertools.islice(before, 8)))) & set(_images(_rows(tmp_path, name, "test")))
    config = _CONFIGS[name]
    assert (config.test_size, 56 * config.conflicts_per_pair) == (2_000, 2_016)


@pytest.mark.parametrize(("cue", "shapes", "textures"), [("texture", False, True), ("shape", True, False)])
def test_one_cue_alone_is_informative(cue: str, shapes: bool, textures: bool):
    for contrast in (70, 35, 25, 15):
        config = _CONFIGS[f"{cue}_alone_{contrast}_seed1"]
        assert (config.shape_reliability == 1, config.texture_reliability == 1) == (shapes, textures)
        assert min(config.shape_reliability, config.texture_reliability) == 1 / 8
        assert config.texture_contrast == pytest.approx(contrast / 100)


def test_the_study_of_the_worlds_has_56_runs_with_images_of_their_seeds():
    members = Study.read("worlds").members
    assert len(members) == 56
    arms = Counter(member.config.arm for member in members)
    assert arms == {"": 16, "noise": 16, "easy-100": 8, "hard-80": 8, "hard-100": 8}
    for member in members:
        name = f"{(member.config.arm or 'easy-80').replace('-', '_')}"
        world = "easy_80_noise" if name == "noise" else name
        assert member.config.dataset_config_name == f"{world}_seed{member.config.seed}"
        assert member.config.dataset_config_name in _CONFIGS
    shares = {int(step) / 2000 for step in members[0].config.publish.split(",")} | {0.1, 0.2, 0.3, 0.4, 0.5}
    assert shares == {at / 20 for at in range(1, 11)}


def test_the_ease_of_both_cues_is_measured_on_the_tuning_seeds_alone():
    members = Study.read("world-tuning").members
    assert {member.config.seed for member in members} == set(TUNING_SEEDS)
    assert {member.config.dataset_config_name for member in members} <= set(_CONFIGS)
