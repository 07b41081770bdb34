"""How a data set is added: one file in `data/sets/`, or in a package or module of your own.

::

    # hf_clipdyn/data/sets/faces.py, or faces.py, given with --plugin faces.py
    class Faces(DataBuilder):
        metadata = DatasetMetadata(kind="quality", title="Faces", licence="CC BY 4.0", may_redistribute=True,
                                   where="https://…", citation="@article{…}", rows={"test": 200})
        layout = ("photos/", "scores.csv")           # what the official folder contains

        def rows(self, split):                       # one dict per row, with the columns of its kind
            photos = self.files.folder("photos")
            for row in read_csv(self.files.file("scores.csv"), ["name", "score"]):
                yield {"reference": photos.image(row["name"]), "score": row.number("score"), ...}

The data set takes its name from the module, ``faces``, as in `datasets`. If a module defines several data sets, or one
beside a kind of benchmark, give the class a ``name``. An installed package declares its modules::

    [project.entry-points."hf_clipdyn.datasets"]
    faces = "my_package.faces"

The base class turns this into a `datasets.GeneratorBasedBuilder`. It finds files whatever their case, nesting and
packing, derives the cache's key from their content, checks the number of rows, and sets the columns that a row leaves
out to null. A data set without files has an empty ``layout``. One with configurations sets
``BUILDER_CONFIGS = configs("a", "b")`` and ``DEFAULT_CONFIG_NAME``, as usual in `datasets`, and
``metadata.config_kinds`` if their rows differ in kind. One with several splits overrides `DataBuilder.splits`.

Raise ``rows_version`` whenever a loader makes other rows of the same files: tables that were prepared before are then
made again. tests/data/test_cache.py notices such a change.

Builders open no files themselves (`files.py` says why): they use `FileIndex` and `tables`. Their modules do not load
torch, so that the registry stays fast.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets

from hf_clipdyn.data.cache import cache_folder
from hf_clipdyn.data.files import FileIndex, hash_of, open_layout
from hf_clipdyn.data.metadata import DatasetMetadata, SubsetWarning
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.plugins import module_name

__all__ = ["DataBuilder", "Rows", "SubsetWarning", "configs"]

Rows = Iterator[dict[str, Any]]
"""Rows of a split, with the columns of their kind; a missing column is null, an image may be a `pathlib.Path`."""


def configs(*names: str) -> list[datasets.BuilderConfig]:
    """``BUILDER_CONFIGS`` of these names."""
    return [datasets.BuilderConfig(name=name) for name in names]


class DataBuilder(datasets.GeneratorBasedBuilder):  # type: ignore[misc]  # datasets carries no types
    """Base class of data sets: reads the official layout as a builder of `datasets`.

    A subclass overrides `rows`, and if needed `splits` and `class_names`. ``docs/how-to/add-a-data-set.md`` has a whole
    example.

    Attributes:
        metadata: licence, size and origin.
        name: name of the data set for users; default: the name of the module.
        layout: files and folders (``name/``) that the official folder contains; ``a|b`` means either.
        also_called: other names of its folder.
        companions: names of a second folder next to the official one, whose files are read too: the first that
            exists. ``{}`` is the name of the official folder.
        default_split: the split of a data set without official splits.
        rows_version: part of the cache's key; raise it if the loader makes other rows of the same files.
        exact_rows: whether more rows than ``metadata.rows`` are an error and fewer are a warning.
        files: the files of its folder.

    Args:
        data_dir: the folder of the official data set, or its archive. Not for data sets without files.
        config_name: one of the configurations.
        cache_dir: folder of prepared tables and unpacked archives; default: the cache of `datasets`.
        kwargs: passed to `datasets.GeneratorBasedBuilder`.

    Raises:
        DatasetError: the folder is missing, unreadable, or has another layout.

    Examples:
        >>> from PIL import Image
        >>> from hf_clipdyn.data import DatasetMetadata
        >>> from hf_clipdyn.data.base import DataBuilder
        >>> class Greys(DataBuilder):
        ...     name = "greys"
        ...     metadata = DatasetMetadata(kind="labels", title="Greys", licence="Apache-2.0", where="drawn here")
        ...     def class_names(self):
        ...         return ["dark", "bright"]
        ...     def rows(self, split):
        ...         for name, level in (("dark", 0), ("bright", 255)):
        ...             yield {"image": Image.new("L", (8, 8), level), "label": name}
        ...
        >>> builder = Greys(cache_dir="tables")
        >>> builder.download_and_prepare()
        >>> builder.as_dataset(split="test")["label"][:]
        [0, 1]
    """

    metadata: ClassVar[DatasetMetadata]
    name: ClassVar[str]
    layout: ClassVar[tuple[str, ...]] = ()
    also_called: ClassVar[tuple[str, ...]] = ()
    companions: ClassVar[tuple[str, ...]] = ()
    default_split: ClassVar[str] = "test"
    rows_version: ClassVar[int] = 1
    exact_rows: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = module_name(cls)

    def __init__(
        self,
        data_dir: str | Path | None = None,
        config_name: str | None = None,
        cache_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        # Set by `load_dataset` when streaming: rows are then counted at the end of a pass.
        self.streams = False
        self.files = FileIndex(Path(), {})
        if (data_dir is None) == bool(self.layout):
            need = (
                f"needs its folder: get it from {self.metadata.where}"
                if self.layout
                else "reads no files: omit data_dir"
            )
            raise DatasetError(f"{self.metadata.title} {need}.")
        if data_dir is not None:
            # Without links, so that the cache's key does not depend on the current folder.
            root = Path(data_dir).expanduser().resolve()
            self.files = self._files_in(root, None if cache_dir is None else Path(cache_dir))
            data_dir = str(root)
        # `datasets` names a table after the parameters given here; those of a named configuration are not among them.
        named = {config.name: config for config in self.BUILDER_CONFIGS}
        chosen = repr(named.get(config_name or self.DEFAULT_CONFIG_NAME))
        super().__init__(
            cache_dir=str(cache_folder("tables", cache_dir)),
            config_name=config_name,
            data_dir=data_dir,
            hash=hash_of(self.files.fingerprint, str(self.rows_version), chosen),
            dataset_name=type(self).name.replace("/", "--"),
            **kwargs,
        )

    def _files_in(self, root: Path, cache_dir: Path | None) -> FileIndex:
        files = open_layout(root, self.layout, cache_dir)
        if missing := files.lacks(self.layout):
            listed = [
                ", ".join(entry.replace("|", " or ") for entry in part) for part in (missing, self.layout)
            ]
            raise DatasetError(
                f"{root} lacks {listed[0]}: {self.metadata.title} consists of {listed[1]}; get it from "
                f"{self.metadata.where}."
            )
        besides = [root.with_name(name.format(root.name)) for name in self.companions]
        beside = next((folder for folder in besides if folder != root and folder.is_dir()), None)
        if beside is not None:
            added = {f"{beside.name}/{key}": path for key, path in FileIndex.below(beside).items()}
            files = FileIndex(files.root, {**files, **added})
        return files

    # --- for a data set to override ---------------------------------------------------------------------------

    def rows(self, split: str) -> Rows:
        """The rows of one split, in a fixed order."""
        raise NotImplementedError

    def splits(self) -> list[str]:
        """Names of the splits in these files."""
        return [self.default_split]

    def class_names(self) -> Sequence[str]:
        """Class names, for labelled images."""
        return ()

    # --- called by `datasets` --------------------------------------------------------------------------

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.metadata.description,
            features=features_of(self.metadata.kind_of(self.config.name), self.class_names()),
            citation=self.metadata.citation,
            license=self.metadata.licence,
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # Nothing is downloaded here: see mirrors.py.
        return [datasets.SplitGenerator(name=name, gen_kwargs={"split": name}) for name in self.splits()]

    def _generate_examples(self, split: str) -> Iterator[tuple[int | str, dict[str, Any]]]:
        empty = dict.fromkeys(self.info.features)
        count = 0
        where = self.files.root if self.layout else self.metadata.title
        with naming(where, DatasetError):
            for row in self.rows(split):
                # As a text: `datasets` replaces the class of paths in modules of builders.
                paths = {name: str(value) for name, value in row.items() if isinstance(value, os.PathLike)}
                yield count, empty | row | paths
                count += 1
            if count == 0:
                raise DatasetError(f"it has no image of the split {split!r}: unpack the whole archive.")
            if self.streams and self.exact_rows:
                self.metadata.check_counts(self.config.name, {split: count}, str(where))
