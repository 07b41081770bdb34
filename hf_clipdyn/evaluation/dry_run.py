"""What an evaluation would cost, before it begins: each benchmark is measured on a few rows of one revision."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    EvaluationError,
    NothingToMeasureError,
    counted,
    render_table,
)
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import LastTexts, LiveModel
from hf_clipdyn.evaluation.observe import observe
from hf_clipdyn.evaluation.plan import Plan
from hf_clipdyn.evaluation.processes import check_device, join_processes
from hf_clipdyn.evaluation.relate import planned
from hf_clipdyn.evaluation.score import score
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.progress import duration, library_bars
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell

_ROWS = (4, 8, 32, 128, 512, 2048, 8192)  # of a data set, until a measurement takes long enough
_ENOUGH = 32  # rows, if they take _LONG_ENOUGH
_LONG_ENOUGH, _LONG = 2.0, 5.0  # seconds for all benchmarks of a data set: clocks of busy machines are coarse
_DRAWN_PASSES = 2  # of what is drawn; the first one warms up
_NAMES = ("repo_id", "revision", "commit", "kind", "dataset", "dtype", "texts", "text_commit")


@dataclass(frozen=True)
class Cost:
    """One benchmark, asked with one sort of texts.

    Attributes:
        name: ``kind/dataset``.
        cells, missing: its cells, and those of them that the table lacks by their names; whether pixels or settings
            have changed since is not checked.
        rows: of its data set.
        images: different ones that go through the model for each revision, without those that an earlier benchmark
            has shown.
        preparing: seconds that are spent once, if no pixels are decoded yet.
        seconds: of each revision; None if the benchmark cannot be measured on a few rows.
    """

    name: str
    cells: int
    missing: int
    rows: int
    images: int
    preparing: float
    seconds: float | None

    @property
    def total(self) -> float:
        """Seconds of all missing cells."""
        return self.missing * (self.seconds or 0.0) + (self.preparing if self.missing else 0.0)


@dataclass(frozen=True)
class DryRun:
    """What an evaluation would cost.

    Attributes:
        costs: of each benchmark, in the order in which they run.
        revisions: to be measured.
        images_per_pass: images of one forward pass at most.
        measured: the revision that was measured, its repository, and the device.
        most_rows: of a data set that were measured.
        left_out: selected benchmarks that are not measured, each with its cause; "" if the log has said it.
    """

    costs: tuple[Cost, ...]
    revisions: int
    images_per_pass: int
    measured: str
    most_rows: int
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all missing cells, in one process."""
        return sum(one.total for one in self.costs)

    @property
    def forward_passes(self) -> int:
        """Of all missing cells."""
        return sum(self._passes(one) for one in self.costs)

    @property
    def message(self) -> str:
        """All of it in words."""
        cells, missing = (sum(getattr(one, name) for one in self.costs) for name in ("cells", "missing"))
        images = sum(one.missing * one.images for one in self.costs)
        lines = [
            render_table([self._row(one) for one in self.costs]),
            f"{counted(cells, 'cell')} of {counted(self.revisions, 'revision')}, {missing:,} of them missing: "
            f"{images:,} images in {self.forward_passes:,} forward passes, about "
            f"{duration(self.seconds)} in one process.",
            *self._slowest(),
            *self._left_out(),
            f"Measured on at most {self.most_rows:,} rows of each data set with {self.measured}. Downloads "
            "are not included. Nothing was written.",
        ]
        return "\n".join(lines)

    def _passes(self, cost: Cost) -> int:
        return cost.missing * -(-cost.images // self.images_per_pass)

    def _row(self, cost: Cost) -> dict[str, str]:
        return {
            "benchmark": cost.name,
            "cells": f"{cost.cells:,}",
            "missing": f"{cost.missing:,}",
            "rows": f"{cost.rows:,}",
            "images": f"{cost.missing * cost.images:,}",
            "passes": f"{self._passes(cost):,}",
            "once": duration(cost.preparing),
            "a revision": "not measured" if cost.seconds is None else duration(cost.seconds),
            "in all": "not measured" if cost.seconds is None else duration(cost.total),
        }

    def _left_out(self) -> list[str]:
        names = [name for name, cause in self.left_out.items() if not cause]
        causes = dict.fromkeys(filter(None, self.left_out.values()))
        return [f"Left out: {', '.join(names)}."] * bool(names) + [f"Left out: {cause}" for cause in causes]

    def _slowest(self) -> list[str]:
        slowest = max(self.costs, key=lambda one: one.total)
        if not self.seconds:
            return []
        return [f"The slowest is {slowest.name}, {slowest.total / self.seconds:.0%} of the time."]


def dry_run(config: EvaluationConfig) -> DryRun:
    """Count the cells, and measure each benchmark on a few rows with one revision.

    Images and the time of the model are taken as a constant and a part that grows with the number of different images,
    all other time as one that grows with the rows, from two numbers of rows. Of what is drawn, such as gratings, a few
    images are shown, and the time is taken as proportional to their number. Decoded pixels go into a temporary folder;
    the weights of one revision are downloaded if they are not here.

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
        warnings.simplefilter("ignore")  # a few rows are too few for some scores
        return _Measurement(config.but(cache_dir=Path(cache), show_progress=False)).run()


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


class _Measurement:
    """One revision in the model, and the plan of all."""

    def __init__(self, config: EvaluationConfig) -> None:
        self._config = config
        self._plan = Plan(config)
        if not self._plan.revisions:
            raise EvaluationError(f"Shard {config.shard} has no revisions: nothing would be measured.")
        store = CellStore(config.output)
        self._done = set() if config.force else {_name(cell) for cell in store.cells()}
        self._unfit: dict[Benchmark, str] = {}  # with the cause
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._live = LiveModel(config)
        self._revision = self._plan.revisions[-1]
        self._folder = self._live.fetch(self._revision)
        self._encoder = self._live.load(self._folder)
        last = self._plan.last
        self._texts = None if last is None else LastTexts(last, self._live)

    def run(self) -> DryRun:
        """The costs of all benchmarks."""
        benchmarks = self._plan.in_order(self._plan.sources)
        samples: dict[Benchmark, list[_Sample]] = {}
        with _counted(self._encoder) as passes:
            for dataset in dict.fromkeys(one.dataset for one in benchmarks):
                samples |= self._samples([one for one in benchmarks if one.dataset == dataset], passes)
        costs = [cost for one in benchmarks if one in samples for cost in self._costs(one, samples[one])]
        if not costs:
            raise NothingToMeasureError(
                f"No selected benchmark suits {self._config.series.repo_id}: name others with --benchmarks."
            )
        return DryRun(
            tuple(costs),
            revisions=len(self._plan.revisions),
            images_per_pass=self._encoder.images_per_pass or self._config.batch_size,
            measured=f"{self._revision.name} of {self._config.series.repo_id} on {self._encoder.device}",
            most_rows=max(one.rows for of_benchmark in samples.values() for one in of_benchmark),
            left_out={
                one.name: self._unfit.get(one, "") for one in self._config.selected if one not in samples
            },
        )

    def _samples(
        self, benchmarks: Sequence[Benchmark], passes: "_Passes"
    ) -> dict[Benchmark, list["_Sample"]]:
        """Measurements of the benchmarks of one data set, which share images, on more and more rows."""
        by_benchmark: dict[Benchmark, list[_Sample]] = {}
        for rows in _ROWS:
            readouts = [self._readout(self._config.batch_size) for _ in range(2)]
            for one in benchmarks:
                if one in self._unfit or (not one.kind.schemas and one in by_benchmark):
                    continue
                first = min(rows, self._rows(one))
                try:
                    if one.kind.schemas:
                        by_benchmark.setdefault(one, []).append(self._sample(one, first, readouts, passes))
                    elif self._images(one, first) or first == self._rows(one):
                        by_benchmark[one] = [self._drawn_sample(one, first, passes)]
                except EvaluationError as error:  # it suits no such model
                    if not self._config.skip_missing:
                        raise
                    self._unfit[one] = str(error)
                    by_benchmark.pop(one, None)
            growing = [one for one in benchmarks if one.kind.schemas or one not in by_benchmark]
            seconds = sum(by_benchmark[one][-1].spent for one in growing if one in by_benchmark)
            limit = _LONG_ENOUGH if rows >= _ENOUGH else _LONG
            if rows >= max(map(self._rows, growing), default=0) or (rows > _ROWS[0] and seconds >= limit):
                break
        return by_benchmark

    def _readout(self, batch_size: int) -> Readout:
        return Readout(self._encoder, batch_size=batch_size, label_map=self._config.class_names)

    def _rows(self, benchmark: Benchmark) -> int:
        rows = len(self._plan.sources[benchmark].dataset)
        most = (getattr(benchmark.settings, "held_out", None), benchmark.kind.most_rows)
        return min(rows, *(one for one in most if one), rows)

    def _images(self, benchmark: Benchmark, rows: int) -> int:
        """How many different images the first rows show."""
        source = self._plan.sources[benchmark]
        if not benchmark.kind.schemas:
            first = replace(source, dataset=source.dataset.select(range(rows)))
            return benchmark.kind.count_drawn(first, self._encoder.image_processor)
        if benchmark.dataset not in self._counts:
            self._counts[benchmark.dataset] = _different_images(source.dataset)
        return int(self._counts[benchmark.dataset][rows - 1])

    def _sample(
        self, benchmark: Benchmark, rows: int, readouts: Sequence[Readout], passes: "_Passes"
    ) -> "_Sample":
        """Show the rows twice: what only the first time takes, as saliency's references do, is preparation."""
        plan, began = self._plan.first_rows(benchmark, rows), time.perf_counter()
        planned = list(plan.cells(self._revision, self._folder, self._texts))
        cells: dict[str, _Spent] = {}
        for readout in readouts:
            for one in planned:
                before, start = replace(passes), time.perf_counter()
                with suppress(ClipDynError):  # too few rows for this kind
                    score(type(one.kind), observe(one, readout), self._config)
                    model = passes.seconds - before.seconds
                    rest = time.perf_counter() - start - model
                    cells[one.cell.texts] = _Spent(passes.images - before.images, model, rest)
        once = time.perf_counter() - began - len(readouts) * sum(cell.seconds for cell in cells.values())
        return _Sample(rows, self._images(benchmark, rows), plan, max(0.0, once), cells)

    def _drawn_sample(self, benchmark: Benchmark, rows: int, passes: "_Passes") -> "_Sample":
        """Draw all images of the rows, and show a few of them; a kind that shows fewer is measured whole."""
        plan, began = self._plan.first_rows(benchmark, rows), time.perf_counter()
        planned = list(plan.cells(self._revision, self._folder, self._texts))
        once, images = time.perf_counter() - began, self._images(benchmark, rows)
        size = self._config.batch_size
        readout = self._readout(min(size, self._encoder.images_per_pass or size))
        cells: dict[str, _Spent] = {}
        for one in planned:
            with passes.limited(_DRAWN_PASSES) as marks:
                score(type(one.kind), observe(one, readout), self._config)
            if not marks:  # it does not suit the model
                continue
            since, until = (marks[1], marks[-1]) if len(marks) > _DRAWN_PASSES else (marks[0], passes.mark())
            times = images / max(1, until.images - since.images)
            model = times * (until.seconds - since.seconds)
            cells[one.cell.texts] = _Spent(images, model, times * (until.clock - since.clock) - model)
        return _Sample(rows, images, plan, once, cells)

    def _costs(self, benchmark: Benchmark, samples: Sequence["_Sample"]) -> Iterator[Cost]:
        rows = self._rows(benchmark)
        different = self._images(benchmark, rows)
        held = [
            one.cell
            for revision in self._plan.revisions
            for one in samples[-1].plan.cells(revision, self._live.settings(revision), self._texts)
        ]
        for texts in dict.fromkeys(cell.texts for cell in held):
            cells = [cell for cell in held if cell.texts == texts]
            known = [one for one in samples if texts in one.cells]
            spent = [one.cells[texts] for one in known]
            by_rows, by_images = [one.rows for one in known], [one.images for one in known]
            model = _at(different, by_images, [one.model for one in spent])
            rest = _at(rows, by_rows, [one.rest for one in spent])
            preparing = _at(different, [one.images for one in samples], [one.preparing for one in samples])
            yield Cost(
                name=benchmark.name + ("" if texts == "own" else " (last texts)"),
                cells=len(cells),
                missing=sum(_name(cell) not in self._done for cell in cells),
                rows=rows,
                images=round(_at(different, by_images, [one.images for one in spent])),
                preparing=preparing if texts == "own" else 0.0,
                seconds=model + rest if known else None,
            )


@dataclass(frozen=True)
class _Spent:
    """What one cell of a sample took: images through the model, its seconds, and all others."""

    images: int
    model: float
    rest: float

    @property
    def seconds(self) -> float:
        return self.model + self.rest


@dataclass(frozen=True)
class _Sample:
    """One benchmark on the first rows of its data set.

    Attributes:
        rows: their number.
        images: number of different images that they show.
        plan: of these rows.
        preparing: seconds that are not spent again on further revisions.
        cells: by texts, what a cell took.
    """

    rows: int
    images: int
    plan: Plan
    preparing: float
    cells: Mapping[str, _Spent]

    @property
    def spent(self) -> float:
        """Seconds of the preparation and of one revision."""
        return self.preparing + sum(one.seconds for one in self.cells.values())


def _different_images(dataset: datasets.Dataset) -> NDArray[np.int64]:
    """Of the first 1, 2, … rows the number of different images, by the path and the size of their files.

    An image without a path counts as another one.
    """
    columns = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        return np.arange(1, len(dataset) + 1)
    table: Any = dataset.select_columns(columns).with_format("arrow")
    seen: set[Any] = set()
    counts: list[int] = []
    for start in range(0, len(table), 1000):
        part = table[start : start + 1000]
        files = []
        for name in columns:
            stored = part[name].combine_chunks()
            sizes = pc.binary_length(pc.struct_field(stored, "bytes"))
            files.append(zip(pc.struct_field(stored, "path").to_pylist(), sizes.to_pylist(), strict=True))
        for row, images in enumerate(zip(*files, strict=True), start):
            seen |= {(path, size) if path else (row, at) for at, (path, size) in enumerate(images)}
            counts.append(len(seen))
    return np.array(counts, np.int64)


def _name(cell: Cell) -> tuple[Any, ...]:
    return tuple(getattr(cell, name) for name in _NAMES)


def _at(wanted: int, shown: Sequence[int], values: Sequence[float]) -> float:
    """A value at this number of rows or images, from the last two measurements.

    It is a constant and a part that grows with the number, neither below 0; from a single measurement it is
    proportional.
    """
    if not values or wanted <= shown[-1]:
        return values[-1] if values else 0.0
    few, many, low, high = (0, shown[-1], 0.0, values[-1]) if len(values) < 2 else (*shown[-2:], *values[-2:])
    slope = max(0.0, (high - low) / (many - few)) if many > few else 0.0
    return max(0.0, high - slope * many) + slope * wanted


class _EnoughError(Exception):
    """As many images went through the model as are measured."""


class _Mark(NamedTuple):
    """A moment: the clock, and the images and seconds of `_Passes` until then."""

    clock: float
    images: int
    seconds: float


@dataclass
class _Passes:
    """Images that have gone through the model, and the seconds of it."""

    images: int = 0
    seconds: float = 0.0
    _marks: list[_Mark] = field(default_factory=list)
    _most: int | None = None

    def mark(self) -> _Mark:
        """This moment."""
        return _Mark(time.perf_counter(), self.images, self.seconds)

    def begin(self) -> None:
        """A forward pass begins; the limit ends the measurement here."""
        if self._most is not None:
            self._marks.append(self.mark())
            if len(self._marks) > self._most:
                raise _EnoughError

    @contextmanager
    def limited(self, most: int) -> Iterator[list[_Mark]]:
        """Ends its block before forward pass ``most`` + 1; the marks at which its passes began."""
        self._marks, self._most = [], most
        try:
            with suppress(ClipDynError, _EnoughError):
                yield self._marks
        finally:
            self._most = None


@contextmanager
def _counted(encoder: Encoder) -> Iterator[_Passes]:
    """Within it, what the model is shown is counted."""
    shown = encoder.image_output
    passes = _Passes()

    def counting(pixel_values: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, Any]:
        passes.begin()
        start = time.perf_counter()
        output = shown(pixel_values, **kwargs)
        if encoder.device.type == "cuda":
            torch.cuda.synchronize(encoder.device)
        passes.images += len(pixel_values)
        passes.seconds += time.perf_counter() - start
        return output

    encoder.image_output = counting  # type: ignore[method-assign]
    try:
        yield passes
    finally:
        del encoder.image_output
