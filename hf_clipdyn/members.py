"""The members of a study: runs that are trained, and models from elsewhere, which are only measured.

They are read from a YAML file::

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

A run is called ``<scale>-seed<seed>``, with its ``arm`` before it if it has one, unless it has a ``name``. It resumes
where it stopped, and a complete one is not started again.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError, EvaluationError, PublishError, UnknownNameError, shown
from hf_clipdyn.files import disk_errors, write_atomically
from hf_clipdyn.models.sizes import model_size
from hf_clipdyn.schema import valid_repo_name
from hf_clipdyn.training import repository, train
from hf_clipdyn.training.checkpoint import check_recipe, find_checkpoint, saved_progress
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.folder import BY_MACHINE

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.config import EvaluationConfig

TABLE = "results.parquet"
"""The table of a member's numbers, below its folder."""

_CHECKPOINT = re.compile(r"epoch-([0-9]{3,9})(?:-step-[0-9]+)?")
_UNPUBLISHED = ("publishing/snapshots/*", "ema/publishing/snapshots/*")
_OF_STUDY = (
    "output",
    "shard",
    "force",
    "rescore",
    "watch",
    "watch_patience",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
    "private",
    "token",
)
_OF_FOLDER = ("repo_id", "store", "from_open_clip")  # follow from the folder of a run
_MEASURED = ("final_texts", "dtype", "skip_missing", "revisions")  # decide which cells there are


@dataclass(frozen=True)
class Member:
    """A run that is trained and measured, or a model that is only measured.

    Attributes:
        name: of its own in the study.
        folder: its files are below it.
        config: how the run is trained; it resumes. None for a model.
        measured: the arguments of `evaluate_revisions`.
        also: those of further evaluations into the same table.
        entry: of the file, from 1; the seeds of an entry are members of their own.
    """

    name: str
    folder: Path
    config: TrainingConfig | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Mapping[str, Any], ...] = ()
    entry: int = 1

    @property
    def results(self) -> Path:
        """The table of its numbers."""
        return self.folder / TABLE

    @cached_property
    def evaluations(self) -> "tuple[EvaluationConfig, ...]":
        """The arguments of its evaluations, checked.

        Raises:
            ConfigError: they contradict each other.
        """
        from hf_clipdyn.evaluation.config import EvaluationConfig

        return tuple(EvaluationConfig(**arguments) for arguments in (self.measured, *self.also))

    @cached_property
    def _asked(self) -> dict[str, Any]:
        """What decides which numbers there are, as JSON holds it."""
        wanted, *also = self.evaluations
        return {
            "recipe": None if self.config is None else self.config.recipe(),
            "model": wanted.repo_id if self.config is None else None,
            **_measurements(wanted),
            **({"also": [_measurements(one) for one in also]} if also else {}),
        }

    @cached_property
    def mark(self) -> Path:
        """A file that is there once everything is measured; its name is a hash of what was asked.

        So nothing has to be planned to see what is complete, which takes seconds for each member.
        """
        asked = json.dumps(self._asked, sort_keys=True, default=str)
        return self.folder / "results.complete" / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"

    def lacks(self) -> str:
        """What is missing, in words; empty if everything is trained and measured.

        Raises:
            ConfigError: the folder contains a run of another recipe.
        """
        if untrained := self._lacks_training():
            return untrained
        return "" if self.results.is_file() and self.mark.is_file() else "not fully measured"

    def _lacks_training(self) -> str:
        if self.config is None:
            return ""
        self._check_recipe(self.config.recipe())
        names = [path.parent.name for path in self.folder.glob("checkpoints/*/progress.json")]
        trained = max((int(match[1]) for match in map(_CHECKPOINT.fullmatch, names) if match), default=0)
        if trained < self.config.num_train_epochs:
            return f"{trained} of {self.config.num_train_epochs} epochs are trained"
        waiting = sorted({path.name for sign in _UNPUBLISHED for path in self.folder.glob(sign)})
        done = "published" if self.config.push_to_hub else "saved"
        return f"not {done}: {', '.join(waiting)}" if waiting else ""

    def _check_recipe(self, recipe: Mapping[str, object]) -> None:
        checkpoint = find_checkpoint(self.folder / "checkpoints", "true")
        if checkpoint is not None:
            was = saved_progress(checkpoint).recipe
            left = {key: was.get(key) for key in BY_MACHINE if recipe[key] is None}
            check_recipe(was, {**recipe, **left}, checkpoint)

    def complete(self, shard: str | None = None) -> None:
        """Train what is not trained and measure what is not measured. It can be killed at any moment and repeated.

        Torch computes on one thread, or on ``num_threads``: a different thread count changes rounding.

        Args:
            shard: i/n: measure only this part of the revisions, and relate none.

        Raises:
            ClipDynError: training or measuring failed; what was done is kept.
        """
        if self.config is not None and self._lacks_training():
            summary = train(self.config)
            if summary is not None and summary.missing:
                raise PublishError(summary.message)
        from hf_clipdyn.evaluation import evaluate_revisions

        first, *also = zip(self.evaluations, (self.measured, *self.also), strict=True)
        with torch_threads(1 if self.config is None else self.config.num_threads or 1):
            for evaluation, arguments in (*also, first):  # relations, which read all trials, come last
                if shard is None:
                    evaluate_revisions(**arguments)
                elif evaluation.selected:
                    evaluate_revisions(**{**arguments, "relations": (), "shard": shard})
        if shard is None:
            with disk_errors(EvaluationError, f"{self.mark} cannot be written", "check its permissions"):
                write_atomically(self.mark, json.dumps(self._asked, indent=1, sort_keys=True, default=str))


def _measurements(wanted: "EvaluationConfig") -> dict[str, Any]:
    """What decides which numbers an evaluation gives, as JSON holds it."""
    return {
        "benchmarks": [
            [benchmark.name, benchmark.kind.version_with(settings), settings]
            for benchmark in wanted.selected
            for settings in [benchmark.settings.as_json()]
        ],
        "data_dirs": {name: str(path) for name, path in sorted(wanted.data_dirs.items())},
        **{name: getattr(wanted, name) for name in _MEASURED},
    }


# --- runs ----------------------------------------------------------------------------------------------


def _read_runs(
    defaults: Mapping[Any, Any], entries: Any, path: Path, output_dir: Path | None
) -> tuple[Path, list[Member]]:
    """The folder and the runs of what a YAML file holds.

    Args:
        defaults: as in a recipe.
        entries: mappings over it, one a run; ``seed`` may be a list, and ``{seed}`` in their ``dataset_config_name`` is
            then each of them.
        path: the file.
        output_dir: folder of all runs, in place of the file's.

    Raises:
        ConfigError: an unknown key, or a wrong value.
    """
    folder = output_dir or TrainingConfig(**defaults).output_dir
    folder = Path(folder or f"runs/{valid_repo_name(path.stem)}").expanduser()
    runs = []
    for number, entry in enumerate(entries, 1):
        where = f"run {number} of {path}"
        if "output_dir" in entry:
            raise ConfigError(f"{where} has an output_dir: leave it out; its folder is below {folder}.")
        for values in _one_per_seed(entry, where):
            name = values.pop("name", None)
            values = {**defaults, **values}
            runs.append(_named_run(values, name, folder, where, number))
    return folder, runs


def _one_per_seed(entry: Mapping[Any, Any], where: str) -> list[dict[Any, Any]]:
    """The entry for each of its seeds."""
    seeds = entry.get("seed")
    if seeds == []:
        raise ConfigError(f"seed in {where} is an empty list: give at least one seed.")
    if not isinstance(seeds, list):
        return [dict(entry)]
    filled = entry.get("dataset_config_name")
    return [
        {**entry, "seed": seed}
        | ({"dataset_config_name": filled.replace("{seed}", str(seed))} if isinstance(filled, str) else {})
        for seed in seeds
    ]


def _named_run(values: dict[str, Any], name: Any, parent: Path, where: str, entry: int) -> Member:
    """A run of a file, in a folder below ``parent``."""
    given = {name: values[name] for name in ("hub_model_id", "push_to_hub") if name in values}
    try:
        config = TrainingConfig(**(values | {"hub_model_id": None, "push_to_hub": False}))
        if config.model_name_or_path is None:
            model_size(config.scale)
        name = config.run_name if name is None else str(name)
        if name != valid_repo_name(name):
            raise ConfigError(f"name is {shown(name)}: give letters, digits, dashes, dots and underscores.")
        if given.get("hub_model_id") is not None:
            given["hub_model_id"] = given["hub_model_id"].replace("{name}", name)
        folder = parent / name
        config = config.but(**given, output_dir=str(folder), resume_from_checkpoint="true")
        return Member(name, folder, config, entry=entry)
    except UnknownNameError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


# --- runs and models that are measured -----------------------------------------------------------------


def read_members(
    file: Mapping[Any, Any],
    path: Path,
    output_dir: Path | None,
    data_dirs: Mapping[str, Path],
) -> tuple[Path, list[Member]]:
    """The folder and the members of the file of a study.

    Args:
        file: its content.
        path: the file.
        output_dir: folder of the study, in place of the file's.
        data_dirs: folders of data sets by name, beside those of the file.

    Raises:
        ConfigError: an unknown key, a wrong value, or an evaluation that contradicts itself.
    """
    where = f"evaluation in {path}"
    shared = _mapping(file.get("evaluation"), where)
    for options in _each_evaluation(shared, where):
        _refuse(options, (*_OF_STUDY, "repo_id"), where)
        read_arguments({**options, "repo_id": "local/any"}, where)  # an error here concerns no single member
    entries = _mappings(file.get("runs") or [], f"runs in {path}")
    models = _mappings(file.get("models") or [], f"models in {path}")
    if not entries and not models:
        raise ConfigError(f"{path} has neither runs nor models: give a list of one of them.")
    own = [
        _mapping(entry.get("evaluation"), f"evaluation of run {number} of {path}")
        for number, entry in enumerate(entries, 1)
    ]
    # A thread each, so that a run gives the same numbers alone and beside others.
    defaults = {"num_threads": 1} | _mapping(file.get("defaults"), f"defaults in {path}")
    runs = [{key: value for key, value in entry.items() if key != "evaluation"} for entry in entries]
    folder, members = _read_runs(defaults, runs, path, output_dir)
    asked = [_asked_of_run(run, shared | own[run.entry - 1], path) for run in members]
    for number, entry in enumerate(models, 1):
        name, each = _asked_of_model({**shared, **entry}, f"model {number} of {path}")
        members.append(Member(name, folder / name))
        asked.append(each)
    measured = []
    for member, each in zip(members, asked, strict=True):
        for given, dirs in zip(each, _dirs_of_each(each, data_dirs), strict=True):
            given |= {"output": member.results, "data_dirs": {**given["data_dirs"], **dirs}}
        first, *further = each
        measured.append(replace(member, measured=first, also=tuple(further)))
        _check_evaluation(measured[-1], path)
    return folder, measured


def _each_evaluation(options: Mapping[Any, Any], where: str) -> list[dict[Any, Any]]:
    """The options of an evaluation, then those of each entry of ``also``."""
    first = {key: value for key, value in options.items() if key != "also"}
    return [first, *_mappings(options.get("also") or [], f"also of {where}")]


def _dirs_of_each(
    each: Sequence[Mapping[str, Any]], data_dirs: Mapping[str, Path]
) -> Iterator[Mapping[str, Path]]:
    """The folders for each evaluation: those of its data sets; the first has also those that nobody uses."""
    from hf_clipdyn.evaluation.config import EvaluationConfig

    if len(each) == 1:
        yield data_dirs
        return
    shown = [{one.dataset for one in EvaluationConfig(**given).selected} for given in each]
    shown[0] |= set(data_dirs) - set().union(*shown)
    for names in shown:
        yield {name: at for name, at in data_dirs.items() if name in names}


def _asked_of_run(run: Member, options: dict[Any, Any], path: Path) -> list[dict[str, Any]]:
    """The arguments of each evaluation of a run below the folder of a study."""
    where = f"the evaluation of run {run.entry} of {path}"
    each = _each_evaluation(options, where)
    for one in each:
        _refuse(one, (*_OF_STUDY, *_OF_FOLDER), where)
    assert run.config is not None
    named = {"repo_id": repository(run.config)}
    return [read_arguments(one | named, where) | {"store": run.folder / "hub"} for one in each]


def _asked_of_model(options: dict[Any, Any], where: str) -> tuple[str, list[dict[str, Any]]]:
    """The name of a model and the arguments of each of its evaluations."""
    name = options.pop("name", None)
    if not isinstance(name, str) or name != valid_repo_name(name):
        raise ConfigError(
            f"name of {where} is {shown(name)}: give letters, digits, dashes, dots and underscores."
        )
    if options.get("repo_id") is None:
        raise ConfigError(
            f"{where} has no repo_id: name a repository or a folder, as for `clipdyn evaluate`."
        )
    each = _each_evaluation(options, where)
    for one in each:
        _refuse(one, _OF_STUDY, where)
    return name, [read_arguments(one, where) for one in each]


def _check_evaluation(member: Member, path: Path) -> None:
    """Refuse an evaluation that contradicts itself, before anything is trained."""
    try:
        for evaluation in member.evaluations:
            evaluation.selected  # noqa: B018
    except UnknownNameError:
        raise
    except ConfigError as error:
        raise ConfigError(f"{member.name} of {path}: {error}") from error


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {shown(value)}: give a mapping of options to values.")
    return value


def _mappings(value: Any, where: str) -> list[dict[Any, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ConfigError(f"{where} is {shown(value)}: give a list of mappings.")
    return value


def _refuse(options: Mapping[Any, Any], names: Sequence[str], where: str) -> None:
    if wrong := [name for name in names if name in options]:
        raise ConfigError(f"{where} has {', '.join(wrong)}: a study sets these itself, so leave them out.")


def read_arguments(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments of an evaluation in a file, checked."""
    from hf_clipdyn.evaluation.config import EvaluationConfig

    try:
        config = EvaluationConfig(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return {"data_dirs": {}} | {name: getattr(config, name) for name in config.model_fields_set}
