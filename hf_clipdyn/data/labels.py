"""Base classes of labelled data sets: images in class folders, called by their class or by a WordNet number."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.prompts import imagenet_names, unique_names
from hf_clipdyn.data.tables import lines_of
from hf_clipdyn.errors import DatasetError, shorten

_SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}


class LabelledBuilder(DataBuilder):
    """Class folders, however deeply nested: the nearest folder that names a class is the label.

    A folder above it that names a split (``train``, ``val``, ``valid``, ``validation``, ``test``) gives the split;
    without one the images belong to the default split. An image in a folder that names no class is an error,
    since it would be left out silently. Images outside of any folder are ignored.

    Attributes:
        classes: the official names, in the order of their indices.
        validation: this data set's name for the validation split.
        unlabelled: splits without public labels.
    """

    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.webp",)
    classes: ClassVar[Sequence[str]] = ()
    validation: ClassVar[str] = "validation"
    unlabelled: ClassVar[Sequence[str]] = ()

    def class_names(self) -> Sequence[str]:
        return self.classes

    @cached_property
    def folder_classes(self) -> Mapping[str, str]:
        """Class name by `normalised` folder name."""
        return {normalised(name): name for name in self.classes}

    def listed_folder(self, key: str) -> str | None:
        """The class folder that a list assigns to an image outside of all class folders."""
        return None

    @cached_property
    def _labelled(self) -> dict[str, list[tuple[Path, str]]]:
        """Files and their class by split."""
        classes = self.folder_classes
        labelled: dict[str, list[tuple[Path, str]]] = {}
        stray = None
        for key, path in self.files.images().items():
            folders = [normalised(folder) for folder in key.split("/")[:-1]]
            depth = next((d for d in reversed(range(len(folders))) if folders[d] in classes), len(folders))
            splits = [_SPLITS[folder] for folder in folders[:depth] if folder in _SPLITS]
            folder = folders[depth] if depth < len(folders) else self.listed_folder(key)
            if folder is None:
                if folders and not set(splits) & set(self.unlabelled):
                    stray = path
                continue
            split = splits[-1] if splits else self.default_split
            split = self.validation if split == "val" else split
            labelled.setdefault(split, []).append((path, classes[folder]))
        if stray is not None or not labelled:
            raise DatasetError(
                f"{stray or self.files.root} does not have the layout of {self.metadata.title}: give a folder with "
                f"<class>/*.jpg or <split>/<class>/*.jpg, with the classes {shorten(', '.join(classes))}."
            )
        return labelled

    def splits(self) -> list[str]:
        return sorted(self._labelled)

    def rows(self, split: str) -> Rows:
        for path, label in self._labelled[split]:
            yield {"image": path, "label": label}


def normalised(name: str) -> str:
    """A folder's name in lower case, its words separated by underscores."""
    return name.lower().replace(" ", "_").replace("-", "_")


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
        folders = {part.lower() for key in self.files.images() for part in key.split("/")[:-1]}
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
        lines = [line for path in self.files.named(*_WORD_LISTS)[:1] for line in lines_of(path)]
        entries = (line.split(maxsplit=1) for line in lines)
        return {entry[0].lower(): entry[1].split(",")[0].strip() for entry in entries if len(entry) == 2}
