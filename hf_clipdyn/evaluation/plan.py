"""The first stage: choose the cells, before the first forward pass."""

import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
from accelerate import PartialState
from accelerate.logging import get_logger
from huggingface_hub import constants
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Benchmark, Kind, digest
from hf_clipdyn.benchmarks.heads import HEAD, Head
from hf_clipdyn.benchmarks.sources import Source, drawn_source, open_source
from hf_clipdyn.data.load import find_locally, lacks_files
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import (
    ConfigError,
    DatasetError,
    EvaluationError,
    NothingToMeasureError,
    UnknownNameError,
)
from hf_clipdyn.evaluation.config import EvaluationConfig, in_shard
from hf_clipdyn.evaluation.live_model import LastTexts
from hf_clipdyn.models.classifiers import class_labels, has_head
from hf_clipdyn.models.encoder import (
    check_image_processor,
    class_names,
    read_config,
    read_input,
    sees_images,
)
from hf_clipdyn.models.snapshots import settings_digest
from hf_clipdyn.preprocess import square_processor
from hf_clipdyn.results.provenance import utc
from hf_clipdyn.results.row import Cell
from hf_clipdyn.revisions import Revision

Files = NDArray[np.object_]

_log = get_logger(__name__)

OF_REVISION = ("commit", "epoch", "step", "samples_seen", "scale", "seed", "arm", "parameters")
"""What a cell has from its revision, beside the name."""
_left_out: set[str] = set()
"""What the current call has said of missing data: several models and a watched run lack the same."""

_STIMULUS = ("image", "distorted")  # columns of the image that a row is about, before those of its partners


@dataclass(frozen=True)
class PlannedCell:
    """One benchmark on one revision, with its own texts or those of the run's last revision.

    Attributes:
        cell: without `versions` and `seconds`, which are not known yet.
        kind: ready to show the data set.
        files: file name of each row's image, "" if unknown.
        texts: those of the last revision; None for the revision's own.
    """

    cell: Cell
    kind: Kind[Any]
    files: Files
    texts: LastTexts | None = None


class Plan:
    """The selected revisions, their data sets, and the cells of each revision.

    Args:
        config: what to measure.
        listed: all revisions, in training order; None asks the repository.
        earlier: a plan of the same settings, whose data sets and prepared benchmarks are used again.

    Raises:
        UnknownNameError: an unknown suite, benchmark, data set or revision.
        RevisionNotFoundError: there is no such repository.
        EvaluationError: data are missing (all are named).

    Attributes:
        revisions: to be measured, in training order; of a shard, its own.
        last: the last revision of the whole run, if its texts are used for all others too; else None.
        sources: the data set of each benchmark that can run.
        began: when the run began: the time of its first revision; empty if unknown.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        listed: Sequence[Revision] | None = None,
        earlier: "Plan | None" = None,
    ) -> None:
        self._config = config
        self.sources: dict[Benchmark, Source]
        self._prepared: dict[str, _Prepared] = {} if earlier is None else earlier._prepared
        if listed is None:
            listed = config.series.revisions()
            named = config.repo_id[0]
            if isinstance(named, str) and named == config.series.repo_id and config.series.on_disk:
                _log.info(f"{config.series.repo_id} is read from {config.series.where}.")
        chosen, last = choose_revisions(config.series.repo_id, listed, config.revisions)
        self.revisions = in_shard(chosen, config.shard)
        if not self.revisions:
            _log.info(f"Shard {config.shard} has nothing to do: there are only {len(chosen)} revisions.")
        self.began = min(filter(None, (utc(one.time) for one in listed)), default="")
        self.last = last if config.final_texts and len(listed) > 1 else None
        with PartialState().main_process_first():
            if self.revisions:
                _check_sees(config, self.revisions[0])
            self.sources = open_sources(config) if earlier is None else earlier.sources
        self._files: dict[Benchmark, Files] = (
            {name: file_names(source.dataset) for name, source in self.sources.items()}
            if earlier is None
            else earlier._files
        )

    @staticmethod
    def in_order(benchmarks: Iterable[Benchmark]) -> list[Benchmark]:
        """The benchmarks in the order in which a revision is shown them; see `Kind.reads_layers`."""
        return sorted(benchmarks, key=lambda one: not one.kind.reads_layers)

    def first_rows(self, benchmark: Benchmark, rows: int) -> "Plan":
        """The plan of one benchmark on the first rows of its data set, for a measurement."""
        part, source = copy.copy(self), self.sources[benchmark]
        part._prepared = {}
        part.sources = {benchmark: replace(source, dataset=source.dataset.select(range(rows)))}
        part._files = {benchmark: self._files[benchmark][:rows]}
        return part

    def __len__(self) -> int:
        """The number of cells, if every revision reads texts as the last one does."""
        twice = sum(one.kind.text_drift for one in self.sources) if self.last is not None else 0
        return len(self.revisions) * (len(self.sources) + twice)

    def cells(self, revision: Revision, folder: Path, texts: LastTexts | None) -> Iterator[PlannedCell]:
        """The cells of one revision.

        Args:
            revision: one of `revisions`.
            folder: with its files.
            texts: those of the last revision; None to leave such cells out.

        Raises:
            EvaluationError: the model has no text encoder, and a benchmark needs one.
            ModelError: the files are not an image encoder.
        """
        settings = settings_digest(folder)
        if settings not in self._prepared:
            # Revisions of one run share a processor; where one differs, it sees other pixels.
            with PartialState().main_process_first():
                self._prepared[settings] = self._prepare(folder)
        prepared = self._prepared[settings]
        drifting = [one for one in prepared.kinds if one.kind.text_drift and prepared.reads_text]
        if texts is not None and drifting and not texts.fit(folder):
            _log.warning(
                f"{revision.name} and the last revision, {texts.revision.name}, have different "
                f"architectures: {_names(drifting)} {'is' if len(drifting) == 1 else 'are'} not measured "
                "with the texts of the last revision."
            )
            texts = None
        for benchmark, kind in prepared.kinds.items():
            split, files = self.sources[benchmark].split, self._files[benchmark]
            for asked in (None, texts) if texts is not None and benchmark in drifting else (None,):
                facts = self._facts_of_head if benchmark in prepared.by_head else {}
                fitted = prepared.fitted[benchmark]
                cell = _cell(self._config, revision, kind, fitted, split, asked, facts)
                yield PlannedCell(replace(cell, **prepared.classes), kind, files, asked)

    @cached_property
    def _facts_of_head(self) -> dict[str, str]:
        """What tells the cells of a classifier from those of its body alone, and other names of its classes."""
        names = self._config.class_names
        return {"answers": HEAD} | ({} if names is None else {"label_map": digest(names)[:12]})

    def _prepare(self, folder: Path) -> "_Prepared":
        """The benchmarks for revisions that share a processor."""
        model_config, image_processor = read_input(folder)
        check_image_processor(image_processor, model_config, folder)
        head = self._head(model_config)
        reads_text = hasattr(model_config, "text_config") and head is None
        # What the head says to the classes of each benchmark that asks for some: "" if it has them.
        lacks: dict[Benchmark, str] = {}
        if head is not None:
            asked = {one: one.kind.classes(source, one.settings) for one, source in self.sources.items()}
            lacks = {one: head.without(names) for one, names in asked.items() if names}
        textless = [one for one in self.sources if one.kind.needs_text and not reads_text]
        unknown = [one for one in textless if lacks.get(one)]
        if unknown:
            words = "asks" if len(unknown) == 1 else "ask"
            owner = self._config.series.repo_id
            need = f"{_names(unknown)} {words} for classes that {owner} lacks: {lacks[unknown[0]]}"
            self._leave_out(unknown, need, "name the classes of the head with --label-map", len(unknown))
        needing = [one for one in textless if one not in lacks]
        if needing:
            words = "needs" if len(needing) == 1 else "need"
            need = f"{_names(needing)} {words} a text encoder; {self._config.series.repo_id} has none"
            gone = len(needing) + len(unknown)
            self._leave_out(needing, need, "select other benchmarks with --benchmarks", gone)
        needing += unknown
        rough = [one for one in self.sources if one.kind.needs_float32 and self._config.dtype != "float32"]
        if rough:
            words = "shows" if len(rough) == 1 else "show"
            need = f"{_names(rough)} {words} images whose differences are too small for {self._config.dtype}"
            needing += [one for one in rough if one not in needing]
            self._leave_out(rough, need, "use --dtype float32", len(needing))
        rest = [one for one in self.sources if one not in needing]
        fitted = {one: replace(one, settings=one.kind.fitted(one.settings, model_config)) for one in rest}
        unfit = {one: why for one in rest if (why := one.kind.unfit(fitted[one].settings, model_config))}
        if unfit:
            cause, remedy = next(iter(unfit.values()))
            needing += unfit
            need = (
                f"{_names(list(unfit))} would give no number for {self._config.series.repo_id}, since {cause}"
            )
            self._leave_out(list(unfit), need, remedy, len(needing))
        kinds: dict[Benchmark, Kind[Any]] = {}
        for one in self.in_order(self.sources):
            if one in needing:
                continue
            kind = one.kind(self.sources[one], image_processor, fitted[one].settings, self._config)
            if kind.preprocess == "processor" and square_processor(image_processor) is not image_processor:
                kind.preprocess = "squash"  # a NaFlex processor would keep the shape of the image
            if kind.left_out:
                _log.warning(f"{one.name}: {kind.left_out} stimuli cannot be decoded and are left out.")
            kinds[one] = kind
        by_head = [one for one, words in lacks.items() if not words]
        classes = class_names(model_config, reads_text=reads_text)
        return _Prepared(kinds, fitted, reads_text, by_head, classes)

    def _head(self, model_config: Any) -> Head | None:
        names = self._config.class_names
        if has_head(model_config):
            return Head(class_labels(model_config), names)
        if names is not None:
            raise ConfigError(
                f"`label_map` names the classes of a classifier's head, but {self._config.series.repo_id} has none: "
                "leave it out."
            )
        return None

    def _leave_out(self, benchmarks: Sequence[Benchmark], need: str, remedy: str, gone: int) -> None:
        """Say that these cannot run with this model, when ``gone`` in all cannot.

        Raises:
            NothingToMeasureError: no other is selected.
            EvaluationError: they must not be skipped.
        """
        if gone == len(self.sources):
            raise NothingToMeasureError(f"{need}: {remedy}.")
        if not self._config.skip_missing:
            raise EvaluationError(f"{need}: {remedy}, or leave these out with --skip-missing.")
        _log.info(f"{need}: {'it is' if len(benchmarks) == 1 else 'they are'} left out.")


@dataclass(frozen=True)
class _Prepared:
    """What revisions share whose settings are the same.

    Attributes:
        kinds: ready to show the data sets.
        fitted: the benchmarks with the settings that suit the model.
        reads_text: whether the models have a text encoder.
        by_head: the benchmarks whose classes the head of a classifier names.
        classes: names of their classes, by the columns of `Cell`.
    """

    kinds: Mapping[Benchmark, Kind[Any]]
    fitted: Mapping[Benchmark, Benchmark]
    reads_text: bool
    by_head: Sequence[Benchmark]
    classes: Mapping[str, Any]


def _cell(
    config: EvaluationConfig,
    revision: Revision,
    kind: Kind[Any],
    benchmark: Benchmark,
    split: str,
    texts: LastTexts | None,
    facts: Mapping[str, Any],
) -> Cell:
    settings = {**benchmark.settings.in_key(), **kind.facts, **facts}
    version = kind.version_with(settings)
    if settings.get("preprocess") == kind.preprocess:
        del settings["preprocess"]  # it is a column
    return Cell(
        repo_id=config.series.repo_id,
        revision=revision.name,
        **{name: getattr(revision, name) for name in OF_REVISION},
        kind=kind.name,
        dataset=benchmark.dataset,
        split=split,
        data_fingerprint=kind.fingerprint,
        observe_version=version,
        score_version=kind.score_version,
        preprocess=kind.preprocess,
        settings=json.dumps(settings, sort_keys=True),
        dtype=config.dtype,
        texts="own" if texts is None else "last",
        text_commit="" if texts is None else texts.revision.commit,
    )


def check_precision(config: EvaluationConfig, held: Sequence[Cell]) -> None:
    """Refuse a second precision of the same benchmarks in one table: readers would draw both as one run.

    Raises:
        ConfigError: the table holds such benchmarks of this run in another one.
    """
    repo_id = config.series.repo_id
    wanted = {(one.kind.name, one.dataset) for one in config.selected}
    other = {
        cell.dtype for cell in held if cell.repo_id == repo_id and (cell.kind, cell.dataset) in wanted
    } - {config.dtype}
    if other:
        raise ConfigError(
            f"{config.output} contains {repo_id} in {min(other)}: write the results in {config.dtype} to "
            "another --output. `clipdyn report` can draw several tables together."
        )


def choose_revisions(
    repo_id: str, listed: Sequence[Revision], wanted: Sequence[str] | None
) -> tuple[list[Revision], Revision]:
    """The revisions to measure, and the last one of the whole run.

    Raises:
        UnknownNameError: one that is wanted does not exist.
        EvaluationError: the repository has none at all.
    """
    if not listed:
        raise EvaluationError(f"{repo_id} has no revisions: train one, or name the store that contains them.")
    able = [revision for revision in listed if revision.sha256 is not None] or list(listed)
    if wanted is None:
        bare = [revision.name for revision in listed if revision not in able]
        if bare:
            _log.warning(f"These revisions contain no weights and are left out: {', '.join(bare)}.")
        return able, able[-1]
    by_name = {revision.name: revision for revision in listed}
    for name in wanted:
        if name not in by_name:
            raise UnknownNameError("revision", name, by_name)
    return [by_name[name] for name in dict.fromkeys(wanted)], able[-1]


def _check_sees(config: EvaluationConfig, revision: Revision) -> None:
    """Refuse a language model before any data are read.

    Raises:
        NothingToMeasureError: the model takes no images.
    """
    settings = read_config(config.series.fetch(revision, settings_only=True))
    if not sees_images(settings):
        raise NothingToMeasureError(
            f"{config.series.repo_id} is a {settings.model_type} model, which takes no images: only publishing, "
            "`clipdyn verify` and relations over weights (--relations weights) apply to it."
        )


def begin_call() -> None:
    """Say again what is left out, in a new call."""
    _left_out.clear()


def open_sources(config: EvaluationConfig) -> dict[Benchmark, Source]:
    """The data set of each benchmark. One error names all that are missing, and where to get them.

    The Hub is asked for mirrors only if all data sets without one are there, or if missing data are skipped.

    Raises:
        EvaluationError: some are missing and must not be skipped, or none is there.
    """
    benchmarks = config.selected
    sources: dict[Benchmark, Source] = {}
    absent = {one for one in {one.dataset for one in benchmarks} - set(config.data_dirs) if lacks_files(one)}
    missing = {
        one: f"its files are not on this machine; get them at {dataset_metadata(one.dataset).where}."
        for one in benchmarks
        if one.dataset in absent
    }
    if missing and not config.skip_missing:
        raise EvaluationError(_missing_table(missing, benchmarks, config))
    opened: dict[tuple[str, tuple[str, ...]], Source | DatasetError] = {}
    for one in benchmarks:
        if one in missing:
            continue
        if not one.kind.schemas:
            sources[one] = drawn_source(one.kind.items())
            continue
        shown = (one.dataset, one.kind.schemas)
        if shown not in opened:  # a Hub that does not answer is waited for once
            folder = config.data_dirs.get(one.dataset)
            try:
                opened[shown] = open_source(
                    *shown, data_dir=None if folder is None else Path(folder), token=config.token
                )
            except DatasetError as error:
                opened[shown] = error
        outcome = opened[shown]
        if isinstance(outcome, Source):
            sources[one] = outcome
        else:
            missing[one] = str(outcome)
    if missing:
        table = _missing_table(missing, benchmarks, config)
        if not config.skip_missing:
            raise EvaluationError(table)
        if table not in _left_out:
            _left_out.add(table)
            _log.info(f"Left out: {table}")
    if not sources:
        raise EvaluationError("No benchmark can run: nothing was evaluated.")
    return sources


def file_names(dataset: datasets.Dataset) -> Files:
    """Name of the file of each row's image, "" if unknown."""
    images = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    if not images:
        return np.full(len(dataset), "", object)
    column = next((name for name in _STIMULUS if name in images), images[0])
    table: Any = dataset.with_format("arrow")
    file_names: list[str] = []
    for start in range(0, len(table), 1000):
        paths = pc.struct_field(table[start : start + 1000][column].combine_chunks(), "path")
        file_names += [(path or "").rpartition("/")[2] for path in paths.to_pylist()]
    return np.array(file_names, object)


def _missing_table(
    missing: Mapping[Benchmark, str], benchmarks: Sequence[Benchmark], config: EvaluationConfig
) -> str:
    """A line for each benchmark whose data are missing or not yet asked for, then what to do."""
    width = max(len(one.name) for one in missing)
    lines = []
    for one, cause in missing.items():
        where = dataset_metadata(one.dataset).where
        lines.append(f"  {one.name:<{width}}  {cause}{'' if where in cause else f' Get it at {where}.'}")
    named = sorted({one.dataset for one in missing})
    root = os.environ.get("CLIPDYN_DATA")
    return "\n".join(
        [
            f"{len(missing)} of {len(benchmarks)} benchmarks cannot run, since their data are missing:",
            *lines,
            *_on_hub([one for one in benchmarks if one not in missing], config),
            f"Put the folders into one parent folder, under the names {', '.join(named)}, and set "
            f"CLIPDYN_DATA to the parent ({f'now {root}' if root else 'not set now'}). Or give each folder "
            "with --data-dir NAME=PATH, or run the other benchmarks with --skip-missing.",
        ]
    )


def _on_hub(benchmarks: Sequence[Benchmark], config: EvaluationConfig) -> list[str]:
    """Lines on those whose data would be read from a mirror, if there are any."""
    mirrors = {one.name: (one.dataset, dataset_metadata(one.dataset).mirror) for one in benchmarks}
    lines = [
        f"  {name}  {mirror}"
        for name, (dataset, mirror) in mirrors.items()
        if mirror is not None and dataset not in config.data_dirs and find_locally(dataset) is None
    ]
    if not lines:
        return []
    if constants.HF_HUB_OFFLINE:
        return ["HF_HUB_OFFLINE is set, so these can only be read if the Hub's cache has them:", *lines]
    return ["These will be read from the Hub once the others are available:", *lines]


def _names(benchmarks: Sequence[Benchmark]) -> str:
    return ", ".join(one.name for one in benchmarks)
