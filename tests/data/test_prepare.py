"""`clipdyn prepare`, `clipdyn datasets`, and data cards."""

import json

import datasets
import pytest
from huggingface_hub import DatasetCard, HfApi
from official_trees.trees import TREES

from hf_clipdyn.data.prepare import prepare_dataset
from hf_clipdyn.errors import ConfigError, PublishError


def pixels(dataset):
    """Rows as text, images by their pixels."""
    images = {name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)}
    return [
        json.dumps(
            {k: v.tobytes().hex() if k in images and v is not None else v for k, v in row.items()},
            sort_keys=True,
        )
        for row in dataset
    ]


@pytest.mark.parametrize("name", ["bapps", "cifar10", "cue_conflict", "live", "osie", "webdataset"])
def test_plain_datasets_reads_the_same_rows_from_the_folder(name, tree, load, cache, tmp_path):
    root = tree(name)
    prepared = prepare_dataset(name, tmp_path / "out", data_dir=root, cache_dir=cache)
    expected = load(name, data_dir=root)
    plain = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(cache))
    assert set(plain) == set(expected) == set(prepared.rows)
    for split in expected:
        assert plain[split].features == expected[split].features
        assert pixels(plain[split]) == pixels(expected[split])
    again = load(name, data_dir=tmp_path / "out")
    assert {split: pixels(again[split]) for split in again} == {s: pixels(plain[s]) for s in plain}


def test_the_card_tells_licence_counts_columns_and_origin(tree, cache, tmp_path):
    prepare_dataset("bapps", tmp_path / "out", config="jnd", data_dir=tree("bapps"), cache_dir=cache)
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "unknown"
    assert card.data.configs[0]["config_name"] == "jnd"
    for part in ("| val | 4 | 9,600 |", "zhang2018unreasonable", "--dataset_config_name jnd", "`same`"):
        assert part in card.text
    assert str(tmp_path) not in card.content


def test_large_splits_become_several_files(tree, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.data.prepare._BYTES_PER_FILE", 1)
    monkeypatch.setattr("hf_clipdyn.data.prepare._ROWS_PER_GROUP", 2)
    prepare_dataset("tid2013", tmp_path / "out", data_dir=tree("tid2013"), cache_dir=cache)
    names = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert names == [f"test-{n:05d}-of-00004.parquet" for n in range(4)]
    assert len(datasets.load_dataset(str(tmp_path / "out"), split="test", cache_dir=str(cache))) == 8


def test_what_is_pushed_loads_by_its_name(hub, tree, load, cache, tmp_path):
    root = tree("osie")
    prepared = prepare_dataset(
        "osie", tmp_path / "out", data_dir=root, push_to_hub="me/osie", cache_dir=cache
    )
    assert prepared.url is not None
    expected = pixels(load("osie", data_dir=root, split="test"))
    assert pixels(datasets.load_dataset("me/osie", split="test", cache_dir=str(cache))) == expected
    assert pixels(load("osie", repo_id="me/osie", split="test")) == expected
    assert HfApi().repo_info("me/osie", repo_type="dataset").private is False


def test_what_may_not_be_passed_on_goes_to_a_private_repository_only(hub, tree, cache, tmp_path):
    """TID2013 does not allow it."""
    given, api = {"data_dir": tree("tid2013"), "cache_dir": cache}, HfApi()
    api.create_repo("me/public", repo_type="dataset")
    for name, options in (("me/tid2013", {}), ("me/public", {"private": True})):
        with pytest.raises(ConfigError, match=r"private|public"):
            prepare_dataset("tid2013", tmp_path / name, push_to_hub=name, **options, **given)
    assert not (tmp_path / "me" / "tid2013").exists()
    assert not [one for one in api.list_repo_files("me/public", repo_type="dataset") if "parquet" in one]
    prepare_dataset("tid2013", tmp_path / "out", push_to_hub="me/tid2013", private=True, **given)
    assert api.repo_info("me/tid2013", repo_type="dataset").private is True


def test_a_folder_that_is_not_empty_is_left_alone(tree, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="out"):
        prepare_dataset("osie", tmp_path / "out", data_dir=tree("osie"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_push_that_fails_keeps_the_folder_and_says_so(hub, tree, cache, tmp_path):
    given = {"push_to_hub": "me/osie", "token": "hf_wrong", "cache_dir": cache}
    with pytest.raises(PublishError, match="out is complete"):
        prepare_dataset("osie", tmp_path / "out", data_dir=tree("osie"), **given)
    assert (tmp_path / "out" / "README.md").is_file()


def test_all_data_sets_are_listed_with_what_is_found_here(tree, tmp_path, monkeypatch, clipdyn):
    tree("osie").rename(tmp_path / "osie")
    monkeypatch.setenv("CLIPDYN_DATA", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(clipdyn("datasets", "--json")[1])}
    assert set(TREES) <= set(rows)
    assert rows["osie"]["found here"] == str(tmp_path / "osie")
    assert rows["tid2013"]["found here"] == "no"
    assert rows["procedural"]["found here"] == "needs no files"
    assert rows["kadid10k"]["rows"] == "test 10,125"
    assert rows["bapps"]["kind"] == "triplet, same_different"
    assert len(clipdyn("datasets")[1].splitlines()) == len(rows) + 1
