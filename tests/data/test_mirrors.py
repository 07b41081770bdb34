"""Data sets on a Hub: Parquet under other column names, tar shards, official archives."""

import io
import math
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hub_server.server import HubServer
from huggingface_hub import HfApi
from official_trees.captioned import write_shard
from official_trees.images import image_bytes
from PIL import Image

from hf_clipdyn.data import SubsetWarning
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.errors import ConfigError, DatasetError

Load = Callable[..., Any]
Tree = Callable[[str], Path]


def pictures(count: int) -> list[Image.Image]:
    return [Image.open(io.BytesIO(image_bytes(".png", colour=number))) for number in range(count)]


@pytest.fixture
def api(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HfApi:
    """A client of the test Hub, with a cache of its own."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    return HfApi()


def upload(api: HfApi, repo_id: str, files: dict[str, Path]) -> None:
    api.create_repo(repo_id, repo_type="dataset")
    for name, path in files.items():
        api.upload_file(path_or_fileobj=path, path_in_repo=name, repo_id=repo_id, repo_type="dataset")


def parquet(path: Path, columns: dict[str, list[Any]], features: datasets.Features | None = None) -> Path:
    datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    return path


def test_any_data_set_with_images_and_captions_is_read_by_its_name(
    api: HfApi, load: Load, tmp_path: Path
) -> None:
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "caption_0": datasets.Value("string"),
            "caption_1": datasets.Value("string"),
        }
    )
    columns = {"img": pictures(3), "caption_0": ["a", "b", "c"], "caption_1": ["d", "e", None]}
    upload(api, "me/captioned", {"data/train-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    dataset = load("me/captioned", split="train")
    assert dataset["captions"][:] == [["a", "d"], ["b", "e"], ["c"]]
    assert dataset["image_id"][:] == ["0", "1", "2"]
    assert dataset[2]["image"].size == (8, 6)
    streamed = load("hub", repo_id="me/captioned", split="train", streaming=True)
    assert [row["captions"] for row in streamed] == dataset["captions"][:]
    assert streamed.features == dataset.features


def test_a_mirror_of_labels_keeps_their_names(api: HfApi, load: Load, tmp_path: Path) -> None:
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    columns = {"img": pictures(2), "label": [1, 0]}
    upload(api, "me/cifar10", {"data/test-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    dataset = load("cifar10", repo_id="me/cifar10", split="test")
    assert dataset.column_names == ["image", "label"]
    assert dataset.features["label"].names == ["x", "y"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["n01443537", "n02012849"], ["goldfish", "crane bird"]),
        (["N03657121", "n99999999"], ["lens cap", "n99999999"]),
        (["seal", "n02012849"], ["seal", "n02012849"]),
    ],
)
def test_a_mirror_whose_labels_are_wordnet_numbers_is_named_for_prompts(
    api: HfApi, load: Load, tmp_path: Path, given: list[str], expected: list[str]
) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=given)})
    file = parquet(tmp_path / "x.parquet", {"image": pictures(2), "label": [1, 0]}, features)
    upload(api, "zh-plus/tiny-imagenet", {"data/test-0.parquet": file})
    dataset = load("tiny_imagenet", repo_id="zh-plus/tiny-imagenet", split="test")
    assert dataset.features["label"].names == expected
    assert dataset["label"][:] == [1, 0]


def test_a_mirror_with_mere_numbers_gets_the_official_names(api: HfApi, load: Load, tmp_path: Path) -> None:
    features = datasets.Features({"img": datasets.Image(), "fine_label": datasets.Value("int64")})
    columns = {"img": pictures(2), "fine_label": [0, 99]}
    upload(api, "me/cifar100", {"data/test-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    label = load("cifar100", repo_id="me/cifar100", split="test").features["label"]
    assert (label.names[0], label.names[99]) == ("apple", "worm")


def test_tar_shards_on_the_hub_are_streamed(api: HfApi, load: Load, tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path / f"{number}.tar", 2, start=2 * number)
    upload(api, "me/shards", {f"cc3m-train-000{n}.tar": tmp_path / f"{n}.tar" for n in range(2)})
    rows = list(load("cc3m", repo_id="me/shards", split="train", streaming=True))
    assert [row["captions"] for row in rows] == [[f"caption {n}"] for n in range(4)]
    assert rows[3]["image_id"] == "000000003"


def test_official_archives_on_the_hub_are_fetched_and_unpacked(
    api: HfApi, load: Load, tree: Tree, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "TID2013.tgz", "w:gz") as archive:
        archive.add(tree("tid2013"), arcname="tid2013")
    (tmp_path / "live.tgz").write_bytes(b"the archive of another data set")
    upload(api, "me/quality", {name: tmp_path / name for name in ("TID2013.tgz", "live.tgz")})
    assert len(load("tid2013", repo_id="me/quality", split="test")) == 8


def test_a_mirror_without_the_needed_columns_names_those_it_has(
    api: HfApi, load: Load, tmp_path: Path
) -> None:
    columns = {"picture_of_it": ["a"], "words": ["b"]}
    upload(api, "me/other", {"data/train-0.parquet": parquet(tmp_path / "x.parquet", columns)})
    with pytest.raises(DatasetError, match="picture_of_it"):
        load("me/other")
    with pytest.raises(DatasetError, match="quality needs"):
        load("tid2013", repo_id="me/other")
    with pytest.raises(ConfigError, match="nosplit"):
        load("me/other", split="nosplit")


def test_a_mirror_that_does_not_exist_is_one_sentence(api: HfApi, load: Load) -> None:
    with pytest.raises(DatasetError, match="me/absent"):
        load("me/absent")


def test_a_mirror_in_the_columns_of_its_kind_is_read_in_their_types(
    api: HfApi, load: Load, tmp_path: Path
) -> None:
    target = features_of("quality")
    features = datasets.Features(
        {**target, "score": datasets.Value("float32"), "more": datasets.Value("int64")}
    )
    columns = {
        "reference": pictures(2),
        "distorted": pictures(2),
        "reference_id": ["I01", "I01"],
        "distortion": ["noise", "blur"],
        "level": [1, None],
        "score": [1.5, 2.5],
        "score_std": [math.nan, 0.1],
        "higher_is_better": [True, True],
        "more": [1, 2],
    }
    upload(api, "me/tid", {"data/test-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    dataset = load("tid2013", repo_id="me/tid", split="test")
    assert dataset.features == target
    assert dataset["score"][:] == [1.5, 2.5]
    streamed = load("tid2013", repo_id="me/tid", split="test", streaming=True)
    assert [(row["score"], row["level"]) for row in streamed] == [(1.5, 1), (2.5, None)]


def test_a_subset_on_the_hub_warns_as_one_on_disk_does(api: HfApi, load: Load, tmp_path: Path) -> None:
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    columns = {"img": pictures(2), "label": [1, 0]}
    upload(api, "me/cifar10", {"data/test-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    with pytest.warns(SubsetWarning, match="2 of the official 10,000"):
        load("cifar10", repo_id="me/cifar10")


def test_a_broken_image_does_not_stop_a_stream_that_does_not_decode_it(
    api: HfApi, load: Load, tmp_path: Path
) -> None:
    features = datasets.Features({"jpg": datasets.Image(), "text": datasets.Value("string")})
    images = [{"path": "a.jpg", "bytes": content} for content in (image_bytes(".jpg"), b"broken")]
    columns = {"jpg": images, "text": ["a", "b"]}
    upload(api, "me/broken", {"data/train-0.parquet": parquet(tmp_path / "x.parquet", columns, features)})
    stream = load("me/broken", split="train", streaming=True)
    rows = list(stream.cast_column("image", datasets.Image(decode=False)))
    assert [row["captions"] for row in rows] == [["a"], ["b"]]
    assert rows[1]["image"]["bytes"] == b"broken"
