"""`clipdyn evaluate --dry_run`: what an evaluation would cost, measured on a few rows, with nothing written."""

import pytest

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.dry_run import dry_run

BENCHMARKS = ("zero_shot/cifar10", Noise.on("cifar10", sigmas=(0.0, 0.1)), "retrieval/flickr8k")


@pytest.fixture
def config(store, data, judged, tmp_path):
    """`config(*benchmarks, **options)` of the run, its output in `tmp_path`."""

    def make(*benchmarks, **options):
        used = {one.partition("/")[2] if isinstance(one, str) else one.dataset for one in benchmarks}
        given = {
            "output": tmp_path / "results.parquet",
            "data_dirs": {name: path for name, path in (data | judged).items() if name in used},
            "device": "cpu",
        }
        return EvaluationConfig(repo_id=store, benchmarks=benchmarks, **(given | options))

    return make


def test_cells_and_images_are_those_of_the_evaluation_and_nothing_is_written(
    config, evaluate, forward_passes, tmp_path
):
    found = dry_run(config(*BENCHMARKS))
    assert not list(tmp_path.iterdir())
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
    for options, expected in (
        ({}, (3, 1)),
        ({"force": True}, (3, 3)),
        ({"shard": "2/2"}, (1, 1)),
        ({"texts": "last"}, (3, 3)),  # with other texts they are other cells
    ):
        (found,) = dry_run(config("zero_shot/cifar10", **options))
        assert (found.cells, found.missing) == expected, options


def test_a_dry_run_of_the_command_line_prints_a_row_a_benchmark_and_writes_nothing(
    store, zero_shot, tmp_path, clipdyn, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, printed, error = clipdyn("evaluate", store, *zero_shot, "--dry_run")
    assert (code, error) == (0, "")
    assert printed.splitlines()[1].split()[:5] == ["zero_shot/cifar10", "3", "3", "60", "3"]
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="rescore"):
        dry_run(EvaluationConfig(repo_id="me/run", output=tmp_path / "r.parquet", rescore=True))
