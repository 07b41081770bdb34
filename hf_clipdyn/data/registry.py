"""The data sets by name: those in `hf_clipdyn.data.sets`, of installed packages and of plug-ins, and any on the Hub."""

import re
from dataclasses import replace
from functools import cache

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.plugins import DATASETS, modules_of, plugins, subclasses_in

HUB_NAME = re.compile(r"(?P<repo_id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""``owner/name`` or ``owner/name@revision``."""


def _builders() -> dict[str, type[DataBuilder]]:
    """Every builder with metadata of its own; one without is a base class that several data sets share."""
    builders: dict[str, type[DataBuilder]] = {}
    for builder in [*_own_builders(), *subclasses_in(plugins(DATASETS), DataBuilder)]:
        if "metadata" in vars(builder) and builders.setdefault(builder.name, builder) is not builder:
            raise ConfigError(
                f"Two data sets are called {builder.name}: give the one in {builder.__module__} another `name`."
            )
    return builders


@cache
def _own_builders() -> list[type[DataBuilder]]:
    return list(subclasses_in(modules_of("hf_clipdyn.data.sets"), DataBuilder))


def dataset_names() -> list[str]:
    """Names of all data sets, sorted, with the data sets of plug-ins.

    Raises:
        ConfigError: two data sets have one name, or a plug-in cannot be imported.

    Examples:
        >>> from hf_clipdyn.data import dataset_names
        >>> dataset_names()[:3]
        ['bapps', 'cat2000', 'cc12m']
    """
    return sorted(_builders())


def builder_class(name: str) -> type[DataBuilder]:
    """The builder of the data set ``name``, which may be ``owner/name`` or ``owner/name@revision`` on the Hub.

    Raises:
        UnknownNameError: no data set has this name.
    """
    builders = _builders()
    if name in builders:
        return builders[name]
    if HUB_NAME.fullmatch(name):
        return _on_hub(name)
    raise UnknownNameError("data set", name, sorted(builders))


@cache
def _on_hub(name: str) -> type[DataBuilder]:
    """The builder of any data set on the Hub, which differs from others in its name alone."""
    hub = _builders()["hub"]
    metadata = replace(hub.metadata, title=name, where=f"huggingface.co/datasets/{name}", mirror=name)
    return type(hub.__name__, (hub,), {"name": name, "metadata": metadata, "__module__": hub.__module__})


def is_anybodys(name: str) -> bool:
    """Whether the pictures of a data set are anybody's: of a folder, or of any data set on the Hub."""
    return name in ("imagefolder", "hub") or (
        name not in _builders() and HUB_NAME.fullmatch(name) is not None
    )


def dataset_metadata(name: str) -> DatasetMetadata:
    """Kind, licence, size and origin of a data set. Its files are not opened.

    Args:
        name: one of `dataset_names`, or ``owner/name`` or ``owner/name@revision`` of any data set on the Hub.

    Raises:
        UnknownNameError: no data set has this name.

    Examples:
        >>> from hf_clipdyn.data import dataset_metadata
        >>> metadata = dataset_metadata("cue_conflict")
        >>> metadata.title, metadata.licence
        ('Texture-shape cue conflict', 'CC BY 4.0')
    """
    return builder_class(name).metadata
