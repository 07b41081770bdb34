"""The main numbers of the last revision in the model index of a card, as the Hub reads it."""

import math

from huggingface_hub import ModelCard
from result_rows import row

from hf_clipdyn.report import write_cards


def _rows():
    values = {"epoch-000": 0.1, "epoch-001": 0.5, "epoch-002": 0.61234}
    return [
        row("zero_shot/cifar10", "top1", value, 0.02, revision=name, epoch=int(name[-1]))
        for name, value in values.items()
    ]


def test_the_model_index_names_the_data_set_on_the_hub_the_revision_and_the_source(write, tmp_path):
    (path,) = write_cards(write(_rows()), tmp_path, results_dataset="me/results")
    (result,) = ModelCard.load(path).data.eval_results
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == (
        "uoft-cs/cifar10",
        "CIFAR-10",
        "test",
    )
    assert (result.metric_type, result.metric_value, result.verified) == ("top1", 0.6123, False)
    assert result.metric_name == "zero-shot accuracy, epoch-002"
    assert result.metric_args == {
        "measured_by": "hf-clipdyn",
        "revision": "epoch-002",
        "n": 1000,
        "interval": [0.5923, 0.6323],
        "confidence_level": 0.95,
    }
    assert result.source_url == "https://huggingface.co/datasets/me/results"


def test_only_what_is_defined_and_interpretable_at_the_last_revision_counts(write, tmp_path):
    rows = [*_rows(), row("noise/cifar10", "area", 0.3, epoch=1)]
    rows += [row("zero_shot/x", "top1", math.nan, epoch=2, note="no image")]
    rows += [row("shape_bias/cue_conflict", "shape_bias", 0.4, epoch=2, interpretable=False)]
    (path,) = write_cards(write(rows), tmp_path)
    assert [one.metric_type for one in ModelCard.load(path).data.eval_results] == ["top1"]
