"""The results of a run's last revision as `.eval_results/*.yaml`, which feed the leaderboards of data sets on the Hub.

The format is documented at https://huggingface.co/docs/hub/eval-results: a result names a data set that is a benchmark
(its repository has an `eval.yaml`) and one of that benchmark's tasks. It has no field for the revision of the model,
nor for an interval; both are in its notes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import (
    EvalResultEntry,
    HfApi,
    eval_result_entries_to_yaml,
    parse_eval_result_entries,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from hf_clipdyn import __version__
from hf_clipdyn.errors import shown
from hf_clipdyn.hub import RetryPolicy, attempt
from hf_clipdyn.report.card_text import dumped
from hf_clipdyn.report.final_results import FinalResult, final_results, hub_dataset
from hf_clipdyn.report.model_index import dataset_address
from hf_clipdyn.report.study import Study

__all__ = ["FOLDER", "EvalResults", "eval_results"]

FOLDER = ".eval_results/hf-clipdyn--"
"""How the paths of our files begin; files of others in that folder are left alone."""

_SPLITS = {"valid": "validation", "val": "validation"}


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

    Args:
        own: the study of one run.
        api: the Hub's client; each data set with a mirror is looked up once.
        policy: how the look-ups are repeated.
        results_dataset: data set on the Hub with the whole table, the source of the results.

    Raises:
        Exception: of the client, if the Hub cannot be reached.
    """
    files, left_out = {}, {}
    by_benchmark = {results[0].one.benchmark: results for results in final_results(own)}
    tasks: dict[str, list[dict[str, Any]] | str] = {}
    for (kind, dataset), results in by_benchmark.items():
        repo_id = hub_dataset(results[0].one)
        if repo_id is None:
            left_out[f"{kind}/{dataset}"] = "its data set is not on the Hub"
            continue
        if repo_id not in tasks:
            tasks[repo_id] = attempt(lambda repo_id=repo_id: _tasks(api, repo_id), policy)  # type: ignore[misc]
        known = tasks[repo_id]
        rivals = [
            one for (_, name), (one, *_) in by_benchmark.items() if name == dataset and one.one.terms.task
        ]
        found = (
            known if isinstance(known, str) else _entries(repo_id, known, results, rivals, results_dataset)
        )
        if isinstance(found, str):
            left_out[f"{kind}/{dataset}"] = found
        else:
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{kind}--{dataset}")
            files[f"{FOLDER}{name}.yaml"] = _content(found)
    return EvalResults(files, left_out)


def _tasks(api: HfApi, repo_id: str) -> list[dict[str, Any]] | str:
    """The tasks that a data set's `eval.yaml` declares, or why there are none."""
    try:
        commit = api.repo_info(repo_id, repo_type="dataset").sha
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
        declared = yaml.safe_load(Path(path).read_bytes())
        listed = declared["tasks"]
        tasks = [task for task in listed if isinstance(task["id"], str)]
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError):
        return f"the eval.yaml of {repo_id} cannot be read"
    return tasks


def _entries(
    repo_id: str,
    tasks: Sequence[dict[str, Any]],
    results: Sequence[FinalResult],
    rivals: Sequence[FinalResult],
    results_dataset: str | None,
) -> list[EvalResultEntry] | str:
    """The results that are tasks of a benchmark, or why none is."""
    split = _SPLITS.get(results[0].one.split, results[0].one.split)
    fitting = [task for task in tasks if task.get("split") in (None, split, results[0].one.split)]
    if tasks and not fitting:
        return f"no task of {repo_id} uses the split {shown(split)}"
    by_id = {result.one.metric: result for result in results}
    pairs = [(task["id"], by_id[task["id"]]) for task in fitting if task["id"] in by_id]
    if (
        not pairs
        and len(tasks) == len(fitting) == 1
        and [one.one.benchmark for one in rivals] == [results[0].one.benchmark]
    ):
        pairs = [(fitting[0]["id"], results[0])]
    if not pairs:
        return f"no task of {repo_id} is called {' or '.join(by_id)}"
    return [_entry(repo_id, task, result, results_dataset) for task, result in pairs]


def _entry(repo_id: str, task: str, result: FinalResult, results_dataset: str | None) -> EvalResultEntry:
    return EvalResultEntry(
        dataset_id=repo_id,
        task_id=task,
        value=round(result.value, 4),
        source_url=dataset_address(results_dataset) if results_dataset else None,
        source_name="Results of every revision" if results_dataset else None,
        notes=_notes(result),
    )


def _notes(result: FinalResult) -> str:
    """Revision, metric, interval and n, for which the format has no fields."""
    said = [
        f"revision {result.revision} (commit {result.commit[:12]})",
        result.title,
        f"split {result.one.split}",
    ]
    if result.interval is not None:
        level = f"{100 * result.confidence:g} % " if result.confidence else ""
        said.append(f"{level}interval {result.interval[0]:.4f} to {result.interval[1]:.4f}")
    return "; ".join([*said, f"n = {result.n:,}", f"hf-clipdyn {__version__}"])


def _content(entries: list[EvalResultEntry]) -> bytes:
    """The file, as the client's own parser reads it."""
    text = dumped(eval_result_entries_to_yaml(entries))
    assert parse_eval_result_entries(yaml.safe_load(text)) == entries, "the client reads what it has written"
    return text.encode()
