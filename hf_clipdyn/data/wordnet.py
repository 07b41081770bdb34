"""Base class of ImageNet and Tiny ImageNet: class folders are called by WordNet numbers."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from hf_clipdyn.data.imagenet_names import imagenet_names, unique_names
from hf_clipdyn.data.labels import LabelledBuilder
from hf_clipdyn.data.tables import lines_of

__all__ = ["WordnetBuilder"]

_WNID = re.compile(r"n\d{8}")
_WORD_LISTS = ("words.txt", "LOC_synset_mapping.txt")


class WordnetBuilder(LabelledBuilder):
    """Class indices are in the order of the sorted WordNet numbers.

    A class has its name in `imagenet_names`, for prompts. A class outside of ImageNet's 1,000 has its first word in
    ``words.txt`` or ``LOC_synset_mapping.txt`` as its name, or its number if there is no such list.
    """

    @cached_property
    def wnids(self) -> Sequence[str]:
        """The class folders, in lower case, sorted."""
        folders = {part.lower() for file in self.files.images() for part in file.parts[:-1]}
        return sorted(folder for folder in folders if _WNID.fullmatch(folder))

    def class_names(self) -> Sequence[str]:
        return list(self.folder_classes.values())

    @cached_property
    def folder_classes(self) -> Mapping[str, str]:
        known = {**self._words(), **imagenet_names()}
        return unique_names({wnid: known.get(wnid, wnid) for wnid in self.wnids})

    @classmethod
    def label_names(cls, names: Sequence[str]) -> Sequence[str]:
        """The class names of a mirror, whose labels may be WordNet numbers or full lists of synonyms."""
        lowered = [name.lower() for name in names]
        if all(_WNID.fullmatch(name) for name in lowered):
            return list(unique_names({wnid: imagenet_names().get(wnid, wnid) for wnid in lowered}).values())
        if len(names) == len(imagenet_names()) and [lowered[0][:5], lowered[-1][:6]] == ["tench", "toilet"]:
            return list(unique_names(imagenet_names()).values())
        return names

    def _words(self) -> dict[str, str]:
        """First word by WordNet number."""
        found = self.files.named(*_WORD_LISTS)
        if not found:
            return {}
        entries = (line.split(maxsplit=1) for line in lines_of(found[0].path))
        return {entry[0].lower(): entry[1].split(",")[0].strip() for entry in entries if len(entry) == 2}
