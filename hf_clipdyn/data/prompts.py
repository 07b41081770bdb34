"""Prompt templates and names of classes for zero-shot classification, as published with CLIP (Radford et al. 2021).

`imagenet_templates.txt` has the 80 prompts of ImageNet. `imagenet_names.txt` lists the WordNet number and the name of
each class of ImageNet (ILSVRC 2012) in the order of the indices. Both are from the notebook on prompt engineering.
WordNet's own first words call a bird and a machine "crane" and two classes "maillot", and do not say which kind of nail
is meant. "missile" and "sunglasses" occur twice; the images of these classes are hard to distinguish, too.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path


def _lines_of(name: str) -> list[str]:
    """Those of a file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()


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

IMAGENET = tuple(_lines_of("imagenet_templates.txt"))


_NUMBER = re.compile(r" \(n\d{8}\)$")


@cache
def imagenet_names() -> Mapping[str, str]:
    """Name by WordNet number (``n01440764``), in the order of ImageNet's indices."""
    fields = (line.partition(" ") for line in _lines_of("imagenet_names.txt"))
    return {wnid: name for wnid, _, name in fields}


def unique_names(names: Mapping[str, str]) -> dict[str, str]:
    """The same names; one that several classes have gets its number appended, since class labels are unique."""
    count = Counter(names.values())
    return {wnid: name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in names.items()}


def prompt_name(name: str) -> str:
    """A class name for prompts: without the number of `unique_names`, and with spaces instead of underscores."""
    return _NUMBER.sub("", name).replace("_", " ")
