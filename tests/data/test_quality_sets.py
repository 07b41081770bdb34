"""TID2013, TID2008, KADID-10k, CSIQ, LIVE: every row of the public lists, directions, levels, subsets."""

import math
import shutil
import warnings
from collections import defaultdict
from pathlib import Path

import datasets
import pytest
from official_trees import quality
from official_trees.images import write_image

from hf_clipdyn.data import SubsetWarning

# name, maker, list, rows, higher is better; the long lists take half a minute
FULL = [
    pytest.param("tid2013", quality.tid, "TID2013.txt", 3000, True, marks=pytest.mark.slow),
    pytest.param("kadid10k", quality.kadid10k, "KADID-10k.txt", 10_125, True, marks=pytest.mark.slow),
    ("csiq", quality.csiq, "CSIQ.txt", 866, False),
    ("live", quality.live, "LIVE.txt", 779, False),
]


@pytest.mark.parametrize(("name", "make", "list_name", "count", "higher"), FULL)
def test_every_row_of_the_public_list_is_found_with_its_score(
    name, make, list_name, count, higher, real_data, load, tmp_path
):
    listed = quality.read_list(real_data("mos-lists") / list_name)
    assert len(listed) == count
    make(tmp_path / name, listed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SubsetWarning)  # the list is whole
        dataset = load(name, data_dir=tmp_path / name, split="test")
    assert len(dataset) == count
    assert set(dataset["higher_is_better"]) == {higher}
    paths = dataset.cast_column("distorted", datasets.Image(decode=False))
    found = {row["distorted"]["path"].partition(f"/{name}/")[2].lower(): row for row in paths}
    assert len(found) == count
    coarser: dict[str, set[str]] = defaultdict(set)
    for line in listed:
        row = found[line.path.lower()]
        assert row["score"] == line.score
        assert row["reference_id"].lower() == Path(line.reference).stem.lower()
        coarser[row["distortion"]].add(line.distortion)
    assert all(len(names) == 1 for names in coarser.values()), coarser
    assert {name for names in coarser.values() for name in names} == {line.distortion for line in listed}


def test_upper_and_lower_case_other_formats_and_nested_folders_are_one_data_set(load, tree, tmp_path):
    official = load("tid2013", data_dir=tree("tid2013"), split="test")
    root = tmp_path / "messy" / "TID2013" / "data"
    quality.tid(root)
    (root / "distorted_images").rename(root / "Distorted_Images")
    (root / "mos_with_names.txt").rename(root / "MOS_with_names.TXT")
    for path in (root / "Distorted_Images").glob("*.bmp"):
        write_image(path.with_name(path.stem.upper() + ".PNG"))
        path.unlink()
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "mos_with_names.txt").write_text("nothing")
    messy = load("tid2013", data_dir=tmp_path / "messy", split="test")
    columns = ["reference_id", "distortion", "level", "score", "score_std"]
    assert messy.select_columns(columns)[:] == official.select_columns(columns)[:]


def test_archives_beside_the_score_file_are_unpacked(load, tree):
    root = tree("csiq")
    expected = load("csiq", data_dir=root, split="test")["score"]
    for folder, kind in (("src_imgs", "zip"), ("dst_imgs", "gztar")):
        shutil.make_archive(str(root / folder), kind, root / folder)
        shutil.rmtree(root / folder)
    assert load("csiq", data_dir=root, split="test")["score"] == expected


def test_rows_without_their_own_image_are_dropped_and_one_warning_tells_how_many(load, tree):
    root = tree("kadid10k")
    (root / "images" / "I01_25_03.png").unlink()
    for _ in range(2):  # also when it is loaded again
        with pytest.warns(SubsetWarning, match="5 of the official 10,125 rows") as caught:
            dataset = load("kadid10k", data_dir=root, split="test")
        assert len(dataset) == 5
        assert len([warning for warning in caught if warning.category is SubsetWarning]) == 1
    streamed = load("kadid10k", data_dir=root, split="test", streaming=True)
    with pytest.warns(SubsetWarning, match="5 of the official 10,125"):
        assert len(list(streamed)) == 5


def test_lives_originals_are_no_rows_and_the_realigned_scores_are_a_configuration(load, tree):
    root = tree("live")
    plain = load("live", data_dir=root, split="test")
    realigned = load("live", "realigned", data_dir=root, split="test")
    assert len(plain) == len(realigned) == 10  # img2.bmp of every folder is an original
    assert set(plain["level"]) == {None}
    assert [score - 1 for score in plain["score"]] == realigned["score"]
    assert set(realigned["score_std"]) == {9.0}
    assert all(math.isnan(row) for row in plain["score_std"])
