"""A study on the Hub: card and report of each run in its repository, and the page of all runs as a static Space.

::

    README.md     the card
    report/       index.html and figures, as `write_report` leaves them; the card shows one figure

    README.md     of the Space: configuration, and a section by which it is known as ours
    index.html    the page, which loads nothing

The Hub shows the HTML of a model's repository as text, so a page that readers can open needs a Space. A README.md that
is there already keeps everything but the section between two marks and our results in its model index.
The configuration of a static Space: https://huggingface.co/docs/hub/spaces-config-reference.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from huggingface_hub import HfApi, ModelCardData, SpaceCardData
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from markupsafe import Markup

from hf_clipdyn import __version__
from hf_clipdyn.cards import markdown, render_card
from hf_clipdyn.errors import ConfigError, PublishError, counted, shorten
from hf_clipdyn.files import write_atomically
from hf_clipdyn.hub import check_login, checked_repo_id, persistently, push_folder
from hf_clipdyn.report.card_text import CardText, with_results
from hf_clipdyn.report.figures import overview_figure
from hf_clipdyn.report.model_index import (
    TASK,
    dataset_address,
    hub_dataset,
    index_results,
    revision_names,
)
from hf_clipdyn.report.page import write_report
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.tables import Table, overview_tables, provenance_table
from hf_clipdyn.report.words import find, limits, tested_sentences
from hf_clipdyn.revisions.open import run_beside

_README, _PAGE, _REPORT = "README.md", "index.html", "report"
_CARD_MARKS = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_SPACE_MARKS = "<!-- page of hf-clipdyn -->", "<!-- end of page -->"
_CLASS = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")
_DUAL_TASK = "zero-shot-image-classification"
_FIGURE = f"{_REPORT}/figures/summary.png"
_FIRST_COMMIT = "initial commit"
_LONGEST_TITLE = 80
_Results = str | Path | Sequence[str | Path] | pd.DataFrame | Study


def card_name(run: str) -> str:
    """File name of a run's card: ``card-me--run.md``."""
    return f"card-{_file_name(run)}.md"


def _file_name(run: str) -> str:
    """The name of a run as the name of a file or a folder: ``me--run``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.replace("/", "--")).strip("-")


def card_figure(run: str) -> str:
    """Path of the figure that a run's card shows, beside the card: ``figures/card-me--run.png``."""
    return f"figures/{card_name(run).removesuffix('.md')}.png"


def _card(own: Study, run: str, figure: str, results_dataset: str | None) -> str:
    """The README.md of one run, YAML head included; the same table gives the same text.

    ``figure`` is the path of the one that it shows; empty for none.
    """
    rows = own.cells
    repo_id = str(rows["repo_id"].iloc[0])
    revisions = revision_names(own)
    on_hub = "/" in repo_id  # a folder of models has no owner
    # In repositories only the training of this package records steps: not for imported or foreign models.
    trained = on_hub and bool(rows["step"].notna().any())
    model_class, processor_class = (_class_name(rows[name]) for name in ("model_class", "processor_class"))
    clip, dynamics = trained and model_class == "CLIPModel", len(revisions) > 1
    text = render_card(
        "run.md.jinja",
        ModelCardData(
            library_name="transformers",
            pipeline_tag=None if not processor_class else TASK if "Image" in processor_class else _DUAL_TASK,
            tags=[*["clip"] * clip, "hf-clipdyn", *["training-dynamics"] * dynamics],
        ),
        title=run,
        section=_card_section(own, figure),
        repo_id=repo_id,
        on_hub=on_hub,
        name=_loaded_by(repo_id, own.results.files, revisions[-1]),
        revisions=revisions,
        model_class=model_class,
        processor_class=processor_class,
        trained=trained,
        dynamics=dynamics,
    )
    items = index_results(own, results_dataset)
    return str(with_results(CardText.parse(text), repo_id.rpartition("/")[2], items))


def _loaded_by(repo_id: str, tables: Sequence[Path], revision: str) -> str | None:
    """What `from_pretrained` takes for the folder of a revision of a run that is on this disk alone."""
    run = run_beside(repo_id, tables)
    if run is None or not run.names() or run.manifest().hub is not None:
        return None
    return f"{run.where}/{revision}"


def _class_name(names: "pd.Series[str]") -> str:
    """The class that a column of the table gives; empty if it is unknown, or no name that code could have."""
    known = set(names) - {""}
    return known.pop() if len(known) == 1 and all(map(_CLASS.fullmatch, known)) else ""


def merge_card(existing: str, card: str) -> str:
    """An existing card with new results and a new section of trajectories; every other byte stays.

    The ValueError about a head or an index of the existing card that cannot be read continues "The card of me/run ".
    """
    new = CardText.parse(card)
    (entry,) = new.data.get("model-index") or [{"name": "", "results": []}]
    merged = with_results(CardText.parse(existing), entry["name"], entry["results"])
    return str(merged.with_section(_section_of(new, _CARD_MARKS), *_CARD_MARKS))


def _section_of(card: CardText, marks: tuple[str, str]) -> str:
    begin, end = marks
    return card.body[card.body.index(begin) : card.body.index(end) + len(end)]


def _section(lines: Sequence[str], marks: tuple[str, str]) -> Markup:
    begin, end = marks
    return Markup("\n".join([begin, "", *lines, "", end]))  # noqa: S704 (escaped piece by piece)


def _synthetic_notice(study: Study, notice: str) -> list[str]:
    """A paragraph on the synthetic data sets; no lines if there are none."""
    named = [f"{title}: {caution}" if caution else f"{title}." for title, caution in study.synthetic.items()]
    return (
        [" ".join([f"**Some benchmarks use synthetic images{notice}", *map(markdown, named)]), ""]
        if named
        else []
    )


def _card_section(own: Study, figure: str) -> Markup:
    notice = "**, not photographs; human reference values do not apply to them."
    lines = ["## Trajectories", "", *_synthetic_notice(own, notice)]
    if figure:
        lines += [f"![The study at a glance]({figure})", ""]
    for table in overview_tables(own):
        lines += [_markdown(table), ""]
    lines += [f"- {markdown(sentence)}" for sentence in tested_sentences(own)]
    lines += [f"- **{markdown(finding.question)}**: {markdown(finding.words)}" for finding in find(own)]
    lines += ["", markdown(limits(own)), "", "### How it was measured", ""]
    return _section([*lines, _markdown(provenance_table(own), skip=1)], _CARD_MARKS)


def _markdown(table: Table, *, skip: int = 0) -> str:
    """A table in GitHub's Markdown, without its first ``skip`` columns."""
    rows = [table.headings, ("---",) * len(table.headings), *table.rows]
    cells = [[markdown(cell.replace("\n", ", ")) for cell in row[skip:]] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def write_cards(
    results: _Results,
    output: str | Path,
    *,
    results_dataset: str | None = None,
) -> list[Path]:
    """Write a model card for each run, and the figure that it shows.

    A card that exists is updated; text that a person wrote into it stays.

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
    study, output = read_study(results), Path(output)
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    output.mkdir(parents=True, exist_ok=True)
    return [_write_card(study, run, output, results_dataset) for run in study.runs]


def _write_card(study: Study, run: str, output: Path, results_dataset: str | None) -> Path:
    own, path = study.of_run(run), output / card_name(run)
    figure = card_figure(run) if own.overview else ""
    if figure:
        write_atomically(output / figure, overview_figure(own, "png"))
    _write_merged(path, _card(own, run, figure, results_dataset))
    return path


def _write_merged(path: Path, card: str) -> None:
    """Write a card; of one that is there, what a person wrote stays."""
    write_atomically(path, _merged(path.read_bytes(), card, str(path)) if path.exists() else card)


def _merged(existing: bytes, card: str, what: str) -> str:
    """`merge_card` with errors as sentences."""
    try:
        text = existing.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is not UTF-8 text: correct it, or delete it to get a new one.") from error
    try:
        return merge_card(text, card)
    except ValueError as error:
        raise ConfigError(f"{what} {error}: correct it, or delete it to get a new one.") from error


def write_runs(
    results: _Results, output: str | Path, *, results_dataset: str | None = None, **page: Any
) -> list[Path]:
    """Write what `push_runs` sends: for each run a folder with its card, README.md, and its report.

    A card that exists is updated; text that a person wrote into it stays.

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
    study = read_study(results)
    return [
        _write_run(study, run, Path(output) / _file_name(run), results_dataset, page) for run in study.runs
    ]


def _write_run(
    study: Study, run: str, folder: Path, results_dataset: str | None, page: Mapping[str, Any]
) -> Path:
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    own = study.of_run(run)
    write_report(own, folder / _REPORT, **page)
    figure = _FIGURE if (folder / _FIGURE).exists() else ""
    _write_merged(folder / _README, _card(own, run, figure, results_dataset))
    return folder


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

    `README.md` and the folder `report` change; the weights stay, and so does what a person wrote on the card. A second
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
    study = read_study(results)
    runs = _repositories(study)
    check_login("The runs cannot be pushed", token)
    pushed, failed = dict[str, str | None](), []
    for run, repo_id in runs.items():
        with ExitStack() as stack:
            place = Path(output or stack.enter_context(TemporaryDirectory(prefix="clipdyn-share-")))
            folder = _write_run(study, run, place / _file_name(run), results_dataset, page)
            try:
                commit, is_new = push_folder(
                    folder,
                    repo_id,
                    "Show the trajectories, measured by hf-clipdyn",
                    complete=partial(_complete_run, folder, (folder / _README).read_text(encoding="utf-8")),
                    replaced=f"{_REPORT}/*",
                    create=False,
                    private=private,
                    token=token,
                )
                pushed[repo_id] = commit.commit_url if is_new else None
            except (ConfigError, PublishError) as error:
                failed.append(str(error))
    if failed:
        done = f" Pushed: {', '.join(pushed)}." if pushed else ""
        raise PublishError(" ".join(failed) + done)
    return pushed


def _complete_run(folder: Path, card: str, api: HfApi, info: Any) -> None:
    """Merge the card that is on the Hub into the one that is sent."""
    existing = _readme_on_hub(api, info, "model")
    if existing is not None:
        card = _merged(existing, card, f"The card of {info.id}")
    write_atomically(folder / _README, card)


def _readme_on_hub(api: HfApi, info: Any, repo_type: str) -> bytes | None:
    """The README.md of a repository as it was when the push began; None if it has none."""
    at: dict[str, Any] = {"repo_id": info.id, "repo_type": repo_type, "revision": info.sha}
    if _README not in api.list_repo_files(**at):
        return None
    return Path(api.hf_hub_download(filename=_README, **at)).read_bytes()


def _repositories(study: Study) -> dict[str, str]:
    """The repository of each run that has one, to be pushed to; an error if none has, or two share one."""
    named = study.cells[["run", "repo_id"]].drop_duplicates().itertuples(index=False, name=None)
    runs = {run: repo_id for run, repo_id in named if "/" in repo_id}
    if not runs:
        raise ConfigError(
            "These tables contain only models in local folders: push a model to the Hub and evaluate it there."
        )
    repo_id, n = Counter(runs.values()).most_common(1)[0]
    if n > 1:
        raise ConfigError(
            f"These tables contain two runs of {repo_id}: push from the table with its current commits."
        )
    return runs


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

    A missing Space is created. In an existing one, text that a person wrote into README.md stays. If the content is the
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
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    check_login(f"The page cannot be pushed to {repo_id}", token)
    study = read_study(results)
    with TemporaryDirectory(prefix="clipdyn-space-") as folder:
        write_report(study, folder, figures=False, **page)

        def complete(api: HfApi, info: Any) -> None:
            models = [name for name in _models(study) if "/" in name and _is_on_hub(api, name, study)]
            readme = _space_readme(study, models, results_dataset, licence)
            Path(folder, _README).write_text(_readme_of_space(api, info, readme), encoding="utf-8")

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


def _models(study: Study) -> list[str]:
    return list(study.cells["repo_id"].drop_duplicates())


def _readme_of_space(api: HfApi, info: Any, readme: str) -> str:
    """The README.md of a new Space, or the one that is there, brought up to date."""
    history = api.list_repo_commits(info.id, repo_type="space", revision=info.sha)
    # A new Space has a page of the Hub's in its first commit; the only commit of a copy names its source.
    if [commit.title for commit in history] == [_FIRST_COMMIT]:
        return readme
    existing = _readme_on_hub(api, info, "space") or b""
    return _merged_space(existing.decode(errors="replace"), readme, info.id)


def _merged_space(existing: str, readme: str, repo_id: str) -> str:
    """The README.md of a Space of ours, brought up to date."""
    if _SPACE_MARKS[0] not in existing.splitlines():
        raise ConfigError(
            f"The Space {repo_id} has other content (its README.md has no line {_SPACE_MARKS[0]}): name another "
            "Space, or delete that one."
        )
    new = CardText.parse(readme)
    try:
        card = CardText.parse(existing)
        for key in ("sdk", "app_file", "models", "datasets"):
            card = card.with_key(key, new.data.get(key)) if new.data.get(key) != card.data.get(key) else card
    except ValueError as error:
        raise ConfigError(f"The README.md of the Space {repo_id} {error}: correct it.") from error
    return str(card.with_section(_section_of(new, _SPACE_MARKS), *_SPACE_MARKS))


def _is_on_hub(api: HfApi, repo_id: str, study: Study) -> bool:
    """Whether the Hub has a commit that was measured: somebody else may own a repository with a local run's name."""
    commit = str(study.cells.loc[study.cells["repo_id"] == repo_id, "commit"].iloc[-1])
    try:
        persistently(lambda: api.repo_info(checked_repo_id(repo_id), revision=commit))
    except (ConfigError, RepositoryNotFoundError, RevisionNotFoundError):
        return False
    return True


def _space_readme(
    study: Study, models: Sequence[str], results_dataset: str | None, licence: str | None
) -> str:
    """The README.md of a new Space."""
    dynamics = study.over_training
    whose = study.runs[0] if len(study.runs) == 1 else counted(len(study.runs), "run")
    title = f"{'Training dynamics' if dynamics else 'Measurements'} of {whose}"
    mirrors = filter(None, map(hub_dataset, study.trajectories))
    datasets = [*([results_dataset] if results_dataset else []), *dict.fromkeys(mirrors)]
    data = SpaceCardData(
        title=shorten(title, _LONGEST_TITLE),
        emoji="📈",
        colorFrom="indigo",
        colorTo="green",
        sdk="static",
        app_file=_PAGE,
        pinned=False,
        license=licence,
        tags=["hf-clipdyn", *["training-dynamics"] * dynamics],
        models=list(models) or None,
        datasets=datasets or None,
    )
    return render_card("space.md.jinja", data, title=title, section=_space_section(study, results_dataset))


def _space_section(study: Study, results_dataset: str | None) -> Markup:
    benchmarks = study.cells[["kind", "dataset"]].drop_duplicates()
    revisions = study.cells[["run", "revision"]].drop_duplicates()
    lines = [
        f"`{_PAGE}` shows {counted(len(revisions), 'revision')} of {counted(len(study.runs), 'run')} on "
        f"{counted(len(benchmarks), 'benchmark')}, measured by hf-clipdyn {__version__}. It needs no other file.",
        "",
        *(f"- {markdown(run)}" for run in study.runs),
    ]
    if results_dataset:
        lines += ["", f"The table is [{markdown(results_dataset)}]({dataset_address(results_dataset)})."]
    notice = _synthetic_notice(study, ".**")[:1]
    return _section([*lines, *([""] if notice else []), *notice], _SPACE_MARKS)
