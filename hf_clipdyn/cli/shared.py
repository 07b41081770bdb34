"""What several commands share: options of tables and the page, and where a local run has a repository."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, field
from functools import partial
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.fields import option

quiet = partial(option, False, "Print only the result, warnings and errors.")
store = partial(option, None, "Store of version 0.3, which is read instead of the Hub.")
tables = partial(
    option, MISSING, "Tables of `clipdyn evaluate`, or folders with results.parquet. All are read together."
)
claims = partial(
    option, None, "YAML file of claims for the verdicts. Default: the claims.yaml of the package."
)
stimuli = partial(
    option,
    "thumbnails",
    "Stimuli on the page: none, or thumbnails of the data sets whose licence allows redistribution.",
)
style = partial(option, None, "Matplotlib style of the figures: a name, or a .mplstyle file.")
folders = partial(
    field,
    default_factory=dict,
    metadata={"help": "Folder of a data set, NAME=PATH. Repeat it for each data set."},
)
"""Fields that several commands have: each call makes one."""


def load_plugins(paths: Iterable[Path]) -> None:
    """Import the files of ``--plugin``."""
    from hf_clipdyn.plugins import load_plugin

    for path in paths:
        load_plugin(path)


def page_options(stimuli: str, data_dir: Mapping[str, Path]) -> dict[str, Any]:
    """The options of the page as arguments of `write_report`, without the claims, which belong to the study."""
    from hf_clipdyn.report.page.stimuli import stimuli_choice

    return {"stimuli": stimuli_choice(stimuli), "data_dirs": data_dir}


def folder_of_run(results: Sequence[Path]) -> Path | None:
    """The folder that is the only thing given: what is made of its table is written there, too."""
    return results[0] if len(results) == 1 and results[0].is_dir() else None


@contextmanager
def reading(repos: str | Sequence[str], store: Path | None) -> Iterator[None]:
    """Add to an error about a repository on the Hub where a local run has that repository."""
    try:
        yield
    except ClipDynError as error:
        names = [repos] if isinstance(repos, str) else repos
        hints = [] if store is not None else [_store_hint(name, error) for name in names]
        hint = next(filter(None, hints), "")
        if not hint:
            raise
        error.args = (f"{error} {hint}",)
        raise


def _store_hint(repo: str, error: ClipDynError) -> str:
    from hf_clipdyn.errors import RevisionNotFoundError
    from hf_clipdyn.hub import is_transient, status_of

    unreachable = status_of(error) is None and is_transient(error)
    if not (unreachable or isinstance(error, RevisionNotFoundError)):
        return ""
    from hf_clipdyn.revisions.open import run_here, runs_here

    run = run_here(repo)
    if run is not None:
        return f"A run here has this name: give its folder, {run}."
    if not unreachable:
        return ""
    return f"The Hub cannot be reached, and nothing here is called {repo}. {runs_here()}"
