"""OSIE, MIT1003, CAT2000 and SALICON."""

from official_trees.saliency import mit1003

from hf_clipdyn.benchmarks.kinds.saliency import _viewed


def test_the_first_fixation_of_an_unknown_subject_stays(load, tree):
    row = load("mit1003", data_dir=tree("mit1003"), split="test")[0]
    assert len(_viewed(0, row, None, drop_first=True).points) == 3


def test_mit1003_without_points_has_maps_and_no_fixations(load, tmp_path):
    mit1003(tmp_path / "maps", points=False)
    row = load("mit1003", data_dir=tmp_path / "maps", split="test")[0]
    assert row["fixations"] == []
    assert row["fixation_map"] is not None
