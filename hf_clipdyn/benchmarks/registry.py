"""The kinds of benchmarks, and the benchmarks that a suite, a name or a pattern selects."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from hf_clipdyn.benchmarks.base import Benchmark, Kind, KindSettings
from hf_clipdyn.benchmarks.relation import ANSWERED, PAIRS, WEIGHTS, Relation, relation_terms
from hf_clipdyn.benchmarks.sources import fitting_datasets
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.options import name_of
from hf_clipdyn.plugins import KINDS, modules_of, plugins, subclasses_in
from hf_clipdyn.results.terms import DatasetTerms, Vocabulary


def kinds() -> dict[str, type[Kind[Any]]]:
    """Every kind by its name: those of this package, of installed packages and of plug-ins.

    A class without a name is a base that several kinds share.

    Raises:
        ConfigError: two kinds have one name, or a declaration is missing.
    """
    by_name: dict[str, type[Kind[Any]]] = {}
    added = subclasses_in(plugins(KINDS), Kind)  # type: ignore[type-abstract]
    for kind in [*_own_kinds(), *added]:
        if not hasattr(kind, "name"):
            continue
        _check_declared(kind)
        if by_name.setdefault(kind.name, kind) is not kind:
            raise ConfigError(
                f"Two kinds of benchmarks are called {kind.name}: rename the one in {kind.__module__}."
            )
    return dict(sorted(by_name.items()))


@cache
def _check_declared(kind: type[Kind[Any]]) -> None:
    where = f"The kind {kind.name!r} of {kind.__module__}"
    if not re.fullmatch("[a-z][a-z0-9_]*", kind.name):
        raise ConfigError(f"{where} needs another name: use lower-case letters, digits and underscores.")
    missing = sorted(
        kind.__abstractmethods__
        | {name for name in ("schemas", "terms", "trial_columns") if not hasattr(kind, name)}
        | ({"items"} if getattr(kind, "schemas", None) == () and "items" not in vars(kind) else set())
    )
    if missing:
        raise ConfigError(f"{where} does not define {', '.join(missing)}: see hf_clipdyn.benchmarks.base.")


def relations() -> dict[str, type[Relation]]:
    """Every relation by its name: those of this package, of installed packages and of plug-ins.

    Raises:
        ConfigError: two relations have one name, or a declaration is missing or wrong.
    """
    by_name: dict[str, type[Relation]] = {}
    for relation in [*_own_relations(), *subclasses_in(plugins(KINDS), Relation)]:
        if not hasattr(relation, "name"):
            continue
        where = f"The relation {relation.name!r} of {relation.__module__}"
        missing = [name for name in ("terms", "reads") if not hasattr(relation, name)]
        if missing or not re.fullmatch("[a-z][a-z0-9_]*", relation.name) or set(relation.pairs) - set(PAIRS):
            raise ConfigError(
                f"{where} needs a name of lower-case letters, digits and underscores, `terms`, `reads`, and `pairs` "
                f"among {', '.join(PAIRS)}: see hf_clipdyn.benchmarks.relation."
            )
        if by_name.setdefault(relation.name, relation) is not relation:
            raise ConfigError(
                f"Two relations are called {relation.name}: rename the one in {relation.__module__}."
            )
    return dict(sorted(by_name.items()))


def relation_named(name: str) -> type[Relation]:
    """The relation of that name.

    Raises:
        UnknownNameError: there is none; the plug-in that defines it may not be loaded.
    """
    known = relations()
    if name not in known:
        raise UnknownNameError("relation", name, known)
    return known[name]


def kinds_read(relation: type[Relation]) -> dict[str, type[Kind[Any]]]:
    """The kinds whose trials a relation reads; none if it reads weights."""
    if relation.reads == ANSWERED:
        return {name: kind for name, kind in kinds().items() if kind.answers_from}
    return {} if relation.reads == WEIGHTS else {name: kind_named(name) for name in relation.reads}


@cache
def _own_relations() -> list[type[Relation]]:
    return list(subclasses_in(modules_of("hf_clipdyn.benchmarks.relations"), Relation))


@cache
def _own_kinds() -> list[type[Kind[Any]]]:
    return list(subclasses_in(modules_of("hf_clipdyn.benchmarks.kinds"), Kind))  # type: ignore[type-abstract]


@cache
def _suites() -> dict[str, list[str | dict[str, dict[str, Any]]]]:
    suites: dict[str, list[str | dict[str, dict[str, Any]]]] = yaml.safe_load(
        files("hf_clipdyn.benchmarks").joinpath("suites.yaml").read_text(encoding="utf-8")
    )
    return suites


def suite_names() -> list[str]:
    """Names of the suites, sorted."""
    return sorted(_suites())


def suite(name: str) -> list[str]:
    """The benchmarks of a suite, as ``kind/dataset``.

    Raises:
        UnknownNameError: there is no such suite.
    """
    return list(_suite_settings(name))


def suite_relations(names: str | Sequence[str]) -> list[str]:
    """The relations of a suite, or of several: its entries without a data set, each once.

    Raises:
        UnknownNameError: there is no such suite.
    """
    entries = [one for name in _names_of(names) for one in _suite_entries(name)]
    return list(dict.fromkeys(one for one in entries if isinstance(one, str) and "/" not in one))


def _names_of(suites: str | Sequence[str]) -> Sequence[str]:
    return (suites,) if isinstance(suites, str) else suites


def _suite_entries(name: str) -> list[str | dict[str, dict[str, Any]]]:
    if name not in _suites():
        raise UnknownNameError("suite", name, suite_names())
    return _suites()[name]


def _suite_settings(name: str) -> dict[str, dict[str, Any]]:
    """The benchmarks of a suite, each with the settings that the suite gives it."""
    entries: dict[str, dict[str, Any]] = {}
    for entry in _suite_entries(name):
        entries |= {entry: {}} if isinstance(entry, str) else entry
    return {entry: given for entry, given in entries.items() if "/" in entry}


def parse_benchmark(name: str, settings: Mapping[str, KindSettings] | None = None) -> Benchmark:
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
    known = fitting_datasets(benchmark.kind.schemas)
    if benchmark.dataset not in known:
        raise UnknownNameError("benchmark", benchmark.name, [f"{benchmark.kind.name}/{one}" for one in known])
    return benchmark


def kind_named(name: str) -> type[Kind[Any]]:
    """The kind of that name.

    Raises:
        UnknownNameError: there is none; the plug-in that defines it may not be loaded.
    """
    known = kinds()
    if name not in known:
        raise UnknownNameError("kind of benchmark", name, known)
    return known[name]


def select_benchmarks(
    suite_name: str | Sequence[str],
    wanted: Sequence[str | Benchmark] | None = None,
    settings: Mapping[str, KindSettings] | None = None,
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
    dirs = list(data_dirs)
    of_suite: dict[str, dict[str, Any]] = {}
    for name in _names_of(suite_name):
        of_suite |= {one: given for one, given in _suite_settings(name).items() if one not in of_suite}
    offered = [
        *of_suite,
        *(
            f"{name}/{one}"
            for name, kind in kinds().items()
            for one in dirs
            if one in fitting_datasets(kind.schemas)
        ),
    ]
    chosen: list[Benchmark] = []
    if wanted is None:
        chosen += [_of_suite(name, given, settings or {}) for name, given in of_suite.items()]
    for one in wanted or ():
        if isinstance(one, Benchmark):
            chosen.append(_fitting(one))
        else:
            chosen += [parse_benchmark(name, settings) for name in _matching(one, offered)]
    _check_used(chosen, settings or {}, dirs, offered)
    return list(dict.fromkeys(chosen))


def _of_suite(name: str, given: Mapping[str, Any], settings: Mapping[str, KindSettings]) -> Benchmark:
    """A benchmark with the settings that its suite gives it, unless the call has settings for its kind."""
    one = parse_benchmark(name, settings)
    return one.kind.on(one.dataset, **given) if given and one.kind.name not in settings else one


def _matching(pattern: str, offered: Sequence[str]) -> list[str]:
    matching = [name for name in offered if fnmatchcase(name, pattern) or name.startswith(f"{pattern}/")]
    if not matching and ("*" in pattern or pattern in kinds()):
        raise UnknownNameError("benchmark that matches", pattern, offered)
    return matching or [pattern]


def _check_used(
    chosen: Sequence[Benchmark],
    settings: Mapping[str, KindSettings],
    dirs: Sequence[str],
    offered: Sequence[str],
) -> None:
    for name, given in settings.items():
        kind = kind_named(name)
        if not isinstance(given, kind.settings):
            expected = kind.settings.__name__
            raise ConfigError(
                f"The settings of {name} are of the type {type(given).__name__}: give a {expected}."
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
    unused = sorted(set(dirs) - {one.dataset for one in chosen})
    if unused:
        fitting = [name for name in offered if name.partition("/")[2] in unused] or ["kind/dataset"]
        raise ConfigError(
            f"A folder is given for {', '.join(unused)}, which none of the selected benchmarks uses: "
            f"select one that does with --benchmarks, for example {fitting[0]}."
        )


def vocabulary(benchmarks: Iterable[Benchmark]) -> Vocabulary:
    """The words of these benchmarks, for the metadata of the results."""
    listed = list(benchmarks)
    return Vocabulary(
        kinds={one.kind.name: one.kind.terms for one in listed},
        datasets={one.dataset: _dataset_terms(one.dataset) for one in listed},
    )


def relation_vocabulary(
    relation: type[Relation], kind: type[Kind[Any]] | None, dataset: str, held: Vocabulary
) -> Vocabulary:
    """The words of a relation that reads a kind on a data set; without a kind, weights.

    Those of a data set of a plug-in that is not loaded are the ones that the tables hold already.
    """
    terms = relation_terms(relation, None if kind is None else kind.terms)
    try:
        words = _dataset_terms(dataset)
    except UnknownNameError:
        words = held.dataset(dataset)
    return Vocabulary(kinds={related_kind(relation, kind): terms}, datasets={dataset: words})


def related_kind(relation: type[Relation], kind: type[Kind[Any]] | None) -> str:
    """The column ``kind`` of the cells of a relation."""
    return relation.name if kind is None else f"{relation.name}-{kind.name}"


def _dataset_terms(name: str) -> DatasetTerms:
    facts = dataset_metadata(name)
    return DatasetTerms(
        title=facts.title,
        synthetic=facts.synthetic,
        caution=facts.caution,
        human_reference=dict(facts.human_reference),
    )
