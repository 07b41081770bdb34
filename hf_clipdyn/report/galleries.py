"""The galleries of a study: which cells have one, and what a kind makes of the kept trials of a cell."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.gallery import Gallery
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.response_curves import ResponseCurve
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.metadata import SubsetWarning
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ClipDynError, EvaluationError, shown
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import json_object

__all__ = ["class_names", "gallery_cells", "kind_cells", "read_curves", "read_gallery", "spread_cells"]

_MOST_CELLS = 200


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


def spread_cells(cells: pd.DataFrame, most: int = _MOST_CELLS) -> pd.DataFrame:
    """At most this number of cells: the same number of revisions from each run, evenly spaced.

    Args:
        most: of all runs; two revisions of each run stay in any case.
    """
    of_run = max(2, most // max(1, cells["run"].nunique()))
    chosen = [
        group.index[
            np.unique(np.linspace(0, len(group) - 1, min(of_run, len(group))).round().astype(np.int64))
        ]
        for _, group in cells.groupby("run", sort=False, observed=True)
    ]
    return cells.loc[np.concatenate(chosen)]


def read_gallery(study: Study, kind: type[Kind[Any]], cell: Any) -> Gallery | None:
    """What the kind makes of the trials of a cell; None if there are none, or of an earlier version.

    Args:
        cell: a row of `gallery_cells`.

    Raises:
        EvaluationError: the trials are of another kind.
    """
    trials = study.trials.of(str(cell.cell), kind.gallery_columns)
    if trials is None or trials.empty:
        return None
    if set(kind.gallery_columns) - set(trials.columns) - set(kind.later_columns):
        return None
    try:
        gallery = kind.gallery(trials, json_object(str(cell.settings)) or {})
        repeated = gallery is not None and not all(one.index.is_unique for one in gallery.answers.values())
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unfit(cell) from error
    if repeated:
        raise _unfit(cell)
    return gallery


def read_curves(study: Study, kind: type[Kind[Any]], cell: Any) -> Sequence[ResponseCurve]:
    """The response curves of a cell; none without trials, or from those of an earlier version.

    Raises:
        EvaluationError: the trials are of another kind.
    """
    trials = study.trials.of(str(cell.cell), kind.response_columns)
    if trials is None or trials.empty or set(kind.response_columns) - set(trials.columns):
        return ()
    try:
        return kind.response_curves(trials)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unfit(cell) from error


def _unfit(cell: Any) -> EvaluationError:
    return EvaluationError(
        f"The trials of {shown(cell.revision)} on {cell.kind}/{shown(cell.dataset)} do not match this kind "
        "of benchmark: evaluate it again with --force."
    )


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
    except ClipDynError:
        return ()
    return tuple(getattr(source.dataset.features.get("label"), "names", None) or ())
