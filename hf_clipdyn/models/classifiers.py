"""Image classifiers of transformers: the body that embeds images, the head that answers, and its classes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TimmWrapperModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from hf_clipdyn.errors import ModelError

_TASK = "ForImageClassification"


class _TimmBody(TimmWrapperModel):  # type: ignore[misc]
    """The layers of a timm classifier as transformers' model without a head shows them: what is pooled, no scores."""

    def __init__(self, classifier: Any) -> None:
        PreTrainedModel.__init__(self, classifier.config)
        self.features_only = False
        self.timm_model = classifier.timm_model

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        output = super().forward(pixel_values, do_pooling=False, **kwargs)
        output.pooler_output = self.timm_model.forward_head(output.last_hidden_state, pre_logits=True)
        return output


def has_head(config: Any) -> bool:
    """Whether the weights beside this configuration have the head of an image classifier."""
    if not config.num_labels:
        return False
    if config.model_type == "timm_wrapper" and not config.architectures:  # timm's own layout
        return True
    named = any(_TASK in str(name) for name in config.architectures or ())
    return named and config.model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES


def class_labels(config: Any) -> tuple[str, ...]:
    """The names of a classifier's classes in the order of its scores."""
    return tuple(str(name) for _, name in sorted(config.id2label.items()))


def config_of(model: Any) -> Any:
    """The configuration of a live model; that of a classifier names its class, as `save_pretrained` would write it."""
    if _TASK not in type(model).__name__:
        return model.config
    copy = type(model.config).from_dict(model.config.to_dict())
    copy.architectures = [type(model).__name__]
    return copy


def split_head(model: Any) -> tuple[Any, Any | None]:
    """The body of a model, and the model itself if it is a classifier; both share their weights.

    Raises:
        ModelError: the classifier has no body of its own.
    """
    if _TASK not in type(model).__name__:
        return model, None
    if hasattr(model, "timm_model"):
        return _TimmBody(model).eval(), model
    body = model.base_model if model.base_model is not model else getattr(model, "vision_model", None)
    if body is None:
        raise ModelError(f"{type(model).__name__} has no body that embeds images: use another classifier.")
    return body, model


def head_scores(classifier: Any, body: Any, inputs: Mapping[str, torch.Tensor], output: Any) -> torch.Tensor:
    """Logits (n, classes) of the head, from what the body gave for these inputs: images go through it once."""
    if isinstance(body, _TimmBody):
        scores: torch.Tensor = classifier.timm_model.forward_head(output.last_hidden_state)
    else:
        with _gives(body, output):
            scores = classifier(**inputs).logits
    return scores


@contextmanager
def _gives(module: nn.Module, output: Any) -> Iterator[None]:
    """Within the block the module returns this output, whatever it is shown."""
    before = module.__dict__.get("forward")  # of accelerate, if the model is split over devices
    module.forward = lambda *_args, **_kwargs: output
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
