"""The kinds of benchmarks, found in this folder, and the benchmarks that a suite, a name or a pattern means."""

import pkgutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.benchmarks.sources import fitting_datasets
from hf_clipdyn.errors import ConfigError, UnknownNameError

__all__ = ["benchmark_class", "kinds", "select_benchmarks", "suite", "suite_names"]


@cache
def kinds() -> dict[str, type[Benchmark]]:
    """Every kind by its name: the subclasses of `Benchmark` that the modules of this folder define."""
    package = import_module("hf_clipdyn.benchmarks")
    found: dict[str, type[Benchmark]] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for member in vars(import_module(module.name)).values():
            ours = isinstance(member, type) and member.__module__ == module.name
            if ours and issubclass(member, Benchmark) and "kind" in vars(member):
                found[member.kind] = member
    return dict(sorted(found.items()))


def suite_names() -> list[str]:
    """Names of the suites, sorted."""
    return sorted({name for kind in kinds().values() for name in kind.suites})


def suite(name: str) -> list[str]:
    """The benchmarks of a suite, as ``kind/dataset``.

    Raises:
        UnknownNameError: there is no such suite.
    """
    if name not in suite_names():
        raise UnknownNameError("suite", name, suite_names())
    return [
        f"{kind}/{dataset}"
        for kind, benchmark in kinds().items()
        for dataset in benchmark.suites.get(name, ())
    ]


def benchmark_class(name: str) -> type[Benchmark]:
    """The kind behind ``kind/dataset``.

    Raises:
        UnknownNameError: there is no such kind, or no such data set that fits it.
    """
    kind = name.partition("/")[0]
    if kind not in kinds():
        raise UnknownNameError("kind of benchmark", kind, kinds())
    known = [f"{kind}/{fit}" for fit in fitting_datasets(kinds()[kind].schemas)]
    if name not in known:
        raise UnknownNameError("benchmark", name, known)
    return kinds()[kind]


def select_benchmarks(
    suite_name: str, wanted: Sequence[str] | None = None, datasets: Iterable[str] = ()
) -> list[str]:
    """The benchmarks that a call means, as ``kind/dataset``, without repetitions.

    Args:
        suite_name: all of it, unless ``wanted`` is given.
        wanted: full names (``noise/cifar10``), kinds (``noise``) or patterns (``*/cifar*``). Kinds and
            patterns choose among the suite and whatever fits the data sets in ``datasets``.
        datasets: data sets whose folders were given.

    Raises:
        UnknownNameError: an unknown suite, benchmark, or a pattern that matches nothing.
        ConfigError: a folder was given for a data set that no chosen benchmark shows.
    """
    datasets = list(datasets)
    names = suite(suite_name)
    offered = [
        *names,
        *(
            f"{kind}/{dataset}"
            for kind, benchmark in kinds().items()
            for dataset in datasets
            if dataset in fitting_datasets(benchmark.schemas)
        ),
    ]
    if wanted is not None:
        names = []
        for pattern in wanted:
            matching = [
                name for name in offered if fnmatchcase(name, pattern) or name.startswith(f"{pattern}/")
            ]
            if not matching:
                if "*" in pattern or pattern in kinds():
                    raise UnknownNameError("benchmark that matches", pattern, offered)
                benchmark_class(pattern)
                matching = [pattern]
            names += matching
    unused = sorted(set(datasets) - {name.partition("/")[2] for name in names})
    if unused:
        fitting = [name for name in offered if name.partition("/")[2] in unused] or ["kind/dataset"]
        raise ConfigError(
            f"A folder is given for {', '.join(unused)}, which no chosen benchmark shows: "
            f"name one with --benchmarks, as {fitting[0]}."
        )
    return list(dict.fromkeys(names))
