"""What an evaluation would cost: its cells and images, and the time of one batch of each benchmark."""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import pandas as pd
import pyarrow.compute as pc
import torch
from accelerate.logging import get_logger

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    EvaluationError,
    NothingToMeasureError,
    render_table,
)
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LiveModel
from hf_clipdyn.evaluation.plan import Plan
from hf_clipdyn.evaluation.processes import check_device, join_processes
from hf_clipdyn.evaluation.relate import planned
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.progress import duration, library_bars
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell

_NAMES = (
    "revision",
    "commit",
    "repo_id",
    "kind",
    "dataset",
    "dtype",
    "texts",
)  # of a cell; settings may differ
_AT_ONCE = 1000
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
    check_device(config.device)
    with (
        TemporaryDirectory(prefix="clipdyn-dry-run-", ignore_cleanup_errors=True) as cache,
        library_bars(False),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # a batch is too small for some kinds
        costs = list(_costs(config.but(cache_dir=Path(cache), show_progress=False)))
    if not costs:
        raise NothingToMeasureError(
            f"No selected benchmark suits {config.series.repo_id}: name others with --benchmarks."
        )
    return costs


def in_words(costs: Sequence[Cost]) -> str:
    """A table of the benchmarks, and the sums."""
    table = pd.DataFrame([vars(one) for one in costs]).rename(columns={"name": "benchmark"})
    table[["images", "passes"]] = table[["images", "passes"]].mul(table["missing"], axis=0)
    table["in all"] = table["missing"] * table["seconds"]
    sums = table[["cells", "missing", "images", "passes", "in all"]].sum()
    cells, missing, images, passes = (f"{int(one):,}" for one in sums.iloc[:4])
    for name in ("cells", "missing", "images", "passes"):
        table[name] = table[name].map("{:,}".format)
    for name in ("seconds", "in all"):
        table[name] = [duration(one) if one == one else "not measured" for one in table[name]]
    return (
        f"{render_table(table.rename(columns={'seconds': 'a revision'}).to_dict('records'))}\n"
        f"{cells} cells, {missing} of them missing: {images} images in {passes} forward passes, about "
        f"{duration(sums['in all'])} in one process. The time is that of one batch of each benchmark, without downloads, "
        "decoding and statistics. Nothing was written."
    )


def _costs(config: EvaluationConfig) -> Iterator[Cost]:
    plan, live = Plan(config), LiveModel(config)
    if not plan.revisions:
        raise EvaluationError(f"Shard {config.shard} has no revisions: nothing would be measured.")
    folder = live.fetch(plan.revisions[-1])
    encoder = live.load(folder)
    done = {_name(cell) for cell in CellStore(config.output).cells()}
    readouts: dict[str, Readout] = {}  # the benchmarks of a data set show the same images
    size = config.batch_size
    for benchmark in plan.in_order(plan.sources):
        dataset = plan.sources[benchmark].dataset
        readout = Readout(encoder, batch_size=size, label_map=config.class_names)
        readout = readouts.setdefault(benchmark.dataset, readout)
        for rows in _samples(benchmark, len(dataset), size):
            try:
                (planned,) = plan.on_rows(benchmark, rows).cells(plan.revisions[-1], folder)
            except EvaluationError as error:  # it suits no such model
                if not config.skip_missing:
                    raise
                _log.info(f"Left out: {error}")
                break
            with _counted(encoder) as shown:
                try:
                    planned.kind.observe(readout)
                except ClipDynError:
                    shown.seconds = math.nan
            if shown.images or benchmark.kind.schemas or len(rows) == len(dataset):
                limits = len(dataset), planned.kind.most_rows, getattr(benchmark.settings, "held_out", None)
                whole = _different_images(dataset, range(min(filter(None, limits))))
                larger = max(1.0, whole / _different_images(dataset, rows))
                names = [
                    _name(replace(planned.cell, revision=one.name, commit=one.commit))
                    for one in plan.revisions
                ]
                images, missing = (
                    round(shown.images * larger),
                    sum(config.force or name not in done for name in names),
                )
                passes = -(-images // min(size, encoder.images_per_pass or size))
                yield Cost(benchmark.name, len(names), missing, images, passes, shown.seconds * larger)
                break


def _samples(benchmark: Benchmark, rows: int, batch_size: int) -> Sequence[Sequence[int]]:
    """The rows of one batch; of what is drawn, where a row is many images, as few as show any."""
    if benchmark.kind.schemas:
        return [range(min(rows, batch_size))]
    return [range(min(rows, first)) for first in (8, 16, 32, rows)]


def _name(cell: Cell) -> tuple[str, ...]:
    return tuple(getattr(cell, name) for name in _NAMES)


def _different_images(dataset: datasets.Dataset, rows: Sequence[int]) -> int:
    """How many different images these rows have, by the path and the size of their files; at least one."""
    columns = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        return len(rows)
    table: Any = dataset.select_columns(columns).select(rows).with_format("arrow")
    seen: set[Any] = set()
    for start in range(0, len(rows), _AT_ONCE):
        part = table[start : start + _AT_ONCE]
        for name in columns:
            stored = part[name].combine_chunks()
            paths = pc.struct_field(stored, "path").to_pylist()
            sizes = pc.binary_length(pc.struct_field(stored, "bytes")).to_pylist()
            seen |= {
                (path, size) if path else (name, start + at)  # an image without a path counts as another one
                for at, (path, size) in enumerate(zip(paths, sizes, strict=True))
            }
    return max(1, len(seen))


@dataclass
class _Shown:
    images: int = 0
    seconds: float = 0.0


@contextmanager
def _counted(encoder: Encoder) -> Iterator[_Shown]:
    """The images that go through the model within the block, and the block's time."""
    shown, image_output, start = _Shown(), encoder.image_output, time.perf_counter()

    def counting(pixel_values: torch.Tensor, **options: Any) -> Any:
        shown.images += len(pixel_values)
        return image_output(pixel_values, **options)

    encoder.image_output = counting  # type: ignore[method-assign]
    try:
        yield shown
    finally:
        del encoder.image_output
        shown.seconds += time.perf_counter() - start


def relations_message(config: EvaluationConfig) -> str:
    """What the relations of an evaluation would compute, in words.

    Raises:
        EvaluationError: there are no trials that the relations read, and nothing is to be measured.
    """
    if config.selected:
        return (
            f"Then {', '.join(config.related)} relate the revisions, from the saved trials without a model."
        )
    counts = planned(config, CellStore(config.output))
    header = ("relation", "pairs and runs", "missing")
    table = render_table(
        [dict(zip(header, (name, *map("{:,}".format, of)), strict=True)) for name, *of in counts]
    )
    missing = sum(new for _, _, new in counts)
    return f"{table}\n{missing:,} missing: no images and no forward passes, only saved trials. Nothing was written."
