"""The values of the losses, and a loss that is added in one file; test_gradients.py tests their gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from printed_blocks import printed_plugin
from scipy.special import log_expit, log_softmax

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.training.losses import (
    Contrastive,
    Features,
    Sigmoid,
    loss_names,
    make_loss,
)

HINGE = """
import torch
import torch.nn.functional as F

from hf_clipdyn.training.losses import Loss, gather_with_gradient, mean_over_processes


class Hinge(Loss):
    name = "hinge"

    def __call__(self, features):
        images = F.normalize(features.images.float(), dim=-1)
        texts = F.normalize(features.texts.float(), dim=-1)
        own = (images * texts).sum(1, keepdim=True)
        margins = (0.2 - own + images @ gather_with_gradient(texts).T).clamp(min=0)
        return mean_over_processes(margins.sum(1).mean() - 0.2)
"""


def _contrastive(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return Contrastive()(Features(images, texts, scale))


def _brute_force(images: np.ndarray, texts: np.ndarray, scale: float) -> float:
    images = images / np.linalg.norm(images, axis=1, keepdims=True)
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    logits = scale * images @ texts.T
    rows = [log_softmax(logits[i])[i] for i in range(len(logits))]
    columns = [log_softmax(logits[:, i])[i] for i in range(len(logits))]
    return -(np.mean(rows) + np.mean(columns)) / 2


def test_the_contrastive_loss_equals_a_loop_over_rows_and_columns() -> None:
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


def _classified(
    images: torch.Tensor, class_texts: torch.Tensor, labels: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The loss of the how-to, over classes, where image i has the caption of class ``labels[i]``.

    The tokens of two captions differ in one place only, as in "a photo of a cat" and "a photo of a car".
    """
    captions = torch.tensor([[9, 4, 0, 7]]).repeat(len(labels), 1)
    captions[:, 2] = 100 - labels
    printed_plugin("add-a-loss")
    return make_loss("class_cross_entropy")(Features(images, class_texts[labels], scale, captions=captions))


def test_the_loss_over_classes_is_the_cross_entropy_of_a_linear_classifier() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([2, 0, 2, 1, 0, 2, 3])
    images, weights = (torch.randn(n, 5, generator=generator) for n in (7, 4))
    leaves = [x.requires_grad_() for x in (images, weights, torch.tensor(12.5))]
    loss = _classified(images, weights, labels, leaves[2])
    logits = F.linear(F.normalize(images), leaves[2] * F.normalize(weights))
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, leaves), torch.autograd.grad(expected, leaves))


def test_images_with_the_same_caption_are_no_negatives_of_each_other() -> None:
    images, texts = torch.ones(6, 4), torch.eye(4)
    one_caption = _classified(images, texts, torch.zeros(6, dtype=torch.long), torch.tensor(100.0))
    assert float(one_caption) == 0
    three = _classified(images, texts, torch.tensor([0, 1, 2, 0, 0, 1]), torch.tensor(100.0))
    assert float(three) == pytest.approx(np.log(3), rel=1e-6)


@pytest.mark.parametrize("bias", [None, -3.5])
def test_the_sigmoid_loss_equals_a_loop_over_pairs(bias: float | None) -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 5))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts)]
    total = 0.0
    for i in range(7):
        for j in range(7):
            logit = 12.5 * unit[0][i] @ unit[1][j] + (bias or 0.0)
            total -= log_expit(logit if i == j else -logit)
    shared = [torch.tensor([12.5]), None if bias is None else torch.tensor([bias])]
    loss = Sigmoid()(Features(torch.tensor(images), torch.tensor(texts), *shared))
    assert float(loss) == pytest.approx(total / 7, rel=1e-5)
    assert loss.shape == ()


def test_the_gradients_of_the_sigmoid_loss_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(*shape, generator=generator) for shape in ((4, 3), (4, 3), (1,), (1,))]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    found = torch.autograd.grad(Sigmoid()(Features(*leaves)), leaves)
    for which, gradient in enumerate(found):
        for index in np.ndindex(*gradient.shape):
            values = []
            for step in (1e-2, -1e-2):
                moved = [leaf.detach().clone() for leaf in leaves]
                moved[which][index] += step
                values.append(float(Sigmoid()(Features(*moved))))
            assert float(gradient[index]) == pytest.approx((values[0] - values[1]) / 2e-2, abs=2e-3)


def test_a_third_loss_is_added_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "hinge_loss.py"
    file.write_text(HINGE, encoding="utf-8")
    load_plugin(file)
    assert {"contrastive", "hinge", "sigmoid"} <= set(loss_names())
    assert float(
        make_loss("hinge")(Features(torch.eye(3), torch.eye(3), torch.tensor([1.0])))
    ) == pytest.approx(0, abs=1e-6)


def test_an_unknown_loss_is_named_with_its_nearest_neighbour() -> None:
    with pytest.raises(UnknownNameError, match="sigmoid"):
        make_loss("sigmod")
