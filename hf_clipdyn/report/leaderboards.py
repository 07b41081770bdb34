"""The main numbers of a run's last revision, as the Hub reads them: in a card's model index and on leaderboards.

The format of `.eval_results/*.yaml`, which feeds the leaderboards of data sets, is documented at
https://huggingface.co/docs/hub/eval-results: a result names a data set that is a benchmark (its repository has an
`eval.yaml`) and one of that benchmark's tasks. It has no field for the revision of the model, nor for an interval;
both are in its notes. Its source is the data set with the table, or the document of the revision there
(`hf_clipdyn.report.every_eval_ever`).
"""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import yaml
from huggingface_hub import EvalResultEntry, HfApi, eval_result_entries_to_yaml, parse_eval_result_entries
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from hf_clipdyn import __version__, hub
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, PublishError, UnknownNameError, shown
from hf_clipdyn.hub import RetryPolicy, attempt, reason
from hf_clipdyn.report.card_text import TOOL, dumped
from hf_clipdyn.report.plan import Panel, plan_overview
from hf_clipdyn.report.study import Study
from hf_clipdyn.schema import checked_repo_id, valid_repo_name
from hf_clipdyn.statistics.trajectories import Trajectory, points_of, rows_of

__all__ = [
    "FOLDER",
    "TASK",
    "check_dataset",
    "dataset_address",
    "document_path",
    "eval_results",
    "hub_dataset",
    "index_results",
    "revision_names",
]

FOLDER = ".eval_results/hf-clipdyn--"
"""How the paths of our files begin; files of others in that folder are left alone."""
TASK = "image-feature-extraction"
"""The Hub's name of what is measured on images alone."""

_SPLITS = {"valid": "validation", "val": "validation"}


@dataclass(frozen=True)
class FinalResult:
    """A main metric at the last revision of a model; without an interval, this and its level are None."""

    number: Trajectory
    revision: str
    commit: str
    value: float
    interval: tuple[float, float] | None
    confidence: float | None
    n: int

    @property
    def title(self) -> str:
        """The metric in words, with what was done to the images."""
        return ", ".join(filter(None, [self.number.metric_title, self.number.special_detail]))


def revision_names(own: Study) -> list[str]:
    """The revisions of one run, in the order of training."""
    placed = points_of(own.trajectories)
    return [str(name) for name in placed.sort_values("order", kind="stable")["revision"].unique()]


def final_results(own: Study) -> list[list[FinalResult]]:
    """The main metrics of each benchmark at the last revision of a run.

    Main metrics are those with a place in the overview. A number that is undefined or not interpretable is left out,
    and so is a benchmark that was not measured on the last revision. The benchmarks are in the order of the charts.
    """
    final = revision_names(own)[-1]
    benchmarks: dict[tuple[str, str], list[list[Panel]]] = defaultdict(list)
    for panels in own.charts:
        benchmarks[panels[0].first.benchmark].append(panels)
    results = [
        [
            _result(own, line.trajectory, point)
            for panels in plan_overview(charts, own.runs)
            for line in (line for panel in panels for line in panel.lines)
            for point in rows_of(line.trajectory.usable)
            if point.revision == final
        ]
        for charts in benchmarks.values()
    ]
    return list(filter(None, results))


def _result(own: Study, number: Trajectory, point: Any) -> FinalResult:
    cell = own.cells[own.cells["cell"] == point.cell]
    measured = math.isfinite(point.ci_low) and math.isfinite(point.ci_high)
    level = float(own.results.confidence[point.cell])
    return FinalResult(
        number=number,
        revision=str(point.revision),
        commit=str(cell["commit"].iloc[0]),
        value=float(point.value),
        interval=(float(point.ci_low), float(point.ci_high)) if measured else None,
        confidence=level if measured and not math.isnan(level) else None,
        n=int(point.n),
    )


def hub_dataset(number: Trajectory) -> str | None:
    """The data set on the Hub that a trajectory was measured on; None if there is none, as of drawn stimuli."""
    try:
        metadata = dataset_metadata(number.dataset)
    except UnknownNameError:
        return None  # of a plugin that is not loaded
    return None if number.terms.draws or metadata.synthetic else metadata.mirror


def dataset_address(repo_id: str) -> str:
    """The page of a data set on the Hub."""
    return f"https://huggingface.co/datasets/{quote(repo_id)}"


def check_dataset(repo_id: str, token: str | None = None) -> None:
    """Whether the Hub has the data set with the table.

    Raises:
        ConfigError: it has no such data set.
        PublishError: it refuses or cannot be reached.
    """
    checked_repo_id(repo_id, what="results_dataset", owner=True)
    api = HfApi(token=token)
    try:
        attempt(lambda: api.repo_info(repo_id, repo_type="dataset"), hub.PUSHING, limited=True)
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"There is no data set {repo_id} on the Hub, or you have no access: push the table with `clipdyn evaluate "
            f"… --push_to_hub {repo_id}`, or leave out results_dataset."
        ) from error
    except Exception as error:
        raise PublishError(f"The data set {repo_id} cannot be checked ({reason(error)}).") from error


def document_path(repo_id: str, revision: str, commit: str) -> str:
    """Where the Every Eval Ever document of a revision is: ``data/hf_clipdyn/me/run/<uuid>.json``."""
    owner, _, name = repo_id.rpartition("/")
    folders = (valid_repo_name(owner.replace("/", "-") or "local"), valid_repo_name(name))
    digest = hashlib.sha256(f"{repo_id}@{commit or revision}".encode()).digest()
    return "/".join(["data", "hf_clipdyn", *folders, f"{UUID(bytes=digest[:16], version=4)}.json"])


def index_results(own: Study, results_dataset: str | None = None) -> list[dict[str, Any]]:
    """The final results of a run, an item for each benchmark; their source is the data set with the table, if any."""
    return [_item(results, results_dataset) for results in final_results(own)]


def _item(results: Sequence[FinalResult], results_dataset: str | None) -> dict[str, Any]:
    number = results[0].number
    title, synthetic = number.dataset_terms.title, number.dataset_terms.synthetic
    source = {"name": "Results of every revision", "url": dataset_address(results_dataset or "")}
    return {
        "task": {"type": number.terms.task or TASK, "name": number.terms.title},
        "dataset": {
            "name": f"{title} (synthetic)" if synthetic else title,
            "type": hub_dataset(number) or number.dataset,
            "split": number.split,
            "args": {"fingerprint": number.data_fingerprint[:12]},
        },
        "metrics": [_metric(result) for result in results],
        **({"source": source} if results_dataset else {}),
    }


def _metric(result: FinalResult) -> dict[str, Any]:
    interval = [round(end, 4) for end in result.interval or ()]
    return {
        "type": result.number.metric,
        "value": round(result.value, 4),
        "name": f"{result.title}, {result.revision}",
        "args": {
            "measured_by": TOOL,
            "revision": result.revision,
            "n": result.n,
            **({"interval": interval} if interval else {}),
            **({"confidence_level": result.confidence} if result.confidence else {}),
        },
        "verified": False,
    }


@dataclass(frozen=True)
class EvalResults:
    """What a repository gets, and what it does not get.

    Attributes:
        files: content by path.
        left_out: the cause by benchmark.
    """

    files: dict[str, bytes]
    left_out: dict[str, str]


def eval_results(
    own: Study, api: HfApi, policy: RetryPolicy, results_dataset: str | None = None
) -> EvalResults:
    """One file for each benchmark whose data set is a benchmark on the Hub with a task for one of its main metrics.

    A number goes to the task whose id is the name of its metric (`top1`). A single task of another name gets the first
    main metric of the only kind of benchmark that the Hub has a task for (zero-shot classification, retrieval).

    Each data set with a mirror is looked up once; errors of the client, if the Hub cannot be reached, pass through.
    """
    files, left_out = {}, {}
    by_benchmark = {results[0].number.benchmark: results for results in final_results(own)}
    source = None if results_dataset is None else attempt(lambda: _source(own, api, results_dataset), policy)
    tasks: dict[str, list[dict[str, Any]] | str] = {}
    for (kind, dataset), results in by_benchmark.items():
        repo_id = hub_dataset(results[0].number)
        if repo_id is None:
            left_out[f"{kind}/{dataset}"] = "its data set is not on the Hub"
            continue
        if repo_id not in tasks:
            tasks[repo_id] = attempt(lambda repo_id=repo_id: _tasks(api, repo_id), policy)  # type: ignore[misc]
        known = tasks[repo_id]
        rivals = [
            first
            for (_, name), (first, *_) in by_benchmark.items()
            if name == dataset and first.number.terms.task
        ]
        entries = known if isinstance(known, str) else _entries(repo_id, known, results, rivals, source)
        if isinstance(entries, str):
            left_out[f"{kind}/{dataset}"] = entries
        else:
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{kind}--{dataset}")
            files[f"{FOLDER}{name}.yaml"] = _content(entries)
    return EvalResults(files, left_out)


def _tasks(api: HfApi, repo_id: str) -> list[dict[str, Any]] | str:
    """The tasks that a data set's `eval.yaml` declares, or why there are none."""
    try:
        commit = api.resolve_revision(repo_id, repo_type="dataset")
        path = api.hf_hub_download(repo_id, "eval.yaml", repo_type="dataset", revision=commit)
    except LocalEntryNotFoundError:
        raise  # the network failed, and nothing is known
    except GatedRepoError:
        return f"{repo_id} is gated for this token"
    except RepositoryNotFoundError:
        return f"{repo_id} is not on the Hub"
    except EntryNotFoundError:
        return f"{repo_id} is not a benchmark on the Hub (it has no eval.yaml)"
    try:
        listed = yaml.safe_load(Path(path).read_bytes())["tasks"]
        return [task for task in listed if isinstance(task["id"], str)]
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError):
        return f"the eval.yaml of {repo_id} cannot be read"


def _entries(
    repo_id: str,
    tasks: Sequence[dict[str, Any]],
    results: Sequence[FinalResult],
    rivals: Sequence[FinalResult],
    source: tuple[str, str] | None,
) -> list[EvalResultEntry] | str:
    """The results that are tasks of a benchmark, or why none is."""
    split = _SPLITS.get(results[0].number.split, results[0].number.split)
    fitting = [task for task in tasks if task.get("split") in (None, split, results[0].number.split)]
    if tasks and not fitting:
        return f"no task of {repo_id} uses the split {shown(split)}"
    by_id = {result.number.metric: result for result in results}
    pairs = [(task["id"], by_id[task["id"]]) for task in fitting if task["id"] in by_id]
    if (
        not pairs
        and len(tasks) == len(fitting) == 1
        and [rival.number.benchmark for rival in rivals] == [results[0].number.benchmark]
    ):
        pairs = [(fitting[0]["id"], results[0])]
    if not pairs:
        return f"no task of {repo_id} is called {' or '.join(by_id)}"
    return [_entry(repo_id, task, result, source) for task, result in pairs]


def _source(own: Study, api: HfApi, results_dataset: str) -> tuple[str, str]:
    """Name and address of the last revision's document in the data set; of the data set if it has no such document."""
    address, final = dataset_address(results_dataset), revision_names(own)[-1]
    cell = own.cells[own.cells["revision"] == final].iloc[0]
    path = document_path(str(cell["repo_id"]), final, str(cell["commit"]))
    if api.get_paths_info(results_dataset, [path], repo_type="dataset"):
        return "Every Eval Ever document of this revision", f"{address}/blob/main/{path}"
    return "Results of every revision", address


def _entry(repo_id: str, task: str, result: FinalResult, source: tuple[str, str] | None) -> EvalResultEntry:
    return EvalResultEntry(
        dataset_id=repo_id,
        task_id=task,
        value=round(result.value, 4),
        source_name=source[0] if source else None,
        source_url=source[1] if source else None,
        notes=_notes(result),
    )


def _notes(result: FinalResult) -> str:
    """Revision, metric, interval and n, for which the format has no fields."""
    facts = [
        f"revision {result.revision} (commit {result.commit[:12]})",
        result.title,
        f"split {result.number.split}",
    ]
    if result.interval is not None:
        level = f"{100 * result.confidence:g} % " if result.confidence else ""
        facts.append(f"{level}interval {result.interval[0]:.4f} to {result.interval[1]:.4f}")
    return "; ".join([*facts, f"n = {result.n:,}", f"hf-clipdyn {__version__}"])


def _content(entries: list[EvalResultEntry]) -> bytes:
    """The file, as the client's own parser reads it."""
    text = dumped(eval_result_entries_to_yaml(entries))
    assert parse_eval_result_entries(yaml.safe_load(text)) == entries, "the client reads what it has written"
    return text.encode()
