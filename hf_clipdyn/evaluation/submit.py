"""An evaluation as jobs, a shard of the revisions each; `hf_clipdyn.jobs` starts them.

A shard is the same command with ``--shard i/n``. All shards fill one folder of cells, and a cell is written whole. So a
shard that is killed loses the cell in work, and the same command starts only the shards in which cells are missing.
Several models are shards of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePath

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig, in_shard
from hf_clipdyn.evaluation.live_model import LastTexts, LiveModel
from hf_clipdyn.evaluation.plan import Plan, PlannedCell, check_precision, open_sources
from hf_clipdyn.evaluation.processes import join_processes
from hf_clipdyn.evaluation.publish import check_push, push_results
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work
from hf_clipdyn.progress import draws_bars, library_bars
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.revisions.names import OPEN_CLIP
from hf_clipdyn.schema import valid_repo_name

__all__ = ["OF_THE_WHOLE", "Shards", "files_read"]

OF_THE_WHOLE = ("repo_id", "from_open_clip", "shard", "token", "push_to_hub", "hub_model_id", "private")
"""Fields of the configuration that are not options of a shard's command.

The name of a shard's model says `from_open_clip`, and a token goes through the environment.
"""

_MOST_SHARDS = 1000


class Shards(Work):
    """An evaluation that is spread over shards.

    Args:
        config: the whole evaluation.
        options: its options on the command line, without those of `OF_THE_WHOLE`.
        shards: their number, for each model.

    Raises:
        ConfigError: the number of shards is out of range, or the evaluation cannot be spread.
    """

    noun = "shard"
    error = EvaluationError

    def __init__(self, config: EvaluationConfig, options: Sequence[str], shards: int = 1) -> None:
        if not 1 <= shards <= _MOST_SHARDS:
            raise ConfigError(f"shards is {shards}: it must be in [1, {_MOST_SHARDS}].")
        wrong = [name for name in ("watch", "rescore", "shard") if getattr(config, name)]
        if wrong or config.output is None:
            raise ConfigError(
                f"`submit` splits one evaluation into shards that share an output: leave out {', '.join(wrong)}."
                if wrong
                else "`submit` requires an `output`, to which all shards write."
            )
        self._config = replace(config, show_progress=config.show_progress and draws_bars())
        self._each = self._config.each
        self._options, self._shards, self._output = options, shards, Path(config.output)
        self.logs = self._output.with_suffix(".logs")
        self.token, self.force, self.gpus = config.token, config.force, config.device is None
        self.writes = [("--output", self._output)]
        self.reads = list(files_read(config))

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        """The shards in which cells are missing."""
        if not ended:
            self._check(scheduler)
        listed = scheduler.listed(cells_folder(self._output))
        if self.force and not ended:
            done = set[str]()
        else:
            done = self._done(ended) if listed is None else {PurePath(name).stem for name in listed}
        revisions = self._planned(here=listed is None)
        if revisions is None:
            jobs = [job for shards in self._jobs for job in shards]
            return Missing(
                jobs, "Not all data are on this machine: each shard checks which cells are missing."
            )
        lacks = [
            (name, job, [planned for planned in cells if planned.cell.key not in done])
            for name, job, cells in revisions
        ]
        incomplete = {job.name for _, job, cells in lacks if cells}
        jobs = [job for shards in self._jobs for job in shards if job.name in incomplete]
        total = sum(len(cells) for *_, cells in revisions)
        if not jobs:
            return Missing([], f"All {total} cells are finished.")
        head = f"{sum(len(cells) for *_, cells in lacks)} of {total} cells are missing:"
        rows = [(name, _benchmarks(cells)) for name, _, cells in lacks if cells]
        return Missing(jobs, Missing.listed(head, rows, "revisions"))

    def finish(self, scheduler: Scheduler) -> str:
        """Bring the table up to date, and push it if asked to; of cells elsewhere, the last shard has done so."""
        place = scheduler.place(self._output)
        if scheduler.listed(cells_folder(self._output)) is not None:
            return f"All cells are in {place}."
        CellStore(self._output).rebuild()
        if self._config.push_to_hub:
            push_results(self._config)
        return f"All cells are in {place}; draw them with `clipdyn report {place} --output DIR`."

    def make_folders(self) -> None:
        """Make the folders of the cells and the logs; EvaluationError if they cannot be written."""
        CellStore(self._output).check_writable()
        super().make_folders()

    def _check(self, scheduler: Scheduler) -> None:
        config = self._config
        join_processes(config.device)
        if config.hub_model_id is None:
            return
        if scheduler.listed(cells_folder(self._output)) is not None:
            raise ConfigError(
                f"The table will be in {scheduler.place(self._output)}, not on this machine: leave out "
                "push_to_hub, and push the table from a machine that mounts the bucket."
            )
        check_push(config.hub_model_id, config.token)

    def _done(self, ended: bool) -> set[str]:
        """The keys of the cells on this disk."""
        store = CellStore(self._output)
        if ended:
            store.rebuild()
        for config in self._each:
            check_precision(config, store.cells())
        return store.keys()

    @cached_property
    def _jobs(self) -> list[list[Job]]:
        """The shards of each model."""
        several, parts = len(self._each) > 1, range(1, self._shards + 1)
        return [
            [
                Job(
                    f"{valid_repo_name(config.series.repo_id)}-" * several + f"{part}-of-{self._shards}",
                    ("evaluate", str(config.repo_id), *self._options, f"--shard={part}/{self._shards}"),
                )
                for part in parts
            ]
            for config in self._each
        ]

    def _planned(self, *, here: bool) -> list[tuple[str, Job, list[PlannedCell]]] | None:
        """`_revisions`, planned without a model; None if only the jobs can see which cells there are."""
        if not here:
            if any(not path.exists() for _, path in self.reads):
                return None
            try:
                for config in self._each:
                    open_sources(replace(config, skip_missing=False))
            except EvaluationError:
                return None
        with library_bars(self._config.show_progress):
            return self._revisions

    @cached_property
    def _revisions(self) -> list[tuple[str, Job, list[PlannedCell]]]:
        """All revisions, each model's in training order: name, the shard that measures it, and its cells."""
        revisions = []
        for config, jobs in zip(self._each, self._jobs, strict=True):
            plan, live = Plan(config), LiveModel(config)
            texts = None if plan.last is None else LastTexts(plan.last, live)
            prefix = f"{config.series.repo_id} " * (len(self._each) > 1)
            shard_of = {
                revision.name: job
                for part, job in enumerate(jobs, 1)
                for revision in in_shard(plan.revisions, f"{part}/{self._shards}")
            }
            for revision in plan.revisions:
                cells = list(plan.cells(revision, live.settings(revision), texts))
                revisions.append((prefix + revision.name, shard_of[revision.name], cells))
        return revisions


def files_read(config: EvaluationConfig) -> Iterator[tuple[str, Path]]:
    """The files and folders that a job of the evaluation reads, by option."""
    if config.store is not None:
        yield "--store", Path(config.store)
    for name in (config.plugins,) if isinstance(config.plugins, str | Path) else config.plugins:
        yield "--plugin", Path(name)
    if config.processor is not None and Path(config.processor).is_dir():
        yield "--processor", Path(config.processor)
    for name, path in config.data_dirs.items():
        yield f"--data-dir {name}", Path(path)
    for each in config.each:
        if each.series.repository.on_disk and config.store is None:
            name = str(each.repo_id)
            yield "the model", Path(name.partition("@")[2] if name.startswith(OPEN_CLIP) else name)


def _benchmarks(cells: Sequence[PlannedCell]) -> str:
    return ", ".join(
        f"{planned.cell.kind}/{planned.cell.dataset}" + ("" if planned.texts is None else " (last texts)")
        for planned in cells
    )
