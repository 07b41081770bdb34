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
from huggingface_hub import HfApi

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.cards import results_card
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import naming
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.hub import check_login, checked_repo_id, push_folder
from hf_clipdyn.results.cells import CellStore, with_cell
from hf_clipdyn.results.row import Cell, Row, column_table
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials

_TABLE, _TRIALS = "results.parquet", "results.trials"
_log = get_logger(__name__)


def check_push(repo_id: str, token: str | None = None) -> None:
    """Before hours of work: could the table be pushed at all?"""
    checked_repo_id(repo_id, what="hub_model_id", owner=True)
    check_login(f"The results cannot be pushed to {repo_id}", token)


def push_results(config: EvaluationConfig) -> None:
    """Put the table and the trials beside it into the data-set repository ``hub_model_id``, in one commit.

    The repository is made if need be, else its content is replaced. Trials hold labels and human judgements of their
    data set: where its licence does not let one pass these on, they go to a private repository only. Those of a kind or
    a data set of a plug-in that is not loaded stay here.
    """
    assert config.output is not None
    assert config.hub_model_id is not None
    output = config.output

    left_out, unknown = list[str](), list[str]()
    complete_already = naming(f"{output} is complete; repeat the command to push it")
    with complete_already, TemporaryDirectory(prefix="clipdyn-push-") as staging:

        def complete(_: HfApi, info: Any) -> None:
            left_out[:], unknown[:] = _stage(output, Path(staging), info.id, info.private)

        commit, _ = push_folder(
            staging,
            config.hub_model_id,
            "Add the results, measured by hf-clipdyn",
            complete=complete,
            replaced=f"{_TRIALS}/*",
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
    if unknown:
        _log.warning(
            f"The trials of {', '.join(unknown)} were not pushed: the kind or the data set is not known here, hence no "
            "licence. Name its file with --plugin, or install its package, and repeat the command."
        )
    _log.info(f"The results were pushed: {commit.repo_url}.")


def _stage(output: Path, folder: Path, repo_id: str, hidden: bool) -> tuple[list[str], list[str]]:
    """Write the data set into ``folder``; returns the benchmarks whose trials it may not contain.

    First those whose licence forbids it, then those of which no licence is known.
    """
    shutil.copyfile(output, folder / _TABLE)
    store = CellStore(output)
    cells = store.cells()
    known, datasets, files = kinds(), set(dataset_names()), KeptTrials([output])
    left_out, unknown = set(), set()
    configs = {"results": _TABLE}
    for cell in cells:
        if files.file(cell.key) is None or (cell.kind in known and not known[cell.kind].shares_trials):
            continue
        if cell.kind not in known or cell.dataset not in datasets:
            unknown.add(f"{cell.kind}/{cell.dataset}")
            continue
        if not (hidden or dataset_metadata(cell.dataset).may_redistribute):
            left_out.add(f"{cell.kind}/{cell.dataset}")
            continue
        path = folder / _TRIALS / _config(cell) / f"{cell.key}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(with_cell(cast("pd.DataFrame", files.of(cell.key)), cell), path)
        configs[_config(cell)] = f"{_TRIALS}/{_config(cell)}/*.parquet"
    results = store.select([cell.key for cell in cells]).to_pandas()
    card = results_card(
        repo_id=repo_id,
        rows=len(results),
        runs=_runs(results),
        benchmarks=_benchmarks(cells, results, configs, store.vocabulary),
        configs=configs,
        left_out=sorted(left_out | unknown),
        columns=column_table(Row),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return sorted(left_out), sorted(unknown)


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
