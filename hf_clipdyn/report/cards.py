"""A study on the Hub: card and report of each run in its repository, and the page of all runs as a static Space.

::

    README.md     the card
    report/       index.html and figures, as `write_report` leaves them; the card shows one figure

    README.md     of the Space: configuration, and a section by which it is known as ours
    index.html    the page, which loads nothing

The Hub shows the HTML of a model's repository as text, so a page that readers can open needs a Space. A README.md that
is there already keeps everything but the section between two marks and our results in its model index, each of which
has ``measured_by: hf-clipdyn`` in its ``args``.
The index: `modelcard.md` of huggingface/hub-docs. A Space: https://huggingface.co/docs/hub/spaces-config-reference.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pandas as pd
from huggingface_hub import CardData, EvalResult, HfApi, RepoCard
from huggingface_hub.repocard_data import eval_results_to_model_index
from markupsafe import Markup

from hf_clipdyn.cards import merged, render_card
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, PublishError, counted, naming, shorten
from hf_clipdyn.files import write_atomically
from hf_clipdyn.hub import check_login, checked_repo_id, is_repo_id, persistently, push_folder, readme
from hf_clipdyn.report.courses import Course, Point
from hf_clipdyn.report.figures import overview_figure
from hf_clipdyn.report.page import write_report
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.tables import overview_tables, provenance_table
from hf_clipdyn.report.words import find, limits, tested_sentences
from hf_clipdyn.revisions.open import run_beside

TOOL = "hf-clipdyn"
"""Marks our results in a model index."""

_README, _REPORT, _INDEX = "README.md", "report", "model-index"
_SPACE_KEYS = ("sdk", "app_file", "models", "datasets")
_CLASS = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")
_IMAGES, _DUAL = "image-feature-extraction", "zero-shot-image-classification"
"""The Hub's names of what is measured on images alone, and of what needs texts, too."""
_FIGURE = f"{_REPORT}/figures/summary.png"
_FIRST_COMMIT = "initial commit"
_LONGEST_TITLE = 80
_Results = str | Path | Sequence[str | Path] | pd.DataFrame | Study


# --- cards in files --------------------------------------------------------------------------------------------


def write_cards(results: _Results, output: str | Path, *, results_dataset: str | None = None) -> list[Path]:
    """Write a model card for each run, and the figure that it shows.

    A card that exists is updated; hand-written text in it is kept.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`.
        output: folder, created if missing: ``card-OWNER--NAME.md`` and ``figures/card-OWNER--NAME.png``.
        results_dataset: data set on the Hub with the whole table, ``owner/name``: the source of the results.

    Returns:
        The paths of the cards.

    Raises:
        ConfigError: a file does not exist or is not a table of results, or an earlier card cannot be read.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn.report import write_cards
        >>> [path.as_posix() for path in write_cards("runs/demo/results.parquet", "cards")]
        ['cards/card-local--demo.md']
    """
    study, output, cards = _read(results, results_dataset), Path(output), list[Path]()
    for run in study.runs:
        part, name = study.of_run(run), f"card-{file_name(run)}"
        figure = f"figures/{name}.png" if part.planner.glance else ""
        if figure:
            write_atomically(output / figure, overview_figure(part, "png"))
        cards.append(_write_card(part, run, output / f"{name}.md", figure, results_dataset))
    return cards


def write_runs(
    results: _Results, output: str | Path, *, results_dataset: str | None = None, **page: Any
) -> list[Path]:
    """Write what `push_runs` sends: for each run a folder with its card, README.md, and its report.

    A card that exists is updated; hand-written text in it is kept.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`.
        output: holds the folders, ``OWNER--NAME``; created if missing.
        results_dataset: data set on the Hub with the whole table, ``owner/name``: the source of the results.
        page: options of `write_report`.

    Returns:
        The folders.

    Raises:
        ConfigError: a file does not exist or is not a table of results, or an earlier card cannot be read.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn.report import write_runs
        >>> (folder,) = write_runs("runs/demo/results.parquet", "shared", figure_formats=["png"], stimuli="none")
        >>> sorted(path.name for path in folder.iterdir())
        ['README.md', 'report']
    """
    study = _read(results, results_dataset)
    return [_write_run(study, run, output, results_dataset, page).parent for run in study.runs]


def _write_run(
    study: Study, run: str, output: str | Path, results_dataset: str | None, page: Mapping[str, Any]
) -> Path:
    """Write the folder of one run, and return its card."""
    part, folder = study.of_run(run), Path(output, file_name(run))
    write_report(part, folder / _REPORT, **page)
    figure = _FIGURE if (folder / _FIGURE).exists() else ""
    return _write_card(part, run, folder / _README, figure, results_dataset)


def _read(results: _Results, results_dataset: str | None) -> Study:
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    return read_study(results)


def file_name(run: str) -> str:
    """The name of a run as the name of a file or a folder: ``me--run``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.replace("/", "--")).strip("-")


# --- on the Hub ------------------------------------------------------------------------------------------------


def push_runs(
    results: _Results,
    *,
    output: str | Path | None = None,
    private: bool = False,
    results_dataset: str | None = None,
    token: str | None = None,
    **page: Any,
) -> dict[str, str | None]:
    """Push the card and the report of every run to its repository on the Hub, each in one commit to `main`.

    `README.md` and the folder `report` change; the weights and hand-written text on the card are kept. A second
    call with the same table makes no commit. Models that were read from a folder have no repository, so they are left
    out.

    Args:
        results, results_dataset, page: as for `write_runs`.
        output: keeps what is sent, as of `write_runs`.
        private: refuse a repository that is public.
        token: token of the Hub; default: the stored one.

    Returns:
        By repository the address of the commit; None if the repository has all of this already.

    Raises:
        ConfigError: two runs share a repository, or all models are folders.
        PublishError: the Hub refuses or cannot be reached, a repository is public and ``private`` is set, or a card on
            the Hub cannot be read; the other runs are pushed.

    Examples:
        >>> from hf_clipdyn.report import push_runs
        >>> pushed = push_runs("runs/demo/results.parquet", figure_formats=["png"], stimuli="none")
        >>> list(pushed)
        ['local/demo']
    """
    study = _read(results, results_dataset)
    runs = _repositories(study)
    check_login("The runs cannot be pushed", token)
    pushed, failed = dict[str, str | None](), []
    for run, repo_id in runs.items():
        with TemporaryDirectory(prefix="clipdyn-share-") as staging:
            card = _write_run(study, run, output or staging, results_dataset, page)
            complete = partial(_merge_with_hub, card, card.read_text(encoding="utf-8"))
            try:
                commit, is_new = push_folder(
                    card.parent,
                    repo_id,
                    "Show the trajectories, measured by hf-clipdyn",
                    complete=complete,
                    replaced=f"{_REPORT}/*",
                    create=False,
                    private=private,
                    token=token,
                )
                pushed[repo_id] = commit.commit_url if is_new else None
            except (ConfigError, PublishError) as error:
                failed.append(str(error))
    if failed:
        raise PublishError(" ".join([*failed, *[f"Pushed: {', '.join(pushed)}."] * bool(pushed)]))
    return pushed


def _repositories(study: Study) -> dict[str, str]:
    """The repository of each run that has one, to be pushed to; an error if none has, or two share one."""
    named = study.cells[["run", "repo_id"]].drop_duplicates().itertuples(index=False, name=None)
    runs = {run: repo_id for run, repo_id in named if "/" in repo_id}
    if not runs:
        raise ConfigError(
            "These tables contain only models in local folders: push one, and evaluate it there."
        )
    repo_id, n = Counter(runs.values()).most_common(1)[0]
    if n > 1:
        raise ConfigError(
            f"These tables contain two runs of {repo_id}: push the run with its current commits."
        )
    return runs


def _merge_with_hub(path: Path, card: str, api: HfApi, info: Any) -> None:
    """Merge the card that is on the Hub into the one that is sent."""
    existing = readme(api, info, "model")
    write_atomically(path, _merged(existing, card, f"The card of {info.id}") if existing else card)


def push_space(
    results: _Results,
    repo_id: str,
    *,
    private: bool = False,
    results_dataset: str | None = None,
    licence: str | None = None,
    token: str | None = None,
    **page: Any,
) -> str | None:
    """Push the page of a study to a static Space, in one commit.

    A missing Space is created. In an existing one, hand-written text of README.md is kept. If the content is the
    same, no commit is made.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`.
        repo_id: the Space, ``owner/name``.
        private: make the Space private.
        results_dataset: data set on the Hub with the whole table, ``owner/name``, to link.
        licence: identifier of the Hub's list (`cc-by-4.0`) for the Space; none by default.
        token: token of the Hub; default: the stored one.
        page: options of `write_report`.

    Returns:
        The address of the commit; None if the Space has this content already.

    Raises:
        ConfigError: the call is wrong, the Space contains something else, or it is public and ``private`` is set.
        PublishError: the Hub refuses or cannot be reached.

    Examples:
        >>> from hf_clipdyn import load_results
        >>> from hf_clipdyn.report import push_space
        >>> rows = load_results("runs/demo/results.parquet").query("kind == 'zero_shot'")
        >>> url = push_space(rows, "me/study", stimuli="none")
        >>> "/spaces/me/study/commit/" in url
        True
    """
    checked_repo_id(repo_id, what="space", owner=True)
    check_login(f"The page cannot be pushed to {repo_id}", token)
    study = _read(results, results_dataset)
    with TemporaryDirectory(prefix="clipdyn-space-") as folder:
        write_report(study, folder, figures=False, **page)

        def complete(api: HfApi, info: Any) -> None:
            named = study.cells[["repo_id", "commit"]].drop_duplicates("repo_id", keep="last").to_numpy()
            # Somebody else may own a repository with the name of a local run.
            owned = [(model, commit) for model, commit in named if "/" in model and is_repo_id(model)]
            models = [one[0] for one in owned if persistently(partial(api.revision_exists, *one))]
            made = _space_readme(study, models, results_dataset, licence)
            write_atomically(Path(folder, _README), _readme_of_space(api, info, made))

        commit, is_new = push_folder(
            folder,
            repo_id,
            "Show the study, measured by hf-clipdyn",
            complete=complete,
            repo_type="space",
            space_sdk="static",
            private=private,
            token=token,
        )
    return commit.commit_url if is_new else None


def _readme_of_space(api: HfApi, info: Any, made: str) -> str:
    """The README.md of a new Space, or the one that is there, brought up to date."""
    history = api.list_repo_commits(info.id, repo_type="space", revision=info.sha)
    # A new Space has a page of the Hub's in its first commit; the only commit of a copy names its source.
    if [commit.title for commit in history] == [_FIRST_COMMIT]:
        return made
    what = f"The README.md of the Space {info.id}"
    return _merged(readme(api, info, "space"), made, what, "page", _SPACE_KEYS)


# --- what a person wrote stays ---------------------------------------------------------------------------------


def _write_card(part: Study, run: str, path: Path, figure: str, results_dataset: str | None) -> Path:
    """Write the card of a run, or update the one that is there; its path."""
    card = _card(part, run, figure, results_dataset)
    write_atomically(path, _merged(path.read_bytes(), card, str(path)) if path.exists() else card)
    return path


def _merged(
    kept: bytes, card: str, what: str, part: str = "trajectories", keys: Sequence[str] = (_INDEX,)
) -> str:
    """An existing README.md with a part and the keys of ``card``; all else stays.

    Raises:
        ConfigError: its head or its marks cannot be read; ``what`` begins the message.
    """
    with naming(what, ConfigError):
        text, new = kept.decode(), RepoCard(card)
        old = RepoCard(text.removeprefix("\ufeff"))
        if _INDEX in keys:
            new.data[_INDEX] = _with_results(old.data.get(_INDEX, []), new.data.get(_INDEX) or [])
    made = merged(text, str(new), part=part, keys=keys)
    if made is None:
        raise ConfigError(
            f"{what} needs the lines <!-- {part} of {TOOL} --> and <!-- end of {part} --> once each, to have the text "
            "between them replaced: correct them, or use another place."
        )
    return made


def _with_results(index: Sequence[Any], ours: Sequence[Any]) -> list[Any] | None:
    """A model index with the results of the only entry of ``ours`` in the place of our earlier ones.

    They stay in the entry where these were, which a person may have renamed. None if there are no results at all.
    """
    rests = ([rest for item in entry["results"] for rest in _not_ours(item)] for entry in index)
    others = [{**entry, "results": rest} for entry, rest in zip(index, rests, strict=True)]
    before = [entry["name"] for entry, kept in zip(index, others, strict=True) if entry != kept]
    for entry in ours:
        wanted = [*before[:1], entry["name"]]
        home = next((other for name in wanted for other in others if other["name"] == name), None)
        if home is None:
            others.append(home := {**entry, "results": []})
        home["results"] += entry["results"]
    return [entry for entry in others if entry["results"] or entry["name"] not in before] or None


def _not_ours(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A result without the metrics that we measured; other tools may have grouped them with theirs."""
    metrics = [metric for metric in item["metrics"] if (metric.get("args") or {}).get("measured_by") != TOOL]
    return [{**item, "metrics": metrics}] if metrics or not item["metrics"] else []


# --- contents --------------------------------------------------------------------------------------------------


def _card(part: Study, run: str, figure: str, results_dataset: str | None) -> str:
    """The README.md of one run, YAML head included; the same table gives the same text.

    ``figure`` is the path of the one that it shows; empty for none.
    """
    rows = part.cells
    repo_id = str(rows["repo_id"].iloc[0])
    revisions = list(map(str, rows.sort_values("order", kind="stable")["revision"].unique()))
    on_hub = "/" in repo_id  # a folder of models has no owner
    # In repositories only the training of this package records steps: not for imported or foreign models.
    trained = on_hub and bool(rows["step"].notna().any())
    model_class, processor_class = (_class_name(rows[name]) for name in ("model_class", "processor_class"))
    clip, dynamics = trained and model_class == "CLIPModel", len(revisions) > 1
    name = _line(repo_id.rpartition("/")[2])
    items = _index_results(part, name, revisions[-1], results_dataset)
    head: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": (_IMAGES if "Image" in processor_class else _DUAL) if processor_class else None,
        "tags": [*["clip"] * clip, TOOL, *["training-dynamics"] * dynamics],
        _INDEX: [{"name": name, "results": items}] if items else None,
    }
    facts = {"title": run, "repo_id": repo_id, "on_hub": on_hub, "revisions": revisions, "figure": figure}
    facts |= {"name": _loaded_by(repo_id, part.results.files, revisions[-1]), "synthetic": part.synthetic}
    facts |= {"model_class": model_class, "processor_class": processor_class, "trained": trained}
    facts |= {"dynamics": dynamics, "verdicts": tested_sentences(part), "findings": find(part)}
    tables = [*overview_tables(part), provenance_table(part).without("run")]
    *shown, measured = (Markup(table.markdown()) for table in tables)  # noqa: S704 (escaped by cell)
    facts |= {"limits": limits(part), "tables": shown, "measured": measured}
    return render_card("run.md.jinja", CardData(**head), **facts)


def _loaded_by(repo_id: str, tables: Sequence[Path], revision: str) -> str | None:
    """What `from_pretrained` takes for the folder of a revision of a run that is on this disk alone."""
    run = run_beside(repo_id, tables)
    is_here = run is not None and run.names() and not run.manifest().pushed
    return f"{run.where}/{revision}" if run is not None and is_here else None


def _class_name(names: "pd.Series[str]") -> str:
    """The class that a column of the table gives; empty if it is unknown, or no name that code could have."""
    known = set(names) - {""}
    return known.pop() if len(known) == 1 and all(map(_CLASS.fullmatch, known)) else ""


def _index_results(part: Study, name: str, revision: str, source: str | None) -> list[dict[str, Any]]:
    """The main metrics at the last revision of a run, an item for each benchmark.

    Main metrics are those with a place in the overview. A number that is undefined or not interpretable is left out,
    and so is a benchmark that was not measured on the last revision. Their source is the data set with the table.
    """
    items = []
    for benchmark in map("/".join, part.measured):
        courses = (course for chosen in part.planner.overview_numbers(benchmark) for course in chosen)
        pairs = ((course, point) for course in courses for point in part.planner.points(course))
        found = [(course, point) for course, point in pairs if point.usable and point.revision == revision]
        results = [_result(part, course, point, source) for course, point in found]
        items += eval_results_to_model_index(name, results)[0]["results"]
    return items


def _result(part: Study, course: Course, point: Point, source: str | None) -> EvalResult:
    words = part.results.words
    terms, dataset = words.kind(course.kind), words.dataset(course.dataset)
    shown = terms.draws or (f"{dataset.title} (synthetic)" if dataset.synthetic else dataset.title)
    facts: dict[str, Any] = {"measured_by": TOOL, "revision": _line(point.revision), "n": int(point.n)}
    if math.isfinite(point.ci_low) and math.isfinite(point.ci_high):
        facts["interval"] = [round(float(end), 4) for end in (point.ci_low, point.ci_high)]
        level = float(part.confidence_of_cell[point.cell])
        facts |= {} if math.isnan(level) else {"confidence_level": level}
    return EvalResult(
        task_type=terms.task or _IMAGES,
        task_name=_line(terms.title),
        dataset_name=_line(shown),
        dataset_type=hub_dataset(part, course.kind, course.dataset) or _line(course.dataset),
        dataset_split=_line(course.split),
        dataset_args={"fingerprint": course.data_fingerprint[:12]},
        metric_type=_line(course.metric),
        metric_value=round(float(point.value), 4),
        metric_name=_line(f"{part.planner.name(course)}, {point.revision}"),
        metric_args=facts,
        verified=False,
        source_name="Results of every revision" if source else None,
        source_url=f"https://huggingface.co/datasets/{quote(source)}" if source else None,
    )


def _line(text: str) -> str:
    """A name on one line: YAML would read some breaks that it wrote as spaces."""
    return " ".join(str(text).split())


def hub_dataset(study: Study, kind: str, dataset: str) -> str | None:
    """The data set on the Hub that numbers were measured on; None if there is none, as of drawn stimuli."""
    if dataset not in dataset_names():
        return None  # of a plugin that is not loaded
    metadata = dataset_metadata(dataset)
    return None if study.results.words.kind(kind).draws or metadata.synthetic else metadata.mirror


def _space_readme(study: Study, models: Sequence[str], table: str | None, licence: str | None) -> str:
    """The README.md of a new Space."""
    dynamics, runs = study.over_training, counted(len(study.runs), "run")
    subject = "Training dynamics" if dynamics else "Measurements"
    title = f"{subject} of {study.runs[0] if len(study.runs) == 1 else runs}"
    datasets = [table, *(hub_dataset(study, *pair) for pair in study.measured)]
    head: dict[str, Any] = {
        "title": shorten(title, _LONGEST_TITLE),
        "emoji": "📈",
        "colorFrom": "indigo",
        "colorTo": "green",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "license": licence,
        "tags": [TOOL, *["training-dynamics"] * dynamics],
        "models": list(models) or None,
        "datasets": list(dict.fromkeys(filter(None, datasets))) or None,
    }
    revisions = counted(len(study.cells[["run", "revision"]].drop_duplicates()), "revision")
    shown = f"{revisions} of {runs} on {counted(len(study.measured), 'benchmark')}"
    facts = {"title": title, "shown": shown, "runs": study.runs, "synthetic": study.synthetic}
    return render_card("space.md.jinja", CardData(**head), results_dataset=table, **facts)
