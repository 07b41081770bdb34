"""What the machine offers: whether a training on the CPU would have it for itself."""

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training import device, train
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import CrowdedWarning, make_accelerator, threads, torch_threads
from hf_clipdyn.training.model import check_attention


def _chosen(**fields: Any) -> int:
    """How many threads of two a run takes."""
    with torch_threads(2):
        with threads(TrainingConfig(**fields), Accelerator(cpu=True)) as count:
            assert torch.get_num_threads() == count
        assert torch.get_num_threads() == 2, "the caller has its own again"
    return count


def test_a_run_beside_others_takes_the_free_cores_and_is_told_what_more_threads_would_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: 100.0)  # other programs compute all the time
    for fields in ({"scale": "tiny"}, {"scale": "small"}, {"num_threads": 1}):
        assert _chosen(**fields) == 1
    with pytest.warns(CrowdedWarning, match=r"takes 2 threads.*has 1 free core.*num_threads 1 "):
        assert _chosen(scale="small", num_threads=2) == 2


def test_larger_models_take_the_free_cores_and_micro_and_tiny_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_cores", lambda: 2)
    scales = ("micro", "tiny", "mini", "small", "vit-b-32")
    assert [_chosen(scale=scale) for scale in scales] == [1, 1, 2, 2, 2]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert _chosen(scale="small") == 1


def test_a_tracker_that_is_not_installed_is_an_error_that_names_the_extra(tmp_path: Path) -> None:
    tracker = min(set(LOGGER_TYPE_TO_CLASS) - set(get_available_trackers()))
    with pytest.raises(ConfigError, match=rf"report_to is {tracker}.*hf-clipdyn\[track\]"):
        make_accelerator(TrainingConfig(report_to=f"none, {tracker}"), tmp_path)


@pytest.mark.parametrize("model_type", ["clip", "siglip"])
def test_attention_that_transformers_knows_is_taken_if_it_has_gradients(model_type: str) -> None:
    asked: list[torch.Tensor] = []

    def mine(module: Any, query: torch.Tensor, *rest: Any, **more: Any) -> Any:
        asked.append(query)
        return sdpa_attention_forward(module, query, *rest, **more)

    AttentionInterface.register("mine", mine)
    config = TrainingConfig(scale="micro", attn_implementation="mine")
    check_attention(config, None, model_type, Accelerator(cpu=True))
    assert len(asked) == 2, "one block a tower"


@pytest.mark.filterwarnings("ignore")  # torch's compiler gives some
@pytest.mark.parametrize(
    "name",
    ["flash", "flash_attention_2", "nobody/kernel", pytest.param("flex_attention", marks=pytest.mark.slow)],
)
def test_attention_that_cannot_train_here_is_refused_before_data_are_read(name: str, tmp_path: Path) -> None:
    config = TrainingConfig(
        scale="micro",
        dataset_name="nowhere",
        attn_implementation=name,
        bf16=False,
        output_dir=str(tmp_path / "run"),
    )
    with pytest.raises(ConfigError, match=f"attn_implementation is '{name}', which cannot train"):
        train(config)
    assert not (tmp_path / "run").exists()
