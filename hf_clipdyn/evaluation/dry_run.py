"""What an evaluation would cost: its cells and images, and the time of one batch of each benchmark."""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate.logging import get_logger

from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.errors import ClipDynError, ConfigError, EvaluationError, NothingToMeasureError, render_table
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LiveModel
from hf_clipdyn.evaluation.plan import Plan, of_revision
from hf_clipdyn.evaluation.processes import join_processes
from hf_clipdyn.evaluation.relate import planned
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.progress import duration, library_bars
from hf_clipdyn.results.cells import CellStore

# Of a cell; its settings may differ.
_name = attrgetter("revision", "commit", "repo_id", "kind", "dataset", "dtype", "texts")
_HEADINGS = ("benchmark", "cells", "missing", "images", "passes", "a revision", "in all")
_DRAWN = 32  # rows of what is drawn, each of which is many images
_log = get_logger(__name__)


@dataclass(frozen=True)
class Cost:
    """One benchmark.

    Attributes:
        name: ``kind/dataset``.
        cells, missing: its cells, and those of them that the table lacks by their names; whether pixels or settings
            have changed since is not checked.
        images: different ones that go through the model for each revision, without those that an earlier benchmark
            has shown.
        passes: forward passes of them for each revision.
        seconds: of each revision, from one batch; NaN if the kind cannot be shown so few rows.
    """

    name: str
    cells: int
    missing: int
    images: int
    passes: int
    seconds: float


def dry_run(config: EvaluationConfig) -> list[Cost]:
    """Count the cells and images, and time one batch of each benchmark on the last revision.

    Decoded pixels go into a temporary folder; the weights of that revision are downloaded if they are not here.

    Raises:
        ConfigError: an evaluation that measures nothing, or several processes.
        ClipDynError: as for the plan of an evaluation.
    """
    if config.rescore:
        raise ConfigError("`rescore` measures nothing: leave it out of a dry run.")
    if join_processes(config.device).num_processes > 1:
        raise ConfigError("A dry run measures one process: start it without a launcher.")
    with (
        TemporaryDirectory(prefix="clipdyn-dry-run-", ignore_cleanup_errors=True) as cache,
        library_bars(False),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # a batch is too small for some kinds
        costs = list(_costs(config.but(cache_dir=Path(cache), show_progress=False)))
    if not costs:
        raise NothingToMeasureError(f"No benchmark suits {config.series.repo_id}: name others.")
    return costs


def in_words(costs: Sequence[Cost]) -> str:
    """A table of the benchmarks, and the sums."""

    def told(seconds: float) -> str:
        return "not measured" if math.isnan(seconds) else duration(seconds)

    counts = [(one.cells, one.missing, one.missing * one.images, one.missing * one.passes) for one in costs]
    rows = [
        [one.name, *(f"{n:,}" for n in numbers), told(one.seconds), told(one.missing * one.seconds)]
        for one, numbers in zip(costs, counts, strict=True)
    ]
    cells, missing, images, passes = (f"{sum(column):,}" for column in zip(*counts, strict=True))
    seconds = sum(one.missing * one.seconds for one in costs if not math.isnan(one.seconds))
    return (
        f"{render_table([dict(zip(_HEADINGS, row, strict=True)) for row in rows])}\n"
        f"{cells} cells, {missing} of them missing: {images} images in {passes} forward passes, about "
        f"{told(seconds)} in one process. The time was measured on one batch of each benchmark, without "
        "downloads, decoding and statistics. Nothing was written."
    )


def _costs(config: EvaluationConfig) -> Iterator[Cost]:
    plan, live, size = Plan(config), LiveModel(config), config.batch_size
    if not plan.revisions:
        raise EvaluationError(f"Shard {config.shard} has no revisions: nothing would be measured.")
    folder = live.fetch(plan.revisions[-1])
    encoder = live.load(folder)
    done = {_name(cell) for cell in CellStore(config.output).cells()}
    readouts: dict[str, Readout] = {}  # the benchmarks of a data set show the same images
    for benchmark in plan.in_order(plan.sources):
        source = plan.sources[benchmark]
        n = len(source.dataset)
        rows = range(min(n, size if benchmark.kind.schemas else _DRAWN))
        try:
            (planned,) = plan.on_rows(benchmark, rows).cells(plan.revisions[-1], folder)
        except EvaluationError as error:  # it suits no such model
            if not config.skip_missing:
                raise
            _log.info(f"Left out: {error}")
            continue
        readout = Readout(encoder, batch_size=size, label_map=config.class_names)
        start = time.perf_counter()
        with _counted(encoder) as shown:
            try:
                planned.kind.observe(readouts.setdefault(benchmark.dataset, readout))
                seconds = time.perf_counter() - start
            except ClipDynError:
                seconds = math.nan
        whole = source.count_images(range(benchmark.settings.rows_shown(n)))
        larger = max(1.0, whole / source.count_images(rows))
        cells = [replace(planned.cell, **of_revision(revision)) for revision in plan.revisions]
        missing = sum(config.force or _name(cell) not in done for cell in cells)
        images = round(sum(shown) * larger)
        passes = -(-images // min(size, encoder.images_per_pass or size))
        yield Cost(benchmark.name, len(cells), missing, images, passes, seconds * larger)


@contextmanager
def _counted(encoder: Encoder) -> Iterator[list[int]]:
    """The images of each forward pass within the block."""
    shown, image_output = list[int](), encoder.image_output

    def counting(pixel_values: torch.Tensor, **options: Any) -> Any:
        shown.append(len(pixel_values))
        return image_output(pixel_values, **options)

    encoder.image_output = counting  # type: ignore[method-assign]
    try:
        yield shown
    finally:
        del encoder.image_output


def relations_message(config: EvaluationConfig) -> str:
    """What the relations of an evaluation would compute, in words.

    Raises:
        EvaluationError: there are no trials that the relations read, and nothing is to be measured.
    """
    if config.selected:
        return f"Then {', '.join(config.related)} relate the revisions, from saved trials without a model."
    counts = planned(config, CellStore(config.output))
    names = "relation", "pairs and runs", "missing"
    rows = [dict(zip(names, (name, f"{pairs:,}", f"{new:,}"), strict=True)) for name, pairs, new in counts]
    return (
        f"{render_table(rows)}\n{sum(new for *_, new in counts):,} missing: no images and no forward passes, only "
        "saved trials. Nothing was written."
    )
