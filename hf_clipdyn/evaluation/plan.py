"""The first stage: choose the cells, before the first forward pass."""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.logging import get_logger
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.heads import HEAD, Head, read_label_map
from hf_clipdyn.benchmarks.kind import Benchmark, Kind, KindSettings, digest
from hf_clipdyn.benchmarks.registry import vocabulary
from hf_clipdyn.benchmarks.sources import Source, open_sources, under_names
from hf_clipdyn.errors import ConfigError, EvaluationError, NothingToMeasureError, check_known, naming
from hf_clipdyn.evaluation.config import EvaluationConfig, in_shard
from hf_clipdyn.models.classifiers import class_labels, has_head
from hf_clipdyn.models.encoder import check_image_processor, class_names, read_config, read_input, sees_images
from hf_clipdyn.models.snapshots import architecture_digest, settings_digest
from hf_clipdyn.preprocess import square_processor
from hf_clipdyn.results.provenance import utc
from hf_clipdyn.results.row import Cell
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.revisions import Revision

Files = NDArray[np.object_]

_log = get_logger(__name__)

OF_REVISION = ("commit", "epoch", "step", "samples_seen", "scale", "seed", "arm", "parameters")
"""What a cell has from its revision, beside the name."""


def of_revision(revision: Revision) -> dict[str, Any]:
    """The columns of a cell that describe its revision."""
    return {"revision": revision.name} | {name: getattr(revision, name) for name in OF_REVISION}


def plain_cell(repo_id: str, revision: Revision, kind: str, dataset: str, **columns: Any) -> Cell:
    """A cell; the columns that are not given are those of what no kind has observed: weights, a training's log."""
    plain: dict[str, Any] = dict.fromkeys(("split", "data_fingerprint", "preprocess"), "")
    plain |= {"observe_version": 1, "score_version": 1, "dtype": "float32", "texts": "own"}
    return Cell(repo_id=repo_id, kind=kind, dataset=dataset, **plain | of_revision(revision) | columns)


@dataclass(frozen=True)
class PlannedCell:
    """One benchmark on one revision.

    Attributes:
        cell: without `versions` and `seconds`, which are not known yet.
        kind: ready to show the data set.
        files: file name of each row's image, "" if unknown.
        words: of the kind and the data set, which every revision's cell carries.
    """

    cell: Cell
    kind: Kind[Any]
    files: Files
    words: Vocabulary


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
        last: the last revision of the whole run.
        sources: the data set of each benchmark that can run.
        began: when the run began: the time of its first revision; empty if unknown.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        listed: Sequence[Revision] | None = None,
        earlier: "Plan | None" = None,
    ) -> None:
        self._config, series = config, config.series
        self._prepared: dict[str, list[PlannedCell]] = {} if earlier is None else earlier._prepared
        if listed is None:
            listed = series.revisions()
            if config.repo_id[0] == series.repo_id and series.on_disk:
                _log.info(f"{series.repo_id} is read from {series.where}.")
        chosen, self.last = choose_revisions(series.repo_id, listed, config.revisions)
        self.revisions = in_shard(chosen, config.shard)
        if not self.revisions:
            _log.info(f"Shard {config.shard} has nothing to do: there are only {len(chosen)} revisions.")
        self.began = min(filter(None, (utc(revision.time) for revision in listed)), default="")
        self.sources: Mapping[Benchmark, Source] = {} if earlier is None else earlier.sources
        if earlier is None:
            with PartialState().main_process_first():
                if self.revisions:  # a language model is refused before any data are read
                    self._check_sees(series.fetch(self.revisions[0], settings_only=True))
                opened = open_sources(
                    config.selected, config.data_dirs, skip_missing=config.skip_missing, token=config.token
                )
                names = None if config.label_names is None else read_label_map(config.label_names)
                self.sources = under_names(opened, names, config.prompts)

    @staticmethod
    def in_order(benchmarks: Iterable[Benchmark]) -> list[Benchmark]:
        """The benchmarks in the order in which a revision is shown them; see `Kind.reads_layers`."""
        return sorted(benchmarks, key=lambda benchmark: not benchmark.kind.reads_layers)

    def on_rows(self, benchmark: Benchmark, rows: Sequence[int]) -> "Plan":
        """The plan of one benchmark on some rows of its data set, for a measurement."""
        part, source = copy.copy(self), self.sources[benchmark]
        part._prepared = {}
        part.sources = {benchmark: replace(source, dataset=source.dataset.select(rows))}
        return part

    def __len__(self) -> int:
        """The number of cells, if every benchmark suits every revision."""
        return len(self.revisions) * len(self.sources)

    def cells(self, revision: Revision, folder: Path) -> Iterator[PlannedCell]:
        """The cells of one revision.

        Args:
            revision: one of `revisions`.
            folder: with its files.

        Raises:
            EvaluationError: the model has no text encoder, and a benchmark needs one.
            ModelError: the files are not an image encoder.
        """
        settings = settings_digest(folder)
        if settings not in self._prepared:
            # Revisions of one run share a processor; where one differs, it sees other pixels.
            with PartialState().main_process_first():
                self._prepared[settings] = list(self._prepare(folder))
        for planned in self._prepared[settings]:
            cell = replace(planned.cell, **of_revision(revision))
            if cell.texts == "last":
                last = self._config.series.fetch(self.last, settings_only=True)
                if architecture_digest(folder) != architecture_digest(last):  # hence another space
                    _log.warning(
                        f"{revision.name} and the last revision, {self.last.name}, have different architectures: "
                        f"{cell.kind}/{cell.dataset} is not measured with the texts of the last revision."
                    )
                    continue
                cell = replace(cell, text_commit=self.last.commit)
            yield replace(planned, cell=cell)

    def _check_sees(self, folder: Path) -> None:
        settings = read_config(folder)
        if not sees_images(settings):
            raise NothingToMeasureError(
                f"{self._config.series.repo_id} is a {settings.model_type} model, which takes no images: only "
                "publishing, `clipdyn verify` and relations over weights (--relations weights) apply to it."
            )

    def _prepare(self, folder: Path) -> Iterator[PlannedCell]:
        """The benchmarks that suit the model, for revisions that share a processor; their cells have no revision.

        Raises:
            NothingToMeasureError: there is none.
            EvaluationError: some do not, and must not be skipped.
        """
        model_config, image_processor = read_input(folder)
        check_image_processor(image_processor, model_config, folder)
        config, names = self._config, self._config.class_names
        head = Head(class_labels(model_config), names) if has_head(model_config) else None
        if head is None and names is not None:
            repo_id = config.series.repo_id
            raise ConfigError(f"`label_map` names classes of a head, but {repo_id} has none: leave it out.")
        reads_text = hasattr(model_config, "text_config") and head is None
        suits, causes = dict[Benchmark, tuple[KindSettings, str, dict[str, str]]](), list[str]()
        for benchmark, source in self.sources.items():
            asked = benchmark.kind.classes(source, benchmark.settings)
            lacks = "" if head is None else head.without(asked)
            by_head = head is not None and bool(asked)
            try:
                settings = self._suited(benchmark, model_config, reads_text or by_head, lacks)
            except EvaluationError as error:
                causes.append(f"{benchmark.name} {error}")
                continue
            texts: str = config.texts if asked and reads_text else "own"
            of_map = {} if names is None else {"label_map": digest(names)[:12]}
            suits[benchmark] = settings, texts, {"answers": HEAD} | of_map if by_head and not lacks else {}
        if causes and len(causes) == len(self.sources):
            raise NothingToMeasureError(f"{'; '.join(causes)}.")
        if causes and not config.skip_missing:
            raise EvaluationError(f"{'; '.join(causes)}, or leave these out with --skip_missing.")
        for cause in causes:
            _log.info(f"Left out: {cause}.")
        classes: dict[str, Any] = class_names(model_config, reads_text=reads_text)
        for benchmark in self.in_order(suits):
            source, (settings, texts, of_head) = self.sources[benchmark], suits[benchmark]
            kind = benchmark.kind(source, image_processor, settings, config)
            if kind.preprocess == "processor" and square_processor(image_processor) is not image_processor:
                kind.preprocess = "squash"  # a NaFlex processor would keep the shape of the image
            if kind.left_out:
                _log.warning(f"{benchmark.name}: {kind.left_out} stimuli cannot be decoded and are left out.")
            facts = {**settings.in_key(), **kind.facts, **of_head}
            version = kind.version_with(facts)
            if facts.get("preprocess") == kind.preprocess:
                del facts["preprocess"]  # it is a column
            cell = plain_cell(
                config.series.repo_id,
                Revision(""),
                kind.name,
                benchmark.dataset,
                split=source.split,
                data_fingerprint=kind.fingerprint,
                observe_version=version,
                score_version=kind.score_version,
                preprocess=kind.preprocess,
                settings=json.dumps(facts, sort_keys=True),
                dtype=config.dtype,
                texts=texts,
                **classes,
            )
            yield PlannedCell(cell, kind, source.file_names(), vocabulary([benchmark]))

    def _suited(self, benchmark: Benchmark, model_config: Any, answers: bool, lacks: str) -> KindSettings:
        """The settings for this model, which has the texts or classes that the kind needs, and the precision."""
        kind, repo_id, dtype = benchmark.kind, self._config.series.repo_id, self._config.dtype
        if kind.needs_text and not answers:
            cause = f"needs a text encoder; {repo_id} has none: select other benchmarks with --benchmarks"
        elif kind.needs_text and lacks:
            cause = f"asks for classes that {repo_id} lacks: {lacks}: name the classes of the head with --label_map"
        elif not kind.schemas and dtype != "float32":
            cause = f"shows images whose differences are too small for {dtype}: use --dtype float32"
        else:
            with naming(f"would give no number for {repo_id}", EvaluationError):
                return benchmark.settings.suited(model_config)
        raise EvaluationError(cause)


def check_precision(config: EvaluationConfig, held: Sequence[Cell]) -> None:
    """Refuse a second precision of the same benchmarks in one table: readers would draw both as one run.

    Raises:
        ConfigError: the table holds such benchmarks of this run in another one.
    """
    repo_id = config.series.repo_id
    wanted = {(benchmark.kind.name, benchmark.dataset) for benchmark in config.selected}
    for cell in held:
        if cell.repo_id == repo_id and (cell.kind, cell.dataset) in wanted and cell.dtype != config.dtype:
            raise ConfigError(
                f"{config.output} contains {repo_id} in {cell.dtype}: write the results in {config.dtype} to "
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
    check_known("revision", wanted, by_name)
    return [by_name[name] for name in dict.fromkeys(wanted)], able[-1]
