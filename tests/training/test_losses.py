"""The values of the losses; test_gradients.py has their gradients in several processes and parts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from printed_blocks import printed_plugin
from scipy.special import log_expit, log_softmax

from hf_clipdyn.training.losses import Contrastive, Features, Sigmoid, make_loss


def test_the_contrastive_loss_equals_a_loop_over_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 5))
    loss = Contrastive()(Features(torch.tensor(images), torch.tensor(texts), torch.tensor(12.5)))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts)]
    logits = 12.5 * unit[0] @ unit[1].T
    rows = [log_softmax(logits[i])[i] for i in range(7)]
    columns = [log_softmax(logits[:, i])[i] for i in range(7)]
    assert float(loss) == pytest.approx(-(np.mean(rows) + np.mean(columns)) / 2, rel=1e-5)


def test_half_precision_features_are_compared_in_single_precision() -> None:
    features = torch.randn(8, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = Contrastive()(Features(features, features, torch.tensor(100.0)))
    assert loss.dtype == torch.float32


def test_the_loss_over_classes_is_the_cross_entropy_of_a_linear_classifier() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([2, 0, 2, 1, 0, 2, 3])
    # The tokens of two captions differ in one place only, as in "a photo of a cat" and "a photo of a car".
    captions = torch.tensor([[9, 4, 0, 7]]).repeat(len(labels), 1)
    captions[:, 2] = 100 - labels
    images, weights = (torch.randn(n, 5, generator=generator) for n in (7, 4))
    leaves = [x.requires_grad_() for x in (images, weights, torch.tensor(12.5))]
    printed_plugin("add-a-loss")
    loss = make_loss("class_cross_entropy")(Features(images, weights[labels], leaves[2], captions=captions))
    logits = F.linear(F.normalize(images), leaves[2] * F.normalize(weights))
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves))


@pytest.mark.parametrize("bias", [None, -3.5])
def test_the_sigmoid_loss_equals_a_loop_over_pairs_and_its_own_gradients_are_autograds(
    bias: float | None,
) -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 5))
    leaves = [torch.tensor(x, dtype=torch.float32) for x in (images, texts, 12.5, bias or 0.0)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    loss = Sigmoid()(Features(*leaves[:3], None if bias is None else leaves[3]))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts)]
    logits = 12.5 * unit[0] @ unit[1].T + (bias or 0.0)
    total = sum(log_expit(logits[i, j] if i == j else -logits[i, j]) for i in range(7) for j in range(7))
    assert float(loss.detach()) == pytest.approx(-total / 7, rel=1e-5)
    assert loss.shape == ()
    plain = leaves[2] * F.normalize(leaves[0]) @ F.normalize(leaves[1]).T + leaves[3]
    plain = -F.logsigmoid(plain * (2 * torch.eye(7) - 1)).sum() / 7
    trained = leaves if bias is not None else leaves[:3]
    torch.testing.assert_close(torch.autograd.grad(loss, trained), torch.autograd.grad(plain, trained))
