"""Public names of a package that are imported when they are first used: importing the package loads no torch.

They are declared once: what a package imports ``if TYPE_CHECKING`` is what it offers.
"""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


@cache
def homes_of(package: str) -> dict[str, str]:
    """The module of each name that the source of a package imports for type checkers."""
    loader: Any = sys.modules[package].__spec__.loader  # type: ignore[union-attr]  # of a file or an archive
    blocks = [node for node in ast.parse(loader.get_source(package)).body if isinstance(node, ast.If)]
    imports = (node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom))
    return {name.name: str(node.module) for node in imports for name in node.names}


def lazy_names(package: str) -> Callable[[str], Any]:
    """A package's ``__getattr__``."""
    homes = homes_of(package)

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return load
