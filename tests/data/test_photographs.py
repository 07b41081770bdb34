"""Photographs of any folder, and the ladders that are made of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hf_clipdyn.data.sets.photographs import Photographs
from hf_clipdyn.data.synthetic_distortions import DISTORTIONS, LEVELS, distortion_ladder, load_photograph
from hf_clipdyn.errors import DatasetError

Load = Callable[..., Any]


def save(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    smooth = np.kron(rng.integers(40, 216, (5, 5, 3)), np.ones((height // 5 + 1, width // 5 + 1, 1)))
    Image.fromarray(smooth[:height, :width].astype(np.uint8)).save(path)
    return path


def rows_of(folder: Path, cache: Path, **settings: Any) -> list[dict[str, Any]]:
    builder = Photographs(data_dir=folder, cache_dir=cache, **settings)
    builder.download_and_prepare()
    return list(builder.as_dataset("test"))


def test_every_photograph_gets_all_distortions_at_all_levels(load: Load, tmp_path: Path) -> None:
    save(tmp_path / "set" / "b.png")
    save(tmp_path / "set" / "dogs" / "a.png", seed=1)
    dataset = load("photographs", data_dir=tmp_path / "set", split="test")
    assert len(dataset) == 2 * len(DISTORTIONS) * len(LEVELS)
    assert list(dict.fromkeys(dataset["reference_id"])) == ["b.png", "dogs/a.png"]
    assert set(zip(dataset["distortion"], dataset["level"], strict=True)) == {
        (name, level) for name in DISTORTIONS for level in LEVELS
    }
    reference = np.asarray(Image.open(tmp_path / "set" / "b.png"))
    for row in dataset.select(range(25)):
        assert np.array_equal(np.asarray(row["reference"]), reference)
        assert row["distorted"].size == row["reference"].size


def test_each_step_of_a_ladder_is_further_from_the_reference() -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((5, 5, 1))).astype(np.uint8)
    rows = list(distortion_ladder(image, "one", rng))
    for name, distort in DISTORTIONS.items():
        errors = [np.square(distort(image, level, rng) - image.astype(float)).mean() for level in LEVELS]
        assert errors == sorted(errors), name
        assert errors[0] > 0
    assert len(rows) == 25


def test_so_many_are_drawn_and_keep_their_noise_in_a_larger_folder(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "set" / f"{number}.png", seed=number)
    all_six = rows_of(tmp_path / "set", tmp_path / "cache")
    three = rows_of(tmp_path / "set", tmp_path / "cache", references=3)
    again = rows_of(tmp_path / "set", tmp_path / "cache2", references=3)
    assert len({row["reference_id"] for row in three}) == 3
    assert [row["distorted"] for row in three] == [row["distorted"] for row in again]
    names = {row["reference_id"] for row in three}
    same = [row for row in all_six if row["reference_id"] in names]
    assert [row["distorted"] for row in same] == [row["distorted"] for row in three]
    other = rows_of(tmp_path / "set", tmp_path / "cache", references=3, seed=5)
    assert [row["distorted"] for row in other] != [row["distorted"] for row in three]


def test_large_photographs_are_reduced_to_one_scale_and_small_ones_left_alone(tmp_path: Path) -> None:
    large = load_photograph(str(save(tmp_path / "large.png", 400, 300)), 150)
    assert large.shape == (150, 200, 3)
    assert load_photograph(str(save(tmp_path / "small.png", 40, 30)), 150).shape == (30, 40, 3)
    save(tmp_path / "set" / "x.png", 400, 300)
    assert rows_of(tmp_path / "set", tmp_path / "cache", side=60)[0]["distorted"].size == (80, 60)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_grey_transparent_and_indexed_pictures_become_colours(mode: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 12), (200, 100, 50)).convert(mode).save(tmp_path / "x.png")
    assert load_photograph(str(tmp_path / "x.png"), 256).shape == (12, 20, 3)


def test_a_cut_photograph_is_an_error_that_names_it(load: Load, tmp_path: Path) -> None:
    path = save(tmp_path / "set" / "cut.jpg", 200, 200)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DatasetError, match=r"cut\.jpg cannot be decoded"):
        load("photographs", data_dir=tmp_path / "set")


def test_a_folder_without_images_is_an_error(load: Load, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="photographs"):
        load("photographs", data_dir=tmp_path / "set")


def test_a_hopeless_setting_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "set" / "x.png")
    with pytest.raises(DatasetError, match="at least 1"):
        Photographs(data_dir=tmp_path / "set", cache_dir=tmp_path / "cache", references=0)


def test_real_photographs_get_ladders(load: Load, real_data: Callable[[str], Path], tmp_path: Path) -> None:
    for path in sorted((real_data("flickr8k") / "Images").glob("*.jpg"))[:5]:
        shutil.copy(path, tmp_path)
    dataset = load("photographs", data_dir=tmp_path, split="test")
    assert len(dataset) == 125
    assert dataset[0]["reference"].size == (224, 224)
