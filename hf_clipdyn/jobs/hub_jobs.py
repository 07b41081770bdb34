"""Jobs on the Hub's machines (`run_uv_job`)."""

import hashlib
import logging
import math
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ClipDynError, ConfigError, counted, printable, shown
from hf_clipdyn.hub import RetryPolicy, attempt, reason, status_of
from hf_clipdyn.jobs.base import Job, Scheduler, Work

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo, Volume

__all__ = ["SCHEDULE", "HubJobs", "delete_schedule"]

SCHEDULE = "CLIPDYN_SCHEDULE"
"""Environment variable of a scheduled job: the namespace, may be empty, and the label of its schedule, with a slash."""

_POLL = 5.0  # seconds
_LAST_LINES = 10.0  # seconds that a log may lag behind its job

_log = logging.getLogger(__name__)

_EXAMPLE = "--submit-setting volume=hf://buckets/me/results:/results"


class HubJobs(Scheduler):
    """``--submit hf-jobs``: a job of the Hub each.

    What the jobs write is below a bucket that all of them mount: ``volume=hf://buckets/me/results:/results`` with
    ``--output /results/results.parquet``. What is done is read from the names of the files in that bucket. Files that
    the jobs read are below a mount too: several volumes are separated by commas. Jobs that are queued or running are
    not started again. The token is a secret of the jobs. Work with `Work.every` becomes a schedule (`delete_schedule`).

    Settings: ``volume`` (required), ``flavor``, ``timeout``, ``image``, ``python``, ``namespace``, ``attempts``, and
    ``with``, what uv installs (default: ``hf-clipdyn``).
    """

    name = "hf-jobs"
    _PASSED = ("flavor", "timeout", "image", "python", "namespace", "attempts")
    known = (*_PASSED, "volume", "with")
    can_wait = True

    def __init__(self, work: Work, settings: Mapping[str, str]) -> None:
        super().__init__(work, settings)
        self._names: dict[str, str] = {}  # of the jobs, by their id on the Hub
        self._volumes = [_volume(text) for text in settings.get("volume", "").split(",")]
        for option, path in work.writes:
            if (mount := self._mount(path)) is None or mount.type != "bucket":
                raise ConfigError(
                    f"The Hub's machines would lose {option} {path}: put it below the mount of a bucket, for example "
                    f"{option} /results/{path.name} with {_EXAMPLE}."
                )
        for option, path in work.reads:
            if self._mount(path) is None:
                raise ConfigError(
                    f"The Hub's machines cannot see {option} {path}: leave it out, or put it below a mounted volume, "
                    f"given after the first one as {_EXAMPLE},hf://datasets/me/files:/files."
                )

    def _mount(self, path: Path) -> "Volume | None":
        """The volume that holds a path of the jobs."""
        holding = [
            volume for volume in self._volumes if PurePosixPath(path).is_relative_to(volume.mount_path)
        ]
        return max(holding, key=lambda volume: len(volume.mount_path), default=None)

    def _in_bucket(self, path: Path) -> tuple[str, str]:
        """The bucket that holds a path of the jobs, and its name there."""
        mount = self._mount(path)
        assert mount is not None
        return mount.source, str(PurePosixPath(mount.path or "", path.relative_to(mount.mount_path)))

    @cached_property
    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi

        return HfApi(token=self.work.token)

    def listed(self, folder: Path) -> set[str] | None:
        """The files in the bucket."""
        bucket, prefix = self._in_bucket(folder)

        def names() -> set[str]:
            files = self._api.list_bucket_tree(bucket, prefix, recursive=True)
            return {
                str(PurePosixPath(file.path).relative_to(prefix)) for file in files if file.type == "file"
            }

        listed: set[str] = self._ask(names, absent=set())
        return listed

    def place(self, path: Path) -> str:
        """Its address in the bucket."""
        return "hf://buckets/{}/{}".format(*self._in_bucket(path))

    def start(self, jobs: Sequence[Job]) -> str:
        """Submit each job that is not in the queue."""
        if self.work.every is not None:
            return "\n".join(self._ask(partial(self._schedule, job)) for job in jobs)
        active, noun = self._ask(self._active, absent={}), self.work.noun
        submitted = {
            job.name: self._ask(partial(self._run, job)) for job in jobs if _digest(job) not in active
        }
        self._names = {info.id: name for name, info in submitted.items()}
        self._names |= {active[_digest(job)]: job.name for job in jobs if _digest(job) in active}
        urls = [info.url for info in submitted.values()]
        waiting = f", {len(jobs) - len(urls)} are queued or running already" if len(urls) < len(jobs) else ""
        listing = "".join(f"\n  {url}" for url in urls)
        return (
            f"Submitted {len(urls)} of {counted(len(jobs), noun)} to the Hub{waiting}. Repeat the command when they "
            f"have ended: it starts what is missing.{listing}"
        )

    @property
    def _given(self) -> dict[str, str]:
        return {name: self.settings[name] for name in self._PASSED if name in self.settings}

    def _labels(self, job: Job) -> dict[str, str]:
        return {"clipdyn": _digest(job), self.work.noun: job.name}

    def wait(self) -> str:
        """Until the jobs have ended; their logs go to standard error, with their names if there are several."""
        threads = [Thread(target=self._follow, args=job, daemon=True) for job in self._names.items()]
        for thread in threads:
            thread.start()
        # A time-out or a server that restarts ends no job: waiting goes on.
        policy = RetryPolicy(patience=math.inf, first=math.inf)
        ended = self._ask(lambda: attempt(self._wait_for_all, policy))
        for thread in threads:
            thread.join(_LAST_LINES)
        failed = [info for info in ended if info.status.stage != "COMPLETED"]
        if not failed:
            return ""
        lines = [
            f"  {self._names[info.id]}: {info.status.message or info.status.stage}, {info.url}"
            for info in failed
        ]
        head = f"{len(failed)} of {counted(len(ended), self.work.noun)} failed:"
        return "\n".join([head, *lines, ""])

    def _wait_for_all(self) -> "list[JobInfo]":
        namespace = self.settings.get("namespace")
        return self._api.wait_for_job(list(self._names), poll_interval=_POLL, namespace=namespace)

    def _follow(self, job_id: str, name: str) -> None:
        """Print the lines of a job's log as they come."""
        start = f"{name}: " if len(self._names) > 1 else ""
        try:
            namespace = self.settings.get("namespace")
            for line in self._api.fetch_job_logs(job_id=job_id, follow=True, namespace=namespace):
                print(printable(f"{start}{line.rstrip()}"), file=sys.stderr, flush=True)
        except Exception as error:  # the job goes on without its log
            _log.warning(f"The log of {name} ends here ({reason(error)}); the {self.work.noun} goes on.")

    def _active(self) -> dict[str, str]:
        """The jobs that are queued or running: their id by what they do."""
        jobs = self._api.list_jobs(status=["SCHEDULING", "RUNNING"], namespace=self.settings.get("namespace"))
        return {job.labels["clipdyn"]: job.id for job in jobs if job.labels and "clipdyn" in job.labels}

    def _arguments(self, job: Job) -> dict[str, Any]:
        """What `run_uv_job` and `create_scheduled_uv_job` are called with, beside the command."""
        from huggingface_hub import get_token

        token = self.work.token or get_token()
        given: dict[str, Any] = dict(self._given)
        if "attempts" in given:
            given["attempts"] = int(given["attempts"])
        return {
            "script_args": list(job.words),
            "dependencies": [self.settings.get("with", "hf-clipdyn")],
            "labels": self._labels(job),
            "secrets": {"HF_TOKEN": token} if token else None,
            "volumes": self._volumes,
            **given,
        }

    def _run(self, job: Job) -> "JobInfo":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # run_uv_job is experimental
            started: JobInfo = self._api.run_uv_job("clipdyn", **self._arguments(job))
        return started

    def _schedule(self, job: Job) -> str:
        """Schedule the job unless it is scheduled already; a run that takes longer than the interval is not doubled."""
        assert self.work.every is not None
        namespace, digest = self.settings.get("namespace"), _digest(job)
        known = self._api.list_scheduled_jobs(labels={"clipdyn": digest}, namespace=namespace)
        if known:
            return f"The {self.work.noun} is scheduled already, as {known[0].id} ({known[0].schedule})."
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = self._api.create_scheduled_uv_job(
                "clipdyn",
                schedule=self.work.every,
                concurrency=False,
                env={SCHEDULE: f"{namespace or ''}/{digest}"},
                **self._arguments(job),
            )
        return (
            f"Scheduled the {self.work.noun} as {made.id} ({self.work.every}). It deletes its schedule when the run is "
            f"complete; `hf jobs scheduled delete {made.id}` deletes it earlier."
        )

    def command(self, job: Job) -> str:
        """The call of `hf jobs` that does the same."""
        words = ["hf", "jobs", "uv", "run", "--detach"]
        if self.work.every is not None:
            schedule = f"{SCHEDULE}={self.settings.get('namespace', '')}/{_digest(job)}"
            words = ["hf", "jobs", "scheduled", "uv", "run", "--no-concurrency", "--env", schedule]
        for name, value in self._given.items():
            words += [f"--{name}", value]
        for name, value in self._labels(job).items():
            words += ["--label", f"{name}={value}"]
        words += ["--secrets", "HF_TOKEN"]
        for volume in self._volumes:
            words += ["--volume", volume.to_uri()]
        words += ["--with", self.settings.get("with", "hf-clipdyn")]
        return shlex.join([*words, *filter(None, [self.work.every]), "clipdyn", *job.words])

    def _ask(self, call: Callable[[], Any], **absent: Any) -> Any:
        """Call the Hub; ``absent`` is the answer if what is asked for does not exist."""
        try:
            return call()
        except ClipDynError:
            raise
        except Exception as error:
            if absent and status_of(error) == 404:
                return absent["absent"]
            raise self.work.error(f"The {self.work.noun}s cannot be submitted ({reason(error)}).") from error


def delete_schedule(schedule: str, token: str | None = None) -> None:
    """Delete the schedule of this job, given as in `SCHEDULE`; no error if it is gone already."""
    from huggingface_hub import HfApi

    namespace, _, digest = schedule.partition("/")
    api = HfApi(token=token)
    for known in api.list_scheduled_jobs(labels={"clipdyn": digest}, namespace=namespace or None):
        api.delete_scheduled_job(scheduled_job_id=known.id, namespace=namespace or None)


def _volume(text: str) -> "Volume":
    from huggingface_hub import Volume
    from huggingface_hub.utils import parse_hf_mount  # type: ignore[attr-defined]  # public, not re-exported

    try:
        mount = parse_hf_mount(text)
    except ValueError as error:
        what = f"volume is {shown(text)}" if text else "`--submit hf-jobs` requires a volume"
        raise ConfigError(
            f"{what}: give the bucket for the results and where it is mounted, for example {_EXAMPLE}."
        ) from error
    return Volume(
        type=mount.source.type,
        source=mount.source.id,
        mount_path=mount.mount_path,
        path=mount.source.path_in_repo or None,
    )


def _digest(job: Job) -> str:
    return hashlib.sha256("\0".join(job.words).encode()).hexdigest()[:16]
