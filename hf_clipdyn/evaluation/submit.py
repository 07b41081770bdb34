"""Spread an evaluation over processes or machines, a shard each; schedulers that exist do the scheduling.

A shard is the same command with ``--shard i/n``. All shards fill one folder of cells, and a cell is written whole. So a
shard that is killed loses the cell in work, and the same command starts only the shards in which cells are missing.

A scheduler is a class in `SCHEDULERS`, under the name that ``--submit`` takes.
"""

import hashlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from accelerate.logging import get_logger

from hf_clipdyn.errors import ClipDynError, ConfigError, EvaluationError, UnknownNameError, redact, shown
from hf_clipdyn.evaluation.config import EvaluationConfig, in_shard
from hf_clipdyn.evaluation.live_model import LastTexts, LiveModel
from hf_clipdyn.evaluation.plan import Plan, PlannedCell, check_precision, open_sources
from hf_clipdyn.evaluation.processes import join_processes
from hf_clipdyn.evaluation.publish import check_push, push_results
from hf_clipdyn.hub import reason, status_of
from hf_clipdyn.progress import draws_bars, library_bars
from hf_clipdyn.results.cells import CellStore, cells_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi, Volume

__all__ = ["OF_THE_WHOLE", "SCHEDULERS", "Scheduler", "Shard", "Submission", "submit"]

OF_THE_WHOLE = ("shard", "token", "push_to_hub", "private")
"""Fields of the configuration that no shard's command has: a token goes through the environment."""

T = TypeVar("T")

_MOST_SHARDS = 1000
_MOST_LINES = 20  # of revisions in a message
_SECONDS_BETWEEN_LOOKS = 0.1
_log = get_logger(__name__)


@dataclass(frozen=True)
class Shard:
    """One part of the revisions.

    Attributes:
        part, parts: i and n of ``--shard i/n``.
        words: the arguments of `clipdyn`, for this shard.
    """

    part: int
    parts: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    @property
    def file_name(self) -> str:
        """``2-of-4``, where a slash is not allowed."""
        return f"{self.part}-of-{self.parts}"


@dataclass(frozen=True)
class Submission:
    """An evaluation that is spread over shards.

    Attributes:
        config: the whole evaluation.
        words: its arguments and options on the command line, without those of `OF_THE_WHOLE`.
        scheduler: a name in `SCHEDULERS`.
        shards: their number.
        settings: of the scheduler, each NAME=VALUE; see its class.

    Raises:
        UnknownNameError: there is no such scheduler.
        ConfigError: the number of shards is out of range, or the evaluation cannot be spread.
    """

    config: EvaluationConfig
    words: Sequence[str]
    scheduler: str
    shards: int = 1
    settings: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UnknownNameError("scheduler", self.scheduler, SCHEDULERS)
        if not 1 <= self.shards <= _MOST_SHARDS:
            raise ConfigError(f"shards is {self.shards}: it must be in [1, {_MOST_SHARDS}].")
        wrong = [name for name in ("watch", "rescore", "shard") if getattr(self.config, name)]
        if wrong or self.config.output is None:
            raise ConfigError(
                f"`submit` splits one evaluation into shards that share an output: leave out {', '.join(wrong)}."
                if wrong
                else "`submit` requires an `output`, which all shards fill."
            )
        if isinstance(self.config.repo_id, tuple):
            raise ConfigError(
                f"`submit` spreads one repository: give one instead of {len(self.config.repo_id)}."
            )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "`submit` starts the processes itself: call it in one process, without a launcher."
            )
        _ = self.by_name  # refused before any work
        shows = self.config.show_progress and draws_bars()
        object.__setattr__(self, "config", replace(self.config, show_progress=shows))

    @property
    def output(self) -> Path:
        """The table that all shards fill."""
        assert self.config.output is not None
        return Path(self.config.output)

    def shard(self, part: int) -> Shard:
        """One of the shards, from 1."""
        words = ("evaluate", *self.words, f"--shard={part}/{self.shards}")
        return Shard(part, self.shards, words)

    def part_of(self, revisions: Sequence[T], part: int) -> Sequence[T]:
        """Those of the revisions that this shard measures."""
        return in_shard(revisions, f"{part}/{self.shards}")

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The settings of the scheduler.

        Raises:
            ConfigError: one is not NAME=VALUE.
        """
        found = {}
        for text in self.settings:
            name, equals, value = text.partition("=")
            if not (name and equals and value):
                raise ConfigError(f"submit-setting is {shown(text)}: give NAME=VALUE.")
            found[name] = value
        return found

    def check_settings(self, known: Sequence[str]) -> None:
        """Raise UnknownNameError for a setting that the scheduler does not have."""
        for name in self.by_name:
            if name not in known:
                raise UnknownNameError(f"setting of {self.scheduler}", name, known)


Missing = Sequence[tuple[str, Sequence[PlannedCell]]]
"""The cells that are missing, by the name of their revision, in training order; a complete revision has none."""


class _Work:
    """All cells of an evaluation, planned without a model."""

    def __init__(self, config: EvaluationConfig) -> None:
        plan = Plan(config)
        live = LiveModel(config, settings_only=True)
        texts = None if plan.last is None else LastTexts(plan.last, live)
        self._cells = [
            (revision.name, list(plan.cells(revision, live.fetch(revision), texts)))
            for revision in plan.revisions
        ]

    def __len__(self) -> int:
        return sum(len(cells) for _, cells in self._cells)

    def missing(self, done: set[str]) -> Missing:
        """The cells whose keys are not among those that are done."""
        return [(name, [one for one in cells if one.cell.key not in done]) for name, cells in self._cells]

    def describe(self, missing: Missing) -> str:
        """How many cells are missing, and a line for each revision that lacks some."""
        lacking = [(name, cells) for name, cells in missing if cells]
        count = sum(len(cells) for _, cells in lacking)
        if not count:
            return f"All {len(self)} cells are there."
        width = max(len(name) for name, _ in lacking)
        lines = [f"  {name:<{width}}  {_benchmarks(cells)}" for name, cells in lacking[:_MOST_LINES]]
        if len(lacking) > _MOST_LINES:
            lines.append(f"  and {len(lacking) - _MOST_LINES} further revisions")
        return "\n".join([f"{count} of {len(self)} cells are missing:", *lines])


def _benchmarks(cells: Sequence[PlannedCell]) -> str:
    return ", ".join(
        f"{one.cell.kind}/{one.cell.dataset}" + ("" if one.texts is None else " (last texts)")
        for one in cells
    )


def submit(submission: Submission, *, print_command: bool = False) -> str:
    """Start the shards in which cells are missing.

    Args:
        submission: what to run and where.
        print_command: start nothing, and return the commands instead, one a line.

    Returns:
        A sentence for the user: what was submitted, or that all is done.

    Raises:
        ConfigError: the scheduler lacks a package or a setting, or refuses one.
        EvaluationError: data are missing here, or cells are still missing after local shards have ended.
        The errors of the plan and of the push.
    """
    config, scheduler = submission.config, SCHEDULERS[submission.scheduler](submission)
    join_processes(config.device)
    if config.push_to_hub is not None:
        check_push(config.push_to_hub, config.token)
    done = set() if config.force else scheduler.done()
    with library_bars(config.show_progress):
        work = scheduler.plan()
    chosen: Sequence[int] = range(1, submission.shards + 1)
    if work is not None:
        missing = work.missing(done)
        _log.info(work.describe(missing))
        chosen = [part for part in chosen if any(cells for _, cells in submission.part_of(missing, part))]
    shards = [submission.shard(part) for part in chosen]
    if print_command:
        return "\n".join(scheduler.command(shard) for shard in shards)
    if shards:
        said = scheduler.start(shards)
        if not scheduler.waits:
            return said
        assert work is not None
        _require_complete(submission, work, said)
    return scheduler.finish()


def _require_complete(submission: Submission, work: _Work, failed: str) -> None:
    """Raise EvaluationError if cells are missing, or if a shard failed that should have measured them again."""
    store = CellStore(submission.output)
    store.rebuild()
    missing = work.missing(store.keys())
    if any(cells for _, cells in missing) or (failed and submission.config.force):
        raise EvaluationError(
            f"{failed or 'The shards ended, but their cells are not here.'} Repeat the command: it starts what is "
            f"missing. {work.describe(missing)}"
        )


class Scheduler(ABC):
    """What starts shards.

    Attributes (of the class):
        waits: whether `start` returns after the shards have ended, and not when they are queued.
    """

    waits = False

    def __init__(self, submission: Submission) -> None:
        self.submission = submission

    def done(self) -> set[str]:
        """The keys of the cells that are done."""
        store = CellStore(self.submission.output)
        check_precision(self.submission.config, store.cells())
        return store.keys()

    def plan(self) -> _Work | None:
        """All cells; None if only the shards can see which there are."""
        return _Work(self.submission.config)

    @property
    def logs(self) -> Path:
        """Folder of the shards' logs, beside the cells."""
        return self.submission.output.with_suffix(".logs")

    def make_folders(self) -> None:
        """Make the folders of the cells and the logs; EvaluationError if they cannot be written."""
        CellStore(self.submission.output).check_writable()
        self.logs.mkdir(exist_ok=True)

    def finish(self) -> str:
        """Bring the table up to date when no cell is missing, and push it if asked to; returns where it is."""
        output = self.submission.output
        CellStore(output).rebuild()
        if self.submission.config.push_to_hub is not None:
            push_results(self.submission.config)
        return f"All cells are in {output}; draw them with `clipdyn report {output} --output DIR`."

    def command(self, shard: Shard) -> str:
        """The shard's command, as a shell takes it."""
        return shlex.join(["clipdyn", *shard.words])

    @abstractmethod
    def start(self, shards: Sequence[Shard]) -> str:
        """Start the shards.

        Returns:
            What was submitted; of a scheduler that waits, which shards failed, or nothing.
        """


class LocalProcesses(Scheduler):
    """``--submit local``: a process a shard on this machine, all at once.

    Each has its share of the cores, and one of the GPUs in turn if there are several. Their logs are appended to
    ``<output>.logs/<i>-of-<n>.log``. Ctrl-C ends all of them.
    """

    waits = True

    def __init__(self, submission: Submission) -> None:
        submission.check_settings(())
        super().__init__(submission)

    def log(self, shard: Shard) -> Path:
        """The file with what the shard prints."""
        return self.logs / f"{shard.file_name}.log"

    def start(self, shards: Sequence[Shard]) -> str:
        """Run the shards until all have ended."""
        started: dict[Shard, subprocess.Popen[bytes]] = {}
        self.make_folders()
        try:
            for place, shard in enumerate(shards):
                started[shard] = self._start(shard, place, len(shards))
            return self._wait(started)
        finally:
            for process in started.values():
                if process.poll() is None:
                    process.terminate()
            for process in started.values():
                process.wait()

    def _start(self, shard: Shard, place: int, count: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
        if self.submission.config.token is not None:
            environment["HF_TOKEN"] = self.submission.config.token
        devices = _gpus() if self.submission.config.device is None else []
        if len(devices) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
        with self.log(shard).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "hf_clipdyn", *shard.words], stdout=log, stderr=log, env=environment
            )

    def _wait(self, started: Mapping[Shard, subprocess.Popen[bytes]]) -> str:
        failed = []
        running = dict(started)
        while running:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            for shard in [one for one, process in running.items() if process.poll() is not None]:
                code = running.pop(shard).returncode
                if code:
                    failed.append(f"Shard {shard} {_ended(code)}{_last_error(self.log(shard))}")
                    _log.warning(failed[-1])
                else:
                    _log.info(f"Shard {shard} is done, {len(running)} of {len(started)} are running.")
        return " ".join(failed)


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _last_error(log: Path) -> str:
    """The error at the end of a shard's log, and where the log is."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    found = [
        line.partition("clipdyn: error: ")[2] for line in lines[-1:] if line.startswith("clipdyn: error: ")
    ]
    said = f": {redact(found[0]).rstrip('.')}" if found else ""
    return f"{said} (its log is {log})."


@dataclass(frozen=True)
class _RequeuedShard:
    """A shard as a job of submitit, which requeues it when it is preempted or its time is over.

    It runs in the job's own process: a process below it would be ended by the signal that announces the preemption.
    """

    words: tuple[str, ...]

    def __call__(self) -> None:
        sys.argv = ["clipdyn", *self.words]
        try:
            runpy.run_module("hf_clipdyn", run_name="__main__")
        except SystemExit as stopped:
            if isinstance(stopped.code, int) and stopped.code > 0:
                raise RuntimeError(f"clipdyn ended with code {stopped.code}.") from None
            if stopped.code:  # submitit's own, after it has requeued the job
                raise

    def checkpoint(self) -> Any:
        """The same shard again: its cells that are done are not measured again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    __submitit_checkpoint__ = checkpoint  # its name in newer releases


class Slurm(Scheduler):
    """``--submit slurm``: a job array of submitit, a job a shard.

    The settings are those of submitit's ``AutoExecutor.update_parameters``: ``timeout_min``, ``gpus_per_node``,
    ``cpus_per_task``, ``mem_gb``, ``slurm_partition``, ``slurm_array_parallelism``, … The output must be on a disk that
    all nodes share. Preempted jobs and those whose time is over are requeued.
    """

    def start(self, shards: Sequence[Shard]) -> str:
        """Submit one job array."""
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "`--submit slurm` needs submitit, which is not installed: pip install 'hf-clipdyn[slurm]'."
            ) from error
        if self.submission.config.token is not None:
            os.environ["HF_TOKEN"] = self.submission.config.token  # sbatch hands the environment on
        self.make_folders()
        settings = {"name": "clipdyn"} | {
            name: _number(text) for name, text in self.submission.by_name.items()
        }
        try:
            executor = submitit.AutoExecutor(folder=self.logs / "%j", cluster="slurm")
            executor.update_parameters(**settings)
            with executor.batch():
                jobs = [executor.submit(_RequeuedShard(shard.words)) for shard in shards]
        except (RuntimeError, NameError, AssertionError, ValueError, TypeError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"submitit cannot submit the shards: {line.rstrip('.')}.") from error
        names = ", ".join(str(job.job_id) for job in jobs)
        return (
            f"Submitted {len(jobs)} shard{'s' * (len(jobs) > 1)} to Slurm, jobs {names}; their logs are in "
            f"{self.logs}. Repeat the command when they have ended: it starts what is missing."
        )


def _number(text: str) -> str | int | float:
    """A setting as the number that it is; other texts stay."""
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", text) else text


class HubJobs(Scheduler):
    """``--submit hf-jobs``: a job a shard on the Hub's machines (`run_uv_job`).

    The output is a path below a volume that all jobs mount: ``volume=hf://buckets/me/results:/results`` with ``--output
    /results/results.parquet``. What is done is read from the names of the cells in that bucket. Shards whose jobs are
    queued or running are not started again. The token is a secret of the jobs.

    Settings: ``volume`` (required), ``flavor``, ``timeout``, ``image``, ``python``, ``namespace``, ``attempts``, and
    ``with``, what uv installs (default: ``hf-clipdyn``).
    """

    _PASSED = ("flavor", "timeout", "image", "python", "namespace", "attempts")

    def __init__(self, submission: Submission) -> None:
        submission.check_settings((*self._PASSED, "volume", "with"))
        super().__init__(submission)
        config = submission.config
        for name in ("store", "plugins", "push_to_hub"):
            if getattr(config, name):
                raise ConfigError(
                    f"`--submit hf-jobs` cannot use `{name}`: the machines see no folder of this one."
                )
        mount = PurePosixPath(self._volume.mount_path)
        if self._volume.type != "bucket" or not PurePosixPath(submission.output).is_relative_to(mount):
            raise ConfigError(
                f"The output is {submission.output} and the volume is {self._volume.to_uri()}: mount a bucket, and "
                f"give a file below it, for example --output {mount / submission.output.name}."
            )

    @cached_property
    def _volume(self) -> "Volume":
        from huggingface_hub import Volume
        from huggingface_hub.utils import parse_hf_mount  # type: ignore[attr-defined]  # public, not re-exported

        text = self.submission.by_name.get("volume", "")
        try:
            mount = parse_hf_mount(text)
        except ValueError as error:
            raise ConfigError(
                f"volume is {shown(text)}: give the bucket for the results and where it is mounted, for example "
                "--submit-setting volume=hf://buckets/me/results:/results."
            ) from error
        return Volume(
            type=mount.source.type,
            source=mount.source.id,
            mount_path=mount.mount_path,
            path=mount.source.path_in_repo or None,
        )

    @cached_property
    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi

        return HfApi(token=self.submission.config.token)

    def plan(self) -> _Work | None:
        """All cells, if the data sets are here too."""
        config = self.submission.config
        try:
            open_sources(replace(config, skip_missing=False))
        except EvaluationError:
            _log.info("Not all data sets are here: each shard finds out itself which cells are missing.")
            return None
        return _Work(config)

    def done(self) -> set[str]:
        """The keys of the cells in the bucket."""
        volume, cells = self._volume, cells_folder(self.submission.output)
        below = PurePosixPath(cells).relative_to(volume.mount_path)
        prefix = str(PurePosixPath(volume.path or "", below))

        def listed() -> set[str]:
            files = self._api.list_bucket_tree(volume.source, prefix, recursive=True)
            return {PurePosixPath(file.path).stem for file in files if file.path.endswith(".parquet")}

        found: set[str] = self._ask(listed, absent=set())
        return found

    def finish(self) -> str:
        """Where the table is: the shard that ended last has brought it up to date."""
        volume, output = self._volume, self.submission.output
        below = PurePosixPath(volume.path or "", PurePosixPath(output).relative_to(volume.mount_path))
        return f"All cells are in hf://buckets/{volume.source}/{below}."

    def start(self, shards: Sequence[Shard]) -> str:
        """Submit a job for each shard that has none in the queue."""
        active = self._ask(self._active, absent=set())
        urls = [self._ask(partial(self._run, shard)) for shard in shards if shard.file_name not in active]
        waiting = (
            f", {len(shards) - len(urls)} are queued or running already" if len(urls) < len(shards) else ""
        )
        listing = "".join(f"\n  {url}" for url in urls)
        return (
            f"Submitted {len(urls)} of {len(shards)} shards to the Hub{waiting}. Repeat the command when they have "
            f"ended: it starts what is missing.{listing}"
        )

    @property
    def _given(self) -> dict[str, Any]:
        return {
            name: self.submission.by_name[name] for name in self._PASSED if name in self.submission.by_name
        }

    def _labels(self, shard: Shard) -> dict[str, str]:
        said = "\0".join([*self.submission.words, str(self.submission.output)])
        return {"clipdyn": hashlib.sha256(said.encode()).hexdigest()[:16], "shard": shard.file_name}

    def _active(self) -> set[str]:
        mine = self._labels(self.submission.shard(1))["clipdyn"]
        jobs = self._api.list_jobs(namespace=self.submission.by_name.get("namespace"))
        return {
            labels.get("shard", "")
            for job in jobs
            if (labels := job.labels or {}).get("clipdyn") == mine
            and job.status.stage in ("SCHEDULING", "RUNNING")
        }

    def _run(self, shard: Shard) -> str:
        from huggingface_hub import get_token

        token = self.submission.config.token or get_token()
        given = self._given
        if "attempts" in given:
            given["attempts"] = int(given["attempts"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # run_uv_job is experimental
            job = self._api.run_uv_job(
                "clipdyn",
                script_args=list(shard.words),
                dependencies=[self.submission.by_name.get("with", "hf-clipdyn")],
                labels=self._labels(shard),
                secrets={"HF_TOKEN": token} if token else None,
                volumes=[self._volume],
                **given,
            )
        return str(job.url)

    def command(self, shard: Shard) -> str:
        """The call of `hf jobs` that does the same."""
        words = ["hf", "jobs", "uv", "run", "--detach"]
        for name, value in self._given.items():
            words += [f"--{name}", str(value)]
        for name, value in self._labels(shard).items():
            words += ["--label", f"{name}={value}"]
        words += ["--secrets", "HF_TOKEN", "--volume", self._volume.to_uri()]
        words += ["--with", self.submission.by_name.get("with", "hf-clipdyn")]
        return shlex.join([*words, "clipdyn", *shard.words])

    def _ask(self, call: Callable[[], Any], **absent: Any) -> Any:
        """Call the Hub; ``absent`` is the answer if what is asked for does not exist."""
        try:
            return call()
        except ClipDynError:
            raise
        except Exception as error:
            if absent and status_of(error) == 404:
                return absent["absent"]
            raise EvaluationError(f"The shards cannot be submitted ({reason(error)}).") from error


SCHEDULERS: Mapping[str, Callable[[Submission], Scheduler]] = {
    "hf-jobs": HubJobs,
    "local": LocalProcesses,
    "slurm": Slurm,
}
"""The scheduler of each name that ``--submit`` takes."""
