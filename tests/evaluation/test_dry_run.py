"""`clipdyn evaluate --dry_run`: what an evaluation would cost, measured on a few rows, with nothing written."""

from pathlib import Path

import datasets
import pytest
from PIL import Image
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from hf_clipdyn.benchmarks.kind import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.sources import drawn_source
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.dry_run import Cost, DryRun, _at, _different_images, dry_run
from hf_clipdyn.models.sizes import clip_image_processor, model_size

BENCHMARKS = ("zero_shot/cifar10", Noise.on("cifar10", sigmas=(0.0, 0.1)), "retrieval/flickr8k")


@pytest.fixture
def config(store, data, judged, tmp_path):
    """`config(*benchmarks, **options)` of the run, its output in `tmp_path`."""

    def make(*benchmarks, **options) -> EvaluationConfig:
        used = {one.partition("/")[2] if isinstance(one, str) else one.dataset for one in benchmarks}
        given = {
            "output": tmp_path / "results.parquet",
            "data_dirs": {name: path for name, path in (data | judged).items() if name in used},
            "n_resamples": 0,
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
    table = evaluate(*BENCHMARKS, n_resamples=0)
    assert sum(one.missing * one.images for one in found.costs) == forward_passes["images"]
    cells = table.groupby(["revision", "kind", "dataset", "texts"]).ngroups
    assert sum(one.cells for one in found.costs) == sum(one.missing for one in found.costs) == cells
    assert {one.name for one in found.costs if "last texts" in one.name} == {
        "zero_shot/cifar10 (last texts)",
        "noise/cifar10 (last texts)",
    }
    assert all(one.seconds > 0 for one in found.costs)
    assert found.seconds == pytest.approx(sum(one.total for one in found.costs))


def test_what_the_table_holds_is_not_counted_again(config, evaluate, tmp_path):
    evaluate("zero_shot/cifar10", output=tmp_path / "results.parquet", shard="1/2", n_resamples=0)
    found = dry_run(config("zero_shot/cifar10"))
    assert [(one.cells, one.missing) for one in found.costs] == [(3, 1), (3, 1)]
    again = dry_run(config("zero_shot/cifar10", force=True))
    assert [(one.cells, one.missing) for one in again.costs] == [(3, 3), (3, 3)]
    part = dry_run(config("zero_shot/cifar10", shard="2/2"))
    assert [(one.cells, one.missing) for one in part.costs] == [(1, 1), (1, 1)]


def test_time_is_a_constant_and_a_part_that_grows_with_the_rows():
    assert _at(1000, [4, 8, 24], [9.0, 2.8, 4.4]) == pytest.approx(2.0 + 0.1 * 1000)
    assert _at(1000, [8, 24], [3.0, 2.9]) == pytest.approx(2.9), "noise of the clock gives no negative slope"
    assert _at(24, [8, 24], [2.8, 4.4]) == 4.4, "all rows were shown"
    assert _at(100, [4], [2.0]) == 50.0
    assert _at(100, [], []) == 0.0


def test_the_words_name_the_slowest_benchmark():
    costs = (
        Cost("noise/cifar10", 4, 2, 10_000, 80_000, 10.0, 30.0),
        Cost("saliency/osie", 4, 4, 700, 700, 5.0, 360.0),
        Cost("quality/tiny", 4, 4, 10, 11, 0.0, None),
    )
    found = DryRun(costs, 4, 128, "epoch-003 on cpu", 32)
    assert found.seconds == 10 + 2 * 30 + 5 + 4 * 360
    assert found.forward_passes == 2 * 625 + 4 * 6 + 4
    lines = found.message.splitlines()
    assert lines[1].split() == [
        *("noise/cifar10", "4", "2", "10,000", "160,000", "1,250", "10", "s", "30", "s", "70", "s")
    ]
    assert lines[3].endswith("not measured  not measured")
    assert lines[4].startswith("12 cells of 4 revisions, 10 of them missing: 162,844 images in 1,278 forward")
    assert lines[5] == "The slowest is saliency/osie, 95% of the time."


def test_a_dry_run_of_the_command_line_prints_it_and_one_without_measuring_is_refused(
    store, zero_shot, tmp_path, clipdyn, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", str(store), *zero_shot]
    code, printed, error = clipdyn(*words, "--dry_run")
    assert not code
    assert printed.splitlines()[0].split()[:3] == ["benchmark", "cells", "missing"]
    assert "The slowest is zero_shot/cifar10" in printed
    assert (error, files(tmp_path)) == ("", set())
    with pytest.raises(ConfigError, match="`rescore` measures nothing"):
        dry_run(EvaluationConfig(repo_id="me/run", output=tmp_path / "r.parquet", rescore=True))


def test_what_is_left_out_is_named(config, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    missing = {"data_dirs": {"nights": empty}, "skip_missing": True}
    found = dry_run(config("zero_shot/procedural", "similarity/nights", **missing))
    assert found.left_out == {"similarity/nights": ""}
    assert "Left out: similarity/nights." in found.message.splitlines()


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
    assert _different_images(triplets).tolist() == [3, 3, 3]
    assert _different_images(triplets.select_columns("image_0")).tolist() == [1, 2, 2]
    assert _different_images(datasets.Dataset.from_dict({"level": [1, 2]})).tolist() == [1, 2]


def test_a_few_gratings_stand_for_all_of_them(forward_passes, tmp_path):
    size = {"image_size": 64, "hidden_size": 16, "intermediate_size": 32}
    ViTModel(ViTConfig(**size, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(tmp_path)
    processor = ViTImageProcessor(size={"height": 64, "width": 64})
    processor.save_pretrained(tmp_path)
    config = EvaluationConfig(
        repo_id=str(tmp_path),
        benchmarks=("psychophysics/procedural",),
        output=tmp_path / "r.parquet",
        device="cpu",
    )
    (cost,) = dry_run(config).costs
    assert 0 < forward_passes["images"] <= 3 * 32, "the third pass is not begun"
    assert cost.images == Psychophysics.count_drawn(drawn_source(Psychophysics.items()), processor)
    assert cost.seconds > 0


def test_gratings_are_counted_without_drawing_them():
    source = drawn_source({name: column[:12] for name, column in Psychophysics.items().items()})
    processor = clip_image_processor(model_size("tiny"))
    kind = Psychophysics(source, processor, KindSettings(), Common(show_progress=False))
    assert Psychophysics.count_drawn(source, processor) == kind.drawn > 400
