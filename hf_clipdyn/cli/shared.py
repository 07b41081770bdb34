"""What several commands share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydantic import Field

from hf_clipdyn.errors import ClipDynError, RevisionNotFoundError

QUIET = Field(False, description="Print only the result, warnings and errors.")


@contextmanager
def naming_runs_here(repos: Iterable[str]) -> Iterator[None]:
    """Add to an error about a repository on the Hub which runs on this machine may be meant."""
    try:
        yield
    except ClipDynError as error:
        from hf_clipdyn.hub import is_transient, status_of
        from hf_clipdyn.revisions.open import run_here, runs_here
        from hf_clipdyn.revisions.published import shown_path

        unreachable = status_of(error) is None and is_transient(error)
        if not (unreachable or isinstance(error, RevisionNotFoundError)):
            raise
        run = next(filter(None, map(run_here, repos)), None)
        if run is not None:
            error.args = (f"{error} A run here has this name: give its folder, {shown_path(run.run)}.",)
        elif unreachable:
            error.args = (f"{error} {runs_here()}",)
        raise
