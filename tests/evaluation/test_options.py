"""The options of `clipdyn evaluate`: those of the configuration, and the settings of the kinds."""

import pytest

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation import evaluate_revisions

OUTPUT = {"output": "r.parquet"}
PUSHED = {"push_to_hub": True, "hub_model_id": "me/results"}
SHARD = OUTPUT | {"shard": "1/2"}


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        *[({"shard": shard}, "shard") for shard in ("0/4", "5/4", "", "1/٤")],
        (SHARD | {"rescore": True}, "shard"),
        (SHARD | PUSHED, "shard"),
        (SHARD | {"relations": ("error_consistency",)}, "shard"),
        ({"relations": ("error_consistency",)}, "relations"),
        (OUTPUT | {"relations": ("no_such",)}, "no_such"),
        ({"output": "run.seed1"}, "run.seed1"),
        ({"rescore": True}, "rescore"),
        (OUTPUT | {"rescore": True, "force": True}, "force"),
        (OUTPUT | {"rescore": True, "watch": True}, "watch"),
        ({"watch": True}, "watch"),
        (OUTPUT | {"watch": True, "texts": "last"}, "texts"),
        (OUTPUT | {"watch": True, "watch_patience": float("nan")}, "watch_patience"),
        ({"private": True}, "private"),
        (PUSHED, "output"),
        (OUTPUT | PUSHED | {"hub_model_id": "results"}, "results"),
        (OUTPUT | PUSHED | {"hub_model_id": "me/a/b"}, "me/a/b"),
        ({"dtype": "float16"}, "dtype"),
        ({"device": "meta"}, "device"),
        ({"n_resample": 3}, "n_resample"),
        ({"samples_per_epoch": 5}, "samples_per_epoch"),
        ({"suite": "embeded"}, "embedded"),
        ({"benchmarks": "zero_shots/cifar10"}, "zero_shot"),
        ({"benchmarks": "noise/cue_conflict"}, "noise/cue_conflict"),
        ({"benchmarks": "zero_shot/cifar10", "data_dirs": {"osie": "x"}}, "osie"),
        ({"benchmarks": "zero_shot/cifar10", "noise_sigmas": (0.0, 0.1)}, "noise_sigmas"),
        ({"benchmarks": "zero_shot/cifar10", "shape_bias_gray": True}, "shape_bias_gray"),
        ({"noise_conditions": ("fog",)}, "fog"),
        ({"noise_levels": ("blur=1",)}, "blur"),
        ({"noise_sigmas": (-0.1, 0.1)}, "sigmas"),
        ({"noise_sigmas": ()}, "sigmas"),
        ({"noise_stage": "retina"}, "retina"),
        ({"noise_conditions": ("contrast",), "noise_levels": ("contrast=x",)}, "contrast=x"),
        ({"noise_conditions": ("contrast",), "noise_levels": ("contrast=2",)}, "contrast"),
        ({"noise_conditions": ("gaussian",), "noise_levels": ("gaussian=0.1",)}, "gaussian"),
        ({"shape_bias_classes": ("cat",)}, "classes"),
    ],
)
def test_what_cannot_be_or_does_not_go_together_is_refused_by_name_before_an_image_is_shown(
    store, tmp_path, monkeypatch, forward_passes, given, subject
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=subject):
        evaluate_revisions(store, show_progress=False, **given)
    assert forward_passes["images"] == 0
    assert not list(tmp_path.iterdir())
