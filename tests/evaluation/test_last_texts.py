"""Earlier revisions asked with the text embeddings of the last one: the same images, fixed texts."""

import json

import numpy as np
import pandas as pd
import pytest
from result_rows import trials_of
from slow_evaluator import Slow

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY

KEY = [*CELL_KEY, *NUMBER_KEY]
QUICK = Noise.on("cifar10", sigmas=(0.0, 0.1))


def test_the_numbers_are_those_of_each_image_tower_with_the_last_text_tower(evaluate, store, data):
    final = evaluate("zero_shot/cifar10", "geometry/cifar10", texts="last")
    assert set(zip(final["kind"], final["texts"], strict=True)) == {
        ("zero_shot", "last"),
        ("geometry", "own"),
    }
    dataset = load_dataset("cifar10", data_dir=data["cifar10"], split="test")
    names, templates = dataset.features["label"].names, dataset_metadata("cifar10").templates
    classes = Slow(store, "epoch-002").classes(names, list(templates))
    for revision in ("epoch-000", "epoch-001", "epoch-002"):
        slow = Slow(store, revision)
        right = [int(np.argmax(classes @ slow.image(row["image"]))) == row["label"] for row in dataset]
        asked = (final["revision"] == revision) & (final["metric"] == "top1") & (final["role"] == "value")
        assert final[asked]["value"].item() == pytest.approx(np.mean(right))


def test_it_resumes_and_a_new_last_revision_or_setting_stands_beside_the_old_one(
    tmp_path, publish, measure, forward_passes
):
    output = tmp_path / "results.parquet"

    def evaluate(*benchmarks, **kwargs):
        chosen = benchmarks or ["zero_shot/cifar10", QUICK]
        return measure(tmp_path, benchmarks=chosen, output=output, **{"texts": "last"} | kwargs)

    publish(tmp_path, [0, 1])
    own, first = evaluate(texts="own"), evaluate()
    assert set(first["revision"]) == {"epoch-000", "epoch-001"}
    shown = forward_passes["images"]
    assert evaluate().equals(first)
    assert forward_passes["images"] == shown, "what is done is not done again"
    stage = evaluate(Noise.on("cifar10", stage="input", sigmas=(0.0, 0.1)), revisions=["epoch-000"])

    publish(tmp_path, [2])
    final = evaluate()
    assert set(final["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    old, new = set(first["text_commit"]), set(final["text_commit"])
    assert len(old) == len(new) == 1
    assert old != new
    kept = pd.read_parquet(output)
    assert set(kept["text_commit"]) == {"", *old, *new}, "nothing is dropped"
    assert not kept.duplicated(KEY).any()
    assert len(kept) == len(own) + len(final) + len(first) + len(stage)
    current = [cell for cell in newest(CellStore(output).cells()) if cell.texts == "last"]
    zero_shot = [cell.text_commit for cell in current if cell.kind == "zero_shot"]
    assert zero_shot == [*new] * 3, "readers take the newest"
    for name in ("zero_shot/cifar10", "noise/cifar10"):
        trials = trials_of(output, name, texts="last")
        assert set(trials["text_commit"]) == old | new


def test_a_revision_of_another_architecture_is_left_out(tmp_path, publish, measure):
    """The last revision's space is not that of the first."""
    publish(tmp_path, [0, 1])
    config = tmp_path / "revisions" / "epoch-000" / "config.json"
    changed = json.loads(config.read_text())
    changed["vision_config"]["layer_norm_eps"] = 1e-6
    config.write_text(json.dumps(changed))
    assert set(measure(tmp_path, texts="last")["revision"]) == {"epoch-001"}
