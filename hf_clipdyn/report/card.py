"""The trajectories of a run as a model card: its results for the Hub's index, and a section for readers."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from huggingface_hub import CommitInfo, CommitOperationAdd, EvalResult, HfApi, ModelCard, ModelCardData
from markupsafe import Markup

from hf_clipdyn.cards import markdown, render_card
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.hub import RetryPolicy, attempt, limit_waiting, reason, status_of
from hf_clipdyn.report.sentences import find, limits, tested_sentences
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.tables import Table, overview_tables, provenance_table
from hf_clipdyn.statistics.trajectories import rows_of

__all__ = ["SUMMARY", "card_name", "merge_card", "push_cards", "run_card"]

SUMMARY = "figures/summary.png"
"""The figure that a card shows, as a path beside it."""

_BEGIN, _END = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_CLASS = re.compile("[A-Za-z_][A-Za-z0-9_]{0,99}")
_MARKED = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
_TASK = "image-feature-extraction"
_DUAL_TASK = "zero-shot-image-classification"


def card_name(run: str) -> str:
    """File name of a run's card: ``card-me--run.md``."""
    return f"card-{re.sub(r'[^A-Za-z0-9._-]+', '-', run.replace('/', '--')).strip('-')}.md"


def run_card(study: Study, run: str) -> ModelCard:
    """The card of one run, to be placed beside the folder of figures.

    Args:
        study: of all runs.
        run: name of the run.
    """
    own = study.of_run(run)
    rows = own.results.rows
    repo_id = str(rows["repo_id"].iloc[0])
    placed = pd.concat([one.points[["order", "revision"]] for one in own.trajectories])
    revisions = placed.sort_values("order")["revision"].unique().tolist()
    on_hub = "/" in repo_id  # a folder of models has no owner
    # In repositories only the training of this package records steps: not for imported or foreign models.
    trained = on_hub and bool(rows["step"].notna().any())
    model_class, processor_class = (_class_name(rows[name]) for name in ("model_class", "processor_class"))
    text = render_card(
        "run.md.jinja",
        ModelCardData(
            library_name="transformers",
            pipeline_tag=None if not processor_class else _TASK if "Image" in processor_class else _DUAL_TASK,
            tags=[
                *(["clip"] if trained and model_class == "CLIPModel" else []),
                "hf-clipdyn",
                *(["training-dynamics"] if len(revisions) > 1 else []),
            ],
            model_name=repo_id.rpartition("/")[2],
            eval_results=_eval_results(own) or None,
        ),
        title=run,
        section=Markup(_section(own)),  # noqa: S704 (escaped piece by piece)
        repo_id=repo_id,
        on_hub=on_hub,
        revisions=revisions,
        model_class=model_class,
        processor_class=processor_class,
        trained=trained,
        dynamics=len(revisions) > 1,
    )
    return ModelCard(text)


def _class_name(names: "pd.Series[str]") -> str:
    """The class that a column of the table gives; empty if it is unknown, or no name that code could have."""
    found = set(names) - {""}
    return found.pop() if len(found) == 1 and all(map(_CLASS.fullmatch, found)) else ""


def merge_card(existing: str, card: ModelCard) -> ModelCard:
    """An existing card with new results and a new section of trajectories.

    Args:
        existing: text of the repository's README.md, YAML head included.
        card: from `run_card`.
    """
    merged = ModelCard(existing, ignore_metadata_errors=True)
    assert isinstance(merged.data, ModelCardData), "a model's card has a model's data"
    assert isinstance(card.data, ModelCardData)
    merged.data.model_name = card.data.model_name
    merged.data.eval_results = card.data.eval_results
    section = _MARKED.search(card.text)
    assert section is not None, "run_card writes the marks"
    kept = _MARKED.sub("", merged.text).rstrip()
    merged.text = f"{kept}\n\n{section.group()}\n"
    return merged


def _section(own: Study) -> str:
    lines = [_BEGIN, "", "## Trajectories", ""]
    if own.synthetic:
        named = [
            f"{title}: {caution}" if caution else f"{title}." for title, caution in own.synthetic.items()
        ]
        notice = (
            "**Some benchmarks use synthetic images**, not photographs; human numbers do not apply to them."
        )
        lines += [" ".join([notice, *map(markdown, named)]), ""]
    if own.overview:
        lines += [f"![The study at a glance]({SUMMARY})", ""]
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


def _eval_results(own: Study) -> list[EvalResult]:
    """The last usable value of each question of the overview, as the Hub's model index takes it."""
    found = []
    for panel in (panel for panels in own.overview for panel in panels):
        for line in panel.lines:
            one = line.trajectory
            if one.usable.empty:
                continue
            last = rows_of(one.usable)[-1]
            metric, _, details = panel.title.partition("\n")
            title, synthetic = one.dataset_terms.title, one.dataset_terms.synthetic
            found.append(
                EvalResult(
                    task_type=one.terms.task or _TASK,
                    dataset_type=one.dataset,
                    dataset_name=f"{title} (synthetic)" if synthetic else title,
                    dataset_args={"fingerprint": one.data_fingerprint[:12]},
                    metric_type=one.metric,
                    metric_name=f"{', '.join([metric, *details.split(', ')[1:]])}, {last.revision}",
                    metric_value=round(last.value, 4),
                )
            )
    return found


def push_cards(
    results: Path | Sequence[Path] | Study, output: Path, *, token: str | None = None
) -> list[str]:
    """Write the results of every run into the card on `main` of its repository on the Hub.

    The rest of the card stays. Only `README.md` and the summary figure are touched: the weights on `main` remain those
    of the newest revision. Models that were read from a folder have no such card.

    Args:
        results: the tables that the report was made from.
        output: folder that `write_report` has filled.
        token: of the Hub; default: the saved one.

    Returns:
        The address of each commit.

    Raises:
        ConfigError: two runs share a repository, so that the card could belong to either; or all are folders.
        PublishError: the Hub refuses; the folder is complete nevertheless.
    """
    rows = read_study(results).results.rows
    named = rows[["run", "repo_id"]].drop_duplicates().itertuples(index=False, name=None)
    runs = {run: repo_id for run, repo_id in named if "/" in repo_id}
    if not runs:
        raise ConfigError(
            "These tables hold models of folders only: push a model to the Hub and evaluate it there."
        )
    for repo_id in runs.values():
        if list(runs.values()).count(repo_id) > 1:
            raise ConfigError(
                f"These tables hold two runs of {repo_id}: push the card from the table with its current commits."
            )
    policy = RetryPolicy(patience=60.0)
    limit_waiting(policy.timeout)
    api = HfApi(token=token)
    urls = []
    for run, repo_id in runs.items():
        try:
            commit = attempt(lambda run=run, repo_id=repo_id: _push(api, run, repo_id, output), policy)  # type: ignore[misc]
        except Exception as error:
            missing = (
                " The repository does not exist, or you have no access."
                if status_of(error) in (401, 404)
                else ""
            )
            raise PublishError(
                f"The card of {repo_id} could not be pushed ({reason(error)}).{missing} "
                f"{output / card_name(run)} is complete."
            ) from error
        urls.append(commit.commit_url)
    return urls


def _push(api: HfApi, run: str, repo_id: str, output: Path) -> CommitInfo:
    head = api.repo_info(repo_id).sha  # a commit of somebody else in between is refused, and tried again
    card = ModelCard.load(output / card_name(run))
    if api.file_exists(repo_id, "README.md", revision=head):
        existing = api.hf_hub_download(repo_id, "README.md", revision=head)
        card = merge_card(Path(existing).read_text(encoding="utf-8"), card)
    return api.create_commit(
        repo_id,
        [
            CommitOperationAdd("README.md", str(card).encode()),
            CommitOperationAdd(SUMMARY, str(output / SUMMARY)),
        ],
        commit_message="Show the trajectories, measured by hf-clipdyn",
        parent_commit=head,
    )
