"""Write three lists, so that what goes missing is a line of a diff, which belongs in the changelog::

    python tests/goldens/write_lists.py

numbers.tsv       what tells one number of results.parquet from another, by kind
public_names.txt  the public names of Python with their signatures, and the commands with their options
options.json      the default of each option

`test_goldens.py` compares them with the table and with the code. Run `write.py` first where numbers have changed.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the tests' own modules

# --- numbers ---

COLUMNS = [
    "kind",
    "metric",
    "variant",
    "role",
    "reference",
    "probe",
    "layer",
    "subset",
    "condition",
    "level",
    "parameter",
    "texts",
]
"""What tells numbers of a kind apart; each kind has one data set in the goldens."""


def numbers() -> list[str]:
    """The lines of `numbers.tsv`, below a line of titles, sorted."""
    rows = pd.read_parquet(HERE / "results.parquet", columns=COLUMNS)
    lines = {"\t".join(map(_text, row)) for row in rows.itertuples(index=False)}
    return ["\t".join(COLUMNS), *sorted(lines)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:g}"


# --- names ---


def public_names() -> list[str]:
    """The lines of `public_names.txt`, sorted."""
    from public_names import public_modules

    from hf_clipdyn import errors

    lines = set(_commands())
    classes = [
        name
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.ClipDynError)
    ]
    for module, names in [*public_modules(), (errors, classes)]:
        for name in names:
            lines.update(_described(f"{module.__name__}.{name}", getattr(module, name)))
    return sorted(lines)


def _commands() -> Iterator[str]:
    from goldens.write import options

    for name, of_command in options().items():
        yield f"clipdyn {name}"
        yield from (f"clipdyn {name} {spelling}" for spelling in of_command)


def _described(place: str, member: Any) -> Iterator[str]:
    """The lines of a function, a constant, or a class with its fields and methods, as the source has them."""
    if inspect.isroutine(member):
        yield place + _signature(_node(member.__module__, member.__qualname__))
    elif inspect.isclass(member):
        yield f"class {place}"
        for base in member.__mro__:
            # What every class of options inherits is listed once, for `Options`.
            is_inherited = base is not member and base.__name__ == "Options"
            if base.__module__.startswith("hf_clipdyn") and not is_inherited:
                for node in getattr(_node(base.__module__, base.__qualname__), "body", ()):
                    if isinstance(node, ast.FunctionDef):
                        if node.name == "__init__" or not node.name.startswith("_"):
                            yield f"{place}.{node.name}{_signature(node)}"
                    elif isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                        yield f"{place}.{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    else:
        yield place


def _signature(node: ast.AST | None) -> str:
    """Arguments and result of a function; nothing where it is made otherwise."""
    if not isinstance(node, ast.FunctionDef):
        return ""
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"({ast.unparse(node.args)}){returns}"


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))


def _node(module: str, qualname: str) -> ast.AST | None:
    node: ast.AST | None = _tree(module)
    for name in qualname.split("."):
        inside = [one for one in getattr(node, "body", ()) if getattr(one, "name", None) == name]
        node = inside[-1] if inside else None
    return node


def main() -> None:
    from goldens.write import options

    (HERE / "options.json").write_text(json.dumps(options(), indent=1) + "\n", encoding="utf-8")
    (HERE / "numbers.tsv").write_text("\n".join(numbers()) + "\n", encoding="utf-8")
    (HERE / "public_names.txt").write_text("\n".join(public_names()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
