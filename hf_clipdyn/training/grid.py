"""A grid of training runs, as a study of scales and seeds needs it: one YAML file, one command.

::

    defaults:                 # as in a recipe
      num_train_epochs: 10
      output_dir: runs/study  # each run's folder is below it; default: runs/<name of the file>
    runs:                     # each entry overrides the defaults
      - {scale: tiny, seed: [0, 1]}                                     # one run a seed
      - {scale: tiny, seed: 0, learning_rate: 5e-4, name: tiny-slow}

A run is called ``<scale>-seed<seed>``, with its ``arm`` before it if it has one, unless it has a ``name``. It resumes
where it stopped, and a complete one is not started again.
"""

import dataclasses
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from hf_clipdyn.bundled import recipe_path
from hf_clipdyn.config import (
    Submission,
    TrainingConfig,
    field_values,
    train_command,
)
from hf_clipdyn.errors import ConfigError, TrainingError, UnknownNameError, shown
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work
from hf_clipdyn.models.sizes import model_size
from hf_clipdyn.schema import check_keys, read_yaml, valid_repo_name
from hf_clipdyn.training.checkpoint import check_recipe, find_checkpoint, saved_recipe
from hf_clipdyn.training.folder import BY_MACHINE, output_folder

__all__ = ["STUDY_KEYS", "Command", "Grid", "Run", "files_of_run"]

STUDY_KEYS = ("title", "defaults", "runs", "models", "evaluation")
"""Keys of a study's file (`hf_clipdyn.study`), which is a grid with more keys; all but the first hold collections."""
_KEYS = ("defaults", "runs")
_CHECKPOINT = re.compile(r"checkpoints/epoch-([0-9]{3,9})(?:-step-[0-9]+)?/progress\.json")
_UNPUBLISHED = re.compile(r"(?:ema/)?publishing/snapshots/([^/]+)(?:/.*)?")
_SIGNS = ("checkpoints/*/progress.json", "publishing/snapshots/*", "ema/publishing/snapshots/*")


@dataclass(frozen=True)
class Run:
    """One run of a grid.

    Attributes:
        name: of its own in the grid.
        config: with its folder; it resumes.
        entry: of the grid's file, from 1; the seeds of an entry are runs of their own.
    """

    name: str
    config: TrainingConfig
    entry: int = 1

    @property
    def folder(self) -> Path:
        """Its ``output_dir``."""
        return output_folder(self.config)

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments of `clipdyn` that run it; the token goes through the environment."""
        given = {one.name: getattr(self.config, one.name) for one in dataclasses.fields(TrainingConfig)}
        changed = {key: value for key, value in given.items() if value != getattr(TrainingConfig, key)}
        changed.pop("hub_token", None)
        return ("train", *(f"--{key}={value}" for key, value in changed.items()))

    def lacks(self, listed: Collection[str] | None = None) -> str:
        """What is missing, in words; empty if the run is complete.

        Args:
            listed: the files below its folder; None looks into the folder.

        Raises:
            ConfigError: the folder contains a run of another recipe.
        """
        if listed is None:
            found = [path for sign in _SIGNS for path in self.folder.glob(sign)]
            listed = {path.relative_to(self.folder).as_posix() for path in found}
            self._check_recipe()
        total = self.config.num_train_epochs
        trained = max((int(one[1]) for one in map(_CHECKPOINT.fullmatch, listed) if one), default=0)
        waiting = {one[1] for one in map(_UNPUBLISHED.fullmatch, listed) if one}
        if trained < total:
            return f"{trained} of {total} epochs are trained"
        return f"not published: {', '.join(sorted(waiting))}" if waiting else ""

    def _check_recipe(self) -> None:
        checkpoint = find_checkpoint(self.folder / "checkpoints", "true")
        if checkpoint is not None:
            was, now = saved_recipe(checkpoint), self.config.recipe()
            left = {key: was.get(key) for key in BY_MACHINE if now[key] is None}
            check_recipe(was, now | left, checkpoint)


class Grid(Work):
    """Training runs, each of which is a job.

    Args:
        runs: with names, folders and repositories of their own.
        folder: holds the runs; their logs are beside it.
        where: they were read, for messages.

    Raises:
        ConfigError: two runs share a name, a folder or a repository, or one must not resume.
    """

    noun = "run"
    error = TrainingError

    def __init__(self, runs: Sequence[Run], folder: Path, where: str = "the grid") -> None:
        self.runs, self.folder = tuple(runs), folder
        _check_apart(self.runs, where)
        for one in self.runs:
            if one.config.overwrite_output_dir or one.config.dry_run:
                raise ConfigError(
                    f"Jobs resume runs, so {where} cannot have overwrite_output_dir or dry_run: leave them out. To "
                    "start a run again, delete its folder."
                )
        self.logs = folder.with_name(f"{folder.name}.logs")
        self.token = next((one.config.hub_token for one in self.runs if one.config.hub_token), None)
        outside = [one.folder for one in self.runs if not one.folder.is_relative_to(folder)]
        self.writes = [("--output_dir", path) for path in (folder, *outside)]
        self.reads = list(dict.fromkeys(item for one in self.runs for item in files_of_run(one.config)))

    @classmethod
    def of(cls, config: TrainingConfig) -> Self:
        """A grid of one run."""
        folder = output_folder(config)
        resume = config.resume_from_checkpoint
        resume = "true" if str(resume).lower() in ("none", "false") else resume
        config = replace(config, output_dir=str(folder), resume_from_checkpoint=resume)
        return cls([Run(valid_repo_name(folder.name), config)], folder, "the run")

    @classmethod
    def read(cls, path: Path, flags: Sequence[str] = ()) -> Self | None:
        """The grid of a YAML file; None if the file is a recipe.

        Args:
            path: the file.
            flags: of `clipdyn train`; they override defaults and runs.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
        """
        file = read_yaml(path, nested=STUDY_KEYS[1:])
        if not set(STUDY_KEYS) & set(file):
            return None
        if set(file) & (set(STUDY_KEYS) - set(_KEYS)):
            raise ConfigError(
                f"{path} is the file of a study: call `clipdyn study --config {path}`, which trains, measures and "
                "reports."
            )
        check_keys(file, _KEYS, str(path))
        entries = file.get("runs")
        if not entries:
            raise ConfigError(f"runs in {path} is {shown(entries)}: give a list of mappings, one a run.")
        return cls.of_entries(file.get("defaults"), entries, path, flags)

    @classmethod
    def of_entries(cls, defaults: Any, entries: Any, path: Path, flags: Sequence[str] = ()) -> Self:
        """The grid of what a YAML file holds.

        Args:
            defaults: a mapping as in a recipe; None for none.
            entries: a list of mappings over it, one a run; ``seed`` may be a list.
            path: the file.
            flags: of `clipdyn train`; they override defaults and runs.

        Raises:
            ConfigError: an unknown key, a wrong value, or runs that are not apart.
        """
        defaults = {} if defaults is None else defaults
        if not isinstance(defaults, dict):
            raise ConfigError(
                f"defaults in {path} is {shown(defaults)}: give a mapping of options to values."
            )
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ConfigError(f"runs in {path} is {shown(entries)}: give a list of mappings, one a run.")
        where = f"the defaults of {path}"
        folder = field_values(defaults, where, flags)["output_dir"]
        by_flag = field_values({}, where, flags)["output_dir"]
        folder = Path(folder or f"runs/{valid_repo_name(path.stem)}").expanduser()
        runs = []
        for number, entry in enumerate(entries, 1):
            where = f"run {number} of {path}"
            for one in _one_per_seed(entry, where):
                values = {key: value for key, value in one.items() if key != "name"}
                own = None if by_flag else values.get("output_dir")
                values = field_values(defaults | values, where, flags)
                runs.append(_run(values, one.get("name"), folder if own is None else None, where, number))
        return cls(runs, folder, str(path))

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        """The runs that are not complete."""
        del ended
        lacks = [(Job(one.name, one.words), one.lacks(scheduler.listed(one.folder))) for one in self.runs]
        return Missing.among(lacks, f"{self._all} complete.")

    def finish(self, scheduler: Scheduler) -> str:
        """Where the runs are."""
        place = scheduler.place(self.folder)
        measured = (
            "" if place != str(self.folder) else f"; measure them with `clipdyn evaluate {self._names}`"
        )
        return f"{self._all} complete in {place}{measured}."

    @property
    def _all(self) -> str:
        return "The run is" if len(self.runs) == 1 else f"All {len(self.runs)} runs are"

    @property
    def _names(self) -> str:
        """The runs' folders, as a shell takes them."""
        folders = [shlex.quote(str(one.folder)) for one in self.runs]
        below = all(one.folder.parent == self.folder for one in self.runs)
        return f"{shlex.quote(str(self.folder))}/*" if below else " ".join(folders)


@dataclass(frozen=True)
class Command:
    """What a command line of `clipdyn train` asks for.

    Attributes:
        config: the run; None for a grid.
        grid: the runs; None for one run that is not submitted.
        submission: whether and where the runs start as jobs.
    """

    config: TrainingConfig | None
    grid: Grid | None
    submission: Submission

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Read ``--config`` with a recipe or a grid, and the flags.

        Raises:
            ConfigError: an unknown key or flag, a wrong value, or options that contradict each other.
        """
        command = train_command()
        given = command.read(argv)
        asked = {name: flag.value(given.get(name)) for name, flag in command.flags.items() if name in _ASKED}
        recipe_name = asked.pop("config")
        grid = None if recipe_name is None else Grid.read(recipe_path(recipe_name), argv)
        config = None
        if grid is None:
            recipe = {} if recipe_name is None else read_yaml(recipe_path(recipe_name))
            config = TrainingConfig(**field_values(recipe, str(recipe_name), argv))
        submission = Submission(**asked)
        if submission.submit is not None and config is not None:
            grid = Grid.of(config)
        return cls(config, grid, submission)


_ASKED = ("config", *(one.name for one in dataclasses.fields(Submission)))


def _one_per_seed(entry: Mapping[Any, Any], where: str) -> list[dict[Any, Any]]:
    """The entry for each of its seeds."""
    seeds = entry.get("seed")
    if seeds == []:
        raise ConfigError(f"seed in {where} is an empty list: give at least one seed.")
    return [{**entry, "seed": one} for one in seeds] if isinstance(seeds, list) else [dict(entry)]


def _run(values: dict[str, Any], name: Any, parent: Path | None, where: str, entry: int) -> Run:
    """A run of a grid, below ``parent`` or in a folder of its own."""
    given = {"hub_model_id": values["hub_model_id"], "push_to_hub": values["push_to_hub"]}
    try:
        config = TrainingConfig(**(values | {"hub_model_id": None, "push_to_hub": False}))
        if config.model_name_or_path is None:
            model_size(config.scale)
        name = config.run_name if name is None else str(name)
        if name != valid_repo_name(name):
            raise ConfigError(f"name is {shown(name)}: give letters, digits, dashes, dots and underscores.")
        if given["hub_model_id"] is not None:
            given["hub_model_id"] = given["hub_model_id"].replace("{name}", name)
        if parent is not None:
            given["output_dir"] = str(parent / name)
        return Run(name, replace(config, **given, resume_from_checkpoint="true"), entry)
    except UnknownNameError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_apart(runs: Sequence[Run], where: str) -> None:
    """Refuse two runs that would write to the same place."""
    first: dict[tuple[str, object], Run] = {}  # the first run with that name, folder or repository
    for run in runs:
        if first.setdefault(("name", run.name), run) is not run:
            raise ConfigError(f"Two runs of {where} are called {run.name}: give each a `name` of its own.")
        if (other := first.setdefault(("folder", run.folder.resolve()), run)) is not run:
            raise ConfigError(
                f"{other.name} and {run.name} of {where} have the same output_dir, {other.folder}: give each its own, "
                "or leave it out."
            )
        repository = run.config.repository
        if repository is not None and (other := first.setdefault(("repository", repository), run)) is not run:
            raise ConfigError(
                f"{other.name} and {run.name} of {where} have the same repository, {repository}: put {{name}}, or "
                "{scale} and {seed}, into hub_model_id."
            )


def files_of_run(config: TrainingConfig) -> Iterator[tuple[str, Path]]:
    """The files and folders that a run reads, by option."""
    for name in ("data_dir", "model_store"):
        if (value := getattr(config, name)) is not None:
            yield f"--{name}", Path(value).expanduser()
    for name in ("dataset_name", "model_name_or_path"):  # a name, or a folder
        value = getattr(config, name)
        if value is not None and (path := Path(value).expanduser()).exists():
            yield f"--{name}", path
    for value in filter(None, map(str.strip, (config.plugin or "").split(","))):
        yield "--plugin", Path(value)
