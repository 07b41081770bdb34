"""`clipdyn study`: a study from one file: train every run, measure every revision, judge claims, draw the page.

The file names runs to train and models from elsewhere, which are only measured::

    title: My study
    defaults:                 # as in a recipe
      num_train_epochs: 10
      output_dir: runs/study  # each member's folder is below it; default: runs/<name of the file>
    runs:                     # each entry overrides the defaults
      - {scale: tiny, seed: [0, 1]}                                     # one run a seed
      - {scale: tiny, seed: 0, learning_rate: 5e-4, name: tiny-slow}
    models:                   # to be measured only; each has a name, and options of `clipdyn evaluate`
      - {name: vit-b-32, repo_id: checkpoints/vit-b-32, from_open_clip: ViT-B-32}
    evaluation:               # of all, in the options of `clipdyn evaluate`; a run may have its own
      suite: embedded
      also:                   # further evaluations into the same table, each with options of its own
        - {benchmarks: saliency/osie, revisions: [epoch-000, epoch-010]}

A run is called ``<scale>-seed<seed>``, with its ``arm`` before it if it has one, unless it has a ``name``. Below the
study's folder are::

    <name>/                     # the run, as `clipdyn train` leaves it
    <name>/results.parquet      # its numbers, with cells, trials and influences beside it
    <name>/results.complete/    # a file for each evaluation that is complete
    results.parquet  verdicts.parquet  report/index.html      # of everything below the folder
    relations.parquet           # how seeds and arms relate, if the evaluation has the suite `dynamics`
    results.influences.parquet  # what these verdicts and this page need of the trials

Several files may share one folder: its page shows the runs of all.
"""

import hashlib
import json
import logging
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StringConstraints

from hf_clipdyn.bundled import study_path
from hf_clipdyn.errors import (
    ConfigError,
    EvaluationError,
    PublishError,
    TrainingInterrupted,
    counted,
    naming,
    sentence,
)
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.models.sizes import model_size
from hf_clipdyn.options import Options, read_yaml
from hf_clipdyn.progress import duration
from hf_clipdyn.results.provenance import package
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.training import train
from hf_clipdyn.training.checkpoint import check_recipe, find_checkpoint, saved_progress
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.run import resumed_config

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.config import EvaluationConfig
    from hf_clipdyn.report.page.pictures import StimuliChoice

_TABLE, _VERDICTS, _RELATIONS, _REPORT = "results.parquet", "verdicts.parquet", "relations.parquet", "report"
# Options of an evaluation that name a model, and those that the study sets.
_OF_MODEL = ("repo_id", "store", "from_open_clip", "samples_per_epoch", "processor")
_OF_STUDY = (*_OF_MODEL[:3], "output", "shard", "force", "rescore", "watch", "push_to_hub")
_log = logging.getLogger(__name__)


# --- the file ------------------------------------------------------------------------------------------

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]


class Measured(Options, extra="allow"):
    """Options of `clipdyn evaluate`. Those of each of ``also`` are a further evaluation into the same table."""

    also: tuple[dict[str, Any], ...] = ()


class ModelEntry(Measured):
    """A model that is only measured, and the name of its folder."""

    name: Name


class RunEntry(Options, extra="allow"):
    """Options of `clipdyn train` for a run, or for one run a seed; ``evaluation`` goes over that of the study."""

    name: Name | None = None
    seed: Annotated[tuple[int, ...], Field(min_length=1)] | None = None
    evaluation: Measured = Measured()


class StudyFile(Options):
    """The YAML file of a study: ``defaults`` are options of all runs, ``evaluation`` is that of all members."""

    title: str = ""
    defaults: dict[str, Any] = Field({})
    runs: tuple[RunEntry, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    evaluation: Measured = Measured()


# --- a member ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A run that is trained and measured, or a model that is only measured.

    Attributes:
        name: unique in the study.
        folder: its files are below it.
        config: how the run is trained; it resumes. None for a model.
        evaluations: into the same table; the first one also relates.
    """

    name: str
    folder: Path
    config: TrainingConfig | None
    evaluations: "tuple[EvaluationConfig, ...]"

    @cached_property
    def mark(self) -> Path:
        """A file that is there once everything is trained and measured; its name is a hash of what was asked of which
        version of this package.

        So nothing has to be planned to see what is complete, which takes seconds for each member.
        """
        asked = [package(), self.evaluations[0].repo_id if self.config is None else self.config.recipe()]
        asked += [evaluation.model_dump(exclude={"repo_id", "output"}) for evaluation in self.evaluations]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
        return self.folder / "results.complete" / digest[:16]

    def epochs_to_train(self) -> int:
        """How many epochs are not trained yet; 0 for a model.

        Raises:
            ConfigError: the folder contains a run of another recipe.
        """
        if self.config is None:
            return 0
        checkpoint = find_checkpoint(self.folder / "checkpoints", "true")
        if checkpoint is None:
            return self.config.num_train_epochs
        progress = saved_progress(checkpoint)
        now = resumed_config(self.config, self.folder, checkpoint).recipe()
        check_recipe(progress.recipe, now, checkpoint)
        return self.config.num_train_epochs - progress.epoch

    def lacks(self) -> str:
        """What is missing, in words; empty if everything is trained and measured."""
        if epochs := self.epochs_to_train():
            return f"{counted(epochs, 'epoch')} to train"
        return "" if (self.folder / _TABLE).is_file() and self.mark.is_file() else "not fully measured"

    def complete(self) -> None:
        """Train what is not trained and measure what is not measured. It can be killed at any moment and repeated.

        Torch computes on one thread, or on ``num_threads``: a different thread count changes rounding.

        Raises:
            ClipDynError: training or measuring failed; what was done is kept.
        """
        from hf_clipdyn.evaluation import run as evaluation_run

        config = self.config
        if config is not None and (config.push_to_hub or self.epochs_to_train()):
            summary = train(config)
            if summary is not None and summary.missing:
                raise PublishError(summary.message)
        first, *further = self.evaluations
        with torch_threads(1 if config is None else config.num_threads or 1):
            for evaluation in (*further, first):  # relations, which read all trials, come last
                evaluation_run(evaluation if config is None else evaluation.but(repo_id=self.folder))
        write_atomically(self.mark, "")


# --- the study -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyFiles:
    """What a study leaves behind, and what it prints.

    Attributes:
        results: all numbers.
        verdicts: the table of verdicts; None without a file of claims.
        page: the report.
        message: the verdicts as text, and where the files are.
    """

    results: Path
    verdicts: Path | None
    page: Path
    message: str


@dataclass
class Study:
    """The members of a file, and what is made of all of them.

    Attributes:
        config: name of a study of the package, or a YAML file.
        output_dir: its folder, in place of the file's.
        data_dirs: folders of data sets by name, beside those of the file.
        folder: holds the members.
        members: with names of their own.

    Raises:
        ConfigError: an unknown key, a wrong value, or members that are not apart.
        UnknownNameError: there is no such study, or file.
    """

    config: str | Path
    output_dir: str | Path | None = None
    data_dirs: Mapping[str, str | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = study_path(str(self.config))
        with naming(path, ConfigError):
            self.file = StudyFile(**read_yaml(path))
            folder = self.output_dir or self.file.defaults.get("output_dir") or f"runs/{path.stem}"
            self.folder = Path(folder).expanduser()
            self.members = [*self._runs(), *self._models()]
            self._check_members()

    def _runs(self) -> Iterator[Member]:
        for number, entry in enumerate(self.file.runs, 1):
            with naming(f"run {number}", ConfigError):
                options = entry.model_extra or {}
                if "output_dir" in options:
                    raise ConfigError("output_dir is given: leave it out; a run's folder has its name.")
                # A thread each, so that a run gives the same numbers alone and beside others.
                values = {"num_threads": 1, **self.file.defaults, **options, "resume_from_checkpoint": "true"}
                for seed in entry.seed or (values.get("seed", 0),):
                    values |= {"seed": seed}
                    alone = TrainingConfig(**values | {"push_to_hub": False, "hub_model_id": None})
                    if alone.model is None:
                        model_size(alone.scale)
                    name = entry.name or alone.run_name
                    folder = self.folder / name
                    repository = str(values.get("hub_model_id") or "").replace("{name}", name) or None
                    config = TrainingConfig(**values | {"output_dir": folder, "hub_model_id": repository})
                    measured = self._evaluations(entry.evaluation, folder, Store(folder))
                    yield Member(name, folder, config, measured)

    def _models(self) -> Iterator[Member]:
        for number, entry in enumerate(self.file.models, 1):
            with naming(f"model {number}", ConfigError):
                folder = self.folder / entry.name
                yield Member(entry.name, folder, None, self._evaluations(entry, folder))

    def _evaluations(
        self, own: Measured, folder: Path, run: Store | None = None
    ) -> "tuple[EvaluationConfig, ...]":
        """The evaluations of a member: of ``run``, which need not exist yet, or of the model that the options name."""
        from hf_clipdyn.evaluation.config import EvaluationConfig

        options = self.file.evaluation.model_dump() | own.model_dump(exclude_unset=True, exclude={"name"})
        also, named = options.pop("also"), {"repo_id": run}
        if run is None:
            named = {name: options.pop(name) for name in _OF_MODEL if name in options}
        if wrong := sorted({name for entry in (options, *also) for name in entry if name in _OF_STUDY}):
            raise ConfigError(f"evaluation has {', '.join(wrong)}: a study sets these itself.")
        evaluations = []
        for entry in (options, *also):
            evaluation = EvaluationConfig(**{**named, **entry, "output": folder / _TABLE})
            shown = {benchmark.dataset for benchmark in evaluation.selected}
            folders = {name: path for name, path in self.data_dirs.items() if name in shown}
            evaluations.append(evaluation.but(data_dirs={**evaluation.data_dirs, **folders}))
        return tuple(evaluations)

    def _check_members(self) -> None:
        """Refuse members that would write to the same place, and a folder of a data set that none of them shows."""
        if not self.members:
            raise ConfigError("neither runs nor models are listed: give a list of one of them.")
        taken = {_TABLE, _VERDICTS, _RELATIONS, _REPORT}
        for member in self.members:
            repository = None if member.config is None else member.config.repository
            called = {name for name in (member.name, repository) if name is not None}
            if twice := called & taken:
                said = "is taken: give each run a `name` of its own, and put {name} into hub_model_id."
                raise ConfigError(f"{twice.pop()} {said}")
            taken |= called
        if unused := sorted(self.data_dirs.keys() - self._all_data_dirs()):
            raise ConfigError(f"no member shows {', '.join(unused)}: leave out its folder.")

    def _all_data_dirs(self) -> dict[str, Path]:
        evaluations = [evaluation for member in self.members for evaluation in member.evaluations]
        return {name: path for evaluation in evaluations for name, path in evaluation.data_dirs.items()}

    def run(self, shard: str | None = None) -> None:
        """Train and measure what is missing, one member after the other; one that fails stops no other one.

        Args:
            shard: i/n: only this part of the members.

        Raises:
            ConfigError: there is no such part, a folder contains a run of another recipe, or this is one of several
                processes of a launcher.
            EvaluationError: members failed; all others are complete.
        """
        from hf_clipdyn.evaluation.config import in_shard

        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError("A study runs in one process: call it without a launcher, with --shard.")
        members = in_shard(self.members, shard)
        missing = [(member, lacking) for member in members if (lacking := member.lacks())]
        lines = [f"Missing of {counted(len(members), 'member')}:"] if missing else ["Nothing is missing."]
        lines += [f"  {member.name}: {lacking}" for member, lacking in missing]
        _log.info("\n".join([*lines, *(self._shards(len(missing)) if shard is None else [])]))
        failed = []
        for number, (member, _) in enumerate(missing, 1):
            began = time.monotonic()
            _log.info(f"{member.name} begins, {number} of {len(missing)}.")
            try:
                member.complete()
                _log.info(f"{member.name} took {duration(time.monotonic() - began)}.")
            except TrainingInterrupted:
                raise
            except Exception as error:  # whatever a library raises, the other members can be completed
                failed.append(f"{member.name}: {sentence(error)}")
                _log.warning(failed[-1])
        if failed:
            said = f"{len(failed)} of {counted(len(members), 'member')} failed. Repeat the command: it continues."
            raise EvaluationError(" ".join([said, *failed]))
        if shard is not None:
            _log.info("This shard is complete. When all are, call the same command without --shard.")

    def _shards(self, most: int) -> list[str]:
        """The commands of a shard for each GPU, or for each core: a study computes on one thread."""
        import torch

        gpus = torch.cuda.device_count()
        count = min(gpus or usable_cores(), most)
        words = ["clipdyn", "study", str(self.config)]
        words += [] if self.output_dir is None else ["--output_dir", str(self.output_dir)]
        words += [f"--data_dir={name}={folder}" for name, folder in self.data_dirs.items()]
        lines = [f"Or a process on each {'GPU' if gpus else 'core'}, then the same command without --shard:"]
        for number in range(count):
            device = f"CUDA_VISIBLE_DEVICES={number} " if gpus else ""
            lines.append(f"  {device}{shlex.join(words)} --shard {number + 1}/{count} &")
        return lines if count > 1 else []

    def check_report(self, claims: str | Path | None, style: str | None) -> None:
        """Before hours of work: can `write` read the claims and the style, and does it replace nothing else?

        Raises:
            ConfigError: no.
            UnknownNameError: there is no such style.
        """
        from hf_clipdyn.report.style import read_style
        from hf_clipdyn.results.cells import is_combined
        from hf_clipdyn.statistics.claims import read_claims
        from hf_clipdyn.statistics.verdicts import check_verdicts

        if claims is not None:
            read_claims(claims)
        if style is not None:
            read_style(style)
        check_output(self.folder / _TABLE, "the table of a study", is_combined)
        check_verdicts(self.folder / _VERDICTS)

    def write(self, claims: str | Path | None = None, **look: Any) -> StudyFiles:
        """Judge and draw what concerns all members below the folder, of whichever file.

        Args:
            claims: a file of claims; None for none.
            look: ``stimuli`` and ``style`` of the page.
        """
        from hf_clipdyn.report import write_report
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.report.study import Study, read_study
        from hf_clipdyn.results.table import load, write_results
        from hf_clipdyn.statistics.verdicts import provenance, render, verdict_table, write_verdicts

        tables = sorted(self.folder.glob(f"*/{_TABLE}"))
        relations = self._related(tables)
        _log.info(f"Judging and drawing {counted(len(tables), 'run')}.")
        # Small models come first on the page, and in its colours.
        read = load([*tables, *relations]).smallest_first()
        study = read_study(Study(read, tuple(path.name for path in read.files)), claims=claims)
        results, verdicts = self.folder / _TABLE, self.folder / _VERDICTS
        facts = provenance(study.results.origins, study.claims)
        write_results(study.results, results, facts)
        said = list[str]()
        if study.verdicts:
            write_verdicts(verdict_table(study.verdicts), verdicts, facts)
            origin = origin_words(study)
            said = [render(study.verdicts), "", origin, "", f"Verdicts: {verdicts}"]
        look |= {"title": self.file.title or None, "data_dirs": self._all_data_dirs()}
        page = write_report(study, self.folder / _REPORT, **look)
        study.influences.write(results)
        message = "\n".join([*said, f"Results:  {results}", f"Page:     {page}"])
        return StudyFiles(results, verdicts if study.verdicts else None, page, message)

    def _related(self, tables: Sequence[Path]) -> list[Path]:
        """Relate the seeds and the arms with each other, if members ask for relations; the table, if there is one."""
        from hf_clipdyn.evaluation.evaluate import evaluate_relations

        asking = [evaluation for member in self.members if (evaluation := member.evaluations[0]).related]
        if not asking or len(tables) < 2:
            return []
        output = self.folder / _RELATIONS
        related = dict.fromkeys(name for evaluation in asking for name in evaluation.related)
        config = asking[0].but(benchmarks=None, revisions=None, relations=tuple(related), output=output)
        evaluate_relations(config, tables)
        return [output] if output.exists() else []


def run_study(
    config: str | Path = "study",
    output_dir: str | Path | None = None,
    *,
    data_dirs: Mapping[str, str | Path] | None = None,
    claims: str | Path | None = None,
    stimuli: "StimuliChoice" = "thumbnails",
    style: str | None = None,
    shard: str | None = None,
    report: bool = True,
) -> StudyFiles | None:
    """Train and measure all members of a study, one after the other, judge the claims, and write the report.

    What is complete is not repeated, so you can repeat a call that was interrupted. Torch computes on one thread,
    because another number of threads rounds differently. `clipdyn study` does the same.

    Args:
        config: name of a study of the package (`hf_clipdyn.bundled.study_names` lists them), or a YAML file.
        output_dir: folder of the study; by default the file's, or ``runs/<name of the file>``. The
            page shows all runs below it, also runs of another file.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        claims: a file of claims; without one nothing is judged.
        stimuli: pictures of the stimuli on the page, ``none`` or ``thumbnails``.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        shard: ``i/n``: train and measure only part i of n. All parts share the folder, and may be processes at the same
            time; a last call without a shard relates, judges and draws.
        report: judge and draw at the end.

    Returns:
        The paths of the results, the verdicts and the page, and the verdicts as text; None for a shard or no report.

    Raises:
        ConfigError: the file or a table is wrong, or a folder contains a run of another recipe.
        UnknownNameError: there is no such study.
        EvaluationError: members failed; they are named, and the others are complete.

    Examples:
        >>> from hf_clipdyn import run_study
        >>> files = run_study("mine.yaml", "study")
        >>> files.results.name, files.page.name
        ('results.parquet', 'index.html')
    """
    study = Study(config, output_dir, data_dirs or {})
    if report:
        study.check_report(claims, style)
    study.run(shard)
    return study.write(claims, stimuli=stimuli, style=style) if report and shard is None else None
