"""Plug-ins: kinds and data sets from an installed package, or from a file given with ``--plugin``.

A package names its modules in entry points. Each class must be defined in the module itself::

    [project.entry-points."hf_clipdyn.kinds"]
    brightness = "my_package.brightness"

    [project.entry-points."hf_clipdyn.datasets"]
    my_images = "my_package.my_images"

A plug-in is imported, so its code runs with your rights.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from hf_clipdyn.errors import ConfigError, sentence

KINDS, DATASETS = "hf_clipdyn.kinds", "hf_clipdyn.datasets"
LOSSES, CALLBACKS = "hf_clipdyn.losses", "hf_clipdyn.callbacks"
CHARTS = "hf_clipdyn.charts"
T = TypeVar("T")
_loaded: dict[Path, ModuleType] = {}
_PREFIX = "clipdyn_plugin_"  # in `sys.modules`, so that a plug-in `torch.py` does not hide torch


def load_plugin(path: str | Path) -> ModuleType:
    """Import a plug-in. Its kinds, data sets, losses, callbacks and charts are then used like those of the package.

    A second call with the same file returns the same module.

    Args:
        path: a Python file. Its code runs with your permissions.

    Raises:
        ConfigError: there is no such file, or importing it fails.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.plugins import load_plugin
        >>> plugin = Path("steps_so_far.py")
        >>> _ = plugin.write_text('STEPS = [1, 2, 4]')
        >>> load_plugin(plugin).STEPS
        [1, 2, 4]
    """
    file = Path(os.path.expanduser(path)).resolve()  # noqa: PTH111  # Path's own raises for an unknown user
    if file.suffix != ".py" or not os.path.isfile(file):  # noqa: PTH113  # and this for a long name
        raise ConfigError(f"The plug-in {path} is not a Python file: name a file that ends in .py.")
    if file not in _loaded:
        name = f"{_PREFIX}{file.stem}"
        if name in sys.modules:
            raise ConfigError(f"Two plug-ins are called {file.stem}: rename one of them.")
        module = ModuleType(name)
        module.__file__ = str(file)
        sys.modules[name] = module  # where dataclasses and pickle look for it
        try:
            with _imported(f"The plug-in {path}"):
                SourceFileLoader(name, str(file)).exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        _loaded[file] = module
    return _loaded[file]


def plugins(group: str) -> Iterator[ModuleType]:
    """The modules given by file, and those that installed packages name in an entry-point group."""
    yield from _loaded.values()
    yield from _installed(group)


@cache
def _installed(group: str) -> tuple[ModuleType, ...]:
    """The modules of an entry-point group; cached, since the search reads the list of every installed package."""
    modules = []
    for point in entry_points(group=group):
        package = point.dist.name if point.dist else "a package"
        with _imported(f"The plug-in {point.name} of {package}"):
            modules.append(importlib.import_module(point.module))
    return tuple(modules)


@contextmanager
def _imported(what: str) -> Iterator[None]:
    """Name the plug-in in whatever its import raises, also `sys.exit`; what it prints is not part of a result."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what} fails on import: {sentence(error)}") from error


def subclasses_in(modules: Iterable[ModuleType], base: type[T]) -> Iterator[type[T]]:
    """The subclasses of ``base`` that these modules define themselves."""
    for module in modules:
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, base) and member.__module__ == module.__name__:
                yield member


def module_name(member: type) -> str:
    """The last part of the name of a class's module; for a plug-in, the file's name."""
    return member.__module__.rpartition(".")[2].removeprefix(_PREFIX)


def modules_of(package: str) -> Iterator[ModuleType]:
    """The modules in a package's folder."""
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__, f"{package}."):
        yield importlib.import_module(module.name)
