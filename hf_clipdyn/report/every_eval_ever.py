"""Results as documents of Every Eval Ever (schema 0.3.0): the numbers of a revision, and the answers behind them.

::

    data/hf_clipdyn/me/run/<uuid>.json              a document for each revision
    data/hf_clipdyn/me/run/<uuid>_samples.jsonl     its answers that are right or wrong, one a line

The schema and its validator: https://github.com/evaleval/every_eval_ever. It requires a finite number and a direction
of each result, so undefined values and metrics of which neither end is better are left out, and counted. Its details
are texts. It has no field for the revision of a model: name and commit are in the details of the model.
"""

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.files import disk_errors, write_atomically
from hf_clipdyn.hub import Destination, check_login, push
from hf_clipdyn.report.answers import cell_answers
from hf_clipdyn.report.leaderboards import check_dataset, document_path, hub_dataset
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY
from hf_clipdyn.statistics.trajectories import Trajectory, rows_of

__all__ = ["Evaluations", "push_evaluations", "write_evaluations"]

_SCHEMA = "0.3.0"
_LOCAL = "local"  # the owner of a model without one: a folder, or a run that was never pushed
_OF_THE_MODEL = (
    *("revision", "commit", "epoch", "step", "samples_seen", "scale", "seed", "arm", "parameters"),
    *("model_class", "processor_class"),
)
_OF_THE_NUMBER = tuple(name for name in NUMBER_KEY if name not in ("metric", "role"))
_IN_THE_NAME = ("repo_id", "revision", "commit", "kind", "dataset", "split", "texts")


@dataclass(frozen=True)
class Evaluations:
    """What was written.

    Attributes:
        paths: of the documents and of the files with answers, below the folder or in the repository.
        undefined: number of values that are undefined.
        undirected: number of values of which neither end is better.
        withheld: benchmarks whose answers are left out, since the data set's licence does not allow passing them on.
    """

    paths: tuple[str, ...]
    undefined: int
    undirected: int
    withheld: tuple[str, ...]


def write_evaluations(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    output: str | Path,
    *,
    evaluator: str | None = None,
) -> Evaluations:
    """Write the values of each revision, and the answers behind them, as documents of Every Eval Ever.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`. Answers come from the
            trials beside the tables.
        output: folder, created if missing: the documents are in ``data`` below it.
        evaluator: who measured, by the name of a user or an organisation on the Hub; unknown by default.

    Returns:
        What was written, and what was left out.

    Raises:
        ConfigError: a file does not exist or is not a table of results, or the folder cannot be written.
        EvaluationError: the tables have no rows, or trials are broken.

    Examples:
        >>> from hf_clipdyn.report import write_evaluations
        >>> written = write_evaluations("runs/demo/results.parquet", "evaluations")
        >>> sorted({path.rpartition("/")[0] for path in written.paths}), written.withheld
        (['data/hf_clipdyn/local/demo'], ())
    """
    study, output = read_study(results), Path(output)
    paths = list[str]()
    undefined = undirected = 0
    withheld = set[str]()
    with disk_errors(ConfigError, f"The evaluations cannot be written to {output}"):
        for run in study.runs:
            for record in _records(study.of_run(run), evaluator):
                undefined += record.undefined
                undirected += record.undirected
                withheld |= record.withheld
                for path, content in record.files().items():
                    (output / path).parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(output / path, content)
                    paths.append(path)
    return Evaluations(tuple(paths), undefined, undirected, tuple(sorted(withheld)))


def push_evaluations(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    repo_id: str,
    *,
    evaluator: str | None = None,
    token: str | None = None,
) -> Evaluations:
    """Put the documents of `write_evaluations` into the data set with the table, in one commit.

    The results that `push_cards` writes into `.eval_results` then point to the document of their revision.

    Args:
        results: as for `write_evaluations`.
        repo_id: the data set that `clipdyn evaluate … --push_to_hub` made, ``owner/name``.
        evaluator: as for `write_evaluations`; default: the owner of the data set.
        token: token of the Hub; default: the stored one.

    Returns:
        As `write_evaluations`.

    Raises:
        ConfigError: as for `write_evaluations`; or the Hub has no such data set.
        EvaluationError: as for `write_evaluations`.
        PublishError: the Hub refuses or cannot be reached.

    Examples:
        >>> from huggingface_hub import HfApi
        >>> from hf_clipdyn.report import push_evaluations
        >>> repo = HfApi().create_repo("me/results", repo_type="dataset")  # as `clipdyn evaluate --push-to-hub` does
        >>> pushed = push_evaluations("runs/demo/results.parquet", "me/results")
        >>> len({path for path in pushed.paths if path.endswith(".json")})
        4
    """
    check_login(f"The evaluations cannot be pushed to {repo_id}", token)
    check_dataset(repo_id, token)
    with TemporaryDirectory(prefix="clipdyn-evaluations-") as folder:
        written = write_evaluations(results, folder, evaluator=evaluator or repo_id.partition("/")[0])

        def upload(to: Destination) -> None:
            to.upload(folder, "Add documents of Every Eval Ever, written by hf-clipdyn")

        push(
            repo_id,
            upload,
            problem=f"The evaluations could not be pushed to {repo_id}",
            repo_type="dataset",
            create=False,
            token=token,
        )
    return written


@dataclass(frozen=True, eq=False)
class _Result:
    """A number in a document.

    Attributes:
        cell: key of its cell.
        number_key: as `NumberKey.number_key`.
        content: of the document.
    """

    cell: str
    number_key: tuple[Any, ...]
    content: dict[str, Any]


@dataclass(eq=False)
class _Record:
    """What is known of one revision.

    Attributes:
        study: of its run.
        cells: rows of its cells, by key.
        path: of its document.
        evaluator: who measured.
        timestamp: start of the run's measurements, in seconds since 1970.
        version: of hf_clipdyn that measured.
        results: numbers that a document can contain.
    """

    study: Study
    cells: Mapping[str, Any]
    path: str
    evaluator: str | None
    timestamp: str
    version: str
    results: list[_Result]
    undefined: int = 0
    undirected: int = 0

    @property
    def _any_cell(self) -> Any:
        return next(iter(self.cells.values()))

    @property
    def _evaluation_id(self) -> str:
        cell = self._any_cell
        return f"hf_clipdyn/{cell.repo_id}@{cell.commit or cell.revision}/{self.timestamp}"

    @property
    def withheld(self) -> set[str]:
        """Benchmarks with answers that must not be passed on."""
        cells = self.cells.values()
        return {
            f"{cell.kind}/{cell.dataset}"
            for cell in cells
            if _answers_kind(cell) is not None and not _may_pass_on(cell.dataset)
        }

    def files(self) -> dict[str, bytes]:
        """The document and its answers, by path; nothing without a result."""
        if not self.results:
            return {}
        document = self._document()
        answers = b"".join(map(_line, self._answers()))
        if not answers:
            return {self.path: _line(document)}
        path = f"{self.path.removesuffix('.json')}_samples.jsonl"
        document["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": path,
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(answers).hexdigest(),
            "total_rows": answers.count(b"\n"),
        }
        return {self.path: _line(document), path: answers}

    def _document(self) -> dict[str, Any]:
        cell = self._any_cell
        owner = cell.repo_id.partition("/")[0] if "/" in cell.repo_id else _LOCAL
        relationship = "other"
        if self.evaluator is not None:
            relationship = "first_party" if self.evaluator == owner else "third_party"
        return {
            "schema_version": _SCHEMA,
            "evaluation_id": self._evaluation_id,
            "retrieved_timestamp": self.timestamp,
            "source_metadata": {
                "source_type": "evaluation_run",
                "source_organization_name": self.evaluator or "unknown",
                "evaluator_relationship": relationship,
            },
            "eval_library": {"name": "hf_clipdyn", "version": self.version},
            "model_info": {
                "name": f"{cell.repo_id}@{cell.revision}",
                "id": cell.repo_id,
                "developer": owner,
                "additional_details": {
                    "deployment_type": "self_deployed",
                    "model_availability": "unknown" if owner == _LOCAL else "open_weights",
                    **_texts({name: getattr(cell, name) for name in _OF_THE_MODEL}),
                },
            },
            "evaluation_results": [result.content for result in self.results],
        }

    def _answers(self) -> Iterator[dict[str, Any]]:
        """A record for each answer behind a result, as far as the licence of the data set allows."""
        names = {
            (result.cell, result.number_key): result.content["evaluation_result_id"]
            for result in self.results
        }
        for key, cell in self.cells.items():
            kind = _answers_kind(cell)
            if kind is None or not _may_pass_on(cell.dataset):
                continue
            for answers in cell_answers(self.study, kind, key):
                name = names.get((key, answers.key.number_key))
                if name is None:
                    continue
                for item, label, decision, right in zip(
                    answers.item, answers.label, answers.decision, answers.right, strict=True
                ):
                    yield {
                        "schema_version": _SCHEMA,
                        "evaluation_id": self._evaluation_id,
                        "model_id": cell.repo_id,
                        "evaluation_name": f"{cell.kind}/{cell.dataset}",
                        "evaluation_result_id": name,
                        "sample_id": str(item),
                        "interaction_type": "single_turn",
                        "input": {
                            "raw": f"{cell.dataset}, split {cell.split}, item {item}",
                            "reference": [str(label)],
                        },
                        "output": {"raw": [str(decision)]},
                        "answer_attribution": [],
                        "evaluation": {"score": float(right), "is_correct": bool(right)},
                    }


def _records(own: Study, evaluator: str | None) -> Iterator[_Record]:
    """The revisions of one run, in the order of the table."""
    origin = next((origin for origin in own.results.origins if origin.run == own.runs[0]), None)
    measured = (
        datetime.fromisoformat(origin.measured).timestamp() if origin and origin.measured else time.time()
    )
    version = origin.packages[-1].partition("+")[0] if origin and origin.packages else ""
    levels = own.results.confidence
    records = {
        str(revision): _Record(
            own,
            {str(cell.cell): cell for cell in rows_of(cells)},
            document_path(*cells[["repo_id", "revision", "commit"]].iloc[0]),
            evaluator,
            str(int(measured)),
            version or "unknown",
            [],
        )
        for revision, cells in own.cells.groupby("revision", sort=False, observed=True)
    }
    for number in own.trajectories:
        if not number.is_value:
            continue
        references = _references(number)
        for point in rows_of(number.points):
            record, key = records[str(point.revision)], str(point.cell)
            if number.term.higher_is_better is None:
                record.undirected += 1
            elif not math.isfinite(point.value):
                record.undefined += 1
            else:
                content = _content(number, point, record.cells[key], levels[key], references.get(key, {}))
                record.results.append(_Result(key, number.number_key, content))
    yield from records.values()


def _references(number: Trajectory) -> dict[str, dict[str, float]]:
    """By cell, what gives the number a scale: chance, a bound, people, …, each by its role and its name."""
    references: dict[str, dict[str, float]] = defaultdict(dict)
    for reference in number.references:
        name = " ".join(filter(None, [reference.role, reference.reference]))
        for cell, value in zip(reference.column("cell"), reference.column("value"), strict=True):
            references[str(cell)][name] = float(value)
    return references


def _content(
    number: Trajectory, point: Any, cell: Any, level: float, references: Mapping[str, float]
) -> dict[str, Any]:
    """A number as an element of ``evaluation_results``."""
    named = _texts({"texts": number.texts, **{name: getattr(number, name) for name in _OF_THE_NUMBER}})
    setting = {name: getattr(cell, name) for name in CELL_KEY if name not in _IN_THE_NAME}
    digest = hashlib.sha256(json.dumps(setting, sort_keys=True, default=str).encode()).hexdigest()
    place = [*number.benchmark, number.split, number.metric, *(f"{name}={named[name]}" for name in named)]
    limits = number.term.limits
    bounds = {}
    if limits is not None and limits[0] <= point.value <= limits[1]:
        bounds = {"score_type": "continuous", "min_score": limits[0], "max_score": limits[1]}
    human = {} if number.human is None else {"human (literature)": number.human}
    uncertainty = {}
    if math.isfinite(point.ci_low) and math.isfinite(point.ci_high):
        interval = {"lower": float(point.ci_low), "upper": float(point.ci_high)}
        if math.isfinite(level):
            interval["confidence_level"] = float(level)
        samples = int(point.n_clusters or point.n)
        uncertainty = {"uncertainty": {"confidence_interval": interval, "num_samples": samples}}
    caution = {"interpretable": None if point.usable else "no", "note": point.note}
    return {
        "evaluation_result_id": "/".join([*place, f"setup={digest[:12]}"]),
        "evaluation_name": "/".join(number.benchmark),
        "source_data": _source(number),
        "metric_config": {
            "evaluation_description": number.term.meaning,
            "metric_id": f"hf_clipdyn.{number.kind}.{number.metric}",
            "metric_name": number.metric_title,
            **({"metric_unit": number.term.unit} if number.term.unit else {}),
            "lower_is_better": not number.term.higher_is_better,
            **bounds,
            "additional_details": named | _texts({**references, **human}),
        },
        "score_details": {
            "score": float(point.value),
            "details": _texts({"n": point.n, "n_clusters": point.n_clusters, **caution}),
            **uncertainty,
        },
        "generation_config": {
            "additional_details": _texts(
                {name: getattr(cell, name) for name in ("preprocess", "settings", "dtype", "versions")}
            )
        },
    }


def _source(number: Trajectory) -> dict[str, Any]:
    """The data that the number was measured on."""
    repo_id = hub_dataset(number)
    on_hub = {"source_type": "hf_dataset", "hf_repo": repo_id, "hf_split": number.split}
    return {
        "dataset_name": number.dataset,
        **({"source_type": "other"} if repo_id is None else on_hub),
        "additional_details": _texts(
            {
                "title": number.dataset_terms.title,
                "split": number.split,
                "fingerprint": number.data_fingerprint,
                "synthetic": "yes" if number.dataset_terms.synthetic else None,
            }
        ),
    }


def _answers_kind(cell: Any) -> Any:
    """The kind of a cell if its trials can be passed on and have right answers; else None."""
    kind = kinds().get(cell.kind)
    return kind if kind is not None and kind.answers_from and kind.shares_trials else None


def _may_pass_on(dataset: str) -> bool:
    try:
        return dataset_metadata(dataset).may_redistribute
    except UnknownNameError:
        return False  # of a plugin that is not loaded


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """What is known, as texts; whole numbers without a point."""
    known = {name: value for name, value in values.items() if value not in (None, "") and value == value}
    return {
        name: f"{value:.10g}" if isinstance(value, float) else str(value) for name, value in known.items()
    }


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"
