"""`clipdyn evaluate --dry_run`: what an evaluation would cost, measured on a few rows, with nothing written."""

from pathlib import Path

import datasets
import pytest
from PIL import Image

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.dry_run import dry_run

BENCHMARKS = ("zero_shot/cifar10", Noise.on("cifar10", sigmas=(0.0, 0.1)), "retrieval/flickr8k")


@pytest.fixture
def config(store, data, judged, tmp_path):
    """`config(*benchmarks, **options)` of the run, its output in `tmp_path`."""

    def make(*benchmarks, **options) -> EvaluationConfig:
        used = {one.partition("/")[2] if isinstance(one, str) else one.dataset for one in benchmarks}
        given = {
            "output": tmp_path / "results.parquet",
            "data_dirs": {name: path for name, path in (data | judged).items() if name in used},
            "device": "cpu",
        }
        return EvaluationConfig(repo_id=store, benchmarks=benchmarks, **(given | options))

    return make


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_cells_and_images_are_those_of_the_evaluation_and_nothing_is_written(
    config, evaluate, forward_passes, tmp_path
):
    found = dry_run(config(*BENCHMARKS))
    assert not files(tmp_path)
    forward_passes["images"] = 0
    table = evaluate(*BENCHMARKS)
    assert sum(one.missing * one.images for one in found) == forward_passes["images"]
    cells = table.groupby(["revision", "kind", "dataset", "texts"]).ngroups
    assert sum(one.cells for one in found) == sum(one.missing for one in found) == cells
    assert all(one.seconds > 0 for one in found)


def test_one_batch_stands_for_all_images(config, forward_passes):
    found = dry_run(config("zero_shot/cifar10", batch_size=8))
    assert forward_passes["images"] == 8
    assert [(one.images, one.passes) for one in found] == [(20, 3)]


def test_what_the_table_holds_is_not_counted_again(config, evaluate, tmp_path):
    evaluate("zero_shot/cifar10", output=tmp_path / "results.parquet", shard="1/2")
    found = dry_run(config("zero_shot/cifar10"))
    assert [(one.cells, one.missing) for one in found] == [(3, 1)]
    again = dry_run(config("zero_shot/cifar10", force=True))
    assert [(one.cells, one.missing) for one in again] == [(3, 3)]
    part = dry_run(config("zero_shot/cifar10", shard="2/2"))
    assert [(one.cells, one.missing) for one in part] == [(1, 1)]
    last = dry_run(config("zero_shot/cifar10", texts="last"))
    assert [(one.cells, one.missing) for one in last] == [(3, 3)], "with other texts they are other cells"


def test_a_dry_run_of_the_command_line_prints_it_and_one_without_measuring_is_refused(
    store, zero_shot, tmp_path, clipdyn, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", str(store), *zero_shot]
    code, printed, error = clipdyn(*words, "--dry_run")
    assert not code
    assert printed.splitlines()[0].split()[:3] == ["benchmark", "cells", "missing"]
    assert printed.splitlines()[1].split()[:5] == ["zero_shot/cifar10", "3", "3", "60", "3"]
    assert "3 cells, 3 of them missing: 60 images in 3 forward passes, about" in printed
    assert (error, files(tmp_path)) == ("", set())
    with pytest.raises(ConfigError, match="`rescore` measures nothing"):
        dry_run(EvaluationConfig(repo_id="me/run", output=tmp_path / "r.parquet", rescore=True))


def test_what_is_left_out_is_named(config, tmp_path, caplog):
    caplog.set_level("INFO", "hf_clipdyn")
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = {"data_dirs": {"nights": empty}, "skip_missing": True}
    found = dry_run(config("zero_shot/procedural", "similarity/nights", **missing))
    assert [one.name for one in found] == ["zero_shot/procedural"]
    assert "similarity/nights" in caplog.text.partition("Left out: ")[2]


def test_an_image_that_many_triplets_show_is_counted_once(tmp_path):
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    for path in paths:
        Image.new("RGB", (2, 2)).save(path)
    rows = {
        "reference": [paths[0]] * 3,
        "image_0": [*paths[1:], paths[1]],
        "image_1": [*paths[:0:-1], paths[2]],
    }
    triplets = datasets.Dataset.from_dict(rows).cast(datasets.Features(dict.fromkeys(rows, datasets.Image())))
    facts = dataset_metadata("procedural")

    def count(dataset, rows):
        return Source("made up", dataset, "test", facts).count_images(range(rows))

    assert count(triplets, 3) == 3
    assert [count(triplets.select_columns("image_0"), rows) for rows in (1, 2, 3)] == [1, 2, 2]
    assert count(datasets.Dataset.from_dict({"level": [1, 2]}), 2) == 2
