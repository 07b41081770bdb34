"""A study on the Hub: the model card of each run, and the page as a static Space, or the app as one of Gradio.

::

    card-me--run.md               on the disk; README.md in the repository
    figures/card-me--run.png      the figure that it shows
    .eval_results/hf-clipdyn--zero_shot--cifar10.yaml     in the repository only: see `leaderboards`

    README.md     of the Space: configuration, and a section by which it is known as ours
    index.html    the page, which loads nothing

    README.md, app.py, requirements.txt     of the app, which reads the revisions from the Hub

A README.md that is there already keeps everything but the section between two marks and our results in its model index.
The configuration of a static Space: https://huggingface.co/docs/hub/spaces-config-reference.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from huggingface_hub import HfApi, ModelCardData, SpaceCardData
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from markupsafe import Markup

from hf_clipdyn import __version__, hub
from hf_clipdyn.cards import markdown, render_card
from hf_clipdyn.errors import ConfigError, PublishError, counted, shorten
from hf_clipdyn.files import check_output, disk_errors, write_atomically
from hf_clipdyn.hub import Destination, attempt, check_login, push
from hf_clipdyn.report import app_space
from hf_clipdyn.report.card_text import CardText, with_results
from hf_clipdyn.report.figures import overview_figure
from hf_clipdyn.report.leaderboards import (
    FOLDER,
    TASK,
    check_dataset,
    dataset_address,
    eval_results,
    hub_dataset,
    index_results,
    revision_names,
)
from hf_clipdyn.report.page import write_report
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.tables import Table, overview_tables, provenance_table
from hf_clipdyn.report.words import find, limits, tested_sentences
from hf_clipdyn.revisions.listing import local_store
from hf_clipdyn.schema import checked_repo_id

__all__ = ["PushedCard", "card_name", "merge_card", "push_cards", "push_space", "write_cards", "write_space"]

_README, _PAGE = "README.md", "index.html"
_CARD_MARKS = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_SPACE_MARKS = "<!-- page of hf-clipdyn -->", "<!-- end of page -->"
_CLASS = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")
_DUAL_TASK = "zero-shot-image-classification"
_FIRST_COMMIT = "initial commit"
_LONGEST_TITLE = 80
_Results = str | Path | Sequence[str | Path] | pd.DataFrame | Study


def card_name(run: str) -> str:
    """File name of a run's card: ``card-me--run.md``."""
    return f"card-{re.sub(r'[^A-Za-z0-9._-]+', '-', run.replace('/', '--')).strip('-')}.md"


def card_figure(run: str) -> str:
    """Path of the figure that a run's card shows, beside the card: ``figures/card-me--run.png``."""
    return f"figures/{card_name(run).removesuffix('.md')}.png"


def _card(own: Study, run: str, results_dataset: str | None) -> str:
    """The README.md of one run, YAML head included; the same table gives the same text."""
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
        section=_card_section(own, run),
        repo_id=repo_id,
        on_hub=on_hub,
        store=local_store(repo_id, own.results.tables),
        revisions=revisions,
        model_class=model_class,
        processor_class=processor_class,
        trained=trained,
        dynamics=dynamics,
    )
    items = index_results(own, results_dataset)
    return str(with_results(CardText.parse(text), repo_id.rpartition("/")[2], items))


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


def _card_section(own: Study, run: str) -> Markup:
    notice = "**, not photographs; human reference values do not apply to them."
    lines = ["## Trajectories", "", *_synthetic_notice(own, notice)]
    if own.overview:
        lines += [f"![The study at a glance]({card_figure(run)})", ""]
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
        ConfigError: a file does not exist or is not a table of results, an earlier card cannot be read, or the folder
            cannot be written.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn.report import write_cards
        >>> [path.as_posix() for path in write_cards("runs/demo/results.parquet", "cards")]
        ['cards/card-local--demo.md']
    """
    study, output = read_study(results), Path(output)
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    with disk_errors(ConfigError, f"The cards cannot be written to {output}"):
        output.mkdir(parents=True, exist_ok=True)
        return [_write_card(study, run, output, results_dataset) for run in study.runs]


def _write_card(study: Study, run: str, output: Path, results_dataset: str | None) -> Path:
    own, path = study.of_run(run), output / card_name(run)
    text = _card(own, run, results_dataset)
    if path.exists():
        text = _merged(path.read_bytes(), text, str(path))
    if own.overview:
        write_atomically(output / card_figure(run), overview_figure(own, "png"))
    write_atomically(path, text)
    return path


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


@dataclass(frozen=True)
class PushedCard:
    """What became of the card of a repository.

    Attributes:
        repo_id: the repository.
        url: of the commit; None if the repository has all of this already.
        eval_results: names of the benchmarks with a file in `.eval_results`.
        left_out: the cause by benchmark without one.
    """

    repo_id: str
    url: str | None
    eval_results: tuple[str, ...]
    left_out: dict[str, str]


def push_cards(
    results: _Results,
    *,
    results_dataset: str | None = None,
    token: str | None = None,
) -> list[PushedCard]:
    """Update the model card of every run on the Hub, each in one commit to `main`.

    Only `README.md`, the figure and this package's files in `.eval_results` change; the rest of the card and the
    weights stay. A second call with the same table makes no commit. Models that were read from a folder have no
    repository, so they are left out.

    Args:
        results: as for `write_cards`.
        results_dataset: data set on the Hub with the whole table, ``owner/name``: the source of the results.
        token: token of the Hub; default: the stored one.

    Returns:
        For each repository the commit, and the benchmarks with a file in `.eval_results`.

    Raises:
        ConfigError: two runs share a repository; all models are folders; a card on the Hub cannot be read; or there is
            no such data set of results.
        PublishError: the Hub refuses or cannot be reached; the cards of the other runs are pushed.

    Examples:
        >>> from hf_clipdyn.report import push_cards
        >>> (card,) = push_cards("runs/demo/results.parquet")
        >>> card.repo_id, card.eval_results
        ('local/demo', ())
    """
    study = read_study(results)
    runs = _repositories(study)
    check_login("The cards cannot be pushed", token)
    if results_dataset is not None:
        check_dataset(results_dataset, token)
    pushed, failed = [], []
    for run, repo_id in runs.items():
        try:
            pushed.append(_push(study, run, repo_id, results_dataset, token))
        except (ConfigError, PublishError) as error:
            failed.append(str(error))
    if failed:
        done = f" Pushed: {', '.join(card.repo_id for card in pushed)}." if pushed else ""
        raise PublishError(" ".join(failed) + done)
    return pushed


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
            f"These tables contain two runs of {repo_id}: push the card from the table with its current commits."
        )
    return runs


def _push(study: Study, run: str, repo_id: str, results_dataset: str | None, token: str | None) -> PushedCard:
    own = study.of_run(run)
    card = _card(own, run, results_dataset)
    figures = {card_figure(run): overview_figure(own, "png")} if own.overview else {}

    def write(to: Destination) -> PushedCard:
        results = eval_results(own, to.api, hub.PUSHING, results_dataset)
        url = _commit_card(to, card, {**results.files, **figures})
        return PushedCard(repo_id, url, tuple(results.files), results.left_out)

    return push(
        repo_id, write, problem=f"The card of {repo_id} could not be pushed", create=False, token=token
    )


def _commit_card(to: Destination, card: str, files: Mapping[str, bytes]) -> str | None:
    """One commit with everything that changes; its address, or None if nothing does."""
    paths, existing = _readme_at(to)
    if existing is not None:
        card = _merged(existing, card, f"The card of {to.repo_id}")
    return to.commit(
        {_README: card.encode(), **files},
        "Show the trajectories, measured by hf-clipdyn",
        deleted=[path for path in paths if path.startswith(FOLDER) and path not in files],
    )


def _readme_at(to: Destination) -> tuple[list[str], bytes | None]:
    """The paths of a repository at its head, and its README.md; None if it has none."""
    place: dict[str, Any] = {"repo_id": to.repo_id, "repo_type": to.repo_type, "revision": to.head}
    paths = to.api.list_repo_files(**place)
    if _README not in paths:
        return paths, None
    return paths, Path(to.api.hf_hub_download(filename=_README, **place)).read_bytes()


def write_space(
    results: _Results,
    output: str | Path,
    *,
    app: bool = False,
    results_dataset: str | None = None,
    licence: str | None = None,
    **page: Any,
) -> Path:
    """Write the page and the README.md of a static Space, or the files of a Space with the app.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`.
        output: folder, created if missing.
        app: write the app (`clipdyn app`) instead of the page. It reads the measured revisions from the Hub, each at
            the commit that was measured.
        results_dataset: data set on the Hub with the whole table, ``owner/name``, to link.
        licence: identifier of the Hub's list (`cc-by-4.0`) for the Space; none by default.
        page: options of `write_report`; none for the app.

    Returns:
        The path of the page, or of the app's program.

    Raises:
        ConfigError: a file does not exist or is not a table of results, the folder cannot be written, or no model can
            be on the Hub that the app could read.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn import load_results
        >>> from hf_clipdyn.report import write_space
        >>> rows = load_results("runs/demo/results.parquet").query("kind == 'zero_shot'")
        >>> page = write_space(rows, "space", stimuli="none")
        >>> sorted(path.name for path in Path("space").iterdir())
        ['README.md', 'index.html']
    """
    study, output = read_study(results), Path(output)
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    check_output(output / _README, what="the README.md of a Space of hf_clipdyn", is_own=_is_readme)
    facts = _SpaceFacts(app, tuple(filter(_has_owner, _models(study))), results_dataset, licence)
    if not app:
        write_report(study, output, figures=False, **page)
    with disk_errors(ConfigError, f"The Space cannot be written to {output}"):
        output.mkdir(parents=True, exist_ok=True)
        if app:
            app_space.write_app(output, app_space.app_files(study.cells, facts.models))
        write_atomically(output / _README, _space_readme(study, replace(facts, models=facts.models * app)))
    return output / facts.app_file


def push_space(
    results: _Results,
    repo_id: str,
    *,
    app: bool = False,
    output: str | Path | None = None,
    private: bool = False,
    results_dataset: str | None = None,
    licence: str | None = None,
    token: str | None = None,
    **page: Any,
) -> str | None:
    """Push the page of a study to a static Space, or the app to a Space of Gradio, in one commit.

    A missing Space is created. In an existing one, text that a person wrote into README.md stays, and so do
    requirements that a person changed. If the content is the same, no commit is made.

    Args:
        results, app, results_dataset, licence, page: as for `write_space`.
        repo_id: the Space, ``owner/name``.
        output: folder for a local copy, as of `write_space`; none by default.
        private: make the Space private.
        token: token of the Hub; default: the stored one.

    Returns:
        The address of the commit; None if the Space has this content already.

    Raises:
        ConfigError: the call is wrong, the Space contains something else, it is public and ``private`` is set, or the
            Hub has none of the models that the app would read.
        PublishError: the Hub refuses or cannot be reached; ``output`` is complete.

    Examples:
        >>> from hf_clipdyn import load_results
        >>> from hf_clipdyn.report import push_space
        >>> rows = load_results("runs/demo/results.parquet").query("kind == 'zero_shot'")
        >>> url = push_space(rows, "me/study", stimuli="none")
        >>> "/spaces/me/study/commit/" in url
        True
    """
    what = "app" if app else "page"
    checked_repo_id(repo_id, what="push_to_hub", owner=True)
    check_login(f"The {what} cannot be pushed to {repo_id}", token)
    study = read_study(results)
    with ExitStack() as stack:
        folder = Path(output or stack.enter_context(TemporaryDirectory(prefix="clipdyn-space-")))
        path = write_space(study, folder, app=app, results_dataset=results_dataset, licence=licence, **page)

        def write(to: Destination) -> str | None:
            models = tuple(
                name for name in _models(study) if _has_owner(name) and _is_on_hub(to.api, name, study)
            )
            if app and not models:
                raise ConfigError(
                    "The Hub has none of these models at the commits that were measured, so the app could read none: "
                    "push the run first, with `clipdyn repair RUN --push_to_hub true`."
                )
            readme = _space_readme(study, _SpaceFacts(app, models, results_dataset, licence))
            write_atomically(folder / _README, readme)
            if not app:
                return _commit_space(to, readme, {_PAGE: path.read_bytes()})
            files = app_space.app_files(study.cells, models)
            app_space.write_app(folder, files)
            return _commit_space(to, readme, files)

        return push(
            repo_id,
            write,
            problem=f"The {what} could not be pushed to the Space {repo_id}",
            done=f"{output} is complete." if output else "",
            repo_type="space",
            space_sdk="gradio" if app else "static",
            private=private,
            token=token,
        )


@dataclass(frozen=True)
class _SpaceFacts:
    """What a Space says of itself.

    Attributes:
        app: whether it is the app; else it is the page.
        models: repositories on the Hub.
        results_dataset: with the table.
        licence: of the Space.
    """

    app: bool
    models: tuple[str, ...] = ()
    results_dataset: str | None = None
    licence: str | None = None

    @property
    def app_file(self) -> str:
        return app_space.APP if self.app else _PAGE


def _models(study: Study) -> list[str]:
    return list(study.cells["repo_id"].drop_duplicates())


def _has_owner(repo_id: str) -> bool:
    return "/" in repo_id


def _is_readme(path: Path) -> bool:
    return _SPACE_MARKS[0] in path.read_text(encoding="utf-8", errors="replace").splitlines()


def _commit_space(to: Destination, readme: str, files: Mapping[str, bytes]) -> str | None:
    history = to.api.list_repo_commits(to.repo_id, repo_type="space", revision=to.head)
    # A new Space has a page of the Hub's in its first commit; the only commit of a copy names its source.
    if [commit.title for commit in history] != [_FIRST_COMMIT]:
        paths, existing = _readme_at(to)
        readme = _merged_space((existing or b"").decode(errors="replace"), readme, to.repo_id)
        files = app_space.to_commit(files, to, paths)
    return to.commit({_README: readme.encode(), **files}, "Show the study, measured by hf-clipdyn")


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
        for key in ("sdk", "sdk_version", "app_file", "models", "datasets"):
            card = card.with_key(key, new.data.get(key)) if new.data.get(key) != card.data.get(key) else card
    except ValueError as error:
        raise ConfigError(f"The README.md of the Space {repo_id} {error}: correct it.") from error
    return str(card.with_section(_section_of(new, _SPACE_MARKS), *_SPACE_MARKS))


def _is_on_hub(api: HfApi, repo_id: str, study: Study) -> bool:
    """Whether the Hub has a commit that was measured: somebody else may own a repository with a local run's name."""
    commit = str(study.cells.loc[study.cells["repo_id"] == repo_id, "commit"].iloc[-1])
    try:
        attempt(lambda: api.repo_info(checked_repo_id(repo_id), revision=commit), hub.PUSHING)
    except (ConfigError, RepositoryNotFoundError, RevisionNotFoundError):
        return False
    return True


def _space_readme(study: Study, facts: _SpaceFacts) -> str:
    """The README.md of a new Space."""
    dynamics = study.over_training
    whose = study.runs[0] if len(study.runs) == 1 else counted(len(study.runs), "run")
    title = f"{'Training dynamics' if dynamics else 'Measurements'} of {whose}"
    if facts.app:
        title = f"Ask every revision of {whose}"
    mirrors = filter(None, map(hub_dataset, study.trajectories))
    datasets = [*([facts.results_dataset] if facts.results_dataset else []), *dict.fromkeys(mirrors)]
    data = SpaceCardData(
        title=shorten(title, _LONGEST_TITLE),
        emoji="📈",
        colorFrom="indigo",
        colorTo="green",
        sdk="gradio" if facts.app else "static",
        sdk_version=app_space.GRADIO if facts.app else None,
        app_file=facts.app_file,
        pinned=False,
        license=facts.licence,
        tags=["hf-clipdyn", *["training-dynamics"] * dynamics],
        models=list(facts.models) or None,
        datasets=datasets or None,
    )
    section = _space_section(study, facts.results_dataset)
    if facts.app:
        section = _section(
            [*app_space.app_lines(len(facts.models)), *(f"- {markdown(run)}" for run in study.runs)],
            _SPACE_MARKS,
        )
    return render_card("space.md.jinja", data, title=title, section=section)


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
