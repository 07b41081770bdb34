"""CLIP's contrastive loss over the batch of all processes."""

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  (its usual name)

__all__ = ["contrastive_loss", "gather_with_gradient"]


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums over the processes; torch's own is deprecated since 2.13."""

    @staticmethod
    def forward(_: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> torch.Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_gradient(x: torch.Tensor) -> torch.Tensor:
    """Concatenate ``x`` (batch, ...) of all processes in the order of their ranks, with its gradient.

    `accelerate.gather` detaches: over it a contrastive loss has the right value and trains almost nothing.
    Here the gradient of each row flows back to the process that computed it, summed over all processes.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return x
    gathered: torch.Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


def contrastive_loss(
    image_features: torch.Tensor, text_features: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """Symmetric cross entropy of image-text similarities (Radford et al. 2021, figure 3).

    Each process computes the loss of the whole batch. A data-parallel wrapper averages gradients over
    the processes, and the gather sums them: the result is the gradient of one process with the whole
    batch, for every parameter and the logit scale.

    Args:
        image_features: (batch, dim) of this process, not normalised, any precision.
        text_features: (batch, dim), row i belongs to image i.
        logit_scale: scalar, the factor itself and not its logarithm.

    Returns:
        Scalar in float32; ln(global batch size) for uninformative features.
    """
    images = gather_with_gradient(F.normalize(image_features.float(), dim=-1))
    texts = gather_with_gradient(F.normalize(text_features.float(), dim=-1))
    # bfloat16 holds three digits, too few for a softmax over a large batch.
    with torch.autocast(images.device.type, enabled=False):
        logits = logit_scale.float() * images @ texts.T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
