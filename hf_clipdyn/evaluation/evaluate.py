"""Plan, observe, score: one live model, each image once per revision, each cell written when it is done."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import datasets
import numpy as np
from accelerate import PartialState
from accelerate.logging import get_logger
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.registry import vocabulary
from hf_clipdyn.errors import ClipDynError, NothingToMeasureError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LastTexts, LiveModel
from hf_clipdyn.evaluation.observe import observe
from hf_clipdyn.evaluation.plan import Plan, PlannedCell, begin_call, check_precision
from hf_clipdyn.evaluation.precision import PrecisionCheck
from hf_clipdyn.evaluation.processes import check_device, from_main_process, join_processes
from hf_clipdyn.evaluation.recorded import write_recorded
from hf_clipdyn.evaluation.relate import relate
from hf_clipdyn.evaluation.score import given_influences, rescore, rows_of, score, versions
from hf_clipdyn.hub import is_transient
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.progress import duration
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.revisions import Revision

T = TypeVar("T")

_MANY, _FEW = 1000, 16  # images of which a cost is said, and images whose time is taken
_LONG = 60.0  # seconds of which it is worth a line
_KEPT = 2**28  # bytes of projections that a watched run keeps for the texts of its last revision

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


def evaluate(
    config: EvaluationConfig, plan: Plan | None = None, shown: "ShownImages | None" = None
) -> datasets.Dataset:
    """Measure the selected benchmarks on the selected revisions, or score their saved trials again.

    It logs each revision when it is done, and what is left out.

    Args:
        config: what and how.
        plan: that of this configuration, if the caller has made it.
        shown: answers to images that an earlier call has shown; this call adds its own.

    Returns:
        The rows of these revisions and benchmarks, including those that were done before.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        ConfigError: torch cannot compute on the device.
        RevisionNotFoundError: there is no such repository.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        ModelError: a revision's files are not an image encoder.
    """
    state = join_processes(config.device)
    check_device(config.device)
    # Only the main process writes. The others have an empty store and receive the keys of what is done.
    store = CellStore(config.output if state.is_main_process else None)
    if config.rescore:
        keys = rescore(config, store) if state.is_main_process else []
        store.rebuild()
    else:
        check_precision(config, store.cells())
        plan = Plan(config) if plan is None else plan
        store.check_writable()
        try:
            keys = _measure(config, plan, store, LiveModel(config), shown)
        finally:
            store.rebuild()
    table = from_main_process(store.select(keys) if state.is_main_process else None)
    return datasets.Dataset(table.combine_chunks())


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
    store = CellStore(config.output if is_main else None)
    keys: list[str] = []
    if is_main:
        store.check_writable()
        try:
            keys = relate(config, store, tables)
        finally:
            store.rebuild()
    return datasets.Dataset(from_main_process(store.select(keys) if is_main else None).combine_chunks())


def _measure(
    config: EvaluationConfig,
    plan: Plan,
    store: CellStore,
    live: LiveModel,
    shown: "ShownImages | None" = None,
) -> list[str]:
    """Measure what is not done yet; returns the keys of all selected cells."""
    texts = None if plan.last is None else LastTexts(plan.last, live)
    keys: list[str] = []
    announced: set[str] = set()
    draws = config.show_progress and PartialState().is_main_process
    with tqdm(total=len(plan), desc="evaluating", unit="cell", disable=not draws) as bar:
        for revision in plan.revisions:
            start = time.perf_counter()
            if config.output is not None and PartialState().is_main_process:
                write_recorded(config, revision, store, plan.began)
            settings = live.settings(revision)
            done = set() if config.force else from_main_process(store.keys())
            readout: Readout | None = None
            for planned in plan.cells(revision, settings, texts):
                bar.set_postfix_str(f"{revision.name} {planned.cell.kind}/{planned.cell.dataset}")
                if planned.cell.key not in done:
                    if readout is None:  # the weights of a revision that is done are never fetched
                        folder = live.fetch(revision)
                        readout = _readout(live.load(folder), folder, revision.name, config)
                        if shown is not None:
                            shown.give(revision.commit, readout)
                    if planned.cell.kind not in announced:
                        announced.add(planned.cell.kind)
                        _announce(planned, readout.encoder)
                    _measure_cell(planned, readout, config, store, plan.began)
                keys.append(planned.cell.key)
                bar.update()
            if readout is not None:
                if shown is not None:
                    shown.take(revision.commit, readout)
                seconds = time.perf_counter() - start
                _log.info(f"{revision.name}: {len(keys)} of {len(plan)} cells done, {seconds:.0f} s")
    return keys


class ShownImages:
    """What revisions answered to images in earlier calls of one command, so that no image is shown to one twice."""

    def __init__(self) -> None:
        self._projections: dict[str, Mapping[bytes, NDArray[np.float32]]] = {}
        self._left = _KEPT

    def give(self, commit: str, readout: Readout) -> None:
        """Let the readout of that revision know them."""
        readout.keep(self._projections.get(commit, {}))

    def take(self, commit: str, readout: Readout) -> None:
        """Keep what the readout knows, as long as all that is kept fits into 256 MB."""
        size = sum(row.nbytes for row in readout.known.values())
        if commit not in self._projections and size <= self._left:
            self._projections[commit] = readout.known
            self._left -= size


def _readout(encoder: Encoder, folder: Path, name: str, config: EvaluationConfig) -> Readout:
    check = None
    if config.dtype != "float32":
        check = PrecisionCheck(folder, name, config.device or str(encoder.device))
    return Readout(
        encoder, batch_size=config.batch_size, check=check, name=name, label_map=config.class_names
    )


def _announce(planned: PlannedCell, encoder: Encoder) -> None:
    """Say what a benchmark of many drawn images will cost, from the time of a few grey ones."""
    drawn = planned.kind.drawn
    if drawn < _MANY:
        return
    height, width = input_size(encoder.image_processor)
    grey = np.full((_FEW, height, width, 3), 128, np.uint8)
    start = time.perf_counter()
    encoder.embed_images(grey, hidden=planned.kind.reads_layers)
    seconds = (time.perf_counter() - start) * drawn / _FEW
    if seconds >= _LONG:
        _log.info(
            f"{planned.cell.kind}/{planned.cell.dataset} shows {drawn:,} images to each revision: the model alone "
            f"takes about {duration(seconds)} each. --benchmarks can leave it out."
        )


def _measure_cell(
    planned: PlannedCell, readout: Readout, config: EvaluationConfig, store: CellStore, began: str
) -> None:
    start = time.perf_counter()
    trials = observe(planned, readout)
    if not PartialState().is_main_process:
        return
    kind = type(planned.kind)
    numbers = score(kind, trials, config)
    cell = replace(planned.cell, versions=versions(), seconds=time.perf_counter() - start)
    words = vocabulary([Benchmark(kind, cell.dataset, kind.settings())])
    known = given_influences(kind, trials, numbers)
    store.write(cell, rows_of(cell, kind, numbers, config), trials, words, began, known)


def follow(config: EvaluationConfig, *, interval: float | None = None) -> datasets.Dataset:
    """Call `evaluate` for each new revision, until the last planned one or until none has appeared for a while.

    A Hub that cannot be reached, or is overloaded, counts as one without a new revision. A revision that is removed
    before it was measured is left out. The texts of the last revision are asked at the end, since only then it is known
    which one it is.

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
    seen: set[tuple[str, str]] = set()
    results: datasets.Dataset | None = None
    plan: Plan | None = None
    shown = ShownImages() if config.final_texts else None
    last = time.monotonic()
    in_outage = False
    while True:
        trouble: ClipDynError | None = None
        listed: list[Revision] = []
        try:
            listed = config.series.revisions()
        except RevisionNotFoundError as error:  # training has not published anything yet
            trouble = error
        except RevisionError as error:
            trouble = _passing(error)
        listed, waited = from_main_process((listed, time.monotonic() - last))  # all measure the same ones
        published = {(revision.name, revision.commit) for revision in listed}
        if published - seen:
            try:
                own = config.but(final_texts=False)
                plan = Plan(own, listed, plan)
                results = evaluate(own, plan, shown)
            except (ClipDynError, OSError) as error:
                gone = from_main_process(_gone(config, published))
                if gone:
                    _log.warning(f"{', '.join(gone)} was removed or replaced. Watching continues.")
                    continue
                if not isinstance(error, ClipDynError):
                    raise
                trouble = _passing(error)
            else:
                if config.force:
                    config = config.but(force=False)  # the forced measurements are done
                seen |= published
                last = time.monotonic()
                in_outage = False
                names = from_main_process(config.series.planned())
                if names and names[-1] in {name for name, _ in seen}:
                    _log.info(f"{config.series.repo_id} has all revisions that its run planned.")
                    break
                continue
        outage = trouble is not None and is_transient(trouble)
        if outage and not in_outage:
            _log.warning(f"{trouble} Watching continues.")
        in_outage = outage
        if waited < config.watch_patience:
            time.sleep(min(interval, config.watch_patience - waited))
        elif trouble is not None:
            raise trouble
        elif results is None:
            raise RevisionNotFoundError(f"{config.series.repo_id} has no revisions.")
        else:
            _log.info(f"No new revision for {waited:.0f} s: {config.series.repo_id} counts as finished.")
            break
    return evaluate(config, Plan(config, listed, plan), shown) if config.final_texts else results


def _gone(config: EvaluationConfig, listed: set[tuple[str, str]]) -> list[str]:
    """Names of the listed revisions that are there no more, as when a Trainer keeps only its last checkpoints."""
    try:
        there = {(one.name, one.commit) for one in config.series.revisions()}
    except RevisionNotFoundError:
        there = set()
    except RevisionError:
        return []
    return sorted(name for name, _ in listed - there)


def _passing(error: ClipDynError) -> ClipDynError:
    """The error if it is transient; any other is raised."""
    if not is_transient(error):
        raise error
    return error
