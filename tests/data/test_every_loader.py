"""Properties of every data set that is read from files, and one of an installed package."""

import json
import os
import shutil
import subprocess
import sys
import tarfile

import datasets
import pytest
from official_trees.trees import TREES

from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.data.schemas import features_of

NAMES = sorted(TREES)
GENERATED = {"hub", "procedural"}


def images_of(dataset):
    return [column for column, feature in dataset.features.items() if isinstance(feature, datasets.Image)]


def undecoded(dataset):
    """The rows with images as paths or bytes, as text: NaN does not equal itself, and keys have no order."""
    for column in images_of(dataset):
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    return [json.dumps(row, sort_keys=True, default=repr) for row in dataset]


def test_every_data_set_of_the_registry_has_a_tree_here():
    assert set(dataset_names()) - GENERATED == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_the_columns_of_their_kind_and_stream_without_a_prepared_table(name, tree, load, cache):
    root = tree(name)
    streamed = load(name, data_dir=root, streaming=True)
    rows = {split: undecoded(dataset) for split, dataset in streamed.items()}
    assert not list(cache.rglob("*.arrow"))
    prepared = load(name, data_dir=root)
    assert {split: undecoded(dataset) for split, dataset in prepared.items()} == rows
    kind = dataset_metadata(name).kind
    for dataset in prepared.values():
        assert len(dataset) > 0
        names = dataset.features["label"].names if kind in ("labels", "label_counts") else ()
        assert dataset.features == features_of(kind, names)
        row = dataset[0]
        assert all(row[column] is None or row[column].size > (0, 0) for column in images_of(dataset))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"webdataset", "cc3m", "cc12m"}))
def test_a_packed_and_deeply_nested_archive_gives_the_same_rows(name, tree, load, tmp_path):
    root = tree(name)
    nested = tmp_path / "downloads" / "nested" / root.name
    shutil.copytree(root, nested)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(nested.parent, arcname="nested")
    plain, packed = load(name, data_dir=root), load(name, data_dir=tmp_path / "packed.tar.gz")
    assert {split: len(dataset) for split, dataset in packed.items()} == {s: len(d) for s, d in plain.items()}
    for split, dataset in plain.items():
        images = images_of(dataset)
        rest = [name for name in dataset.column_names if name not in images]
        assert undecoded(packed[split].select_columns(rest)) == undecoded(dataset.select_columns(rest))
        assert packed[split][0][images[0]] == dataset[0][images[0]]


FACES = """
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


class Faces(DataBuilder):
    metadata = DatasetMetadata(kind="captions", title="Faces", licence="none stated", where="")
    layout = ("*.png",)
"""


def test_an_installed_package_adds_a_data_set_by_an_entry_point(tmp_path):
    (tmp_path / "faces.py").write_text(FACES)
    declared = tmp_path / "face_data-1.0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: face-data\nVersion: 1.0\n")
    (declared / "entry_points.txt").write_text("[hf_clipdyn.datasets]\nfaces = faces\n")
    code = "from hf_clipdyn.data import dataset_metadata; print(dataset_metadata('faces').title)"
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
        check=True,
    )
    assert done.stdout.split() == ["Faces"]
