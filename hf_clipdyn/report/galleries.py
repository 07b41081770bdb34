"""The galleries of a study: which cells have one, and what a kind makes of the kept trials of a cell."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.gallery import Gallery
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.metadata import SubsetWarning
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ClipDynError, UnknownNameError
from hf_clipdyn.report.study import Study

__all__ = ["class_names", "gallery_cells", "kind_cells", "read_gallery"]


def kind_cells(study: Study) -> Iterator[tuple[type[Kind[Any]], pd.DataFrame]]:
    """Kinds that are known here, and the cells of one benchmark in the order of training, with the models' own texts.

    Of several cells of one revision, as with other settings, the first counts.
    """
    rows = study.results.rows
    cells = rows[rows["texts"] == "own"].drop_duplicates("cell")
    cells = cells.sort_values(["samples_seen", "step", "epoch"], kind="stable")
    known = kinds()
    for (name, _), group in cells.groupby(["kind", "dataset"], sort=False, observed=True):
        if name in known:
            yield known[str(name)], group.drop_duplicates(["run", "revision"])


def gallery_cells(study: Study) -> Iterator[tuple[type[Kind[Any]], pd.DataFrame]]:
    """The `kind_cells` of kinds with a gallery."""
    return ((kind, cells) for kind, cells in kind_cells(study) if kind.gallery_columns)


def read_gallery(study: Study, kind: type[Kind[Any]], cell: str, settings: str) -> Gallery | None:
    """What the kind makes of the trials of a cell; None if there are none, or of an earlier version."""
    trials = study.trials.of(cell, kind.gallery_columns)
    if trials is None or trials.empty:
        return None
    lacking = set(kind.gallery_columns) - set(trials.columns) - set(kind.later_columns)
    return None if lacking else kind.gallery(trials, json.loads(settings or "{}"))


def class_names(dataset: str, schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the classes of a data set by their number; none if they are not known on this machine."""
    try:
        builder = builder_class(dataset)
        classes = tuple(getattr(builder, "classes", ()))
        folder = find_locally(dataset)
        if classes or (folder is None and (builder.layout or not builder.metadata.synthetic)):
            return classes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SubsetWarning)  # it was said when the set was evaluated
            source = open_source(dataset, schemas, data_dir=folder)
    except (ClipDynError, UnknownNameError):
        return ()
    return tuple(getattr(source.dataset.features.get("label"), "names", None) or ())
