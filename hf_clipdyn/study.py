"""`clipdyn study`: a study from one file: train every run, measure every revision, judge the claims, draw the page.

The file is a grid (`hf_clipdyn.training.grid`) with more keys::

    title: the embedded study
    defaults:                   # of the runs, as in a recipe
      num_train_epochs: 10
      output_dir: runs/study    # the folder of the study; default: runs/<name of the file>
    runs:                       # to be trained, then measured; a list of seeds means a run each
      - {scale: tiny, seed: [10, 11, 12]}
      - {scale: tiny, seed: 10, arm: noise, evaluation: {revisions: [epoch-000, epoch-010]}}
    models:                     # to be measured only; each has a name, and options of `clipdyn evaluate`
      - {name: vit-b-32, repo_id: checkpoints/vit-b-32, from_open_clip: ViT-B-32}
    evaluation:                 # of all, in the options of `clipdyn evaluate`
      suite: embedded

What a run or a model leaves is below the study's folder::

    <name>/                     # the run, as `clipdyn train` leaves it
    <name>/results.parquet      # its numbers, with cells, trials and influences beside it
    <name>/results.complete/    # one file for each evaluation that is complete
    results.parquet  verdicts.parquet  report/index.html      # of everything below the folder
    results.influences.parquet  # what these verdicts and this page need of the trials

Several files may share one folder: its page shows the runs of all.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hf_clipdyn.bundled import study_path
from hf_clipdyn.errors import ConfigError, EvaluationError, PublishError, UnknownNameError, counted, shown
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.options import read_arguments
from hf_clipdyn.evaluation.submit import files_read
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.flat_yaml import check_keys, read_flat_yaml
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work, submit
from hf_clipdyn.results.read import is_combined, read_results, write_results
from hf_clipdyn.schema import valid_repo_name
from hf_clipdyn.statistics.claims import read_claims
from hf_clipdyn.statistics.registered import provenance
from hf_clipdyn.statistics.verdicts import check_verdicts, render, verdict_table, write_verdicts
from hf_clipdyn.training import repository, train
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.grid import STUDY_KEYS, Grid, Run, files_of_run

if TYPE_CHECKING:
    from hf_clipdyn.report.page.stimuli import StimuliChoice

__all__ = ["Member", "Page", "Study", "StudyFiles", "run_study"]

_TABLE = "results.parquet"
_VERDICTS = "verdicts.parquet"
_REPORT = "report"
_SET_HERE = (
    "output",
    "shard",
    "force",
    "rescore",
    "watch",
    "watch_patience",
    "push_to_hub",
    "private",
    "token",
)
_OF_RUNS = ("repo_id", "store", "from_open_clip")  # follow from the run's folder
_SHOWN = ("final_texts", "dtype", "skip_missing", "revisions")  # decide which cells there are
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """How the page is written; see `hf_clipdyn.write_report`.

    Attributes:
        claims: a file of claims; None for the package's.
        stimuli: pictures of the stimuli on the page.
        style: of the figures.

    Raises:
        ConfigError: the file of claims or the style cannot be read.
        UnknownNameError: there is no such style.
    """

    claims: Path | None = None
    stimuli: "StimuliChoice" = "thumbnails"
    style: str | None = None

    def __post_init__(self) -> None:
        # Before hours of work.
        if self.claims is not None:
            read_claims(self.claims)
        if self.style is not None:
            from hf_clipdyn.report.style_files import read_style

            read_style(self.style)


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


@dataclass(frozen=True)
class Member:
    """A run that is trained and measured, or a model that is only measured.

    Attributes:
        name: of its own in the study.
        folder: its files are below it.
        given: the arguments of `evaluate_revisions`.
        run: None for a model.
    """

    name: str
    folder: Path
    given: Mapping[str, Any]
    run: Run | None = None

    @property
    def results(self) -> Path:
        """The table of its numbers."""
        return self.folder / _TABLE

    @cached_property
    def evaluation(self) -> EvaluationConfig:
        """The arguments, checked.

        Raises:
            ConfigError: they contradict each other.
        """
        return EvaluationConfig(**self.given)

    @property
    def reads(self) -> list[tuple[str, Path]]:
        """The files and folders that it reads, by option; its own folder is none of them."""
        if self.run is None:
            return list(files_read(self.evaluation))
        of_evaluation = [item for item in files_read(self.evaluation) if item[0] != "--store"]
        return [*files_of_run(self.run.config), *of_evaluation]

    @cached_property
    def _asked(self) -> dict[str, Any]:
        """What decides which numbers there are, as JSON holds it."""
        wanted = self.evaluation
        return {
            "recipe": None if self.run is None else self.run.config.recipe(),
            "model": None if self.run is not None else wanted.repo_id,
            "benchmarks": [
                [one.name, one.kind.observe_version, one.settings.as_json()] for one in wanted.selected
            ],
            "data_dirs": {name: str(path) for name, path in sorted(wanted.data_dirs.items())},
            **{name: getattr(wanted, name) for name in _SHOWN},
        }

    @cached_property
    def marks(self) -> tuple[str, str]:
        """Files below its folder that are there once everything is measured.

        They are the table, and a file whose name is a hash of what was asked. So a list of names is enough to see what
        is complete, also in a bucket, and nothing has to be planned, which takes seconds for each run.
        """
        asked = json.dumps(self._asked, sort_keys=True, default=str)
        return _TABLE, f"results.complete/{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"

    def lacks(self, listed: Collection[str] | None = None) -> str:
        """What is missing, in words; empty if everything is measured.

        Args:
            listed: the files below its folder; None looks into the folder.

        Raises:
            ConfigError: the folder contains a run of another recipe.
        """
        untrained = "" if self.run is None else self.run.lacks(listed)
        if untrained:
            return untrained
        if listed is None:
            listed = [one for one in self.marks if (self.folder / one).is_file()]
        return "" if set(self.marks) <= set(listed) else "not fully measured"

    def complete(self) -> None:
        """Train what is not trained and measure what is not measured. It can be killed at any moment and repeated.

        Torch computes on one thread, or on ``num_threads``: a different thread count changes rounding.

        Raises:
            ClipDynError: training or measuring failed; what was done is kept.
        """
        run = self.run
        if run is not None and run.lacks():
            summary = train(run.config)
            if summary is not None and summary.missing:
                raise PublishError(summary.message)
        threads = 1 if run is None else run.config.num_threads or 1
        with torch_threads(threads):
            evaluate_revisions(**self.given)
        mark = self.folder / self.marks[1]
        try:
            write_atomically(mark, json.dumps(self._asked, indent=1, sort_keys=True, default=str))
        except OSError as error:
            raise EvaluationError(f"{mark} cannot be written ({error.strerror or error}).") from error


class Study(Work):
    """Runs and models with the same kind of evaluation. Each one is a job.

    Args:
        members: with names of their own.
        folder: holds them; the logs of the jobs are beside it.
        words: the arguments of `clipdyn` that read this study.
        title: of the page.
        page: how the page is written; None for no page and no verdicts.
        token: for the Hub.

    Raises:
        ConfigError: two members share a name, one has the name of a file of the study, or the study's tables would
            replace other files.
    """

    noun = "run"
    error = EvaluationError

    def __init__(
        self,
        members: Sequence[Member],
        folder: Path,
        words: Sequence[str],
        *,
        title: str = "",
        page: Page | None = None,
        token: str | None = None,
    ) -> None:
        self.members, self.folder, self.title = tuple(members), folder, title
        self._words, self._page = tuple(words), page
        names = Counter(one.name for one in members)
        for name in names:
            if names[name] > 1:
                raise ConfigError(f"Two runs or models are called {name}: give each a `name` of its own.")
            if name in (_REPORT, _TABLE, _VERDICTS):
                raise ConfigError(
                    f"A run is called {name}, as the study's own {'folder' if name == _REPORT else 'file'}: give the "
                    "run another `name`."
                )
        if page is not None:
            check_output(folder / _TABLE, what="the table of a study", is_own=is_combined)
            check_verdicts(folder / _VERDICTS)
        self.files: StudyFiles | None = None
        self.logs = folder.with_name(f"{folder.name}.logs")
        self.token = token
        self.writes = [("--output_dir", folder)]
        self.reads = list(dict.fromkeys(item for one in members for item in one.reads))

    @classmethod
    def read(
        cls,
        config: str | Path,
        output_dir: Path | None = None,
        *,
        data_dirs: Mapping[str, Path] | None = None,
        page: Page | None = None,
    ) -> Self:
        """The study of a file.

        Args:
            config: name of a study of the package, or a YAML file.
            output_dir: its folder, in place of the file's.
            data_dirs: folders of data sets by name, beside those of the file.
            page: how the page is written; None for none.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
            UnknownNameError: there is neither such a study nor such a file.
        """
        path = study_path(str(config))
        file = read_flat_yaml(path, nested=STUDY_KEYS[1:])
        check_keys(file, STUDY_KEYS, str(path))
        where = f"evaluation in {path}"
        shared = _mapping(file.get("evaluation"), where)
        _refuse(shared, (*_SET_HERE, "repo_id"), where)
        read_arguments({**shared, "repo_id": "local/any"}, where)  # an error here concerns no single run
        entries, models = file.get("runs") or [], file.get("models") or []
        if not entries and not models:
            raise ConfigError(f"{path} has neither runs nor models: give a list of one of them.")
        grid, own = _grid(file.get("defaults"), entries, path, output_dir)
        asked = {} if data_dirs is None else dict(data_dirs)
        members = [_trained(one, shared | own[one.entry], asked, path) for one in grid.runs]
        members += [
            _published(entry, shared, grid.folder, asked, f"model {number} of {path}")
            for number, entry in enumerate(_mappings(models, f"models in {path}"), 1)
        ]
        for one in members:
            _check(one, path)
        # Two words: the Hub's client sends a word that is a file along with the job.
        words = ["study", "--config", str(config), f"--output-dir={grid.folder}"]
        words += [f"--data-dir={name}={folder}" for name, folder in asked.items()]
        title = file.get("title")
        return cls(
            members,
            grid.folder,
            words,
            title="" if title is None else str(title),
            page=page,
            token=grid.token,
        )

    def member(self, name: str) -> Member:
        """The run or the model of that name.

        Raises:
            UnknownNameError: there is none.
        """
        by_name = {one.name: one for one in self.members}
        if name not in by_name:
            raise UnknownNameError("run", name, by_name)
        return by_name[name]

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        """The runs and models that are not trained or not measured; it looks at names of files only."""
        del ended
        lacks = [
            (
                Job(one.name, (*self._words, f"--run={one.name}")),
                one.lacks(scheduler.listed(one.folder)),
            )
            for one in self.members
        ]
        return Missing.among(lacks, f"{self._all} trained and measured.")

    def finish(self, scheduler: Scheduler) -> str:
        """The page, the verdicts and the table of everything below the folder, if asked for."""
        place = scheduler.place(self.folder)
        if scheduler.listed(self.folder) is not None:
            return (
                f"{self._all} complete in {place}: copy that folder here, and draw it with `clipdyn report "
                "FOLDER/*/results.parquet --output DIR`."
            )
        if self._page is None:
            return f"{self._all} complete in {place}."
        self.files = self._written(self._page)
        return self.files.message

    @property
    def _all(self) -> str:
        return "The run is" if len(self.members) == 1 else f"All {len(self.members)} runs are"

    def _written(self, page: Page) -> StudyFiles:
        """Write what concerns all members below the folder, of whichever file."""
        from hf_clipdyn.report import read_study, write_report
        from hf_clipdyn.report.provenance import origin_words

        tables = sorted(self.folder.glob(f"*/{_TABLE}"), key=_size_and_name)
        _log.info(f"Judging and drawing {counted(len(tables), 'run')}.")
        study = read_study(tables, claims=page.claims)
        results, verdicts = self.folder / _TABLE, self.folder / _VERDICTS
        facts = provenance(study.results, study.evidence)
        write_results(study.results, results, facts)
        said = ["No claim is about the measured benchmarks, so there are no verdicts."]
        if study.verdicts:
            write_verdicts(verdict_table(study.verdicts), verdicts, facts)
            origin = origin_words(study.results, study.evidence, page.claims)
            said = [render(study.verdicts, study.arm_effects), "", origin, "", f"Verdicts: {verdicts}"]
        written = write_report(
            study,
            self.folder / _REPORT,
            stimuli=page.stimuli,
            data_dirs={name: path for one in self.members for name, path in one.given["data_dirs"].items()},
            style=page.style,
            title=self.title or None,
        )
        study.influences.write(results)
        message = "\n".join([*said, f"Results:  {results}", f"Page:     {written}"])
        return StudyFiles(results, verdicts if study.verdicts else None, written, message)


def _size_and_name(table: Path) -> tuple[float, Path]:
    """Small models come first on the page, and in its colours."""
    return read_results(table).rows["parameters"].fillna(0).max(), table


def run_study(
    config: str | Path = "study",
    output_dir: str | Path | None = None,
    *,
    data_dirs: Mapping[str, str | Path] | None = None,
    claims: str | Path | None = None,
    stimuli: "StimuliChoice" = "thumbnails",
    style: str | None = None,
    parallel: int | None = None,
) -> StudyFiles:
    """Train and measure all runs of a study in processes on this machine, judge the claims, and write the report.

    Complete runs are not repeated, so you can repeat a call that was interrupted. Each process computes on one thread,
    because another number of threads rounds differently. `clipdyn study` does the same, also on a cluster.

    Args:
        config: name of a study of the package (`hf_clipdyn.bundled.study_names` lists them), or a YAML file.
        output_dir: folder of the study; by default the one that the file names, or ``runs/<name of the file>``. The
            page shows all runs below it, also those of another file.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        claims: a file of claims; default: the package's `claims.yaml`.
        stimuli: pictures of the stimuli on the page, ``none`` or ``thumbnails``.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        parallel: number of processes; default: one per GPU, or one per core without GPUs.

    Returns:
        The paths of the results, the verdicts and the page, and the verdicts as text.

    Raises:
        ConfigError: the file or a table is wrong, or a folder contains a run of another recipe.
        UnknownNameError: there is no such study.
        EvaluationError: a run failed; it is named, and the others are complete.

    Examples:
        >>> from hf_clipdyn import run_study
        >>> files = run_study("mine.yaml", "study")
        >>> files.results.name, files.page.name
        ('results.parquet', 'index.html')
    """
    folders = {name: Path(path) for name, path in (data_dirs or {}).items()}
    page = Page(None if claims is None else Path(claims), stimuli, style)
    folder = None if output_dir is None else Path(output_dir)
    study = Study.read(config, folder, data_dirs=folders, page=page)
    submit(study, "local", () if parallel is None else (f"parallel={parallel}",))
    assert study.files is not None
    return study.files


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {shown(value)}: give a mapping of options to values.")
    return value


def _mappings(value: Any, where: str) -> list[dict[Any, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(f"{where} is {shown(value)}: give a list of mappings.")
    return value


def _grid(
    defaults: Any, entries: Any, path: Path, output_dir: Path | None
) -> tuple[Grid, dict[int, dict[Any, Any]]]:
    """The runs, and by their entry what an entry says of its evaluation."""
    listed = _mappings(entries, f"runs in {path}")
    own = {
        number: _mapping(one.get("evaluation"), f"evaluation of run {number} of {path}")
        for number, one in enumerate(listed, 1)
    }
    trained = [{key: value for key, value in one.items() if key != "evaluation"} for one in listed]
    given = _mapping(defaults, f"defaults in {path}")
    flags = [] if output_dir is None else [f"--output_dir={output_dir}"]
    # A thread each, so that a run gives the same numbers alone and beside others.
    grid = Grid.of_entries({"num_threads": 1} | given, trained, path, flags)
    for one in grid.runs:
        if one.folder != grid.folder / one.name:
            raise ConfigError(
                f"run {one.entry} of {path} has an output_dir: leave it out; its folder is {grid.folder / one.name}."
            )
    return grid, own


def _trained(run: Run, options: Mapping[Any, Any], data_dirs: Mapping[str, Path], path: Path) -> Member:
    where = f"the evaluation of run {run.entry} of {path}"
    _refuse(options, (*_SET_HERE, *_OF_RUNS), where)
    given = read_arguments({**options, "repo_id": repository(run.config)}, where)
    return _member(run.name, run.folder, given | {"store": run.folder / "hub"}, data_dirs, run)


def _published(
    entry: Mapping[Any, Any],
    shared: Mapping[Any, Any],
    parent: Path,
    data_dirs: Mapping[str, Path],
    where: str,
) -> Member:
    options = {**shared, **{key: value for key, value in entry.items() if key != "name"}}
    name = entry.get("name")
    if not isinstance(name, str) or name != valid_repo_name(name):
        raise ConfigError(
            f"name of {where} is {shown(name)}: give letters, digits, dashes, dots and underscores."
        )
    if options.get("repo_id") is None:
        raise ConfigError(
            f"{where} has no repo_id: name a repository or a folder, as for `clipdyn evaluate`."
        )
    _refuse(options, _SET_HERE, where)
    return _member(name, parent / name, read_arguments(options, where), data_dirs)


def _member(
    name: str, folder: Path, given: dict[str, Any], data_dirs: Mapping[str, Path], run: Run | None = None
) -> Member:
    folders = {**given["data_dirs"], **data_dirs}
    return Member(name, folder, given | {"output": folder / _TABLE, "data_dirs": folders}, run)


def _refuse(options: Mapping[Any, Any], names: Sequence[str], where: str) -> None:
    wrong = [one for one in names if one in options]
    if wrong:
        raise ConfigError(f"{where} has {', '.join(wrong)}: a study sets these itself, so leave them out.")


def _check(member: Member, path: Path) -> None:
    """Refuse an evaluation that contradicts itself, before anything is trained."""
    try:
        member.evaluation.selected  # noqa: B018
    except UnknownNameError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{member.name} of {path}: {error}") from error
