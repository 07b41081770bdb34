# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Create or update a Space on the Hub for every metric module, or for those named.

python scripts/push_metrics.py --namespace ORG
python scripts/push_metrics.py --namespace ORG shape_bias saliency --private

A Space is self-contained: `evaluate.load("ORG/shape_bias")` works where this package is not installed.
The pure modules lie beside the main file, named after their origin, and the main file
imports each of them on a line of its own, since `evaluate` fetches nothing else. A repeated call
commits only what has changed.
"""

import argparse
import ast
import importlib.util
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hf_clipdyn import references
from hf_clipdyn.bundled import metric_names, metric_path
from hf_clipdyn.errors import redacted, reported
from hf_clipdyn.hub import push_folder

_PACKAGE_IMPORT = re.compile(r"^from (hf_clipdyn(?:\.\w+)+) import", re.MULTILINE)
_HEADER = """\
# evaluate fetches only the modules that this file imports, so all of them are named here,
# also those that only the others need.
"""


def space_files(name: str, namespace: str) -> dict[str, bytes]:
    """All files of the Space ``namespace/name``: path -> content."""
    folder = metric_path(name)
    main = (folder / f"{name}.py").read_text(encoding="utf-8")
    modules = _needed_modules(main)
    files = {f"{_beside(module)}.py": _relative(source) for module, source in modules.items()}
    only_indirect = sorted(set(modules) - set(_imported(main)))
    indirect = "".join(f"from .{_beside(m)} import __name__ as _{_beside(m)}\n" for m in only_indirect)
    first = _PACKAGE_IMPORT.search(main)
    assert first is not None, f"{name}.py imports no pure function"
    files[f"{name}.py"] = _relative(main[: first.start()] + _HEADER + indirect + main[first.start() :])
    for other in ("README.md", "app.py", "requirements.txt"):
        files[other] = (folder / other).read_text(encoding="utf-8")
    files["widget.py"] = (folder.parent / "widget.py").read_text(encoding="utf-8")
    # In the checkout a module is loaded from its folder, from the Hub by the Space's name.
    return {
        path: text.replace(f'"metrics/{name}"', f'"{namespace}/{name}"').encode()
        for path, text in files.items()
    }


def _needed_modules(source: str) -> dict[str, str]:
    """The modules of this package that ``source`` imports, directly or through others: name -> source."""
    found: dict[str, str] = {}
    waiting = _imported(source)
    while waiting:
        module = waiting.pop()
        if module not in found:
            spec = importlib.util.find_spec(module)
            source = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
            found[module] = _with_entries() if module == references.__name__ else source
            waiting += _imported(found[module])
    return found


def _with_entries() -> str:
    """`hf_clipdyn.references` with its BibTeX in it, since `evaluate` fetches only Python files."""
    return f"_ENTRIES = {references._entries()!r}\n\n\ndef reference(key):\n    return _ENTRIES[key]\n"


def _imported(source: str) -> list[str]:
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return [node.module for node in nodes if node.module and node.module.startswith("hf_clipdyn.")]


def _beside(module: str) -> str:
    """Name of a module's file in a Space, where all files lie in one folder."""
    return module.replace(".", "_")


def _relative(source: str) -> str:
    return _PACKAGE_IMPORT.sub(lambda match: f"from .{_beside(match[1])} import", source)


def push(name: str, namespace: str, *, token: str | None = None, private: bool = False) -> str:
    """Create the Space of a metric or bring it up to date; returns its commit.

    Raises:
        PublishError: the Hub refuses, or cannot be reached.
    """
    repo_id = f"{namespace}/{name}"
    with tempfile.TemporaryDirectory() as folder:
        for path, content in space_files(name, namespace).items():
            Path(folder, path).write_bytes(content)
        pushed = push_folder(
            folder,
            repo_id,
            f"Update {name} from hf_clipdyn",
            replaced="*.py",
            problem=f"The Space {repo_id} could not be updated",
            repo_type="space",
            space_sdk="gradio",
            private=private,
            token=token,
        )
    return pushed.commit


def main(arguments: Sequence[str] | None = None) -> None:
    """Push the modules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="metric modules; all without any")
    parser.add_argument("--namespace", required=True, help="user or organisation that owns the Spaces")
    parser.add_argument("--token", help="with write access; by default the one that you are logged in with")
    parser.add_argument("--private", action="store_true", help="make new Spaces private")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(redacted(f"unknown arguments: {' '.join(unknown)}"))
    token = options.token.strip() if options.token else None
    with reported("push_metrics"):
        for name in options.names or metric_names():
            commit = push(name, options.namespace, token=token, private=options.private)
            print(f"{options.namespace}/{name} is at commit {commit[:10]}")


if __name__ == "__main__":
    main()
