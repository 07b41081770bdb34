"""Write the generated pages of docs/reference/ from what the code declares.

python scripts/write_reference.py       # `make docs` calls it; a test says whether the pages are current

A page is a `Page`; `pages` lists them all. Pages of docs/reference/ that a person wrote lack the line `_NOTE`.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args, get_origin, get_type_hints

import typer
import typer.models
import typer.utils

import hf_clipdyn
import hf_clipdyn.metrics
from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.registry import kinds, suite, suite_names
from hf_clipdyn.bundled import load_metric, metric_names
from hf_clipdyn.cli import app
from hf_clipdyn.data import schemas
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.registry import builder_class, dataset_names
from hf_clipdyn.evaluation.options import Flag, flags
from hf_clipdyn.options import members
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, column_table
from hf_clipdyn.results.terms import Axis, KindTerms, Term
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, ManifestRow
from hf_clipdyn.statistics.verdicts import verdict_columns
from hf_clipdyn.training.grid import train_parser

CHECKOUT = Path(__file__).resolve().parents[1]
REFERENCE = CHECKOUT / "docs" / "reference"

_NOTE = "<!-- `make docs` writes this page from the declarations in the code: change those. -->"
_DOCTEST = "no-run: the tests run this example where it is declared"
_EXPLANATIONS = {"distortion": "quality"}  # kinds that another kind's explanation covers


@dataclass(frozen=True)
class Page:
    """A page of the reference.

    Attributes:
        path: below docs/reference.
        title: its heading.
        summary: one sentence, which the index quotes.
        parts: what follows, in Markdown.
    """

    path: str
    title: str
    summary: str
    parts: Sequence[str]

    @property
    def text(self) -> str:
        """The file's content."""
        parts = [f"# {self.title}", _NOTE, *self.parts]
        return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def pages() -> list[Page]:
    """Every written page."""
    commands = list(_commands())
    measured = sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name))
    found = [_kind_page(kind) for kind in measured]
    tables = [
        _evaluate_options(),
        _table_page(),
        _verdict_table(),
        _manifest(),
        _suites(),
        _metrics(),
        _data_sets(),
        _data_set_kinds(),
    ]
    api = [_python(), *_packages()]
    return [_index(commands, found, tables, api), *commands, *found, *tables, *api]


def outdated(written: Iterable[Page]) -> list[Path]:
    """The written pages of docs/reference/ that nothing declares any more."""
    current = {REFERENCE / page.path for page in written}
    return [
        path
        for path in sorted(REFERENCE.rglob("*.md"))
        if path not in current and _NOTE in path.read_text(encoding="utf-8")
    ]


def write() -> None:
    """Write the pages, and delete those that are outdated."""
    written = pages()
    for path in outdated(written):
        path.unlink()
    for page in written:
        path = REFERENCE / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text, encoding="utf-8")


# --- commands ----------------------------------------------------------------------------------------

_PLACEHOLDERS = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "FLOAT", bool: ""}


@dataclass(frozen=True)
class Parameter:
    """An argument or an option of a command.

    Attributes:
        declared: its name, type, default and help text, as typer reads them.
    """

    declared: typer.models.ParamMeta

    @property
    def info(self) -> Any:
        """What `typer.Option` or `typer.Argument` was given."""
        return self.declared.default

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, typer.models.OptionInfo)

    @property
    def is_needed(self) -> bool:
        return self.info.default is ...

    @property
    def placeholder(self) -> str:
        """What stands for the value; empty for a switch."""
        types = [
            get_args(one)[0] if get_origin(one) is list else one for one in members(self.declared.annotation)
        ]
        if not self.is_option:
            several = "..." if get_origin(self.declared.annotation) is list else ""
            return self.info.metavar or self.declared.name.upper() + several
        return self.info.metavar or _PLACEHOLDERS[types[0]]

    @property
    def spellings(self) -> list[str]:
        """The spellings of an option; of a switch that is on, the one that turns it off."""
        dashed = self.declared.name.replace("_", "-")
        if self.declared.annotation is bool and self.info.default is True:
            return [f"--no-{dashed}"]
        return list(self.info.param_decls or (f"--{dashed}",))

    @property
    def row(self) -> tuple[str, str, str]:
        """Its row in the table of options."""
        first, *others = self.spellings if self.is_option else [""]
        names = (f"{first} {self.placeholder}".strip(), *others)
        default = "" if self.is_needed else _default(self.info.default)
        return ", ".join(f"`{one}`" for one in names), _help(self.info), default


def _help(info: Any) -> str:
    least = "" if info.min is None else f" At least {info.min}."
    return (info.help or "") + least


def _commands() -> Iterator[Page]:
    found = {_command_name(info): info for info in app.registered_commands if not info.hidden}
    for name, info in sorted(found.items()):
        yield _command(name, info.callback)


def _command_name(info: Any) -> str:
    return info.name or info.callback.__name__.replace("_", "-")


def _command(name: str, callback: Any) -> Page:
    declared = typer.utils.get_params_from_function(callback).values()
    parameters = [Parameter(one) for one in declared if one.annotation is not typer.Context]
    shown = sorted((one for one in parameters if not one.info.hidden), key=lambda one: one.is_option)
    rows = [one.row for one in shown]
    more = ""
    if name == "train":
        rows += _train_options()
    if name == "evaluate":
        more = (
            "The other options say what is measured, and on which models: "
            "[Options of evaluate](../evaluate-options.md)."
        )
    summary, _, details = inspect.cleandoc(callback.__doc__).partition("\n\n")
    return Page(
        f"commands/{name}.md",
        f"clipdyn {name}",
        _line(summary),
        [
            _line(summary),
            *(_line(one) for one in details.split("\n\n")),
            f"```text\n{_usage(name, shown)}\n```",
            _table(("option", "meaning", "default"), rows) if rows else "The command has no options.",
            more,
        ],
    )


def _usage(name: str, parameters: Sequence[Parameter]) -> str:
    arguments = [one.placeholder for one in parameters if not one.is_option]
    if name == "evaluate":
        arguments = [one.key.upper() + "..." for one in flags() if not one.is_option]
    needed = [
        f"{one.spellings[0]} {one.placeholder}" for one in parameters if one.is_option and one.is_needed
    ]
    has_options = name == "train" or any(one.is_option for one in parameters)
    return " ".join(["clipdyn", name, *arguments, *needed, *(["[OPTIONS]"] if has_options else [])])


def _default(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _train_options() -> list[tuple[str, str, str]]:
    """The options of `clipdyn train`, which `HfArgumentParser` makes from `TrainingConfig`."""
    rows = []
    for action in train_parser()._actions:
        if action.dest == "help":
            continue
        spelling = action.option_strings[0]
        meaning = action.help or ""
        if action.choices and not all(str(one) in meaning for one in action.choices):
            meaning += f" One of {', '.join(map(str, action.choices))}."
        rows.append((f"`{spelling}`", meaning, _default(action.default)))
    return rows


def _evaluate_options() -> Page:
    text = """
`clipdyn evaluate` takes these options, and those that [the command itself](commands/evaluate.md) lists. The options of
a kind, such as `--noise-levels`, are on the page of [that kind](index.md#kinds).

Separate several values by commas, or repeat the option. A YAML file that `--config` names has the same keys, with
underscores: `batch_size`. The arguments of `evaluate_revisions` have the same names, except `data_dirs` (a mapping) and
`plugins`. The settings of a kind are arguments of its `on`: `Noise.on("cifar10", stage="input")`.
"""
    general = [one for one in flags() if not one.kind]
    return Page(
        "evaluate-options.md",
        "Options of evaluate",
        "What `clipdyn evaluate` measures, on which models and how.",
        [text, _flag_table(general)],
    )


def _flag_table(listed: Sequence[Flag]) -> str:
    rows = [
        (f"`{one.spelling}`" if one.is_option else f"`{one.key}`", one.help, one.default_text)
        for one in listed
    ]
    return _table(("option", "meaning", "default"), rows)


# --- kinds of benchmarks -----------------------------------------------------------------------------


def _kind_page(kind: type[Kind[Any]]) -> Page:
    terms = kind.terms
    explanation = _EXPLANATIONS.get(kind.name, kind.name).replace("_", "-")
    summary, _, details = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").partition("\n\n")
    own = [one for one in flags() if one.kind == kind.name]
    return Page(
        f"kinds/{kind.name.replace('_', '-')}.md",
        f"{kind.name}: {terms.title}",
        _line(summary),
        [
            summary,
            f"[What it measures](../../explanation/benchmarks/{explanation}.md) explains the measurement.",
            _list(_kind_facts(kind)),
            "## Metrics",
            _table(
                ("metric", "meaning", "unit", "range", "better", "level of the question"),
                [_metric(name, one) for name, one in terms.terms.items()],
            ),
            *_section("## Values of the columns", _names(terms)),
            *_section("## References", _references(terms)),
            *_section("## Options", _flag_table(own) if own else ""),
            "## Trials",
            *_trials(details),
            _table(("column", "type"), [(f"`{name}`", dtype) for name, dtype in kind.trial_columns.items()]),
        ],
    )


def _trials(details: str) -> list[str]:
    """The paragraphs of a kind's docstring after the first; the list of columns is a table of its own."""
    return details.split("\n\n")


def _kind_facts(kind: type[Kind[Any]]) -> list[str]:
    fits = [_data_set_link(name, "../") for name in _fitting(kind)]
    text = "needed" if kind.needs_text else "not needed"
    clusters = " and ".join(f"`{one}`" for one in kind.clusters)
    return [
        f"Data sets: {', '.join(fits)}."
        if fits
        else f"Data sets: none is needed, it shows {kind.terms.draws}.",
        f"Text encoder: {text}.",
        f"Intervals: over {clusters}.",
        *_axis("level", kind.terms.level),
        *_axis("parameter", kind.terms.parameter),
        f"Versions: observation {kind.observe_version}, scoring {kind.score_version}.",
    ]


def _fitting(kind: type[Kind[Any]]) -> list[str]:
    """Names of the data sets whose rows a kind can show."""
    found = []
    for name in dataset_names():
        metadata = builder_class(name).metadata
        if {metadata.kind, *metadata.config_kinds.values()} & set(kind.schemas):
            found.append(name)
    return found


def _axis(column: str, axis: Axis | None) -> list[str]:
    if axis is None:
        return []
    unit = f" ({axis.unit})" if axis.unit else ""
    return [f"`{column}`: {axis.title}{unit}."]


def _metric(name: str, term: Term) -> tuple[str, ...]:
    limits = "" if term.limits is None else f"{term.limits[0]:g} to {term.limits[1]:g}"
    meaning = f"{term.title}. {term.meaning}" if term.meaning else f"{term.title}."
    return f"`{name}`", meaning[:1].upper() + meaning[1:], term.unit, limits, term.better, term.perception


def _names(terms: KindTerms) -> str:
    """What the columns of names may have, if it is declared."""
    conditions = {name: one.title for name, one in terms.conditions.items()}
    columns = {
        "condition": conditions,
        "variant": terms.variants,
        "subset": terms.subsets,
        "probe": terms.probes,
    }
    rows = [
        (f"`{column}`", f"`{name}`" if name else "(empty)", title)
        for column, titles in columns.items()
        for name, title in titles.items()
    ]
    return _table(("column", "value", "meaning"), rows) if rows else ""


def _references(terms: KindTerms) -> str:
    rows = [
        (f"`{one.role}`", f"`{one.name}`" if one.name else "", one.title, ", ".join(one.joins))
        for one in terms.references
    ]
    return _table(("role", "reference", "what it is", "joins the values on"), rows) if rows else ""


# --- tables and files --------------------------------------------------------------------------------


def _table_page() -> Page:
    text = """
`clipdyn evaluate` writes one Parquet file. One row is one number. [Read the table](../how-to/read-the-table.md) shows
how to select numbers in pandas.

A cell is one benchmark on one revision with one choice of texts. Together, the columns marked `cell` name a cell, and
those marked `number` name a number within a cell.
"""
    keys = dict.fromkeys(CELL_KEY, "cell") | dict.fromkeys(NUMBER_KEY, "number")
    rows = [(f"`{name}`", kind, keys.get(name, ""), meaning) for name, kind, meaning in column_table()]
    return Page(
        "table.md",
        "Columns of the results",
        "The columns of `results.parquet`, which `clipdyn evaluate` writes.",
        [text, _table(("column", "type", "key", "meaning"), rows)],
    )


def _verdict_table() -> Page:
    text = """
`clipdyn verdicts` writes one Parquet file. One row is one part of a claim. [How a verdict is
reached](../explanation/claims.md) explains the words.
"""
    rows = [(f"`{name}`", kind, meaning) for name, kind, meaning in verdict_columns()]
    return Page(
        "verdict-table.md",
        "Columns of the verdicts",
        "The columns of `verdicts.parquet`, which `clipdyn verdicts` writes.",
        [text, _table(("column", "type", "meaning"), rows)],
    )


def _manifest() -> Page:
    text = f"""
`{MANIFEST_FILE}` is a file in every published repository. It lists the revisions with the hashes of their weights.
Each revision carries the manifest of its time; the newest one is on `main`. The manifest names no commits, because a
file cannot name the commit that contains it: the branches do.
"""
    run = [row for row in _attributes(Manifest) if row[0] != "`rows`"]
    run.insert(0, ("`format_version`", "integer", "Version of the format."))
    run.append(("`revisions`", "list", "The revisions in training order, as below."))
    head = ("key", "type", "meaning")
    return Page(
        "manifest.md",
        "The manifest",
        f"The keys of `{MANIFEST_FILE}`, which every published repository has.",
        [
            text,
            "## Keys of the file",
            _table(head, run),
            "## Keys of a revision",
            _table(head, _attributes(ManifestRow)),
        ],
    )


_JSON = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _attributes(cls: Any) -> list[tuple[str, str, str]]:
    """Name, type in JSON and meaning of the fields of a dataclass, as its docstring describes them."""
    meanings = _entries(_sections(cls.__doc__)["Attributes"])
    types = get_type_hints(cls)
    return [
        (
            f"`{one.name}`",
            " or ".join(_JSON.get(kind, "object") for kind in members(types[one.name])),
            meanings[one.name],
        )
        for one in dataclasses.fields(cls)
    ]


def _suites() -> Page:
    rows = [(f"`{name}`", ", ".join(_benchmark_link(one) for one in suite(name))) for name in suite_names()]
    text = "`--suite` of `clipdyn evaluate` selects these benchmarks. A benchmark is a kind and a data set."
    return Page(
        "suites.md",
        "Suites of benchmarks",
        "The benchmarks that each suite runs.",
        [text, _table(("suite", "benchmarks"), rows)],
    )


def _benchmark_link(benchmark: str) -> str:
    return f"[`{benchmark}`]({_kind_path(benchmark.partition('/')[0])})"


def _kind_path(kind: str) -> str:
    return f"kinds/{kind.replace('_', '-')}.md"


# --- metrics -----------------------------------------------------------------------------------------


def _metrics() -> Page:
    text = """
These modules of `evaluate` compute one benchmark's numbers from decisions or distances of your own. Load one with
`hf_clipdyn.load_metric("shape_bias")`, or from its folder in `metrics/` with `evaluate.load`. The functions behind them
need only NumPy and SciPy: [hf_clipdyn.metrics](python/metrics.md). An undefined value is NaN, and a warning says why.
"""
    parts = [part for name in metric_names() for part in _module(name)]
    return Page(
        "metrics.md",
        "Metric modules",
        "Inputs and outputs of the modules of `evaluate`.",
        [text, *parts],
    )


def _module(name: str) -> list[str]:
    module = load_metric(name)
    sections = _sections(module.inputs_description)
    example = inspect.cleandoc(sections["Examples"])
    return [
        f"## {name}",
        _line(module.description),
        f"Source: <{module.info.reference_urls[0]}>.",
        _table(("input", "type", "meaning"), _typed(sections["Args"])),
        _table(("output", "type", "meaning"), _typed(sections["Returns"])),
        f"```python {_DOCTEST}\n{example}\n```",
    ]


def _typed(section: str) -> list[tuple[str, str, str]]:
    """The entries `name, other (`type`): meaning` of a section as rows."""
    rows = []
    for head, meaning in _entries(section).items():
        names = re.findall(r"(\w+)(?: \((.*?)\))?(?:, |$)", head)
        kind = names[-1][1].replace("`", "")
        rows.append((", ".join(f"`{one}`" for one, _ in names), kind, meaning))
    return rows


# --- data sets ---------------------------------------------------------------------------------------


def _data_sets() -> Page:
    text = """
`hf_clipdyn.load_dataset("tid2013", data_dir=PATH)` reads the official archive. `clipdyn datasets` lists what is on your
machine. The project redistributes no data: get each data set under its licence. The table quotes the licence as the
source states it. [Notes on data sets](data-sets-notes.md) describes folders and cautions.
"""
    names = dataset_names()
    rows = [_data_set_row(name, builder_class(name).metadata) for name in names]
    head = ("data set", "benchmarks", "rows", "licence", "may be passed on")
    return Page(
        "data-sets.md",
        "Data sets",
        "Licence, size and source of every data set, and what it is for.",
        [
            text,
            _table(head, rows),
            *(part for name in names for part in _data_set(name, builder_class(name))),
        ],
    )


def _data_set_kinds() -> Page:
    text = """
A loader gives rows of one kind, whatever the archive looks like. A kind of benchmark takes one or more of these kinds.
"""
    _, body, rest = re.split(r"^(?:=+ +=+\n)", inspect.cleandoc(schemas.__doc__ or ""), flags=re.MULTILINE)[
        1:
    ]
    entries = re.findall(r"^``(\w+)`` +(.*?)(?=^``|\Z)", body, re.DOTALL | re.MULTILINE)
    rows = [(f"`{name}`", meaning) for name, meaning in entries]
    return Page(
        "data-set-kinds.md",
        "Columns of the data sets",
        "The columns that the loaders give, for each kind of data set.",
        [text, _table(("kind", "columns"), rows), rest],
    )


def _data_set_row(name: str, metadata: DatasetMetadata) -> tuple[str, ...]:
    uses = [
        f"[`{kind.name}`]({_kind_path(kind.name)})" for kind in kinds().values() if name in _fitting(kind)
    ]
    if metadata.kind == "captions":
        uses.insert(0, "[training](../how-to/train.md)")
    passes = "yes" if metadata.may_redistribute else "no"
    return _data_set_link(name, ""), ", ".join(uses), _rows(metadata), metadata.licence, passes


def _rows(metadata: DatasetMetadata) -> str:
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}" for split, count in metadata.rows.items()
    ]
    return ", ".join(parts) or "any"


def _data_set(name: str, builder: type[DataBuilder]) -> list[str]:
    metadata = builder.metadata
    people = ", ".join(f"`{metric}` {value:g}" for metric, value in metadata.human_reference.items())
    configs = [one.name for one in builder.BUILDER_CONFIGS]
    facts = [
        f"Get it from: {metadata.where}.",
        f"Its folder contains: {', '.join(f'`{one}`' for one in builder.layout)}." if builder.layout else "",
        f"Configurations: {', '.join(f'`{one}`' for one in configs)}." if configs else "",
        f"Pixels per degree of visual angle: {metadata.pixels_per_degree:g}."
        if metadata.pixels_per_degree
        else "",
        f"Published human values: {people}." if people else "",
        f"Caution: {metadata.caution}" if metadata.caution else "",
    ]
    described = inspect.cleandoc(builder.__doc__ or "").replace("``", "`")
    return [
        f"## {name}",
        f"**{metadata.description}.** {described}",
        _list(filter(None, facts)),
        _citation(metadata),
    ]


def _citation(metadata: DatasetMetadata) -> str:
    return f"```text\n{metadata.citation.strip()}\n```" if metadata.citation else ""


def _data_set_link(name: str, up: str) -> str:
    return f"[`{name}`]({up}data-sets.md#{name})"


# --- Python ------------------------------------------------------------------------------------------

_PACKAGES = {
    "hf_clipdyn.data": "Load data sets, and ask for their metadata.",
    "hf_clipdyn.training": "Train, estimate the cost of a run, and find its folder.",
    "hf_clipdyn.revisions": "Publish revisions, list them, and resume publishing.",
    "hf_clipdyn.evaluation": "Measure revisions, or a live model.",
    "hf_clipdyn.report": "Write the page, the cards and the Space of a study.",
    "hf_clipdyn.jobs": "Start work on schedulers.",
}


def _python() -> Page:
    text = """
`import hf_clipdyn` loads no torch: a name is imported when it is first used. The site shows the docstrings below.
"""
    names = [name for name in hf_clipdyn.__all__ if not name.startswith("__")]
    objects = {name: getattr(hf_clipdyn, name) for name in names}
    rows = [(f"`{name}`", _summary(one)) for name, one in objects.items()]
    places = [f"{one.__module__}.{name}" for name, one in objects.items()]
    return Page(
        "python.md",
        "hf_clipdyn",
        "The names that `import hf_clipdyn` offers.",
        [text, _table(("name", "what it does"), rows), *map(_docstring, places)],
    )


def _packages() -> list[Page]:
    found = [_package(name, summary) for name, summary in _PACKAGES.items()]
    return [*found, _extending(), _errors(), _metric_functions()]


def _package(name: str, summary: str) -> Page:
    package = import_module(name)
    others = [one for one in package.__all__ if one not in hf_clipdyn.__all__]
    shared = [one for one in package.__all__ if one in hf_clipdyn.__all__]
    note = (
        f"On the page of [hf_clipdyn](../python.md): {', '.join(f'`{one}`' for one in shared)}."
        if shared
        else ""
    )
    return _api_page(name, summary, [(name, one) for one in others], note)


def _extending() -> Page:
    names = [
        ("hf_clipdyn.benchmarks.base", "Kind"),
        ("hf_clipdyn.benchmarks.base", "KindSettings"),
        ("hf_clipdyn.benchmarks.base", "Benchmark"),
        ("hf_clipdyn.results.terms", "KindTerms"),
        ("hf_clipdyn.results.terms", "Term"),
        ("hf_clipdyn.data.base", "DataBuilder"),
        ("hf_clipdyn.training.losses", "Loss"),
        ("hf_clipdyn.training.loop", "Callback"),
    ]
    return _api_page("extending", "The classes that a plug-in extends.", names, title="Classes to extend")


def _errors() -> Page:
    from hf_clipdyn import errors

    classes = [one for one in errors.__all__ if isinstance(getattr(errors, one), type)]
    return _api_page(
        "hf_clipdyn.errors",
        "The errors that a user can cause.",
        [("hf_clipdyn.errors", one) for one in classes],
    )


def _metric_functions() -> Page:
    names = []
    for found in iter_modules(hf_clipdyn.metrics.__path__):
        module = import_module(f"hf_clipdyn.metrics.{found.name}")
        if not found.name.startswith("_"):
            names += [
                (module.__name__, one) for one in module.__all__ if _is_documented(getattr(module, one))
            ]
    return _api_page("hf_clipdyn.metrics", "The mathematics of every metric, in NumPy and SciPy.", names)


def _api_page(
    name: str, summary: str, names: Sequence[tuple[str, str]], note: str = "", title: str = ""
) -> Page:
    found = [(module, one, getattr(import_module(module), one)) for module, one in names]
    rows = [(f"`{one}`", _summary(value)) for _, one, value in found]
    places = dict.fromkeys(f"{getattr(value, '__module__', module)}.{one}" for module, one, value in found)
    parts = [summary, note, _table(("name", "what it does"), rows) if rows else "", *map(_docstring, places)]
    return Page(f"python/{name.rpartition('.')[2]}.md", title or name, summary, parts)


def _is_documented(value: Any) -> bool:
    return inspect.isfunction(value) or inspect.isclass(value)


def _summary(value: Any) -> str:
    """The first sentence of a docstring."""
    text = inspect.getdoc(value) or ""
    return _line(text.partition("\n\n")[0])


def _docstring(place: str) -> str:
    """What mkdocstrings replaces by the docstring."""
    return f"::: {place}"


# --- the index ---------------------------------------------------------------------------------------

_BY_HAND = (
    ("[Glossary](glossary.md)", "The words of the field and of this project."),
    ("[Names of revisions](revision-names.md)", "How revisions are named, and in which order they are."),
    ("[Notes on data sets](data-sets-notes.md)", "Folders, cautions, and what is read of each data set."),
    ("[Environment variables](environment.md)", "The variables that the commands read."),
)


def _index(
    commands: Sequence[Page], measured: Sequence[Page], tables: Sequence[Page], api: Sequence[Page]
) -> Page:
    def rows(listed: Iterable[Page]) -> list[tuple[str, str]]:
        return [(f"[{page.title}]({page.path})", page.summary) for page in listed]

    head = ("page", "what it says")
    return Page(
        "index.md",
        "Reference",
        "",
        [
            "Look up what a command, an option, a column, a metric or a function means.",
            "## Commands",
            "`clipdyn COMMAND --help` prints the same text. Write options with dashes or with underscores.",
            _table(("command", "what it does"), rows(commands)),
            "## Kinds",
            "A kind is a way to measure. A benchmark is a kind on a data set: `noise/cifar10`.",
            _table(("kind", "what it measures"), rows(measured)),
            "## Tables, files and data",
            _table(head, [*rows(tables), *_BY_HAND]),
            "## Python",
            _table(head, rows(api)),
        ],
    )


# --- Markdown ----------------------------------------------------------------------------------------


def _sections(text: str) -> dict[str, str]:
    """The sections of a docstring by name: `Args`, `Returns`, …"""
    parts = re.split(r"^(\w+):\n", inspect.cleandoc(text), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _entries(section: str) -> dict[str, str]:
    """The entries `name: meaning` of a section; the lines after the first are indented."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc(section)):
        name, _, meaning = _line(entry).partition(": ")
        found[name] = meaning[:1].upper() + meaning[1:]
    return found


def _section(heading: str, content: str) -> list[str]:
    return [heading, content] if content else []


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {one}" for one in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(one) for one in row)} |" for row in cells)


def _cell(text: str) -> str:
    """A text in a cell: no line ends, and neither columns nor HTML of its own."""
    parts = re.split(r"(`[^`]*`)", _line(text).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


if __name__ == "__main__":
    # The metric modules import `evaluate`, and this folder has a script of that name.
    sys.path = [one for one in sys.path if Path(one).resolve() != Path(__file__).resolve().parent]
    write()
