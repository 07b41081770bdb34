"""The table of results as a data set on the Hub: plain `datasets.load_dataset` reads it, with a card beside it.

::

    README.md
    results.parquet                                                 configuration `results`, the default
    results.trials/me--run/noise--cifar10/trials.parquet            configuration `noise--cifar10`
    results.trials/me--run/noise--cifar10/final_text/trials.parquet       `noise--cifar10--final_text`

A downloaded copy is what `clipdyn evaluate` leaves, so that `clipdyn report` and `compare_revisions` read it too.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import LocalTokenNotFoundError

from hf_clipdyn.cards import results_card
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.evaluation.store import FINAL_TEXT, trial_benchmarks, trials_files
from hf_clipdyn.hub import RetryPolicy, attempt, limit_waiting, reason, status_of
from hf_clipdyn.schema import checked_repo_id

__all__ = ["check_push", "push_results"]

_TABLE, _TRIALS = "results.parquet", "results.trials"
_RETRIES = RetryPolicy(patience=60.0)


@dataclass(frozen=True)
class _Trials:
    """What was kept of one benchmark: a configuration of the data set."""

    benchmark: str
    final_text: bool
    files: Sequence[Path]

    @property
    def config(self) -> str:
        """The Hub allows no slash in the name of a configuration."""
        return self.benchmark.replace("/", "--") + (f"--{FINAL_TEXT}" if self.final_text else "")


def check_push(repo_id: str, token: str | None = None) -> None:
    """Before hours of work: could the table be pushed at all?

    Raises:
        ConfigError: ``repo_id`` is no name of a repository.
        PublishError: the client is offline, or has no token.
    """
    checked_repo_id(repo_id, what="push_to_hub", owner=True)
    if constants.HF_HUB_OFFLINE:
        raise PublishError(
            f"The results cannot be pushed to {repo_id} while HF_HUB_OFFLINE is set: unset it, or leave out "
            "--push_to_hub and repeat the command with it later; what is measured is not measured again."
        )
    if not (token or get_token()):
        raise PublishError("There is no token for the Hub: log in with `hf auth login`, or set HF_TOKEN.")


def push_results(
    output: Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    say: Callable[[str], Any] = lambda _: None,
) -> str:
    """Put the table at ``output`` and the trials beside it into a data-set repository, in one commit.

    Trials hold labels and human judgements of their data set: where its licence does not let one pass these on,
    they go to a private repository only.

    Args:
        output: table of `clipdyn evaluate`.
        repo_id: ``owner/name``; made if need be, else its content is replaced.
        private: make it private.
        token: of the Hub; default: the stored one.
        say: told, in a sentence, what is left out.

    Returns:
        The repository's address.

    Raises:
        ConfigError: a private repository is asked for, and this one is public.
        PublishError: the Hub cannot be reached, or refuses; the table is whole on the disk.
    """
    limit_waiting(_RETRIES.timeout)
    api = HfApi(token=token)
    try:
        url = attempt(
            lambda: api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True),
            _RETRIES,
        )
        hidden = bool(attempt(lambda: api.repo_info(url.repo_id, repo_type="dataset"), _RETRIES).private)
        if private and not hidden:
            raise ConfigError(
                f"{repo_id} exists and is public: make it private in its settings, or name another repository. "
                f"{output} is complete."
            )
        with TemporaryDirectory(prefix="clipdyn-push-") as staging:
            _stage(output, Path(staging), url.repo_id, hidden, say)
            attempt(
                lambda: api.upload_folder(
                    repo_id=url.repo_id,
                    repo_type="dataset",
                    folder_path=staging,
                    delete_patterns=[f"{_TRIALS}/*"],
                    commit_message="Add the results, measured by hf-clipdyn",
                ),
                _RETRIES,
            )
    except ConfigError:
        raise
    except Exception as error:
        refused = isinstance(error, LocalTokenNotFoundError) or status_of(error) in (401, 403)
        hint = " Give a token with write permission, by `hf auth login` or HF_TOKEN." if refused else ""
        raise PublishError(
            f"{output} is complete, but could not be pushed to {repo_id} ({reason(error)}).{hint} Repeat the "
            "command: what is measured is not measured again, and it is pushed at the end."
        ) from error
    return str(url)


def _stage(output: Path, folder: Path, repo_id: str, hidden: bool, say: Callable[[str], Any]) -> None:
    shutil.copyfile(output, folder / _TABLE)
    kept, left_out = _sort_trials(output, hidden)
    if left_out:
        say(
            f"The trials of {', '.join(left_out)} stay here: they hold labels of data sets whose licences do not let "
            "you pass them on. A private repository (--private) takes them too."
        )
    configs = {"results": [_TABLE]} | {
        one.config: [path.relative_to(folder).as_posix() for path in _merge(one, folder)] for one in kept
    }
    results = pq.read_table(output).to_pandas()
    card = results_card(
        repo_id=repo_id,
        rows=len(results),
        runs=_runs(results),
        benchmarks=_benchmarks(results, configs),
        configs=configs,
        left_out=left_out,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _sort_trials(output: Path, hidden: bool) -> tuple[list[_Trials], list[str]]:
    """What goes to the Hub, and the benchmarks whose trials stay."""
    kept: list[_Trials] = []
    left_out: list[str] = []
    for benchmark in trial_benchmarks(output):
        dataset = benchmark.partition("/")[2]
        free = dataset in dataset_names() and dataset_metadata(dataset).may_redistribute
        if not (free or hidden):
            left_out.append(benchmark)
            continue
        for final_text in (False, True):
            files = trials_files(output, benchmark, final_text=final_text)
            if files:
                kept.append(_Trials(benchmark, final_text, files))
    return kept, left_out


def _merge(trials: _Trials, folder: Path) -> list[Path]:
    """One file per run in place of one per revision: a hundred small files are slow to fetch and to open."""
    schemas = [pq.read_schema(file) for file in trials.files]
    schema = pa.unify_schemas(schemas, promote_options="permissive").with_metadata(schemas[0].metadata)
    writers: dict[Path, pq.ParquetWriter] = {}
    try:
        for file in trials.files:
            run = file.parents[2 if trials.final_text else 1].name
            below = PurePosixPath(
                trials.benchmark.replace("/", "--"), FINAL_TEXT if trials.final_text else ""
            )
            path = folder / _TRIALS / run / below / "trials.parquet"
            if path not in writers:
                path.parent.mkdir(parents=True)
                writers[path] = pq.ParquetWriter(path, schema)
            table = pa.concat_tables(
                [schema.empty_table(), pq.read_table(file)], promote_options="permissive"
            )
            writers[path].write_table(table.select(schema.names).cast(schema))
    finally:
        for writer in writers.values():
            writer.close()
    return list(writers)


def _runs(results: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = results.sort_values(["epoch", "step"], kind="stable")  # pairs may have been added later
    return [
        {
            "repo_id": run,
            "revisions": part["revision"].nunique(),
            "first": part["revision"].iloc[0],
            "last": part["revision"].iloc[-1],
        }
        for run, part in ordered.groupby("repo_id", sort=False)
    ]


def _benchmarks(results: pd.DataFrame, configs: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "synthetic": str(name).partition("/")[2].startswith("procedural"),
            "revisions": len(part[["repo_id", "revision"]].drop_duplicates()),
            "rows": len(part),
            "dtype": ", ".join(sorted(set(part["dtype"]))),
            "trials": config if (config := str(name).replace("/", "--")) in configs else "",
        }
        for name, part in results.groupby("benchmark")
    ]
