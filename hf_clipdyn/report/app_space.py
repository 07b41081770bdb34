"""The files of a Space with the app: its program, what it requires, and what its README.md says."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError, counted
from hf_clipdyn.files import write_atomically
from hf_clipdyn.hub import Destination

__all__ = ["APP", "GRADIO", "REQUIREMENTS", "app_files", "app_lines", "to_commit", "write_app"]

APP, REQUIREMENTS = "app.py", "requirements.txt"
GRADIO = "6.31.0"
"""The version of Gradio that the app was tested with."""

_OWN = re.compile(rb"hf-clipdyn\[app\]==[^\s]+\s*")


def app_files(rows: pd.DataFrame, models: Sequence[str]) -> dict[str, bytes]:
    """The app's program, which names every revision with its commit, and what it requires."""
    if not models:
        raise ConfigError(
            "No model has an owner, so none can be on the Hub, where the app reads the revisions."
        )
    columns = ["revision", "epoch", "step", "commit"]
    pinned: dict[str, list[tuple[Any, ...]]] = {}
    for repo_id in models:
        own = rows.loc[rows["repo_id"] == repo_id, columns].drop_duplicates()
        own = own.sort_values(["step", "epoch"], kind="stable")
        pinned[repo_id] = [
            (str(name), *(None if pd.isna(number) else int(number) for number in numbers), str(commit))
            for name, *numbers, commit in own.itertuples(index=False)
        ]
    listed = "".join(
        f"    {repo_id!r}: [\n" + "".join(f"        {one!r},\n" for one in revisions) + "    ],\n"
        for repo_id, revisions in pinned.items()
    )
    program = (
        '"""Ask every revision about an image; written by hf-clipdyn. A revision: name, epoch, step, commit."""\n\n'
        f"from hf_clipdyn.app import serve_pinned\n\nserve_pinned({{\n{listed}}})\n"
    )
    return {APP: program.encode(), REQUIREMENTS: f"hf-clipdyn[app]=={__version__}\n".encode()}


def write_app(output: Path, files: Mapping[str, bytes]) -> None:
    """Write these files into a folder; requirements that a person changed stay."""
    for name, content in files.items():
        if name != REQUIREMENTS or _is_own(output / name):
            write_atomically(output / name, content)


def to_commit(files: Mapping[str, bytes], to: Destination, paths: Sequence[str]) -> Mapping[str, bytes]:
    """These files without requirements that a person changed in the Space, which has these paths."""
    if REQUIREMENTS not in files or REQUIREMENTS not in paths:
        return files
    place: dict[str, Any] = {"repo_type": to.repo_type, "revision": to.head}
    there = Path(to.api.hf_hub_download(to.repo_id, REQUIREMENTS, **place))
    return files if _is_own(there) else {APP: files[APP]}


def _is_own(path: Path) -> bool:
    """Whether nobody has changed the requirements in a file; True if there is none."""
    return not path.exists() or _OWN.fullmatch(path.read_bytes()) is not None


def app_lines(models: int) -> list[str]:
    """What the README.md says of the app, as lines of Markdown."""
    return [
        f"`{APP}` shows what every revision of {counted(models, 'model')} answers to an image and to class names of "
        f"your own, with hf-clipdyn {__version__}. Each revision is read at the commit that was measured. Nothing that "
        "you upload is kept. One image is an anecdote: the measurements are elsewhere.",
        "",
    ]
