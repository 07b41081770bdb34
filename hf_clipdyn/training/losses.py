"""What training minimises: each loss is one class and has a name.

A loss of your own is a subclass of `Loss` in a module that ``--plugin`` names::

    class Hinge(Loss):
        name = "hinge"                                   # --loss hinge

        def __call__(self, features):
            images = F.normalize(features.images.float(), dim=-1)
            texts = gather_with_gradient(F.normalize(features.texts.float(), dim=-1))
            ...
            return mean_over_processes(own_part)
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  (its usual name)

from hf_clipdyn.errors import check_known
from hf_clipdyn.plugins import LOSSES, plugins, subclasses_in


class Features(NamedTuple):
    """A model's output for a batch; row i of the texts belongs to image i.

    A tuple, because the wrappers that shard or compile a model find tensors in tuples and in no other class.

    Attributes:
        images, texts: (batch, dim) of this process, not normalised, any precision.
        scale: scalar factor of the similarities, not its logarithm.
        bias: scalar that is added to the similarities; None for a model without one.
        captions: (batch, context) int64, the tokens of each text: equal rows are the same caption. None if unknown.

    Examples:
        >>> import torch
        >>> from hf_clipdyn.training.losses import Features
        >>> features = Features(images=torch.eye(4), texts=torch.eye(4), scale=torch.tensor(10.0))
        >>> features.bias is None, features.captions is None
        (True, True)
    """

    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None = None
    captions: torch.Tensor | None = None


class Loss(ABC):
    """A loss over the batch of all processes.

    A subclass in a ``--plugin`` file adds a loss; ``docs/how-to/add-a-loss.md`` has a whole example. A call takes
    `Features` and returns a scalar in float32, the loss of the whole batch, on every process. Data-parallel wrappers
    average the gradients of the processes. This average must be the gradient that a single process with the whole batch
    would compute. So the gradient of a process comes from the whole loss, or from its own part times the number of
    processes (see `mean_over_processes`).

    Attributes:
        name: value of ``--loss``.
        model_type: architecture of the model that is built for the loss: ``clip`` or ``siglip``.

    Examples:
        >>> import torch
        >>> from torch.nn import functional
        >>> from hf_clipdyn.training.losses import Features, Loss, mean_over_processes
        >>> class Distance(Loss):
        ...     name = "distance"
        ...     def __call__(self, features):
        ...         cosines = functional.cosine_similarity(features.images.float(), features.texts.float())
        ...         return mean_over_processes((1 - cosines).mean())
        ...
        >>> float(Distance()(Features(torch.eye(4), torch.eye(4), torch.tensor(10.0))))
        0.0
    """

    name: ClassVar[str]
    model_type: ClassVar[str] = "clip"

    @abstractmethod
    def __call__(self, features: Features) -> torch.Tensor:
        """Scalar in float32."""


class Contrastive(Loss):
    """Symmetric cross entropy of image-text similarities (Radford et al. 2021, figure 3).

    Uninformative features give ln(global batch size). Each process computes the rows of its own images and the columns
    of its own texts, so each of n processes needs 1/n of the logits.

    Examples:
        >>> import math
        >>> import torch
        >>> from hf_clipdyn.training.losses import Contrastive, Features
        >>> same = torch.ones(4, 8)
        >>> round(float(Contrastive()(Features(same, same, torch.tensor(10.0)))), 4), round(math.log(4), 4)
        (1.3863, 1.3863)
    """

    name = "contrastive"

    def __call__(self, features: Features) -> torch.Tensor:
        images = F.normalize(features.images.float(), dim=-1)
        texts = F.normalize(features.texts.float(), dim=-1)
        rank, world = _rank_and_world()
        target = rank * len(images) + torch.arange(len(images), device=images.device)
        # bfloat16 holds three digits, too few for a softmax over a large batch.
        with torch.autocast(images.device.type, enabled=False):
            scale = features.scale.float()
            rows = scale * images @ gather_with_gradient(texts).T
            columns = rows.T if world == 1 else scale * texts @ gather_with_gradient(images).T
        return mean_over_processes((F.cross_entropy(rows, target) + F.cross_entropy(columns, target)) / 2)


class Sigmoid(Loss):
    """The pairwise sigmoid loss of SigLIP (Zhai et al. 2023, algorithm 1), per image.

    The processes pass their texts on in a ring (section 3.3): each holds its own images and the texts of one process at
    a time, and none gathers the whole batch.

    Examples:
        >>> import torch
        >>> from hf_clipdyn.training.losses import Features, Sigmoid
        >>> features = Features(torch.eye(4), torch.eye(4), torch.tensor(10.0), bias=torch.tensor(-10.0))
        >>> round(float(Sigmoid()(features)), 4)
        0.6933
    """

    name = "sigmoid"
    model_type = "siglip"

    def __call__(self, features: Features) -> torch.Tensor:
        """The loss of the whole batch, in every process; a model without a bias counts as one whose bias is 0."""
        images = F.normalize(features.images.float(), dim=-1)
        texts = F.normalize(features.texts.float(), dim=-1)
        scale = features.scale.float()
        bias = torch.zeros_like(scale) if features.bias is None else features.bias.float()
        with torch.autocast(images.device.type, enabled=False):
            part: torch.Tensor = _SigmoidRing.apply(images, texts, scale, bias)  # type: ignore[no-untyped-call]
        return mean_over_processes(part)


class _SigmoidRing(torch.autograd.Function):
    """Sum over pairs of this process's images with the texts of all processes, divided by the number of images.

    A pair adds -ln sigmoid(z (scale x·y + bias)); z is 1 for an image with its own text and -1 for all other pairs.
    The gradients are computed in the forward pass, while another process's texts are here. The texts' gradient travels
    with them and is complete when they are back. With autograd, every process would keep all texts and logits.
    """

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        _, world = _rank_and_world()
        total, gradients = images.new_zeros(()), [torch.zeros_like(x) for x in (images, texts, scale, bias)]
        for turn in range(world):
            leaves = [x.detach().requires_grad_() for x in (images, texts, scale, bias)]
            with torch.enable_grad():
                logits = leaves[2] * leaves[0] @ leaves[1].T + leaves[3]
                signs = torch.full_like(logits, -1.0)
                if turn == 0:  # later turns have texts of other images
                    signs.fill_diagonal_(1.0)
                value = -F.logsigmoid(signs * logits).sum() / len(images)
            total += value.detach()
            for gradient, part in zip(gradients, torch.autograd.grad(value, leaves), strict=True):
                gradient += part
            if world > 1:
                texts, gradients[1] = _pass_on(torch.stack([texts, gradients[1]])).unbind()
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(upstream[0] * gradient for gradient in ctx.saved_tensors)


def _pass_on(x: torch.Tensor) -> torch.Tensor:
    """Send ``x`` to the next process of the ring, and return that of the previous one."""
    rank, world = _rank_and_world()
    received = torch.empty_like(x)
    send = dist.P2POp(dist.isend, x, (rank + 1) % world)
    receive = dist.P2POp(dist.irecv, received, (rank - 1) % world)
    for request in dist.batch_isend_irecv([send, receive]):
        request.wait()
    return received


def _rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums over the processes; torch's own is deprecated since 2.13."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> torch.Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_gradient(x: torch.Tensor) -> torch.Tensor:
    """Concatenate ``x`` (batch, ...) of all processes in the order of their ranks, with its gradient.

    `accelerate.gather` detaches: over it a contrastive loss has the right value and trains almost nothing.
    Here the gradient of each row flows back to the process that computed it, summed over all processes.

    Examples:
        >>> import torch
        >>> from hf_clipdyn.training.losses import gather_with_gradient
        >>> gather_with_gradient(torch.ones(2, 3)).shape  # one process: nothing is added
        torch.Size([2, 3])
    """
    if _rank_and_world()[1] == 1:
        return x
    gathered: torch.Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


def mean_over_processes(x: torch.Tensor) -> torch.Tensor:
    """The mean of a scalar over all processes. The gradient of each process is that of its own ``x``.

    Use it for a loss that each process computes as a mean over its own rows. All processes then return the same value,
    and data-parallel wrappers average the gradients.

    Args:
        x: a scalar.

    Returns:
        A scalar, the same on all processes.

    Examples:
        >>> import torch
        >>> from hf_clipdyn.training.losses import mean_over_processes
        >>> float(mean_over_processes(torch.tensor(0.5)))  # one process: the value itself
        0.5
    """
    _, world = _rank_and_world()
    if world == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world + (x - x.detach())


def _losses() -> dict[str, type[Loss]]:
    from_plugins = subclasses_in(plugins(LOSSES), Loss)  # type: ignore[type-abstract]
    losses: list[type[Loss]] = [Contrastive, Sigmoid, *from_plugins]
    return {loss.name: loss for loss in losses}


def loss_names() -> list[str]:
    """Names of all losses, sorted; those of plug-ins are included.

    Examples:
        >>> from hf_clipdyn.training.losses import loss_names
        >>> {"contrastive", "sigmoid"} <= set(loss_names())
        True
    """
    return sorted(_losses())


def make_loss(name: str) -> Loss:
    """The loss of a name.

    Args:
        name: one of `loss_names`.

    Raises:
        UnknownNameError: there is none.

    Examples:
        >>> from hf_clipdyn.training.losses import make_loss
        >>> make_loss("sigmoid").model_type
        'siglip'
    """
    known = _losses()
    check_known("loss", [name], known)
    return known[name]()
