"""The data sets by name: every module of this folder that defines a builder of its own."""

import pkgutil
from functools import cache
from importlib import import_module

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.errors import UnknownNameError

__all__ = ["builder_class", "dataset_facts", "dataset_names"]


@cache
def _builders() -> dict[str, type[DataBuilder]]:
    package = import_module("hf_clipdyn.data")
    found: dict[str, type[DataBuilder]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for member in vars(import_module(f"{package.__name__}.{module.name}")).values():
            if (
                isinstance(member, type)
                and issubclass(member, DataBuilder)
                and member.__module__ == f"{package.__name__}.{module.name}"
                and "facts" in vars(member)
            ):
                found[module.name] = member
    return found


def dataset_names() -> list[str]:
    """Names of all data sets, sorted."""
    return sorted(_builders())


def builder_class(name: str) -> type[DataBuilder]:
    """The builder of the data set ``name``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in _builders():
        raise UnknownNameError("data set", name, dataset_names())
    return _builders()[name]


def dataset_facts(name: str) -> DatasetFacts:
    """Kind, licence, size and origin of the data set ``name``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    return builder_class(name).facts
