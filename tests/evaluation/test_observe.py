"""The second stage: each image once, the same answers in any company, and trials that name their stimulus."""

import numpy as np
from accelerate import PartialState
from result_rows import trials_of
from waits import counted

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.kinds.retrieval import Retrieval
from hf_clipdyn.data import load_dataset
from hf_clipdyn.results.cells import CellStore


def test_each_unique_image_goes_through_a_revision_once_and_company_changes_no_number(
    evaluate, forward_passes
):
    noise = Noise.on("cifar10", sigmas=(0.0, 0.1))
    both = evaluate(noise, "zero_shot/cifar10", revisions=["epoch-000"])
    assert forward_passes["images"] == 40  # 20 clean images, shown by both, and 20 noisy ones
    alone = evaluate("zero_shot/cifar10", revisions=["epoch-000"])
    beside = both[both["kind"] == "zero_shot"]
    np.testing.assert_allclose(alone["value"], beside["value"], atol=1e-6)


def test_more_forward_passes_are_no_more_waits_for_the_device(evaluate):
    waits = {}
    for batch_size in (20, 5):
        with counted("models", "benchmarks", "evaluation") as found:
            evaluate("zero_shot/cifar10", revisions=["epoch-001"], batch_size=batch_size)
        waits[batch_size] = found
    assert waits[5] == waits[20]
    assert waits[20]["encoder.py _numpy"] > 0


def test_trials_name_their_stimulus_by_split_row_and_file(evaluate, data, tmp_path):
    output = tmp_path / "results.parquet"
    evaluate("zero_shot/cifar10", "shape_bias/cue_conflict", output=output, revisions=["epoch-001"])
    trials = trials_of(output, "zero_shot/cifar10")
    assert set(trials["split"]) == {"test"}
    files = sorted((data["cifar10"] / "test").glob("*/*.png"))
    labels = sorted({file.parent.name for file in files})
    shown = dict(zip(trials["row"], zip(trials["label"], trials["file"], strict=True), strict=True))
    for row, image in enumerate(load_dataset("cifar10", data_dir=data["cifar10"], split="test")):
        label, name = shown[row]
        assert image["label"] == label
        assert name in {file.name for file in files if file.parent.name == labels[label]}
    trials = trials_of(output, "shape_bias/cue_conflict")
    assert (trials["file"] == trials["image_id"] + ".png").all()


def test_trials_of_held_out_images_name_the_last_rows_and_their_files(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    evaluate(Retrieval.on("flickr8k", held_out=4), output=output, revisions=["epoch-001"])
    trials = trials_of(output, "retrieval/flickr8k")
    images = trials[trials["modality"] == "image"]
    assert images["row"].tolist() == [2, 3, 4, 5]
    assert images["file"].tolist() == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert (trials["row"] == trials["item"] + 2).all()
    (cell,) = CellStore(output).cells()
    assert cell.observe_version == 2, "version 0.3 named the first rows: its cells are measured again"


def test_a_call_on_the_cpu_leaves_the_device_of_later_calls_open(evaluate):
    PartialState._reset_state()
    evaluate("zero_shot/cifar10", device="cpu", revisions=["epoch-000"])
    assert PartialState()._cpu is False, "accelerate would keep the CPU until the process ends"
