"""Which benchmark applies to which kind of model, from the declarations of the kinds."""

from collections.abc import Mapping
from typing import Any

from transformers import ResNetConfig, ViTConfig

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.errors import EvaluationError

from .explained import kind_path
from .kinds import measured
from .page import Page, table

_MODELS: Mapping[str, tuple[bool, Any]] = {
    "image and text": (True, ViTConfig()),
    "vision transformer": (False, ViTConfig()),
    "convolutional network": (False, ResNetConfig()),
}
"""Whether a model of that kind has a text encoder, and a configuration of its image encoder."""
_NO = "no"


def models_page() -> Page:
    """A table of kinds of models and kinds of benchmarks."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for kind in measured():
        applies = tuple(_applies(kind, *model) for model in _MODELS.values())
        alike.setdefault(applies, []).append(f"[`{kind.name}`](../{kind_path(kind.name)})")
    rows = [(", ".join(names), *applies) for applies, names in alike.items()]
    return Page(
        "reference/models.md",
        "Models and benchmarks",
        "Which benchmarks apply to which kind of model.",
        [table(("kinds", *_MODELS), rows)],
        is_begun=True,
    )


def _applies(kind: type[Kind[Any]], reads_text: bool, config: Any) -> str:
    """What a model of this configuration is measured on, in a few words."""
    asks_classes = kind.classes.__func__ is not Kind.classes.__func__  # type: ignore[attr-defined]
    if kind.needs_text and not reads_text:
        return "head" if asks_classes else _NO
    chosen = kind.settings()
    try:
        suited = chosen.suited(config)
    except EvaluationError:
        return _NO
    words = ["yes"]
    words += [
        f"with {', '.join(f'`{one}`' for one in value)}"
        for name, value in vars(suited).items()
        if value != getattr(chosen, name)
    ]
    if asks_classes and not reads_text:
        words.append("classes by the head only")
    return ", ".join(words)
