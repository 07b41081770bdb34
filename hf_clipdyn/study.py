"""`clipdyn study`: a study from one file: train every run, measure every revision, judge the claims, draw the page.

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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

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
    shown,
)
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.machine import usable_cores
from hf_clipdyn.models.sizes import model_size
from hf_clipdyn.options import Options, read_yaml
from hf_clipdyn.progress import duration
from hf_clipdyn.revisions.published import RunFolder
from hf_clipdyn.training import train
from hf_clipdyn.training.checkpoint import check_recipe, find_checkpoint, saved_progress
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.run import BY_MACHINE

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.config import EvaluationConfig
    from hf_clipdyn.report.page.stimuli import StimuliChoice

_TABLE, _VERDICTS, _RELATIONS, _REPORT = "results.parquet", "verdicts.parquet", "relations.parquet", "report"
_SET_BY_STUDY = ("output", "shard", "force", "rescore", "watch", "push_to_hub")
_SET_BY_RUN = ("repo_id", "store", "from_open_clip")
_MEASURED = ("revisions", "data_dirs", "final_texts", "dtype", "skip_missing", "label_map", "processor")
_NAMES_A_MODEL = ("repo_id", "store", "from_open_clip", "samples_per_epoch", "processor")
_log = logging.getLogger(__name__)


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]


class RunEntry(Options, extra="allow"):
    """A run to train, or one for each seed. The other keys are options of `clipdyn train`."""

    name: Name | None = None
    """Name of the run and of its folder."""
    seed: Annotated[tuple[int, ...], Field(min_length=1)] | None = None
    """Several make a run each."""
    evaluation: dict[str, Any] = Field(default_factory=dict)
    """Options of `clipdyn evaluate`, over those of the study."""


class ModelEntry(Options, extra="allow"):
    """A model that is only measured. The other keys are options of `clipdyn evaluate`."""

    name: Name
    """Name of its folder."""
    repo_id: str
    """What to measure."""


class StudyFile(Options):
    """The YAML file of a study."""

    title: str = ""
    """Title of the page."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Options of `clipdyn train` for all runs; ``output_dir`` is the folder of the study."""
    runs: tuple[RunEntry, ...] = ()
    """Runs to train; their options go over the defaults."""
    models: tuple[ModelEntry, ...] = ()
    """Models that are only measured."""
    evaluation: dict[str, Any] = Field(default_factory=dict)
    """Options of `clipdyn evaluate` for all members; ``also`` lists further evaluations."""


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

    @property
    def results(self) -> Path:
        """The table of its numbers."""
        return self.folder / _TABLE

    @cached_property
    def _asked(self) -> str:
        """What decides which weights and numbers there are, as JSON."""
        asked: list[Any] = [self.evaluations[0].repo_id if self.config is None else self.config.recipe()]
        for evaluation in self.evaluations:
            settings = {benchmark: benchmark.settings.in_key() for benchmark in evaluation.selected}
            benchmarks = [[each.name, each.kind.version_with(made), made] for each, made in settings.items()]
            asked.append([benchmarks, evaluation.related, *(getattr(evaluation, name) for name in _MEASURED)])
        return json.dumps(asked, sort_keys=True, default=str)

    @cached_property
    def mark(self) -> Path:
        """A file that is there once everything is trained and measured; its name is a hash of what was asked.

        So nothing has to be planned to see what is complete, which takes seconds for each member.
        """
        digest = hashlib.sha256(self._asked.encode()).hexdigest()
        return self.folder / "results.complete" / f"{digest[:16]}.json"

    def lacks(self) -> str:
        """What is missing, in words; empty if everything is trained and measured.

        Raises:
            ConfigError: the folder contains a run of another recipe.
        """
        if self.config is not None and (epochs := self._epochs(self.config)) < self.config.num_train_epochs:
            return f"{epochs} of {self.config.num_train_epochs} epochs are trained"
        return "" if self.results.is_file() and self.mark.is_file() else "not fully measured"

    def _epochs(self, config: TrainingConfig) -> int:
        """How many epochs are trained."""
        checkpoint = find_checkpoint(self.folder / "checkpoints", "true")
        if checkpoint is None:
            return 0
        progress, recipe = saved_progress(checkpoint), config.recipe()
        left = {key: progress.recipe.get(key) for key in BY_MACHINE if recipe[key] is None}
        check_recipe(progress.recipe, recipe | left, checkpoint)
        return progress.epoch

    def complete(self, shard: str | None = None) -> None:
        """Train what is not trained and measure what is not measured. It can be killed at any moment and repeated.

        Torch computes on one thread, or on ``num_threads``: a different thread count changes rounding.

        Args:
            shard: i/n: measure only this part of the revisions, and relate none.

        Raises:
            ClipDynError: training or measuring failed; what was done is kept.
        """
        from hf_clipdyn.evaluation import run as evaluation_run

        threads, began = 1, time.monotonic()
        if (config := self.config) is not None:
            threads = config.num_threads or 1
            if config.push_to_hub or self._epochs(config) < config.num_train_epochs:
                summary = train(config)
                if summary is not None and summary.missing:
                    raise PublishError(summary.message)
        trained = {} if self.config is None else {"repo_id": self.folder}
        first, *further = (evaluation.but(**trained) for evaluation in self.evaluations)
        with torch_threads(threads):
            for evaluation in (*further, first):  # relations, which read all trials, come last
                if shard is None:
                    evaluation_run(evaluation)
                elif evaluation.selected:
                    evaluation_run(evaluation.but(relations=(), shard=shard))
        if shard is None:
            done = {"asked": json.loads(self._asked), "seconds": time.monotonic() - began}
            write_atomically(self.mark, json.dumps(done, indent=1))

    @property
    def size(self) -> str:
        """What members that take as long have in common."""
        return self.name if self.config is None else self.config.size_name


@dataclass(frozen=True)
class StudyFiles:
    """What a study leaves behind, and what it prints.

    Attributes:
        results: all numbers.
        verdicts: the table of verdicts; None if nothing was measured that a claim is about.
        page: the report.
        message: the verdicts as text, and where the files are.
    """

    results: Path
    verdicts: Path | None
    page: Path
    message: str


@dataclass
class Study:
    """Runs and models with the same kind of evaluation.

    Attributes:
        members: with names of their own.
        folder: holds them.
        title: of the page.
        command: the words that repeat this study in a shell.
        report: judge the claims and write the page.
        claims: a file of claims; None for the package's.
        stimuli: pictures of the stimuli on the page.
        style: of the figures.
        files: what the last call of `run` has written.

    Raises:
        ConfigError: the study's tables would replace other files, or the file of claims or the style cannot be read.
        UnknownNameError: there is no such style.
    """

    members: Sequence[Member]
    folder: Path
    title: str = ""
    command: Sequence[str] = ("clipdyn", "study")
    report: bool = False
    claims: str | Path | None = None
    stimuli: "StimuliChoice" = "thumbnails"
    style: str | None = None
    files: StudyFiles | None = None

    def __post_init__(self) -> None:
        if self.report:  # before hours of work
            from hf_clipdyn.report.style import read_style
            from hf_clipdyn.results.read import is_combined
            from hf_clipdyn.statistics.claims import read_claims
            from hf_clipdyn.statistics.verdicts import check_verdicts

            read_claims(self.claims)
            if self.style is not None:
                read_style(self.style)
            check_output(self.folder / _TABLE, what="the table of a study", is_own=is_combined)
            check_verdicts(self.folder / _VERDICTS)

    @classmethod
    def read(
        cls,
        config: str | Path,
        output_dir: str | Path | None = None,
        data_dirs: Mapping[str, Path] | None = None,
        **report: Any,
    ) -> Self:
        """The study of a file.

        Args:
            config: name of a study of the package, or a YAML file.
            output_dir: its folder, in place of the file's.
            data_dirs: folders of data sets by name, beside those of the file.
            report: attributes of the study: ``report``, ``claims``, ``stimuli`` and ``style``.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
            UnknownNameError: there is neither such a study nor such a file.
        """
        path = study_path(str(config))
        words = ["clipdyn", "study", str(config)]
        words += [] if output_dir is None else ["--output-dir", str(output_dir)]
        words += [f"--data-dir={name}={folder}" for name, folder in (data_dirs or {}).items()]
        with naming(path, ConfigError):
            file = StudyFile(**read_yaml(path))
            folder = Path(output_dir or file.defaults.get("output_dir") or f"runs/{path.stem}").expanduser()
            members = [*_runs(file, folder, data_dirs or {}), *_models(file, folder, data_dirs or {})]
            if not members:
                raise ConfigError("neither runs nor models are listed: give a list of one of them.")
            _check_apart(members)
        return cls(members, folder, file.title, words, **report)

    def run(self, shard: str | None = None) -> str:
        """Train and measure what is missing, one member after the other; then judge and draw, but not for a shard.

        A member that fails stops no other one.

        Args:
            shard: i/n: only this part of the members.

        Returns:
            The verdicts and where the files are, or what is complete.

        Raises:
            ConfigError: there is no such part, a folder contains a run of another recipe, or this is one of several
                processes of a launcher.
            EvaluationError: members failed; all others are complete.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "A study runs in one process: call it without a launcher, once for each --shard."
            )
        parts = self._parts(shard)
        missing = [(member, part, lacks) for member, part in parts if (lacks := member.lacks())]
        done = "The member is" if len(parts) == 1 else f"All {len(parts)} members are"
        if missing:
            _log.info(self._beginning(missing, len(parts), shard))
        else:
            _log.info(f"{done} trained and measured.")
        failed = []
        for number, (member, part, _) in enumerate(missing, 1):
            _log.info(f"{member.name} begins, {counted(len(missing) - number, 'member')} to go.")
            try:
                member.complete(part)
            except TrainingInterrupted:
                raise
            except Exception as error:  # whatever a library raises, the other members can be completed
                failed.append(f"{member.name}: {sentence(error)}")
                _log.warning(failed[-1])
            if left := [member for member, *_ in missing[number:]]:
                _log.info(self._time_of(left))
        if failed:
            raise EvaluationError(
                f"{len(failed)} of {counted(len(parts), 'member')} failed. Repeat the command: it continues them. "
                + " ".join(failed)
            )
        if shard is not None:
            return f"{done} trained and measured. When all shards are, call the same command without --shard."
        if not self.report:
            return f"{done} complete in {self.folder}."
        self.files = self._written()
        return self.files.message

    def _parts(self, shard: str | None) -> list[tuple[Member, str | None]]:
        """The members of a shard, in which a run is whole and a model has a part of its revisions.

        The first revision of each member is in the shard after that of the member before it.
        """
        from hf_clipdyn.evaluation.config import read_shard

        part, count = read_shard(shard)
        turns = [((part - 1 - number) % count, member) for number, member in enumerate(self.members)]
        return [
            (member, f"{turn + 1}/{count}" if shard is not None and member.config is None else None)
            for turn, member in turns
            if turn == 0 or member.config is None
        ]

    def _beginning(self, missing: Sequence[tuple[Member, Any, str]], count: int, shard: str | None) -> str:
        """What is missing, how long one process takes for it, and how several divide it."""
        verb = "is" if len(missing) == 1 else "are"
        lines = [f"{len(missing)} of {counted(count, 'member')} {verb} missing:"]
        lines += [f"  {member.name}: {lacks}" for member, _, lacks in missing]
        lines.append(self._time_of([member for member, *_ in missing]))
        return "\n".join([*lines, *(self._shards(len(missing)) if shard is None else [])])

    def _time_of(self, members: Sequence[Member]) -> str:
        """How long one process takes for these members: those of the same size that are complete took as long."""
        # The longest: one that was interrupted says only how long its last part took.
        taken: dict[str, float] = {}
        for member in self.members:
            if member.mark.is_file():
                seconds = json.loads(member.mark.read_text(encoding="utf-8"))["seconds"]
                taken[member.size] = max(seconds, taken.get(member.size, 0.0))
        known = [taken[member.size] for member in members if member.size in taken]
        if not known:
            return "How long one process takes is not measured yet: it is said when the first member is complete."
        rest = len(members) - len(known)
        unknown = f", without {counted(rest, 'member')} of sizes that are not measured yet" if rest else ""
        return f"One process takes about {duration(sum(known))}, as the complete members took{unknown}."

    def _shards(self, most: int) -> list[str]:
        """The commands of a shard for each GPU, or for each core: a study computes on one thread."""
        import torch

        gpus = torch.cuda.device_count()
        count = min(gpus or usable_cores(), most)
        if count < 2:
            return []
        words = shlex.join(self.command)
        lines = [f"Or a process on each {'GPU' if gpus else 'core'}, then the same command without --shard:"]
        for number in range(count):
            device = f"CUDA_VISIBLE_DEVICES={number} " if gpus else ""
            lines.append(f"  {device}{words} --shard {number + 1}/{count} &")
        return lines

    def _written(self) -> StudyFiles:
        """Write what concerns all members below the folder, of whichever file."""
        from hf_clipdyn.report import write_report
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.report.study import study_of
        from hf_clipdyn.results.read import read_results, write_results
        from hf_clipdyn.statistics.verdicts import provenance, render, verdict_table, write_verdicts

        tables = sorted(self.folder.glob(f"*/{_TABLE}"))
        relations = self._related(tables)
        _log.info(f"Judging and drawing {counted(len(tables), 'run')}.")
        # Small models come first on the page, and in its colours.
        read = read_results([*tables, *relations]).smallest_first()
        study = study_of(read, [path.name for path in read.tables], claims=self.claims)
        results, verdicts = self.folder / _TABLE, self.folder / _VERDICTS
        facts = provenance(study.results, study.evidence)
        write_results(study.results, results, facts)
        said = ["No claim is about the measured benchmarks, so there are no verdicts."]
        if study.verdicts:
            write_verdicts(verdict_table(study.verdicts), verdicts, facts)
            origin = origin_words(study.results, study.evidence, study.claims_file)
            said = [render(study.verdicts, study.arm_effects), "", origin, "", f"Verdicts: {verdicts}"]
        evaluations = [evaluation for member in self.members for evaluation in member.evaluations]
        written = write_report(
            study,
            self.folder / _REPORT,
            stimuli=self.stimuli,
            data_dirs={
                name: path for evaluation in evaluations for name, path in evaluation.data_dirs.items()
            },
            style=self.style,
            title=self.title or None,
        )
        study.influences.write(results)
        message = "\n".join([*said, f"Results:  {results}", f"Page:     {written}"])
        return StudyFiles(results, verdicts if study.verdicts else None, written, message)

    def _related(self, tables: Sequence[Path]) -> list[Path]:
        """Relate the seeds and the arms with each other, if members ask for relations; the table, if there is one."""
        asking = [evaluation for member in self.members if (evaluation := member.evaluations[0]).related]
        if not asking or len(tables) < 2:
            return []
        from hf_clipdyn.evaluation.evaluate import evaluate_relations

        output = self.folder / _RELATIONS
        related = tuple(dict.fromkeys(name for evaluation in asking for name in evaluation.related))
        config = asking[0].but(benchmarks=None, revisions=None, relations=related, output=output)
        evaluate_relations(config, tables)
        return [output] if output.exists() else []


def _check_apart(members: Sequence[Member]) -> None:
    """Refuse two members that would write to the same place, and one that would write to a file of the study."""
    names = [member.name for member in members]
    repositories = [member.config and member.config.repository for member in members]
    for name, repository_id in zip(names, repositories, strict=True):
        if name in (_TABLE, _VERDICTS, _RELATIONS, _REPORT):
            raise ConfigError(f"a member is called {name}, like a file of the study: give it another `name`.")
        if names.count(name) > 1:
            raise ConfigError(f"two members are called {name}: give each a `name` of its own.")
        if repository_id is not None and repositories.count(repository_id) > 1:
            raise ConfigError(
                f"two runs have the same repository, {repository_id}: put {{name}}, or {{scale}} and {{seed}}, into "
                "hub_model_id."
            )


# --- the members of a file -----------------------------------------------------------------------------


def _runs(file: StudyFile, folder: Path, data_dirs: Mapping[str, Path]) -> Iterator[Member]:
    """The runs to train."""
    for number, entry in enumerate(file.runs, 1):
        with naming(f"run {number}", ConfigError):
            options = entry.model_extra or {}
            if "output_dir" in options:
                raise ConfigError(f"output_dir is given: leave it out; the folder is below {folder}.")
            for seed in entry.seed or (None,):
                # A thread each, so that a run gives the same numbers alone and beside others.
                values = {"num_threads": 1, **file.defaults, **options}
                if seed is not None:
                    values["seed"] = seed
                    if isinstance(world := values.get("dataset_config_name"), str):
                        values["dataset_config_name"] = world.replace("{seed}", str(seed))
                config = _config(values, entry.name, folder)
                run = Path(str(config.output_dir))
                named = {"repo_id": RunFolder(run)}  # which need not exist yet
                refused = (*_SET_BY_STUDY, *_SET_BY_RUN)
                measured = _measured(file.evaluation | entry.evaluation, refused, named, run, data_dirs)
                yield Member(run.name, run, config, measured)


def _config(values: Mapping[str, Any], name: str | None, folder: Path) -> TrainingConfig:
    """The configuration of a run, in a folder below ``folder``."""
    alone = TrainingConfig(**{**values, "push_to_hub": False, "hub_model_id": None})
    if alone.model_name_or_path is None:
        model_size(alone.scale)
    name = name or alone.run_name
    named = str(values.get("hub_model_id") or "").replace("{name}", name) or None
    placed = {"hub_model_id": named, "output_dir": str(folder / name), "resume_from_checkpoint": "true"}
    return TrainingConfig(**{**values, **placed})


def _models(file: StudyFile, folder: Path, data_dirs: Mapping[str, Path]) -> Iterator[Member]:
    """The models that are only measured."""
    for number, entry in enumerate(file.models, 1):
        with naming(f"model {number}", ConfigError):
            options = entry.model_dump(exclude={"name"})
            named = {key: value for key, value in options.items() if key in _NAMES_A_MODEL}
            options = file.evaluation | options
            measured = _measured(options, _SET_BY_STUDY, named, folder / entry.name, data_dirs)
            yield Member(entry.name, folder / entry.name, None, measured)


def _measured(
    options: Mapping[str, Any],
    refused: Sequence[str],
    named: Mapping[str, Any],
    folder: Path,
    data_dirs: Mapping[str, Path],
) -> "tuple[EvaluationConfig, ...]":
    """An evaluation, and those of its ``also``.

    Args:
        options: of the evaluation.
        refused: options that a study sets itself.
        named: options that name what is measured.
        folder: of the member.
        data_dirs: folders of data sets by name, beside those of the options.
    """
    from hf_clipdyn.evaluation.config import EvaluationConfig

    also = options.get("also") or ()
    if isinstance(also, str) or not all(isinstance(entry, Mapping) for entry in also):
        raise ConfigError(f"also is {shown(also)}: give a list of mappings of options to values.")
    each = [{key: value for key, value in options.items() if key != "also"}, *also]
    if wrong := sorted({key for entry in each for key in entry if key in refused}):
        raise ConfigError(f"evaluation has {', '.join(wrong)}: a study sets these itself, so leave them out.")
    evaluations = [EvaluationConfig(**{**named, **entry}, output=folder / _TABLE) for entry in each]
    # Each gets the folders of its data sets; those that none shows are refused by the first.
    names = [{benchmark.dataset for benchmark in evaluation.selected} for evaluation in evaluations]
    names[0] |= set(data_dirs) - set().union(*names[1:])
    return tuple(
        evaluation.but(
            data_dirs={
                **evaluation.data_dirs,
                **{name: path for name, path in data_dirs.items() if name in used},
            }
        )
        for evaluation, used in zip(evaluations, names, strict=True)
    )


def run_study(
    config: str | Path = "study",
    output_dir: str | Path | None = None,
    *,
    data_dirs: Mapping[str, str | Path] | None = None,
    claims: str | Path | None = None,
    stimuli: "StimuliChoice" = "thumbnails",
    style: str | None = None,
    shard: str | None = None,
) -> StudyFiles | None:
    """Train and measure all members of a study, one after the other, judge the claims, and write the report.

    What is complete is not repeated, so you can repeat a call that was interrupted. Torch computes on one thread,
    because another number of threads rounds differently. `clipdyn study` does the same.

    Args:
        config: name of a study of the package (`hf_clipdyn.bundled.study_names` lists them), or a YAML file.
        output_dir: folder of the study; by default the one that the file names, or ``runs/<name of the file>``. The
            page shows all runs below it, also those of another file.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        claims: a file of claims; default: the package's `claims.yaml`.
        stimuli: pictures of the stimuli on the page, ``none`` or ``thumbnails``.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        shard: ``i/n``: train and measure only part i of n. All parts share the folder, and may be processes at the same
            time; a last call without a shard relates, judges and draws.

    Returns:
        The paths of the results, the verdicts and the page, and the verdicts as text; None for a shard.

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
    folders = {name: Path(path) for name, path in (data_dirs or {}).items()}
    study = Study.read(config, output_dir, folders, report=True, claims=claims, stimuli=stimuli, style=style)
    study.run(shard)
    return study.files
