"""Plan, observe, score: one live model, each image once per revision, each cell written when it is done."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import datasets
import pandas as pd
from accelerate import PartialState
from accelerate.logging import get_logger
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.readout import Readout, map_over_processes
from hf_clipdyn.benchmarks.registry import scored_earlier
from hf_clipdyn.benchmarks.sources import begin_call
from hf_clipdyn.benchmarks.units import influences
from hf_clipdyn.errors import ClipDynError, NothingToMeasureError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LiveModel
from hf_clipdyn.evaluation.plan import Plan, PlannedCell, check_precision
from hf_clipdyn.evaluation.processes import from_main_process, join_processes
from hf_clipdyn.evaluation.recorded import write_recorded
from hf_clipdyn.evaluation.relate import relate
from hf_clipdyn.evaluation.score import rescore, rows_of, score, versions
from hf_clipdyn.hub import is_transient
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell
from hf_clipdyn.results.trials import KeptTrials

T = TypeVar("T")

_log = get_logger(__name__)


def measure_each(config: EvaluationConfig, measure: Callable[[EvaluationConfig], T]) -> Iterator[T]:
    """What ``measure`` returns for each repository of the configuration.

    With ``skip_missing`` a model that no benchmark suits is skipped with a warning if another one can be measured.

    Raises:
        NothingToMeasureError: a model must not be skipped, or none can be measured.
        RevisionNotFoundError: there is no such repository. It is raised before the first is measured.
    """
    begin_call()
    each = config.each
    for one in each if len(each) > 1 and not config.rescore else ():
        one.series.revisions()
    skipped = 0
    for one in each:
        try:
            yield measure(one)
        except NothingToMeasureError as error:
            skipped += 1
            if not config.skip_missing or skipped == len(each):
                raise
            _log.warning(f"{one.series.repo_id} is skipped: {error}")


def evaluate(config: EvaluationConfig, plan: Plan | None = None) -> datasets.Dataset:
    """Measure the selected benchmarks on the selected revisions, or score their saved trials again.

    It logs each revision when it is done, and what is left out.

    Args:
        config: what and how.
        plan: that of this configuration, if the caller has made it.

    Returns:
        The rows of these revisions and benchmarks, including those that were done before.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        ConfigError: torch cannot compute on the device.
        RevisionNotFoundError: there is no such repository.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        ModelError: a revision's files are not an image encoder.
    """
    is_main = join_processes(config.device).is_main_process
    store = _store(config.output)
    if config.rescore:
        results = _rows(store, partial(rescore, config, store) if is_main else list)
    else:
        check_precision(config, store.cells())
        plan = Plan(config) if plan is None else plan
        store.check_writable()
        results = _rows(store, partial(_measure, config, plan, store))
    cells = ((cell.key, cell.kind, cell.score_version) for cell in store.cells())
    if is_main and config.output and (note := scored_earlier(cells, KeptTrials([config.output]))):
        _log.warning(f"{config.output}: {note}")
    return results


def evaluate_relations(config: EvaluationConfig, tables: Sequence[Path] = ()) -> datasets.Dataset:
    """Relate revisions of all selected models with each other, from their saved trials; only the main process works.

    Args:
        config: what to relate.
        tables: of the members of a study, see `relate`.

    Returns:
        The rows of the relations.

    Raises:
        UnknownNameError, EvaluationError: see `relate`.
    """
    is_main = join_processes(config.device).is_main_process
    store = _store(config.output)
    store.check_writable()
    return _rows(store, partial(relate, config, store, tables) if is_main else list)


def _store(output: Path | None) -> CellStore:
    """Only the main process writes. The others have an empty store and receive the keys of what is done."""
    return CellStore(output if PartialState().is_main_process else None)


def _rows(store: CellStore, work: Callable[[], list[str]]) -> datasets.Dataset:
    """The rows of the cells whose keys ``work`` returns, in every process. The table then has all that was done."""
    try:
        keys = work()
    finally:
        store.rebuild()
    table = from_main_process(store.select(keys) if PartialState().is_main_process else None)
    return datasets.Dataset(table.combine_chunks())


def _measure(config: EvaluationConfig, plan: Plan, store: CellStore) -> list[str]:
    """Measure what is not done yet; returns the keys of all selected cells."""
    is_main, live, keys = PartialState().is_main_process, LiveModel(config), list[str]()
    texts, quiet = partial(live.texts_of, plan.last), not (config.show_progress and is_main)
    with tqdm(total=len(plan), desc="evaluating", unit="cell", disable=quiet) as bar:
        for revision in plan.revisions:
            start = time.perf_counter()
            if config.output is not None and is_main:
                write_recorded(config.series.repo_id, revision, store, plan.began, force=config.force)
            done = set() if config.force else from_main_process(store.keys())
            readout: Readout | None = None
            for planned in plan.cells(revision, live.fetch(revision, settings_only=True)):
                bar.set_postfix_str(f"{revision.name} {planned.cell.kind}/{planned.cell.dataset}")
                if planned.cell.key not in done:
                    readout = readout or live.readout(revision)  # weights of what is done are never fetched
                    asked = readout.with_texts(texts) if planned.cell.texts == "last" else readout
                    _measure_cell(planned, asked, config, store, plan.began)
                keys.append(planned.cell.key)
                bar.update()
            if readout is not None:
                seconds = time.perf_counter() - start
                _log.info(f"{revision.name}: {len(keys)} of {len(plan)} cells done, {seconds:.0f} s")
    return keys


def _measure_cell(
    planned: PlannedCell, readout: Readout, config: EvaluationConfig, store: CellStore, began: str
) -> None:
    start, kind = time.perf_counter(), type(planned.kind)
    trials = observe(planned, readout)
    if not PartialState().is_main_process:
        return
    numbers = score(kind, trials, config)
    cell = replace(planned.cell, versions=versions(), seconds=time.perf_counter() - start)
    rows = rows_of(cell, kind.terms, numbers, config.confidence_level)
    store.write(cell, rows, trials, planned.words, began, influences(kind, trials, numbers))


def observe(planned: PlannedCell, readout: Readout) -> pd.DataFrame:
    """The trials of one cell: ``split``, ``row`` and ``file`` of the stimulus, then the columns of the kind.

    Every process calls it, and each gets all trials.

    Returns:
        A row per stimulus and condition. ``row`` is the row in the data set, ``file`` the image's file name ("" if
        unknown).
    """
    kind = planned.kind
    trials = kind.observe(readout)
    taken = set(trials) & {"row", "file", *Cell.__annotations__} - {"other"}  # no trials of another revision
    assert "item" in trials, f"the trials of {kind.name} lack the column item"
    assert not taken, f"the trials of {kind.name} have columns with reserved names: {taken}"
    counts = map_over_processes(range(PartialState().num_processes), lambda _: len(trials))
    assert set(counts) == {len(trials)}, f"the processes saw unequal numbers of stimuli: {counts}"
    items = trials["item"].to_numpy()
    rows = items if kind.rows is None else kind.rows[items]
    place = {"split": planned.cell.split, "row": rows, "file": planned.files[rows]}
    return pd.concat([pd.DataFrame(place, index=trials.index), trials], axis=1)


def follow(config: EvaluationConfig, *, interval: float | None = None) -> datasets.Dataset:
    """Call `evaluate` for each new revision, until the last planned one or until none has appeared for a while.

    A Hub that cannot be reached, or is overloaded, counts as one without a new revision. A revision that is removed
    before it was measured is left out.

    Args:
        config: a run without a new revision for ``watch_patience`` seconds counts as finished.
        interval: seconds between two looks; by default 10 at the Hub, and 1 on the own disk.

    Raises:
        RevisionNotFoundError: no revision appeared at all.
        RevisionError: the Hub refuses, or cannot be reached until the end.
        ClipDynError: as for `evaluate`.
    """
    join_processes(config.device)
    if interval is None:
        interval = 1.0 if config.series.on_disk else 10.0
    seen, last, said = set[tuple[str, str]](), time.monotonic(), ""
    results: datasets.Dataset | None = None
    plan: Plan | None = None
    while True:
        trouble: ClipDynError | None = None
        try:
            listed = config.series.revisions()
        except RevisionError as error:  # training may not have published anything yet
            listed, trouble = [], error
        listed, waited = from_main_process((listed, time.monotonic() - last))  # all measure the same ones
        published = {(revision.name, revision.commit) for revision in listed}
        if published - seen:
            try:
                plan = Plan(config, listed, plan)
                results = evaluate(config, plan)
            except (ClipDynError, OSError) as error:
                gone = from_main_process(_gone(config, published))
                if gone:
                    _log.warning(f"{', '.join(gone)} was removed or replaced. Watching continues.")
                    continue
                if not isinstance(error, ClipDynError):
                    raise
                trouble = error
            else:
                config = config.but(force=False) if config.force else config  # what was forced is done
                seen, last, said = seen | published, time.monotonic(), ""
                names = from_main_process(config.series.planned)
                if names and names[-1] in {name for name, _ in seen}:
                    _log.info(f"{config.series.repo_id} has all revisions that its run planned.")
                    return results
                continue
        if trouble is not None and not isinstance(trouble, RevisionNotFoundError):
            if not is_transient(trouble):
                raise trouble
            if not said:
                _log.warning(said := f"{trouble} Watching continues.")
        if waited < config.watch_patience:
            time.sleep(min(interval, config.watch_patience - waited))
        elif trouble is not None or results is None:
            raise trouble or RevisionNotFoundError(f"{config.series.repo_id} has no revisions.")
        else:
            _log.info(f"No new revision for {waited:.0f} s: {config.series.repo_id} counts as finished.")
            return results


def _gone(config: EvaluationConfig, listed: set[tuple[str, str]]) -> list[str]:
    """Names of the listed revisions that are there no more, as when a Trainer keeps only its last checkpoints."""
    try:
        there = {(one.name, one.commit) for one in config.series.revisions()}
    except RevisionNotFoundError:
        there = set()
    except RevisionError:
        return []
    return sorted(name for name, _ in listed - there)
