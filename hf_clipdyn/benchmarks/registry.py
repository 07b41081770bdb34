"""The kinds of benchmarks, and the benchmarks that a suite, a name or a pattern selects.

A file in `kinds/` or `relations/` is all that a kind or a relation needs; no list of them exists. What loads pandas is
imported inside the functions, since the settings of all kinds are options of the command line.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from hf_clipdyn.benchmarks.kind import Benchmark, Kind, KindSettings
from hf_clipdyn.errors import ConfigError, UnknownNameError, counted
from hf_clipdyn.options import name_of
from hf_clipdyn.plugins import KINDS, modules_of, plugins, subclasses_in
from hf_clipdyn.results.row import FORMER_NAMES
from hf_clipdyn.results.terms import DatasetTerms, Vocabulary

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.relation import Relation
    from hf_clipdyn.results.trials import KeptTrials

_PACKAGE = "hf_clipdyn.benchmarks"
T = TypeVar("T")
Settings = Mapping[str, KindSettings]


def kinds(package: str = _PACKAGE) -> dict[str, type[Kind[Any]]]:
    """Every kind by its name: those of files in the package's folder `kinds`, of installed packages and of plug-ins.

    A class without a name is a base that several kinds share.

    Raises:
        ConfigError: two kinds have one name, or a declaration is missing.
    """
    return _named(f"{package}.kinds", Kind, ("schemas", "terms"), "kind")  # type: ignore[type-abstract]


def relations(package: str = _PACKAGE) -> "dict[str, type[Relation]]":
    """Every relation by its name: those of files in the package's folder `relations`, and as for `kinds`.

    Raises:
        ConfigError: two relations have one name, or a declaration is missing.
    """
    from hf_clipdyn.benchmarks.relation import Relation

    return _named(f"{package}.relations", Relation, ("reads", "terms"), "relation")


def _named(folder: str, base: type[T], needed: Iterable[str], what: str) -> dict[str, type[T]]:
    by_name: dict[str, type[T]] = {}
    for found in subclasses_in([*_modules(folder), *plugins(KINDS)], base):
        name = getattr(found, "name", None)
        if name is None:
            continue
        where = f"The {what} {name!r} of {found.__module__}"
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise ConfigError(f"{where} needs another name: use lower-case letters, digits and underscores.")
        abstract: frozenset[str] = getattr(found, "__abstractmethods__", frozenset())
        missing = sorted({*abstract, *(hook for hook in needed if not hasattr(found, hook))})
        if missing:
            raise ConfigError(f"{where} does not define {', '.join(missing)}: see {base.__module__}.")
        if by_name.setdefault(name, found) is not found:
            raise ConfigError(f"Two {what}s are called {name}: rename the one in {found.__module__}.")
    return dict(sorted(by_name.items()))


@cache
def _modules(folder: str) -> list[ModuleType]:
    return list(modules_of(folder))


def kind_named(name: str) -> type[Kind[Any]]:
    """The kind of that name.

    Raises:
        UnknownNameError: there is none; the plug-in that defines it may not be loaded.
    """
    return _called(name, kinds(), "kind of benchmark")


def relation_named(name: str) -> "type[Relation]":
    """The relation of that name, or of the name that it had in version 0.3.

    Raises:
        UnknownNameError: there is none; the plug-in that defines it may not be loaded.
    """
    now = next((now for now, former in FORMER_NAMES.items() if former == name), name)
    return _called(now, relations(), "relation")


def _called(name: str, known: Mapping[str, T], what: str) -> T:
    if name not in known:
        raise UnknownNameError(what, name, known)
    return known[name]


def kinds_read(relation: "type[Relation]") -> dict[str, type[Kind[Any]]]:
    """The kinds whose trials a relation reads; none if it reads weights."""
    from hf_clipdyn.benchmarks.relation import ANSWERED, WEIGHTS

    if relation.reads == ANSWERED:
        nothing = Kind.answers.__func__  # type: ignore[attr-defined]
        return {
            name: kind
            for name, kind in kinds().items()
            if kind.answers.__func__ is not nothing  # type: ignore[attr-defined]
        }
    return {} if relation.reads == WEIGHTS else {name: kind_named(name) for name in relation.reads}


def scored_earlier(cells: Iterable[tuple[str, str, int]], files: "KeptTrials") -> str:
    """That a table holds numbers of an earlier scoring, whose intervals are made otherwise; "" if it holds none.

    Args:
        cells: key, kind and version of the scoring of each.
        files: the trials beside the table.
    """
    now, listed = {name: kind.score_version for name, kind in kinds().items()}, list(cells)
    old = [key for key, kind, version in listed if version < now.get(kind, 0)]
    if not old:
        return ""
    return (
        f"{len(old):,} of {counted(len(listed), 'cell')} were scored by an earlier version, whose intervals are made "
        f"in another way: --rescore mends the {sum(files.file(key) is not None for key in old):,} that have trials."
    )


# --- suites ---


@cache
def _suites() -> dict[str, list[str | dict[str, dict[str, Any]]]]:
    text = files("hf_clipdyn.benchmarks").joinpath("suites.yaml").read_text(encoding="utf-8")
    suites: dict[str, list[str | dict[str, dict[str, Any]]]] = yaml.safe_load(text)
    return suites


def suite_names() -> list[str]:
    """Names of the suites, sorted."""
    return sorted(_suites())


def suite(name: str) -> list[str]:
    """The benchmarks of a suite, as ``kind/dataset``.

    Raises:
        UnknownNameError: there is no such suite.
    """
    return [entry for entry in _entries(name) if "/" in entry]


def suite_relations(names: str | Sequence[str]) -> list[str]:
    """The relations of a suite, or of several: its entries without a data set, each once.

    Raises:
        UnknownNameError: there is no such suite.
    """
    return [entry for entry in _entries(names) if "/" not in entry]


def _entries(names: str | Sequence[str]) -> dict[str, dict[str, Any]]:
    """The entries of suites with their settings; of several, each with those of the first that has it."""
    entries: dict[str, dict[str, Any]] = {}
    for name in (names,) if isinstance(names, str) else names:
        for entry in _called(name, _suites(), "suite"):
            for benchmark, given in ({entry: {}} if isinstance(entry, str) else entry).items():
                entries.setdefault(benchmark, given)
    return entries


# --- benchmarks ---


def parse_benchmark(name: str, settings: Settings | None = None) -> Benchmark:
    """The benchmark that ``kind/dataset`` names.

    Args:
        name: from the command line or a file.
        settings: by kind; a kind without an entry takes its defaults.

    Raises:
        UnknownNameError: there is no such kind, or no such data set that fits it.
    """
    kind_name, _, dataset = name.partition("/")
    kind = kind_named(kind_name)
    return _fitting(Benchmark(kind, dataset, (settings or {}).get(kind_name) or kind.settings()))


def _fitting(benchmark: Benchmark) -> Benchmark:
    from hf_clipdyn.benchmarks.sources import fits, fitting_datasets

    if not fits(benchmark.dataset, benchmark.kind.schemas):
        known = fitting_datasets(benchmark.kind.schemas)
        raise UnknownNameError("benchmark", benchmark.name, [f"{benchmark.kind.name}/{one}" for one in known])
    return benchmark


def select_benchmarks(
    suite_name: str | Sequence[str],
    wanted: Sequence[str | Benchmark] | None = None,
    settings: Settings | None = None,
    data_dirs: Iterable[str] = (),
) -> list[Benchmark]:
    """The benchmarks that a call selects, without repetitions.

    Args:
        suite_name: all of it with its own settings, unless ``wanted`` is given; of several, each benchmark once, with
            the settings of the first that has it.
        wanted: benchmarks, full names (``noise/cifar10``), kinds (``noise``) or patterns (``*/cifar*``). Kinds and
            patterns choose among the suite and all that fits the data sets in ``data_dirs``.
        settings: by kind, for the benchmarks that are given by name, and in place of the settings of the suite.
        data_dirs: data sets whose folders were given.

    Raises:
        UnknownNameError: an unknown suite, benchmark, or a pattern that matches nothing.
        ConfigError: a folder was given for a data set that none of the benchmarks shows, or settings for a kind that
            none of the named benchmarks has.
    """
    from hf_clipdyn.benchmarks.sources import fitting_datasets

    dirs, own = list(data_dirs), settings or {}
    of_suite = {name: given for name, given in _entries(suite_name).items() if "/" in name}
    fits = [
        f"{name}/{one}"
        for name, kind in kinds().items()
        for one in dirs
        if one in fitting_datasets(kind.schemas)
    ]
    offered = [*of_suite, *fits]
    chosen: list[Benchmark] = []
    for one in of_suite if wanted is None else wanted:
        if isinstance(one, Benchmark):
            chosen.append(_fitting(one))
        elif wanted is None:
            named = parse_benchmark(one, own)
            is_of_suite = of_suite[one] and named.kind.name not in own
            chosen.append(named.kind.on(named.dataset, **of_suite[one]) if is_of_suite else named)
        else:
            chosen += [parse_benchmark(name, own) for name in _matching(one, offered)]
    _check_used(chosen, own, dirs, offered)
    return list(dict.fromkeys(chosen))


def _matching(pattern: str, offered: Sequence[str]) -> list[str]:
    matching = [name for name in offered if fnmatchcase(name, pattern) or name.startswith(f"{pattern}/")]
    if not matching and ("*" in pattern or pattern in kinds()):
        raise UnknownNameError("benchmark that matches", pattern, offered)
    return matching or [pattern]


def _check_used(
    chosen: Sequence[Benchmark], settings: Settings, dirs: Sequence[str], offered: Sequence[str]
) -> None:
    """Refuse settings and folders that no benchmark reads."""
    for name, given in settings.items():
        kind = kind_named(name)
        if not isinstance(given, kind.settings):
            raise ConfigError(
                f"The settings of {name} are of the type {type(given).__name__}: give a {kind.settings.__name__}."
            )
        usual = kind.settings()
        if given != usual and not any(one.kind is kind for one in chosen):
            changed = [
                f"{name}_{name_of(field, declared)}"
                for field, declared in kind.settings.model_fields.items()
                if getattr(given, field) != getattr(usual, field)
            ]
            raise ConfigError(
                f"{', '.join(changed)} only affects {name} benchmarks, and none is selected: leave it out, or "
                "select one with --benchmarks."
            )
    unused = sorted(set(dirs) - {benchmark.dataset for benchmark in chosen})
    if unused:
        fitting = [name for name in offered if name.partition("/")[2] in unused] or ["kind/dataset"]
        raise ConfigError(
            f"A folder is given for {', '.join(unused)}, which none of the selected benchmarks uses: "
            f"select one that does with --benchmarks, for example {fitting[0]}."
        )


# --- words ---


def vocabulary(benchmarks: Iterable[Benchmark]) -> Vocabulary:
    """The words of these benchmarks, for the metadata of the results."""
    listed = list(benchmarks)
    return Vocabulary(
        kinds={benchmark.kind.name: benchmark.kind.terms for benchmark in listed},
        datasets={benchmark.dataset: _dataset_terms(benchmark.dataset) for benchmark in listed},
    )


def relation_vocabulary(
    relation: "type[Relation]", kind: type[Kind[Any]] | None, dataset: str, held: Vocabulary
) -> Vocabulary:
    """The words of a relation that reads a kind on a data set; without a kind, weights.

    Those of a data set of a plug-in that is not loaded are the ones that the tables hold already.
    """
    from hf_clipdyn.benchmarks.relation import relation_terms

    terms = relation_terms(relation, None if kind is None else kind.terms)
    try:
        words = _dataset_terms(dataset)
    except UnknownNameError:
        words = held.dataset(dataset)
    return Vocabulary(kinds={related_kind(relation, kind): terms}, datasets={dataset: words})


def related_kind(relation: "type[Relation]", kind: type[Kind[Any]] | None) -> str:
    """The column ``kind`` of the cells of a relation."""
    return relation.name if kind is None else f"{relation.name}-{kind.name}"


def _dataset_terms(name: str) -> DatasetTerms:
    from hf_clipdyn.data.registry import dataset_metadata

    facts = dataset_metadata(name)
    return DatasetTerms(
        title=facts.title,
        synthetic=facts.synthetic,
        caution=facts.caution,
        human_reference=dict(facts.human_reference),
    )
