"""The data sets by name: those in `hf_clipdyn.data.sets`, of installed packages and of plug-ins."""

from functools import cache

from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.plugins import DATASETS, modules_of, plugins, subclasses_in


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
    """Names of all data sets, sorted; those of plug-ins are included.

    Raises:
        ConfigError: two data sets have one name, or a plug-in cannot be imported.

    Examples:
        >>> from hf_clipdyn.data import dataset_names
        >>> dataset_names()[:3]
        ['bapps', 'cat2000', 'cc12m']
    """
    return sorted(_builders())


def builder_class(name: str) -> type[DataBuilder]:
    """The builder of the data set ``name``.

    Raises:
        UnknownNameError: no data set has this name.
    """
    builders = _builders()
    if name not in builders:
        raise UnknownNameError("data set", name, sorted(builders))
    return builders[name]


def dataset_metadata(name: str) -> DatasetMetadata:
    """Kind, licence, size and origin of a data set. Its files are not opened.

    Args:
        name: one of `dataset_names`.

    Raises:
        UnknownNameError: no data set has this name.

    Examples:
        >>> from hf_clipdyn.data import dataset_metadata
        >>> metadata = dataset_metadata("cue_conflict")
        >>> metadata.title, metadata.licence
        ('Texture-shape cue conflict', 'CC BY 4.0')
    """
    return builder_class(name).metadata
