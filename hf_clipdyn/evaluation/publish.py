"""The table of results as a data set on the Hub: plain `datasets.load_dataset` reads it, with a card beside it.

::

    README.md
    results.parquet                                  configuration `results`, the default
    results.trials/noise--cifar10/<key>.parquet      configuration `noise--cifar10`, a file a cell
    results.trials/noise--cifar10--last/<key>.parquet    asked with the texts of the last revision

A downloaded copy can be reported, compared and continued like the folder that `clipdyn evaluate` left.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate.logging import get_logger
from huggingface_hub import HfApi

from hf_clipdyn.benchmarks.registry import kinds, scored_earlier
from hf_clipdyn.cards import LEFT_ALONE, merged, results_card
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import naming
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.hub import push_folder, readme
from hf_clipdyn.results.arrow import SCHEMA, column_table
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.table import CELL
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials

_TABLE, _TRIALS = "results.parquet", "results.trials"
_FORBIDDEN = (
    "they contain labels of data sets whose licences forbid passing them on. A private repository "
    "(--hub_private_repo) also receives these trials."
)
_UNKNOWN = (
    "the kind or the data set is unknown here, and so is its licence. Name its file with --plugin, or install its "
    "package, and repeat the command."
)
_log = get_logger(__name__)


def push_results(config: EvaluationConfig) -> None:
    """Put the table and the trials beside it into the data-set repository ``hub_model_id``, in one commit.

    The repository is made if need be, else its content is replaced, but for what others wrote on its card. Trials hold
    labels and human judgements of their data set: where its licence does not let one pass these on, they go to a
    private repository only. Those of a kind or a data set of a plug-in that is not loaded stay here.
    """
    output, repo_id = cast("Path", config.output), cast("str", config.hub_model_id)
    kept_here: dict[str, str] = {}
    complete_already = naming(f"{output} is complete; repeat the command to push it")
    with complete_already, TemporaryDirectory(prefix="clipdyn-push-") as staging:

        def complete(api: HfApi, info: Any) -> None:
            kept_here.clear()
            kept_here.update(_stage(output, Path(staging), info.id, info.private))
            _keep_text(Path(staging, "README.md"), readme(api, info, "dataset"), info.id)

        commit, _ = push_folder(
            staging,
            repo_id,
            "Add the results, measured by hf-clipdyn",
            complete=complete,
            replaced=f"{_TRIALS}/*",
            repo_type="dataset",
            private=config.private,
            token=config.token,
        )
    for cause in dict.fromkeys(kept_here.values()):
        names = ", ".join(name for name, why in kept_here.items() if why == cause)
        _log.warning(f"The trials of {names} were not pushed: {cause}")
    _log.info(f"The results were pushed: {commit.repo_url}.")


def _keep_text(card: Path, there: bytes, repo_id: str) -> None:
    """Add to the new card what others wrote on that of the repository, which stays if it is not one of ours."""
    kept = merged(there, card.read_text(encoding="utf-8"))
    if kept is not None:
        card.write_bytes(kept.encode())
    elif b"measurements by hf-clipdyn, each with its count" not in there or b"<!--" in there:
        _log.warning(f"The card of {repo_id} {LEFT_ALONE}")
        card.unlink()
    # Else it is a card of version 0.4.0, which set no marks and kept no text.


def _stage(output: Path, folder: Path, repo_id: str, hidden: bool) -> dict[str, str]:
    """Write the data set into ``folder``; returns the benchmarks whose trials it may not contain, with the cause."""
    shutil.copyfile(output, folder / _TABLE)
    store, files = CellStore(output), KeptTrials([output])
    cells, known, datasets = store.cells(), kinds(), set(dataset_names())
    kept_here: dict[str, str] = {}
    configs = {"results": _TABLE}
    for cell in cells:
        if files.file(cell.key) is None:
            continue
        if cell.kind not in known or cell.dataset not in datasets:
            kept_here[f"{cell.kind}/{cell.dataset}"] = _UNKNOWN
        elif not (hidden or dataset_metadata(cell.dataset).may_redistribute):
            kept_here[f"{cell.kind}/{cell.dataset}"] = _FORBIDDEN
        else:
            config = _config(cell.kind, cell.dataset, cell.texts)
            path = folder / _TRIALS / config / f"{cell.key}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(_with_cell(cast("pd.DataFrame", files.of(cell.key)), cell), path)
            configs[config] = f"{_TRIALS}/{config}/*.parquet"
    results = store.select([cell.key for cell in cells]).to_pandas()
    card = results_card(
        repo_id=repo_id,
        rows=len(results),
        runs=_runs(results),
        benchmarks=list(_benchmarks(results, configs, store.vocabulary)),
        configs=configs,
        left_out=sorted(kept_here),
        columns=column_table(Row),
        note=scored_earlier(((cell.key, cell.kind, cell.score_version) for cell in cells), files),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return kept_here


def _config(kind: str, dataset: str, texts: str = "own") -> str:
    """Name of the configuration with the trials of such cells; the Hub allows no slash in it."""
    return f"{kind}--{dataset}" + ("" if texts == "own" else f"--{texts}")


def _runs(results: pd.DataFrame) -> list[dict[Any, Any]]:
    ordered = results.sort_values(["epoch", "step"], kind="stable")  # cells may have been added later
    revisions = ordered.groupby("repo_id", sort=False)["revision"]
    return revisions.agg(revisions="nunique", first="first", last="last").reset_index().to_dict("records")


def _benchmarks(
    results: pd.DataFrame, configs: Mapping[str, str], words: Vocabulary
) -> Iterator[dict[str, Any]]:
    for (kind, dataset), part in results.groupby(["kind", "dataset"]):
        config, dtype = _config(str(kind), str(dataset)), ", ".join(sorted(set(part["dtype"])))
        yield {
            "name": f"{kind}/{dataset}",
            "synthetic": words.dataset(str(dataset)).synthetic,
            "revisions": len(part[["repo_id", "revision"]].drop_duplicates()),
            "rows": len(part),
            "dtype": dtype,
            "trials": config if config in configs else "",
        }


def _with_cell(trials: pd.DataFrame, cell: Cell) -> pa.Table:
    """Trials as a table that explains itself: the cell's columns first, typed as in `SCHEMA`."""
    answers = pa.Table.from_pandas(trials, preserve_index=False)
    names = [name for name in CELL if name not in ("score_version", "other", "versions", "seconds")]
    typed = {name: pa.scalar(getattr(cell, name), SCHEMA.field(name).type) for name in names}
    columns = {name: pa.repeat(value, len(trials)) for name, value in typed.items()}
    columns |= {name: answers[name] for name in answers.column_names}
    return pa.table(columns).replace_schema_metadata(answers.schema.metadata)
