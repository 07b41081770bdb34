"""Prompt templates and names of classes for zero-shot classification, as published with CLIP (Radford et al. 2021).

`imagenet_names.txt` lists the WordNet number and the name of each class of ImageNet (ILSVRC 2012) in the order of the
indices, from the notebook on prompt engineering. WordNet's own first words call a bird and a machine "crane" and two
classes "maillot", and do not say which kind of nail is meant. "missile" and "sunglasses" occur twice; the images of
these classes are hard to distinguish, too.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

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

IMAGENET = tuple(
    """
a bad photo of a {}.
a photo of many {}.
a sculpture of a {}.
a photo of the hard to see {}.
a low resolution photo of the {}.
a rendering of a {}.
graffiti of a {}.
a bad photo of the {}.
a cropped photo of the {}.
a tattoo of a {}.
the embroidered {}.
a photo of a hard to see {}.
a bright photo of a {}.
a photo of a clean {}.
a photo of a dirty {}.
a dark photo of the {}.
a drawing of a {}.
a photo of my {}.
the plastic {}.
a photo of the cool {}.
a close-up photo of a {}.
a black and white photo of the {}.
a painting of the {}.
a painting of a {}.
a pixelated photo of the {}.
a sculpture of the {}.
a bright photo of the {}.
a cropped photo of a {}.
a plastic {}.
a photo of the dirty {}.
a jpeg corrupted photo of a {}.
a blurry photo of the {}.
a photo of the {}.
a good photo of the {}.
a rendering of the {}.
a {} in a video game.
a photo of one {}.
a doodle of a {}.
a close-up photo of the {}.
a photo of a {}.
the origami {}.
the {} in a video game.
a sketch of a {}.
a doodle of the {}.
a origami {}.
a low resolution photo of a {}.
the toy {}.
a rendition of the {}.
a photo of the clean {}.
a photo of a large {}.
a rendition of a {}.
a photo of a nice {}.
a photo of a weird {}.
a blurry photo of a {}.
a cartoon {}.
art of a {}.
a sketch of the {}.
a embroidered {}.
a pixelated photo of a {}.
itap of the {}.
a jpeg corrupted photo of the {}.
a good photo of a {}.
a plushie {}.
a photo of the nice {}.
a photo of the small {}.
a photo of the weird {}.
the cartoon {}.
art of the {}.
a drawing of the {}.
a photo of the large {}.
a black and white photo of a {}.
the plushie {}.
a dark photo of a {}.
itap of a {}.
graffiti of the {}.
a toy {}.
itap of my {}.
a photo of a cool {}.
a photo of a small {}.
a tattoo of the {}.
""".strip().splitlines()
)


_NUMBER = re.compile(r" \(n\d{8}\)$")


@cache
def imagenet_names() -> Mapping[str, str]:
    """Name by WordNet number (``n01440764``), in the order of ImageNet's indices."""
    lines = Path(__file__).with_name("imagenet_names.txt").read_text(encoding="utf-8").splitlines()
    fields = (line.partition(" ") for line in lines)
    return {wnid: name for wnid, _, name in fields}


def unique_names(names: Mapping[str, str]) -> dict[str, str]:
    """The same names; one that several classes have gets its number appended, since class labels are unique."""
    count = Counter(names.values())
    return {wnid: name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in names.items()}


def prompt_name(name: str) -> str:
    """A class name for prompts: without the number of `unique_names`, and with spaces instead of underscores."""
    return _NUMBER.sub("", name).replace("_", " ")
