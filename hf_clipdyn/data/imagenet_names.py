"""Names of the 1,000 classes of ImageNet (ILSVRC 2012) for prompts.

`imagenet_names.txt` lists the WordNet number and the name of each class in the order of the indices. The names are
those published with CLIP (Radford et al. 2021, notebook on prompt engineering for ImageNet). WordNet's own first words
call a bird and a machine "crane" and two classes "maillot", and do not say which kind of nail is meant. "missile" and
"sunglasses" occur twice; the images of these classes are hard to distinguish, too.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["imagenet_names", "prompt_name", "unique_names"]

_NUMBER = re.compile(r" \(n\d{8}\)$")


@cache
def imagenet_names() -> Mapping[str, str]:
    """Name by WordNet number (``n01440764``), in the order of ImageNet's indices."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    fields = (line.partition(" ") for line in lines)
    return {wnid: name for wnid, _, name in fields}


def unique_names(names: Mapping[str, str]) -> dict[str, str]:
    """The same names; one that several classes have gets its number appended, since class labels are unique."""
    count = Counter(names.values())
    return {wnid: name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in names.items()}


def prompt_name(name: str) -> str:
    """A class name for prompts: without the number of `unique_names`, and with spaces instead of underscores."""
    return _NUMBER.sub("", name).replace("_", " ")
