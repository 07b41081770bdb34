"""Cards: the README.md that a revision carries, from the templates in `model_cards/`.

Names of runs, files and data sets are untrusted: each value is escaped for the place where a template puts it. What a
template says stands between two marks, and `merged` replaces only that in a card that exists.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib.metadata import version
from typing import Annotated, Any, Literal
from urllib.parse import quote

import yaml
from huggingface_hub import CardData, DatasetCardData, ModelCardData, RepoCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
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


# --- what a person wrote stays ---

LEFT_ALONE = (
    "is left as it is: what is generated needs the lines <!-- card of hf-clipdyn --> and <!-- end of card -->, once "
    "each, and a YAML head that can be read."
)
"""What to say, after the name of a card, where `merged` gives none."""


def merged(
    there: str | bytes | None, made: str, before: str = "", *, part: str = "card", keys: Sequence[str] = ()
) -> str | None:
    """A card that exists, with the newest text between its two marks; all else stays, byte for byte.

    In the YAML head, values of the new card replace those of the same keys, and its tags are added. If nothing changes,
    the head stays as it is; else comments and line breaks in it are lost. A mark is a line of its own, outside of
    fenced code.

    Args:
        there: the card that exists; one that is None or has no text is filled.
        made: the new card. If it is one of version 0.4.0, which has no marks, its text gets them.
        before: what version 0.4.0 generated for ``there``. Marks are put where at least half of its lines are; other
            lines stay outside of them.
        part: which marks: ``card``, ``page``, or ``trajectories``, which a card without them gets at its end.
        keys: of the head that are replaced, or removed if ``made`` lacks them; all that ``made`` has by default.

    Returns:
        The card; None if ``there`` is left alone: it has no marks and is not one of ours, a mark is missing or is there
        twice, or it or its head cannot be read. The Hub's client would not send such a card again.
    """
    first, last = f"<!-- {part} of hf-clipdyn -->", f"<!-- end of {part} -->"
    new = RepoCard(made)
    if not _marks(new.text, part):
        new.text = f"\n{first}\n{new.text}\n{last}\n"
        made = str(new)
    try:
        there = there.decode() if isinstance(there, bytes) else there
        if not there or there == before:
            return made
        bom, windows = "\ufeff" * there.startswith("\ufeff"), 2 * there.count("\r\n") > there.count("\n")
        line = "\r\n" if windows else "\n"
        cards, empty = (there.removeprefix(bom), before), f"---{line}{line}---{line}"
        old, former = (RepoCard(one if REGEX_YAML_BLOCK.search(one) else empty + one) for one in cards)
    except (yaml.YAMLError, TypeError, ValueError):
        return None
    text, section = old.text, re.sub("\r?\n", line, new.text)
    if not text.strip():
        text = section
    if not _marks(text, part):
        text = _with_marks(text, "" if _marks(before, part) else former.text, f"{first}{line}{last}{line}")
    if not _marks(text, part) and part == "trajectories":
        text += f"{line * (1 + (not text.endswith(line)))}{first}{line}{last}{line}"
    ends = _marks(text, part)
    if [mark for *_, mark in ends] != [first, last]:
        return None
    (start, *_), (_, end, _) = _marks(section, part)
    text = text[: ends[0][0]] + section[start:end] + text[ends[1][1] :]
    data, ours, head = vars(old.data), dict(vars(new.data)), there[: len(there) - len(old.text)]
    if isinstance(tags := data.get("tags"), list):
        ours["tags"] = [*tags, *[tag for tag in ours.get("tags", []) if tag not in tags]]
    if not keys:
        keys = [*[key for key, value in vars(former.data).items() if data.get(key) == value], *ours]
    values: dict[str, Any] = {key: (ours if key in keys else data).get(key) for key in [*data, *keys]}
    wanted = CardData(**values)
    if wanted.to_yaml() != old.data.to_yaml():
        old.data, old.text = wanted, ""
        head = f"{bom}{old}"
    return head + text


def _marks(text: str, part: str) -> list[tuple[int, int, str]]:
    """Start, end and text of each mark of a part."""
    fenced = r"^ {0,3}(?P<fence>`{3,}(?=[^`\n]*$)|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*\r?$|\Z)"
    mark = rf"^(?P<mark><!-- (?:{part} of hf-clipdyn|end of {part}) -->)(?=[ \t]*\r?$)"
    found = re.finditer(f"{fenced}|{mark}", text, re.DOTALL | re.MULTILINE)
    return [(one.start(), one.end(), one["mark"]) for one in found if one["mark"]]


def _with_marks(text: str, before: str, marks: str) -> str:
    """A text with marks in the place of the lines of ``before``; as it is if it has less than half of them."""
    lines, ours = text.splitlines(keepends=True), before.splitlines()
    matcher = SequenceMatcher(None, [one.rstrip("\r\n") for one in lines], ours, autojunk=False)
    # An empty line separates paragraphs of a person, too.
    blocks = [one for one in matcher.get_matching_blocks() if any(ours[one.b : one.b + one.size])]
    if not blocks or 2 * sum(one.size for one in blocks) < len(ours):
        return text
    largest = max(blocks, key=lambda one: one.size)
    for one in reversed(blocks):
        lines[one.a : one.a + one.size] = [marks] * (one is largest)
    return "".join(lines)
