"""Cards: the README.md that a revision carries, from the templates in `model_cards/`.

Names of runs, files and data sets are untrusted: each value is escaped for the place where a template puts it.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any, Literal
from urllib.parse import quote

from huggingface_hub import CardData, DatasetCardData, ModelCardData
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from pydantic import Field

from hf_clipdyn.bundled import template_path
from hf_clipdyn.errors import CONTROL

# Entities are never read as Markdown. The first group is an interval, as [0.80, 0.88], and stays; so do underscores
# inside of words.
_MARKDOWN = re.compile(
    r"""(\[[-+\d., ]+\](?![(\[:]))|[\\`*<|$\[\]]|~(?=~)|(?<=~)~|&(?=\#?\w+;)|(?<![^\W_])_|_(?![^\W_])"""
)
_BREAK = re.compile(rf"[\s{CONTROL}]+")


def markdown(value: object) -> Markup:
    """A value in a line or a cell of Markdown: one line, and no markup of its own."""
    if isinstance(value, Markup):
        return value
    line = _BREAK.sub(" ", str(value))
    return Markup(_MARKDOWN.sub(lambda match: match[1] or f"&#{ord(match[0])};", line))  # noqa: S704 (escaped here)


def _code(value: object) -> Markup:
    """A code span, also in a table."""
    line = _BREAK.sub(" ", str(value)).strip()
    plain = line and not set(line) & set("`|")
    return Markup(f"`{line}`" if plain else f"<code>{markdown(line)}</code>")  # noqa: S704


def _literal(value: object) -> Markup:
    """A string in Python code; JSON's escapes are Python's too."""
    text = json.dumps(str(value), ensure_ascii=False)
    return Markup(re.sub(f"[{CONTROL}]", lambda match: match[0].encode("unicode_escape").decode(), text))  # noqa: S704


def _shell(value: object) -> Markup:
    """A word of a command, on one line."""
    return Markup(shlex.quote(_BREAK.sub(" ", str(value))))  # noqa: S704


def _block(value: object) -> Markup:
    """Lines in a fenced block, which they cannot end."""
    return Markup(str(value).strip().replace("```", "'''"))  # noqa: S704


def _address(value: object) -> Markup:
    """A part of an address in a link."""
    return Markup(quote(str(value)))  # noqa: S704


_ENVIRONMENT = Environment(undefined=StrictUndefined, finalize=markdown)  # noqa: S701 (Markdown is not HTML)
_ENVIRONMENT.globals |= {"paper_url": "https://arxiv.org/abs/2508.09814", "version": version("hf-clipdyn")}
_ENVIRONMENT.filters |= {one.__name__[1:]: one for one in (_code, _literal, _shell, _block, _address)}


def render_card(template: str, data: CardData, **values: Any) -> str:
    """A card from a template of `model_cards/`, YAML head included.

    Every value is escaped as a text in a line of Markdown; the filters `code`, `literal` (a string in Python),
    `shell`, `block` (lines in a fenced block) and `address` (a part of a link) are for other places, and
    `Markup` is put in as it is.
    """
    text = template_path(template).read_text(encoding="utf-8")
    head = Markup(data.to_yaml())  # noqa: S704 (PyYAML quotes what needs it)
    return _ENVIRONMENT.from_string(text).render(card_data=head, **values).rstrip() + "\n"


CommitId = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
"""A name in the Python code of a card, which a manifest from elsewhere must not extend."""


@dataclass(frozen=True)
class CardSource:
    """Where imported weights come from.

    Attributes:
        repo_id: repository on the Hub, or None for local files.
        repo_type: `model` or `dataset`; some checkpoints are in data-set repositories.
        commit: the commit that was read.
        files: the checkpoint of each revision, by revision.
        model: the architecture's name in the library that trained it.
    """

    repo_id: str | None
    commit: str | None
    model: str
    repo_type: str = "model"
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parent:
    """A model that the weights of a run come from.

    Attributes:
        repo_id: repository, `owner/name`; version 0.3 also wrote paths, which are read and not written again.
        revision: its branch; None if unknown, or if ``same_name`` is set.
        commit: its commit, 40 hexadecimal digits; None if unknown.
        same_name: each revision comes from the revision of the same name.
    """

    repo_id: str
    revision: str | None = None
    commit: CommitId | None = None
    same_name: bool = False


@dataclass(frozen=True)
class CardFacts:
    """What the model cards of a run say; one value for all of its revisions.

    Attributes:
        repo_id: repository on the Hub, `owner/name`, or a bare name for the local store.
        datasets: Hub ids, or names, of the training data.
        synthetic: the training data are rendered, not photographed; the card says so.
        licence: identifier of the Hub's list (`apache-2.0`), or None if unknown.
        language: codes of the captions' languages.
        scale: name of the model's size (`tiny`, `vit-b-32`).
        model_class: class of transformers that reads the weights.
        processor_class: class that reads the processor; None if there is none.
        task: the Hub's name of the model's task (`pipeline_tag`), or None.
        parameters: number of parameters.
        seed: the seed of the run.
        arm: name of the control or ablation that the run belongs to; empty for the main arm.
        recipe: hyper-parameters, for the card's table.
        tags: tags besides those of every card.
        citation: BibTeX of the data or of the source, if any.
        source: where imported weights come from; None for a run of this package.
        parents: models that the weights were made from by training, averaging or merging.
        relation: to the parents, if there are any, in the word of the Hub's model tree.
    """

    repo_id: str
    datasets: tuple[str, ...] = ()
    synthetic: bool = False
    licence: str | None = None
    language: tuple[str, ...] = ("en",)
    scale: str | None = None
    model_class: ClassName = "CLIPModel"
    processor_class: ClassName | None = "CLIPProcessor"
    task: str | None = "zero-shot-image-classification"
    parameters: int | None = None
    seed: int | None = None
    arm: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    citation: str | None = None
    source: CardSource | None = None
    parents: tuple[Parent, ...] = ()
    relation: Literal["finetune", "merge"] = "finetune"


def revision_card(facts: CardFacts, **row: Any) -> str:
    """The README.md of one revision, YAML head included.

    Args:
        facts: of its run.
        row: ``name``, ``epoch``, ``step``, ``samples_seen`` and ``loss``; all but the name may be None.
    """
    tags = {"clip": facts.model_class == "CLIPModel", "hf-clipdyn": True, "training-dynamics": True}
    tags |= {"synthetic-data": facts.synthetic} | dict.fromkeys(facts.tags, True)
    data = ModelCardData(
        language=list(facts.language) or None,
        license=facts.licence,
        library_name="transformers",
        pipeline_tag=facts.task,
        datasets=list(facts.datasets) or None,
        # The Hub's model tree knows repositories only; revision and commit are in the card's table.
        base_model=list(dict.fromkeys(parent.repo_id for parent in facts.parents)) or None,
        base_model_relation=facts.relation if facts.parents else None,
        tags=[tag for tag, is_true in tags.items() if is_true],
    )
    return render_card("revision.md.jinja", data, facts=facts, title=facts.repo_id.rpartition("/")[2], **row)


def dataset_card(
    *, config: str, kind: str, licence_id: str, citation: str, rows: Mapping[str, int], **facts: Any
) -> str:
    """The README.md of a data set that `clipdyn prepare` wrote, YAML head included.

    Args:
        config: the configuration that was prepared.
        kind: kind of its rows.
        licence_id: identifier of the Hub's list.
        citation: BibTeX; may be empty.
        rows: number of rows by split.
        facts: ``title`` (the data set's own name), ``name`` (in the registry), ``licence`` (as the source states it),
            ``public`` (whether it allows redistribution), ``where`` (the original is), ``official_rows`` (of the
            complete official data set; None if unknown), ``columns`` (what each holds), and ``source`` (the option that
            named the source, for the command in the card).
    """
    files = [{"split": split, "path": f"data/{split}-*"} for split in rows]
    data = DatasetCardData(
        license=licence_id,
        pretty_name=facts["title"],
        tags=["hf-clipdyn", kind.replace("_", "-")],
        configs=[{"config_name": config, "data_files": files, "default": True}],
    )
    facts |= {"config": config, "kind": kind, "citation": citation.strip(), "rows": rows}
    return render_card("dataset.md.jinja", data, **facts)


def results_card(
    *, repo_id: str, rows: int, runs: Sequence[Mapping[str, Any]], configs: Mapping[str, str], **facts: Any
) -> str:
    """The README.md of a table of results as a data set, YAML head included.

    Args:
        repo_id: the repository that holds it.
        rows: of the table.
        runs: repo_id, revisions (their number), first and last of each run.
        configs: pattern of the Parquet files by configuration; the first one is the table and the default.
        facts: ``benchmarks`` (name, synthetic, revisions, rows, dtype and the configuration of the trials of each),
            ``left_out`` (benchmarks without trials), and ``columns`` (name, type and meaning of each column).
    """
    files = {config: [{"split": "train", "path": pattern}] for config, pattern in configs.items()}
    entries: list[dict[str, Any]] = [{"config_name": name, "data_files": of} for name, of in files.items()]
    entries[0]["default"] = True
    title = repo_id.rpartition("/")[2]
    tags = ["hf-clipdyn", "clip", "training-dynamics", "evaluation-results"]
    data = DatasetCardData(pretty_name=title, tags=tags, configs=entries)
    facts |= {"repo_id": repo_id, "rows": rows, "runs": runs, "trials": list(configs)[1:]}
    revisions = sum(run["revisions"] for run in runs)
    return render_card("results.md.jinja", data, title=title, revisions=revisions, **facts)
