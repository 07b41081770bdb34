"""The trajectories of a run as a model card: its results for the Hub's index, and a section for readers."""

import re
from collections.abc import Sequence
from importlib.metadata import version

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from markupsafe import Markup

from hf_clipdyn.cards import PAPER_URL, markdown, render_card
from hf_clipdyn.report.overview import overview_panels
from hf_clipdyn.report.plan import Panel, plan_charts
from hf_clipdyn.report.results import Measurement
from hf_clipdyn.report.sentences import find, limits
from hf_clipdyn.report.tables import Table, overview_tables, provenance_table
from hf_clipdyn.report.trajectories import Trajectory, stem
from hf_clipdyn.report.vocabulary import is_synthetic, metric_words

__all__ = ["SUMMARY", "card_name", "merge_card", "run_card"]

SUMMARY = "figures/summary.png"
"""The figure that a card shows, as a path beside it."""

_BEGIN, _END = "<!-- trajectories of hf-clipdyn -->", "<!-- end of trajectories -->"
_MARKED = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
_TASKS = {"retrieval": "image-text-retrieval", "zero_shot": "zero-shot-image-classification"}
_OTHER_TASK = "image-feature-extraction"
_SYNTHETIC = (
    "**The benchmarks named `procedural` show a synthetic world**, rendered so that texture is the easy cue and "
    "shape the reliable one: a turn from texture to shape is partly by construction there, and no human number "
    "applies to it."
)


def card_name(run: str) -> str:
    """File name of a run's card: ``card-me--run.md``."""
    return f"card-{re.sub(r'[^A-Za-z0-9._-]+', '-', run.replace('/', '--')).strip('-')}.md"


def run_card(trajectories: Sequence[Trajectory], rows: Sequence[Measurement], run: str) -> ModelCard:
    """The card of one run, to stand beside the folder of figures.

    Args:
        trajectories: of all runs.
        rows: the measurements behind them.
        run: name of the run.
    """
    own = [one for one in trajectories if one.run == run]
    of_run = [row for row in rows if row.run == run]
    worlds = overview_panels(plan_charts(own))
    repo_id = of_run[0].repo_id
    ordered = sorted({(point.order, point.revision) for one in own for point in one.points})
    revisions = [revision for _, revision in ordered]
    # Steps are recorded by the training of this package only: neither of imported nor of foreign models.
    trained = any(row.step is not None for row in of_run)
    text = render_card(
        "run.md.jinja",
        ModelCardData(
            library_name="transformers",
            tags=[
                *(["clip"] if trained else []),
                "hf-clipdyn",
                *(["training-dynamics"] if len(revisions) > 1 else []),
            ],
            model_name=repo_id.rpartition("/")[2],
            eval_results=_eval_results(worlds) or None,
        ),
        title=run,
        section=Markup(_section(own, of_run, worlds)),  # noqa: S704 (escaped piece by piece)
        repo_id=repo_id,
        revisions=revisions,
        trained=trained,
        dynamics=len(revisions) > 1,
        paper_url=PAPER_URL,
        version=version("hf-clipdyn"),
    )
    return ModelCard(text)


def merge_card(existing: str, card: ModelCard) -> ModelCard:
    """A card that is there already, with its results and its section of trajectories replaced.

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


def _section(
    own: Sequence[Trajectory], rows: Sequence[Measurement], worlds: Sequence[Sequence[Panel]]
) -> str:
    lines = [_BEGIN, "", "## Trajectories", ""]
    if any(is_synthetic(one.benchmark) for one in own):
        lines += [_SYNTHETIC, ""]
    if worlds:
        lines += [f"![The study at a glance]({SUMMARY})", ""]
    for table in overview_tables(worlds):
        lines += [_markdown(table), ""]
    lines += [f"- **{markdown(one.question)}**: {markdown(one.words)}" for one in find(own)]
    lines += ["", markdown(limits(own)), "", "### What was measured with what", ""]
    return "\n".join([*lines, _markdown(provenance_table(rows), skip=1), "", _END])


def _markdown(table: Table, *, skip: int = 0) -> str:
    """A table in GitHub's Markdown, without its first ``skip`` columns."""
    rows = [table.headings, ("---",) * len(table.headings), *table.rows]
    cells = [[_escaped(cell) for cell in row[skip:]] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _escaped(text: str) -> str:
    return markdown(text.replace("\n", ", "))


def _eval_results(worlds: Sequence[Sequence[Panel]]) -> list[EvalResult]:
    """The last usable value of each question of the study, as the Hub's model index takes it."""
    found = []
    for panel in (panel for panels in worlds for panel in panels):
        for line in panel.lines:
            one = line.trajectory
            if not one.usable:
                continue
            last = one.usable[-1]
            _, *details = panel.title.rpartition("\n")[2].split(", ")
            found.append(
                EvalResult(
                    task_type=_TASKS.get(one.kind, _OTHER_TASK),
                    dataset_type=one.dataset,
                    dataset_name=f"{one.dataset} (synthetic)" if is_synthetic(one.benchmark) else one.dataset,
                    dataset_args={"fingerprint": one.data_fingerprint[:12]},
                    metric_type=stem(one.metric),
                    metric_name=", ".join([metric_words(one.metric), *details, last.revision]),
                    metric_value=round(last.value, 4),
                )
            )
    return found
