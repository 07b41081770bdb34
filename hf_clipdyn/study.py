"""`clipdyn study`: a study from one file: train every run, measure every revision, judge the claims, draw the page.

The file lists the members of the study (`hf_clipdyn.members`) and may give a ``title``. A grid of `clipdyn train` is a
study without evaluation. What a member leaves is below the study's folder::

    <name>/                     # the run, as `clipdyn train` leaves it
    <name>/results.parquet      # its numbers, with cells, trials and influences beside it
    <name>/results.complete/    # one file for each evaluation that is complete
    results.parquet  verdicts.parquet  report/index.html      # of everything below the folder
    relations.parquet           # how seeds and arms relate, if the evaluation has the suite `dynamics`
    results.influences.parquet  # what these verdicts and this page need of the trials

Several files may share one folder: its page shows the runs of all.
"""

import dataclasses
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hf_clipdyn.bundled import recipe_path, study_path
from hf_clipdyn.config import TrainingConfig, parse_training_config, train_command
from hf_clipdyn.errors import ConfigError, EvaluationError, TrainingError, UnknownNameError, counted, shown
from hf_clipdyn.files import check_output
from hf_clipdyn.jobs import Missing, Scheduler, Work, submit
from hf_clipdyn.members import TABLE, Member, read_members, read_runs, single_run
from hf_clipdyn.schema import check_keys, read_yaml
from hf_clipdyn.submission import Submission

if TYPE_CHECKING:
    from hf_clipdyn.report.page.stimuli import StimuliChoice

__all__ = ["Page", "Study", "StudyFiles", "read_training", "run_study"]

_KEYS = ("title", "defaults", "runs", "models", "evaluation")  # all but the first hold collections
_GRID_KEYS = ("defaults", "runs")
_VERDICTS = "verdicts.parquet"
_RELATIONS = "relations.parquet"
_REPORT = "report"
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
            from hf_clipdyn.statistics.claims import read_claims

            read_claims(self.claims)
        if self.style is not None:
            from hf_clipdyn.report.style import read_style

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


class Study(Work):
    """Runs and models with the same kind of evaluation, or runs that are only trained. Each one is a job.

    Args:
        members: with names, folders and repositories of their own.
        folder: holds them; the logs of the jobs are beside it.
        where: they were read, for messages.
        title: of the page.
        page: how the page is written; None for no page and no verdicts.

    Raises:
        ConfigError: two members share a name, a folder or a repository; one has the name of a file of the study, or
            must not resume; or the study's tables would replace other files.
    """

    noun = "run"

    def __init__(
        self,
        members: Sequence[Member],
        folder: Path,
        where: str = "the study",
        *,
        title: str = "",
        page: Page | None = None,
    ) -> None:
        self.members, self.folder, self.title, self._page = tuple(members), folder, title, page
        self._measures = any(member.measured is not None for member in members)
        self.error = EvaluationError if self._measures else TrainingError
        _check_apart(self.members, where)
        configs = [member.config for member in members if member.config is not None]
        if any(config.overwrite_output_dir for config in configs):
            raise ConfigError(
                f"Jobs resume runs, so {where} cannot have overwrite_output_dir: leave it out. To "
                "start a run again, delete its folder."
            )
        if page is not None:
            from hf_clipdyn.results.read import is_combined
            from hf_clipdyn.statistics.verdicts import check_verdicts

            check_output(folder / TABLE, what="the table of a study", is_own=is_combined)
            check_verdicts(folder / _VERDICTS)
        self.files: StudyFiles | None = None
        self.logs = folder.with_name(f"{folder.name}.logs")
        self.token = next((config.hub_token for config in configs if config.hub_token), None)
        outside = [member.folder for member in members if not member.folder.is_relative_to(folder)]
        self.writes = [("--output_dir", path) for path in (folder, *outside)]
        self.reads = list(dict.fromkeys(item for member in members for item in member.reads))

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
        file = read_yaml(path, nested=_KEYS[1:])
        check_keys(file, _KEYS, str(path))
        # Two words: the Hub's client sends a word that is a file along with the job.
        words = ("study", "--config", str(config))
        folder, members = read_members(file, path, output_dir, data_dirs or {}, words)
        title = file.get("title")
        return cls(members, folder, str(path), title="" if title is None else str(title), page=page)

    @classmethod
    def read_grid(cls, path: Path, flags: Sequence[str] = ()) -> Self | None:
        """The runs of a YAML file, only to be trained; None if the file is a recipe.

        Args:
            path: the file.
            flags: of `clipdyn train`; they override defaults and runs.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
        """
        file = read_yaml(path, nested=_KEYS[1:])
        if not set(_KEYS) & set(file):
            return None
        if set(file) & (set(_KEYS) - set(_GRID_KEYS)):
            raise ConfigError(
                f"{path} is the file of a study: call `clipdyn study --config {path}`, which trains, measures and "
                "reports."
            )
        check_keys(file, _GRID_KEYS, str(path))
        if not (entries := file.get("runs")):
            raise ConfigError(f"runs in {path} is {shown(entries)}: give a list of mappings, one a run.")
        folder, runs = read_runs(file.get("defaults"), entries, path, flags)
        return cls(runs, folder, str(path))

    @classmethod
    def of_run(cls, config: TrainingConfig) -> Self:
        """A single run, only to be trained."""
        run = single_run(config)
        return cls([run], run.folder, "the run")

    def member(self, name: str) -> Member:
        """The run or the model of that name.

        Raises:
            UnknownNameError: there is none.
        """
        by_name = {member.name: member for member in self.members}
        if name not in by_name:
            raise UnknownNameError("run", name, by_name)
        return by_name[name]

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        """The members that are not complete; it looks at names of files only."""
        del ended
        lacks = [(member, member.lacks(scheduler.listed(member.folder))) for member in self.members]
        return Missing.among(lacks, f"{self._all} {'trained and measured' * self._measures or 'complete'}.")

    def finish(self, scheduler: Scheduler) -> str:
        """The page, the verdicts and the table of everything below the folder, if asked for; and where all is."""
        place = scheduler.place(self.folder)
        said = f"{self._all} complete in {place}"
        if scheduler.listed(self.folder) is not None:
            draw = "copy that folder here, and draw it with `clipdyn report FOLDER/*/results.parquet --output DIR`"
            return f"{said}{f': {draw}' * self._measures}."
        if not self._measures:
            return f"{said}; measure them with `clipdyn evaluate {self._folders}`."
        if self._page is None:
            return f"{said}."
        self.files = self._written(self._page)
        return self.files.message

    @property
    def _all(self) -> str:
        return "The run is" if len(self.members) == 1 else f"All {len(self.members)} runs are"

    @property
    def _folders(self) -> str:
        """The folders of the members, as a shell takes them."""
        if all(member.folder.parent == self.folder for member in self.members):
            return f"{shlex.quote(str(self.folder))}/*"
        return " ".join(shlex.quote(str(member.folder)) for member in self.members)

    def _written(self, page: Page) -> StudyFiles:
        """Write what concerns all members below the folder, of whichever file."""
        from hf_clipdyn.report import write_report
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.report.study import study_of
        from hf_clipdyn.results.read import read_results, write_results
        from hf_clipdyn.statistics.verdicts import provenance, render, verdict_table, write_verdicts

        tables = sorted(self.folder.glob(f"*/{TABLE}"))
        relations = self._related(tables)
        _log.info(f"Judging and drawing {counted(len(tables), 'run')}.")
        # Small models come first on the page, and in its colours.
        read = read_results([*tables, *relations]).smallest_first()
        study = study_of(read, [path.name for path in read.tables], claims=page.claims)
        results, verdicts = self.folder / TABLE, self.folder / _VERDICTS
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
            data_dirs={
                name: path
                for member in self.members
                for one in member.evaluations
                for name, path in one.data_dirs.items()
            },
            style=page.style,
            title=self.title or None,
        )
        study.influences.write(results)
        message = "\n".join([*said, f"Results:  {results}", f"Page:     {written}"])
        return StudyFiles(results, verdicts if study.verdicts else None, written, message)

    def _related(self, tables: Sequence[Path]) -> list[Path]:
        """Relate the seeds and the arms with each other, if members ask for relations; the table, if there is one."""
        asking = [one for member in self.members if (one := member.evaluation) is not None and one.related]
        if not asking or len(tables) < 2:
            return []
        from hf_clipdyn.evaluation.evaluate import evaluate_relations

        names = dict.fromkeys(name for one in asking for name in one.related)
        output = self.folder / _RELATIONS
        config = dataclasses.replace(
            asking[0], benchmarks=None, revisions=None, relations=tuple(names), output=output
        )
        evaluate_relations(config, tables)
        return [output] if output.exists() else []


def _check_apart(members: Sequence[Member], where: str) -> None:
    """Refuse two members that would write to the same place, and one that would write to a file of the study."""
    first: dict[tuple[str, object], Member] = {}  # the first member with that name, folder or repository
    among = f"runs of {where}" if all(member.config is not None for member in members) else "runs or models"
    for member in members:
        if first.setdefault(("name", member.name), member) is not member:
            raise ConfigError(f"Two {among} are called {member.name}: give each a `name` of its own.")
        if (other := first.setdefault(("folder", member.folder.resolve()), member)) is not member:
            raise ConfigError(
                f"{other.name} and {member.name} of {where} have the same output_dir, {other.folder}: give each its "
                "own, or leave it out."
            )
        repository = None if member.config is None else member.config.repository
        other = first.setdefault(("repository", repository), member)
        if repository is not None and other is not member:
            raise ConfigError(
                f"{other.name} and {member.name} of {where} have the same repository, {repository}: put {{name}}, or "
                "{scale} and {seed}, into hub_model_id."
            )
        if member.measured is not None and member.name in (_REPORT, TABLE, _VERDICTS, _RELATIONS):
            raise ConfigError(
                f"A run is called {member.name}, as the study's own {'folder' if member.name == _REPORT else 'file'}: "
                "give the run another `name`."
            )


def read_training(argv: Sequence[str]) -> tuple[TrainingConfig | Study, Submission]:
    """What a command line of `clipdyn train` asks for: one run or several, and where they start.

    Raises:
        ConfigError: an unknown key or flag, a wrong value, or options that contradict each other.
    """
    command = train_command()
    given = command.read(argv)
    asked = {name: flag.value(given.get(name)) for name, flag in command.flags.items()}
    submission = Submission(**{field.name: asked[field.name] for field in dataclasses.fields(Submission)})
    grid = None if asked["config"] is None else Study.read_grid(recipe_path(asked["config"]), argv)
    if grid is not None:
        return grid, submission
    config = parse_training_config(argv)
    return config if submission.submit is None else Study.of_run(config), submission


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
