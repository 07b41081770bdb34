"""What labelled sets share: pictures in class folders, directly under the folder or under ``<split>/``."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.errors import DatasetError

__all__ = ["LabelledBuilder"]

_SPLITS = {"train": "train", "test": "test", "val": "valid", "valid": "valid", "validation": "valid"}


class LabelledBuilder(DataBuilder):
    """Class folders, however deeply nested: the nearest folder that names a class is the label.

    A folder above it that names a split (``train``, ``val``, ``valid``, ``validation``, ``test``) gives the split;
    without one the images are of the default split. A picture in a folder that names neither is an error, since
    it would be left out in silence; pictures that lie beside the class folders are none of the data set's.

    Attributes (of the class):
        classes: the official names, in the order of their indices.
        split_names: this data set's own name for a split, by the common one.
    """

    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.webp",)
    classes: ClassVar[Sequence[str]] = ()
    split_names: ClassVar[Mapping[str, str]] = {}

    def class_names(self) -> Sequence[str]:
        return self.classes

    def folder_classes(self) -> Mapping[str, str]:
        """Class name by folder name in lower case."""
        return {_spelt(name): name for name in self.classes}

    @cached_property
    def labelled(self) -> dict[str, list[tuple[SourceFile, str]]]:
        """Files and their class by split.

        Raises:
            DatasetError: a picture is in a folder that is no class of this data set.
        """
        classes = self.folder_classes()
        found: dict[str, list[tuple[SourceFile, str]]] = {}
        for file in self.files.images():
            folders = file.parts[:-1]
            depth = next((d for d in reversed(range(len(folders))) if _spelt(folders[d]) in classes), None)
            if depth is None:
                if folders and folders[-1].lower() not in _SPLITS:
                    raise DatasetError(
                        f"{file.path} lies in no class folder of {self.facts.title} ({', '.join(classes)[:200]}): "
                        "remove it or rename its folder."
                    )
                continue
            above = [_SPLITS[name.lower()] for name in folders[:depth] if name.lower() in _SPLITS]
            split = self.split_names.get(above[-1], above[-1]) if above else self.default_split
            found.setdefault(split, []).append((file, classes[_spelt(folders[depth])]))
        if not found:
            raise DatasetError(
                f"{self.files.root} has no class folders: {self.facts.title} is read from <class>/*.jpg, directly "
                f"under the folder or under <split>/, or from the Hub ({self.facts.mirror})."
            )
        return found

    def splits(self) -> list[str]:
        return sorted(self.labelled)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        for file, label in self.labelled[split]:
            yield {"image": self.image(file), "label": label}


def _spelt(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
