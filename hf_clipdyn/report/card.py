"""The trajectories of a run as a model card: its results for the Hub's index, and a section for readers.

::

    card-me--run.md               on the disk; README.md in the repository
    figures/card-me--run.png      the figure that it shows
    .eval_results/hf-clipdyn--zero_shot--cifar10.yaml     in the repository only: see `eval_results`

A card that is there already keeps everything but the section between two marks and our results in its model index.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from huggingface_hub import HfApi, ModelCardData
from huggingface_hub.errors import RepositoryNotFoundError
from markupsafe import Markup

from hf_clipdyn import hub
from hf_clipdyn.cards import markdown, render_card
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.files import write_atomically
from hf_clipdyn.hub import (
    Destination,
    attempt,
    check_login,
    push,
    reason,
)
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.card_text import CardText
from hf_clipdyn.report.eval_results import FOLDER, eval_results
from hf_clipdyn.report.figures import draw_panels
from hf_clipdyn.report.final_results import revision_names
from hf_clipdyn.report.model_index import TASK, index_results, with_results
from hf_clipdyn.report.sentences import find, limits, tested_sentences
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import figure_style
from hf_clipdyn.report.tables import Table, overview_tables, provenance_table
from hf_clipdyn.schema import checked_repo_id

__all__ = ["PushedCard", "card_figure", "card_name", "merge_card", "push_cards", "run_card", "write_cards"]

_BEGIN, _END = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_CLASS = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")
_DUAL_TASK = "zero-shot-image-classification"


def card_name(run: str) -> str:
    """File name of a run's card: ``card-me--run.md``."""
    return f"card-{re.sub(r'[^A-Za-z0-9._-]+', '-', run.replace('/', '--')).strip('-')}.md"


def card_figure(run: str) -> str:
    """Path of the figure that a run's card shows, beside the card: ``figures/card-me--run.png``."""
    return f"figures/{card_name(run).removesuffix('.md')}.png"


def run_card(study: Study, run: str, results_dataset: str | None = None) -> str:
    """The README.md of one run, YAML head included; the same table gives the same text.

    Args:
        study: of all runs.
        run: name of the run.
        results_dataset: data set on the Hub with the whole table, which the results then name as their source.
    """
    return _card(study.of_run(run), run, results_dataset)


def _card(own: Study, run: str, results_dataset: str | None) -> str:
    rows = own.results.rows
    repo_id = str(rows["repo_id"].iloc[0])
    revisions = revision_names(own)
    on_hub = "/" in repo_id  # a folder of models has no owner
    # In repositories only the training of this package records steps: not for imported or foreign models.
    trained = on_hub and bool(rows["step"].notna().any())
    model_class, processor_class = (_class_name(rows[name]) for name in ("model_class", "processor_class"))
    text = render_card(
        "run.md.jinja",
        ModelCardData(
            library_name="transformers",
            pipeline_tag=None if not processor_class else TASK if "Image" in processor_class else _DUAL_TASK,
            tags=[
                *(["clip"] if trained and model_class == "CLIPModel" else []),
                "hf-clipdyn",
                *(["training-dynamics"] if len(revisions) > 1 else []),
            ],
        ),
        title=run,
        section=Markup(_section(own, run)),  # noqa: S704 (escaped piece by piece)
        repo_id=repo_id,
        on_hub=on_hub,
        revisions=revisions,
        model_class=model_class,
        processor_class=processor_class,
        trained=trained,
        dynamics=len(revisions) > 1,
    )
    items = index_results(own, results_dataset)
    return str(with_results(CardText.parse(text), repo_id.rpartition("/")[2], items))


def _class_name(names: "pd.Series[str]") -> str:
    """The class that a column of the table gives; empty if it is unknown, or no name that code could have."""
    found = set(names) - {""}
    return found.pop() if len(found) == 1 and all(map(_CLASS.fullmatch, found)) else ""


def merge_card(existing: str, card: str) -> str:
    """An existing card with new results and a new section of trajectories; every other byte stays.

    Args:
        existing: text of the README.md, YAML head included.
        card: from `run_card`.

    Raises:
        ValueError: the head of the existing card, or its model index, cannot be read; the message continues "The card
            of me/run ".
    """
    new = CardText.parse(card)
    begin, end = new.body.index(_BEGIN), new.body.index(_END)
    section = new.body[begin : end + len(_END)]
    (entry,) = new.data.get("model-index") or [{"name": "", "results": []}]
    merged = with_results(CardText.parse(existing), entry["name"], entry["results"])
    return str(merged.with_section(section, _BEGIN, _END))


def _section(own: Study, run: str) -> str:
    lines = [_BEGIN, "", "## Trajectories", ""]
    if own.synthetic:
        named = [
            f"{title}: {caution}" if caution else f"{title}." for title, caution in own.synthetic.items()
        ]
        notice = (
            "**Some benchmarks use synthetic images**, not photographs; human reference values do not "
            "apply to them."
        )
        lines += [" ".join([notice, *map(markdown, named)]), ""]
    if own.overview:
        lines += [f"![The study at a glance]({card_figure(run)})", ""]
    for table in overview_tables(own):
        lines += [_markdown(table), ""]
    lines += [f"- {markdown(sentence)}" for sentence in tested_sentences(own)]
    lines += [f"- **{markdown(one.question)}**: {markdown(one.words)}" for one in find(own)]
    lines += ["", markdown(limits(own)), "", "### How it was measured", ""]
    return "\n".join([*lines, _markdown(provenance_table(own), skip=1), "", _END])


def _markdown(table: Table, *, skip: int = 0) -> str:
    """A table in GitHub's Markdown, without its first ``skip`` columns."""
    rows = [table.headings, ("---",) * len(table.headings), *table.rows]
    cells = [[_escaped(cell) for cell in row[skip:]] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _escaped(text: str) -> str:
    return markdown(text.replace("\n", ", "))


def _figure(own: Study) -> bytes:
    """The overview of one run as a PNG; the same study gives the same bytes."""
    bars, buffer = not own.charts[0].encoding.over_training, io.BytesIO()
    with figure_style():
        figure = draw_panels(own.overview, choose_axis(own.trajectories), columns=3, bars=bars)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def write_cards(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
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
    try:
        output.mkdir(parents=True, exist_ok=True)
        return [_write_card(study, run, output, results_dataset) for run in study.runs]
    except OSError as error:
        raise ConfigError(f"The cards cannot be written to {output}: {error.strerror or error}.") from error


def _write_card(study: Study, run: str, output: Path, results_dataset: str | None) -> Path:
    own, path = study.of_run(run), output / card_name(run)
    text = _card(own, run, results_dataset)
    if path.exists():
        text = _merged(path.read_bytes(), text, str(path))
    if own.overview:
        write_atomically(output / card_figure(run), _figure(own))
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
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
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
        hub.limit_waiting(hub.PUSHING.timeout)
        _check_dataset(HfApi(token=token), results_dataset)
    pushed, failed = [], []
    for run, repo_id in runs.items():
        try:
            pushed.append(_push(study, run, repo_id, results_dataset, token))
        except (ConfigError, PublishError) as error:
            failed.append(str(error))
    if failed:
        done = f" Pushed: {', '.join(one.repo_id for one in pushed)}." if pushed else ""
        raise PublishError(" ".join(failed) + done)
    return pushed


def _repositories(study: Study) -> dict[str, str]:
    """The repository of each run that has one.

    Raises:
        ConfigError: none has, or two share one.
    """
    named = study.results.rows[["run", "repo_id"]].drop_duplicates().itertuples(index=False, name=None)
    runs = {run: repo_id for run, repo_id in named if "/" in repo_id}
    if not runs:
        raise ConfigError(
            "These tables contain only models in local folders: push a model to the Hub and evaluate it "
            "there."
        )
    for repo_id in runs.values():
        if list(runs.values()).count(repo_id) > 1:
            raise ConfigError(
                f"These tables contain two runs of {repo_id}: push the card from the table with its "
                "current commits."
            )
    return runs


def _check_dataset(api: HfApi, repo_id: str) -> None:
    checked_repo_id(repo_id, what="results_dataset", owner=True)
    try:
        attempt(lambda: api.repo_info(repo_id, repo_type="dataset"), hub.PUSHING)
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"There is no data set {repo_id} on the Hub, or you have no access: push the table with `clipdyn evaluate "
            f"… --push_to_hub {repo_id}`, or leave out results_dataset."
        ) from error
    except Exception as error:
        raise PublishError(f"The data set {repo_id} cannot be checked ({reason(error)}).") from error


def _push(study: Study, run: str, repo_id: str, results_dataset: str | None, token: str | None) -> PushedCard:
    own = study.of_run(run)
    card = _card(own, run, results_dataset)
    figures = {card_figure(run): _figure(own)} if own.overview else {}

    def write(to: Destination) -> PushedCard:
        results = eval_results(own, to.api, hub.PUSHING, results_dataset)
        url = _commit(to, card, {**results.files, **figures})
        return PushedCard(repo_id, url, tuple(results.files), results.left_out)

    return push(
        repo_id, write, problem=f"The card of {repo_id} could not be pushed", create=False, token=token
    )


def _commit(to: Destination, card: str, files: Mapping[str, bytes]) -> str | None:
    """One commit with everything that changes; its address, or None if nothing does."""
    held = to.api.list_repo_files(to.repo_id, revision=to.head)
    if "README.md" in held:
        existing = Path(to.api.hf_hub_download(to.repo_id, "README.md", revision=to.head)).read_bytes()
        card = _merged(existing, card, f"The card of {to.repo_id}")
    return to.commit(
        {"README.md": card.encode(), **files},
        "Show the trajectories, measured by hf-clipdyn",
        deleted=[path for path in held if path.startswith(FOLDER) and path not in files],
    )
