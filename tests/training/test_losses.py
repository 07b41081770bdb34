"""The contrastive loss, in one process and in two real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from hf_clipdyn.training.losses import Contrastive, Features

WORKER = Path(__file__).with_name("gradients_worker.py")


def _contrastive(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return Contrastive()(Features(images, texts, scale))


def _brute_force(images: np.ndarray, texts: np.ndarray, scale: float) -> float:
    images = images / np.linalg.norm(images, axis=1, keepdims=True)
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    logits = scale * images @ texts.T
    rows = [log_softmax(logits[i])[i] for i in range(len(logits))]
    columns = [log_softmax(logits[:, i])[i] for i in range(len(logits))]
    return -(np.mean(rows) + np.mean(columns)) / 2


def test_the_loss_equals_a_loop_over_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 5))
    loss = _contrastive(torch.tensor(images), torch.tensor(texts), torch.tensor(12.5))
    assert float(loss) == pytest.approx(_brute_force(images, texts, 12.5), rel=1e-5)


def test_features_that_tell_nothing_cost_the_logarithm_of_the_batch_size() -> None:
    same = torch.ones(16, 4)
    assert float(_contrastive(same, same, torch.tensor(100.0))) == pytest.approx(np.log(16), rel=1e-6)


def test_half_precision_features_are_compared_in_single_precision() -> None:
    features = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = _contrastive(features.bfloat16(), features.bfloat16(), torch.tensor(100.0))
    assert loss.dtype == torch.float32


def test_two_processes_give_every_gradient_of_one_process_with_the_whole_batch(
    tmp_path: Path, launch: Callable[..., str]
) -> None:
    def gradients(processes: int) -> dict[str, torch.Tensor]:
        output = tmp_path / f"{processes}.pt"
        launch(processes, WORKER, str(output))
        return torch.load(output, weights_only=True)

    one, two = gradients(1), gradients(2)
    assert one.keys() == two.keys()
    assert "encoder.logit_scale" in one
    for name, expected in one.items():
        error = (two[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert float(error) < 1e-6 or float((two[name] - expected).abs().max()) < 1e-6, name
        assert float(expected.abs().max()) > 0, f"{name} gets no gradient"
