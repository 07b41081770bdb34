"""Run the notebooks in an empty folder and store what they print, without progress bars or paths of this machine.

python scripts/run_notebooks.py [NAME.ipynb …]     # a test runs them too, and stores nothing
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_MACHINE = re.compile(r"/(?:home|root|tmp|work|Users|usr|opt|var|mnt|data)/|[A-Z]:\\")


def executed(path: Path, folder: Path) -> NotebookNode:
    """A notebook with the outputs of a run from nothing, in ``folder``.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=600)
    quiet = {"PYTHONWARNINGS": "ignore:IProgress not found"}  # tqdm, without the widgets of Jupyter
    client.execute(cwd=str(folder), env=os.environ | quiet)
    return stripped(notebook)


def stripped(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs between machines and moments."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = nbformat.from_dict({}), f"cell-{number}"
        if cell.cell_type != "code":
            continue
        cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]  # bars
        for output in cell.outputs:
            if output.get("metadata"):
                output.metadata = nbformat.from_dict({})
    return notebook


def texts(notebook: NotebookNode) -> Iterator[str]:
    """All that the outputs of a notebook say in words."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            yield output.get("text", "")
            yield from (str(one) for kind, one in output.get("data", {}).items() if kind.startswith("text/"))


def machine_paths(notebook: NotebookNode) -> list[str]:
    """The lines of the outputs that have what looks like a path of a machine."""
    return [line for text in texts(notebook) for line in text.splitlines() if _MACHINE.search(line)]


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        found = machine_paths(notebook)
        assert not found, f"{path} prints paths of this machine: {found}"
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
