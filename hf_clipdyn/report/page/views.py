"""The kept trials of a study, read for the charts of the page: which cells, how many, and what a kind makes of them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.errors import ClipDynError, EvaluationError, shorten, shown
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import NOT_SHOWN, Gallery, columns_of, read
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import json_object

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.sources import Source

_MOST_CELLS = 200
_MOST_KEPT = 100  # galleries in memory
_LONGEST_NAME = 100  # letters of a class


def kind_cells(study: Study) -> Iterator[tuple[type[Kind[Any]], pd.DataFrame]]:
    """Kinds that are known here, and the cells of one benchmark in the order of training, with the models' own texts.

    Of several cells of one revision, as with other settings, the first counts.
    """
    cells = study.cells[study.cells["texts"] == "own"].sort_values(
        ["samples_seen", "step", "epoch"], kind="stable"
    )
    known = kinds()
    for (name, _), group in cells.groupby(["kind", "dataset"], sort=False, observed=True):
        if name in known:
            yield known[str(name)], group.drop_duplicates(["run", "revision"])


def spread_cells(cells: pd.DataFrame, most: int = _MOST_CELLS) -> pd.DataFrame:
    """At most this number of cells: as many revisions of each run, evenly spaced; two of each stay in any case."""
    of_run = max(2, most // max(1, cells["run"].nunique()))
    chosen = [
        group.index[evenly(len(group), of_run)]
        for _, group in cells.groupby("run", sort=False, observed=True)
    ]
    return cells.loc[np.concatenate(chosen)]


def read_gallery(study: Study, kind: type[Kind[Any]], cell: Any) -> Gallery | None:
    """What the trials of a row of cells show; None without any, or for those of an earlier version."""
    if cell.cell in study.galleries:
        return study.galleries[cell.cell]
    is_earlier = cell.observe_version < kind.version_with(json_object(str(cell.settings)) or {})
    hidden = is_earlier or kind.name in NOT_SHOWN
    gallery = None if hidden else _read(study, kind, cell)
    if len(study.galleries) < _MOST_KEPT:
        study.galleries[cell.cell] = gallery
    return gallery


def _read(study: Study, kind: type[Kind[Any]], cell: Any) -> Gallery | None:
    """None without trials, or where they lack a column that is needed."""
    needed, more = columns_of(kind)
    trials = study.trials.of(str(cell.cell), [*needed, *more])
    if trials is None or trials.empty or not set(needed) <= set(trials):
        return None
    try:
        return read(kind, trials)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EvaluationError(  # trials of another kind, whatever the kind stumbles over
            f"The trials of {shown(cell.revision)} on {cell.kind}/{shown(cell.dataset)} do not match this kind "
            "of benchmark: evaluate it again with --force."
        ) from error


def class_names(dataset: str, schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the classes of a data set by their number; none if they are not known on this machine."""
    from hf_clipdyn.benchmarks.sources import local_source
    from hf_clipdyn.data.registry import builder_class

    with suppress(ClipDynError):
        known = tuple(getattr(builder_class(dataset), "classes", ()))
        return known or label_names(local_source(dataset, schemas))
    return ()


def label_names(source: "Source | None") -> tuple[str, ...]:
    """The names that the rows have for their classes; none if they have none."""
    return () if source is None else tuple(getattr(source.dataset.features.get("label"), "names", None) or ())


def class_title(key: Any, names: Sequence[str]) -> str:
    """What a reader calls a class, of which trials have the name or the number."""
    if isinstance(key, str):
        return shorten(key, _LONGEST_NAME)
    return shorten(names[int(key)], _LONGEST_NAME) if 0 <= key < len(names) else f"class {int(key)}"
