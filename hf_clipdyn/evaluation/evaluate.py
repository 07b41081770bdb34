"""Plan, observe, score: one live model, each image once per revision, each cell written when it is done."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets
import torch
from accelerate import PartialState
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.registry import vocabulary
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LastTexts, LiveModel
from hf_clipdyn.evaluation.observe import new_readout, observe
from hf_clipdyn.evaluation.plan import Plan, PlannedCell, check_precision
from hf_clipdyn.evaluation.processes import check_device, from_main_process, join_processes
from hf_clipdyn.evaluation.score import rescore, rows_of, score, versions
from hf_clipdyn.results.cells import CellStore

__all__ = ["evaluate"]


def evaluate(config: EvaluationConfig, say: Callable[[str], Any] = lambda _: None) -> datasets.Dataset:
    """Measure every chosen benchmark on every chosen revision, or score their kept trials again.

    Args:
        config: what and how.
        say: told, in a sentence each, what is left out and how far the work is.

    Returns:
        The rows of these revisions and benchmarks, also of those that were done before.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        ConfigError: torch cannot compute on the device.
        RevisionNotFoundError: there is no such repository.
        EvaluationError: data are missing (all are named), or the output cannot be written.
        ModelError: a revision's files are no image encoder.
    """
    state = join_processes(config.device)
    check_device(config.device)
    if not state.is_main_process:
        say = _silent
    assert config.output is None or not isinstance(config.output, str)
    # Only the main process writes; the others hold an empty store and are told what is done.
    store = CellStore(config.output if state.is_main_process else None)
    if config.rescore:
        keys = rescore(config, store, say) if state.is_main_process else []
        store.rebuild()
    else:
        check_precision(config, store.cells())
        plan = Plan(config, say)
        store.check_writable()
        try:
            keys = _measure(config, plan, store, say)
        finally:
            store.rebuild()
    table = from_main_process(store.select(keys) if state.is_main_process else None)
    return datasets.Dataset(table.combine_chunks())


def _silent(_: str) -> None:
    """What processes but the main one say."""


def _measure(config: EvaluationConfig, plan: Plan, store: CellStore, say: Callable[[str], Any]) -> list[str]:
    """Measure what is not done yet; returns the keys of all cells that the call means."""
    state = PartialState()
    assert config.store is None or not isinstance(config.store, str)
    dtype = getattr(torch, config.dtype)
    live = LiveModel(config.repo_id, config.store, config.token, config.device, dtype)
    texts = None if plan.last is None else LastTexts(plan.last, live)
    keys: list[str] = []
    with tqdm(
        total=len(plan),
        desc="evaluating",
        unit="cell",
        disable=not (config.show_progress and state.is_main_process),
    ) as bar:
        for revision in plan.revisions:
            folder = live.fetch(revision)
            done = set() if config.force else from_main_process(store.keys())
            readout: Readout | None = None
            for planned in plan.cells(revision, folder, texts):
                bar.set_postfix_str(f"{revision.name} {planned.cell.kind}/{planned.cell.dataset}")
                if planned.cell.key not in done:
                    if readout is None:
                        readout = new_readout(live.load(folder), folder, revision.name, config, say)
                    _measure_cell(planned, readout, config, store)
                keys.append(planned.cell.key)
                bar.update()
    return keys


def _measure_cell(planned: PlannedCell, readout: Readout, config: EvaluationConfig, store: CellStore) -> None:
    start = time.perf_counter()
    trials = observe(planned, readout)
    if not PartialState().is_main_process:
        return
    kind = type(planned.kind)
    numbers = score(kind, trials, config)
    cell = replace(planned.cell, versions=versions(), seconds=time.perf_counter() - start)
    words = vocabulary([Benchmark(kind, cell.dataset, kind.settings_class())])
    store.write(cell, rows_of(cell, kind, numbers, config), trials, words)
