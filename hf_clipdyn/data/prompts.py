"""Prompt templates for zero-shot classification, after the lists that came with CLIP (Radford et al. 2021)."""

__all__ = ["CIFAR", "PHOTO"]

PHOTO = ("a photo of a {}.",)

_CIFAR_PHRASES = (
    "photo of {article} {}",
    "blurry photo of {article} {}",
    "black and white photo of {article} {}",
    "low contrast photo of {article} {}",
    "high contrast photo of {article} {}",
    "bad photo of {article} {}",
    "good photo of {article} {}",
    "photo of {article} small {}",
    "photo of {article} big {}",
)
CIFAR = tuple(
    f"a {phrase.replace('{article}', article)}." for article in ("a", "the") for phrase in _CIFAR_PHRASES
)
