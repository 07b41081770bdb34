"""92 objects and CIFAR-10H: matrices and counts of people."""

import numpy as np
import pytest
from official_trees.objects import CATEGORIES

from hf_clipdyn.data.base import SubsetWarning
from hf_clipdyn.errors import DatasetError


def matrices(dataset):
    rows = dataset["dissimilarities"]
    names = [one["name"] for one in rows[0]]
    return {name: np.array([row[at]["values"] for row in rows]) for at, name in enumerate(names)}


def test_the_matrices_of_objects92_are_unfolded_row_by_row(load, tree):
    root = tree("objects92")
    dataset = load("objects92", data_dir=root, split="test")
    held = np.load(root / "rdms.npz")
    found = matrices(dataset)
    upper = np.triu_indices(12, 1)
    for number in (1, 2, 3):
        matrix = found[f"person_{number:02d}"]
        assert np.array_equal(matrix, matrix.T)
        assert np.array_equal(matrix[upper], held["behaviour"][number - 1])
    assert found["human_it"][upper] == pytest.approx(
        held["human_it"].reshape(4, -1).astype(float).mean(axis=0)
    )
    assert np.array_equal(found["categories"], np.kron(1 - np.eye(3), np.ones((4, 4))))
    assert found["silhouette"].shape == (12, 12)
    assert dataset["category"] == [name for name in CATEGORIES for _ in range(4)]
    observers = {one["name"]: one["observer"] for one in dataset[0]["dissimilarities"]}
    assert sum(observer == "person" for observer in observers.values()) == 3


def test_a_missing_photograph_keeps_the_places_of_the_others(load, tree):
    root = tree("objects92")
    (root / "images" / "03.png").unlink()
    dataset = load("objects92", data_dir=root, split="test")
    assert dataset["place"] == [0, 1, *range(3, 12)]
    silhouette = matrices(dataset)["silhouette"]
    assert np.isnan(silhouette[:, 2]).all()
    assert np.isfinite(np.delete(silhouette, 2, axis=1)).all()


def official(root, counts, labels):
    root.mkdir(parents=True)
    np.save(root / "cifar10h-counts.npy", counts)
    records = [bytes([label]) + bytes([10 * number]) * 3072 for number, label in enumerate(labels)]
    (root / "test_batch.bin").write_bytes(b"".join(records))
    return root


def test_the_official_counts_are_in_the_order_of_the_test_batch(load, tmp_path):
    counts = np.arange(40).reshape(4, 10)
    with pytest.warns(SubsetWarning):
        dataset = load("cifar10h", data_dir=official(tmp_path / "both", counts, [3, 8, 0, 9]), split="test")
    assert dataset["label"] == [3, 8, 0, 9]
    assert dataset["counts"] == counts.tolist()
    assert [image.getpixel((0, 0))[0] for image in dataset["image"]] == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        (np.ones((3, 10), int), [0, 1]),
        (np.ones((2, 10)), [0, 1]),
        (np.zeros((2, 10), int), [0, 1]),
        (np.ones((2, 10), int), [0, 10]),
    ],
)
def test_counts_that_do_not_fit_are_refused(load, tmp_path, counts, labels):
    with pytest.raises(DatasetError, match=r"counts|label"):
        load("cifar10h", data_dir=official(tmp_path / "both", counts, labels))
