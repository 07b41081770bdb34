"""The table of results as a data set on the Hub: plain `datasets.load_dataset` reads it, with a card beside it.

::

    README.md
    results.parquet                                  configuration `results`, the default
    results.trials/noise--cifar10/<key>.parquet      configuration `noise--cifar10`, a file a cell
    results.trials/noise--cifar10--last/<key>.parquet    asked with the texts of the last revision

A downloaded copy can be reported, compared and continued like the folder that `clipdyn evaluate` left.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pandas as pd
import pyarrow.parquet as pq
from accelerate.logging import get_logger

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.cards import results_card
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.hub import Destination, check_login, push
from hf_clipdyn.results.cells import CellStore, with_cell
from hf_clipdyn.results.row import Cell, Row, column_table
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary
from hf_clipdyn.schema import checked_repo_id

__all__ = ["check_push", "push_results"]

_TABLE, _TRIALS = "results.parquet", "results.trials"
_log = get_logger(__name__)


def check_push(repo_id: str, token: str | None = None) -> None:
    """Before hours of work: could the table be pushed at all?"""
    checked_repo_id(repo_id, what="hub_model_id", owner=True)
    check_login(
        f"The results cannot be pushed to {repo_id}",
        token,
        advice="unset it, or leave out --push_to_hub and repeat the command with it later; finished "
        "measurements are kept.",
    )


def push_results(config: EvaluationConfig) -> None:
    """Put the table and the trials beside it into the data-set repository ``hub_model_id``, in one commit.

    The repository is made if need be, else its content is replaced. Trials hold labels and human judgements of their
    data set: where its licence does not let one pass these on, they go to a private repository only.
    """
    assert config.output is not None
    assert config.hub_model_id is not None
    output = Path(config.output)

    def upload(to: Destination) -> tuple[str, list[str]]:
        with TemporaryDirectory(prefix="clipdyn-push-") as staging:
            left_out = _stage(output, Path(staging), to.repo_id, to.private)
            to.upload(staging, "Add the results, measured by hf-clipdyn", replaced=f"{_TRIALS}/*")
        return to.url, left_out

    url, left_out = push(
        config.hub_model_id,
        upload,
        problem=f"{output} is complete, but could not be pushed to {config.hub_model_id}",
        done="Repeat the command to push the results; finished measurements are kept.",
        repo_type="dataset",
        private=config.private,
        token=config.token,
    )
    if left_out:
        _log.warning(
            f"The trials of {', '.join(left_out)} were not pushed: they contain labels of data sets whose "
            "licences forbid passing them on. A private repository (--hub-private-repo) also receives these "
            "trials."
        )
    _log.info(f"The results were pushed: {url}.")


def _stage(output: Path, folder: Path, repo_id: str, hidden: bool) -> list[str]:
    """Write the data set into ``folder``; returns the benchmarks whose trials it may not contain."""
    shutil.copyfile(output, folder / _TABLE)
    store = CellStore(output)
    cells = store.cells()
    known = kinds()
    shared = [cell for cell in cells if cell.kind not in known or known[cell.kind].shares_trials]
    kept = [cell for cell in shared if hidden or _may_pass_on(cell.dataset)]
    left_out = sorted({f"{cell.kind}/{cell.dataset}" for cell in shared if cell not in kept})
    configs = {"results": _TABLE}
    for cell in kept:
        trials = store.trials(cell.key)
        if trials is not None:
            path = folder / _TRIALS / _config(cell) / f"{cell.key}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(with_cell(trials, cell), path)
            configs[_config(cell)] = f"{_TRIALS}/{_config(cell)}/*.parquet"
    table = store.select([cell.key for cell in cells])
    words = Vocabulary.loads(table.schema.metadata[VOCABULARY_KEY], str(output))
    results = table.to_pandas()
    card = results_card(
        repo_id=repo_id,
        rows=len(results),
        runs=_runs(results),
        benchmarks=_benchmarks(cells, results, configs, words),
        configs=configs,
        left_out=left_out,
        columns=column_table(Row),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return left_out


def _may_pass_on(dataset: str) -> bool:
    """Of a data set that is not known (any more), nobody knows it."""
    return dataset in dataset_names() and dataset_metadata(dataset).may_redistribute


def _config(cell: Cell) -> str:
    """Name of the configuration with the cell's trials; the Hub allows no slash in it."""
    return f"{cell.kind}--{cell.dataset}" + ("" if cell.texts == "own" else f"--{cell.texts}")


def _runs(results: pd.DataFrame) -> list[dict[str, Any]]:
    ordered = results.sort_values(["epoch", "step"], kind="stable")  # cells may have been added later
    runs = ordered.groupby("repo_id", sort=False)["revision"].agg(
        revisions="nunique", first="first", last="last"
    )
    return cast("list[dict[str, Any]]", runs.reset_index().to_dict("records"))


def _benchmarks(
    cells: Sequence[Cell], results: pd.DataFrame, configs: Mapping[str, str], words: Vocabulary
) -> list[dict[str, Any]]:
    by_config = {f"{cell.kind}/{cell.dataset}": _config(cell) for cell in cells if cell.texts == "own"}
    return [
        {
            "name": f"{kind}/{dataset}",
            "synthetic": words.dataset(str(dataset)).synthetic,
            "revisions": len(part[["repo_id", "revision"]].drop_duplicates()),
            "rows": len(part),
            "dtype": ", ".join(sorted(set(part["dtype"]))),
            "trials": config if (config := by_config.get(f"{kind}/{dataset}", "")) in configs else "",
        }
        for (kind, dataset), part in results.groupby(["kind", "dataset"])
    ]
