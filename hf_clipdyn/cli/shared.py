"""What several commands share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydantic import Field

from hf_clipdyn.errors import RevisionError

QUIET = Field(False, description="Print only the result, warnings and errors.")


@contextmanager
def naming_runs_here(repos: Iterable[str]) -> Iterator[None]:
    """Add to an error about a repository on the Hub which run on this machine may be meant."""
    try:
        yield
    except RevisionError as error:
        from hf_clipdyn.revisions.open import run_here
        from hf_clipdyn.revisions.published import shown_path

        for run in filter(None, map(run_here, repos)):
            error.args = (f"{error} A run here has this name: give its folder, {shown_path(run.run)}.",)
        raise
