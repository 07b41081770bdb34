"""The page of a study as a static Space on the Hub.

::

    README.md     configuration, and a section between two marks, by which the Space is known as ours
    index.html    the page, which loads nothing

The configuration of a static Space: https://huggingface.co/docs/hub/spaces-config-reference.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from huggingface_hub import HfApi, SpaceCardData
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from markupsafe import Markup

from hf_clipdyn import __version__, hub
from hf_clipdyn.cards import markdown, render_card
from hf_clipdyn.errors import ConfigError, counted, shorten
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.hub import (
    Destination,
    attempt,
    check_login,
    push,
)
from hf_clipdyn.report import write_report
from hf_clipdyn.report.card_text import CardText
from hf_clipdyn.report.final_results import hub_dataset
from hf_clipdyn.report.model_index import dataset_address
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.schema import checked_repo_id

__all__ = ["push_space", "write_space"]

_BEGIN, _END = "<!-- page of hf-clipdyn -->", "<!-- end of page -->"
_README, _PAGE = "README.md", "index.html"
_FIRST_COMMIT = "initial commit"
_LONGEST_TITLE = 80
_Results = str | Path | Sequence[str | Path] | pd.DataFrame | Study


def write_space(
    results: _Results,
    output: str | Path,
    *,
    results_dataset: str | None = None,
    licence: str | None = None,
    **page: Any,
) -> Path:
    """Write the page and the README.md of a static Space.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `load_results` or `read_study`.
        output: folder, created if missing.
        results_dataset: data set on the Hub with the whole table, ``owner/name``, to link.
        licence: identifier of the Hub's list (`cc-by-4.0`) for the Space; none by default.
        page: options of `write_report`.

    Returns:
        The path of the page.

    Raises:
        ConfigError: a file does not exist or is not a table of results, or the folder cannot be written.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn import load_results
        >>> from hf_clipdyn.report import write_space
        >>> rows = load_results("runs/demo/results.parquet").query("kind == 'zero_shot'")
        >>> page = write_space(rows, "space", stimuli="none")
        >>> sorted(path.name for path in Path("space").iterdir())
        ['README.md', 'index.html']
    """
    study, output = read_study(results), Path(output)
    if results_dataset is not None:
        checked_repo_id(results_dataset, what="results_dataset", owner=True)
    check_output(output / _README, what="the README.md of a Space of hf_clipdyn", is_own=_is_readme)
    path = write_report(study, output, figures=False, **page)
    try:
        write_atomically(output / _README, _readme(study, results_dataset=results_dataset, licence=licence))
    except OSError as error:
        raise ConfigError(f"The Space cannot be written to {output}: {error.strerror or error}.") from error
    return path


def push_space(
    results: _Results,
    repo_id: str,
    *,
    output: str | Path | None = None,
    private: bool = False,
    results_dataset: str | None = None,
    licence: str | None = None,
    token: str | None = None,
    **page: Any,
) -> str | None:
    """Push the page of a study to a static Space, in one commit.

    A missing Space is created. In an existing one, text that a person wrote into README.md stays. If the content is the
    same, no commit is made.

    Args:
        results, results_dataset, licence, page: as for `write_space`.
        repo_id: the Space, ``owner/name``.
        output: folder for a local copy, as of `write_space`; none by default.
        private: make the Space private.
        token: token of the Hub; default: the stored one.

    Returns:
        The address of the commit; None if the Space has this content already.

    Raises:
        ConfigError: the call is wrong, the Space contains something else, or it is public and ``private`` is set.
        PublishError: the Hub refuses or cannot be reached; ``output`` is complete.

    Examples:
        >>> from hf_clipdyn import load_results
        >>> from hf_clipdyn.report import push_space
        >>> rows = load_results("runs/demo/results.parquet").query("kind == 'zero_shot'")
        >>> url = push_space(rows, "me/study", stimuli="none")
        >>> "/spaces/me/study/commit/" in url
        True
    """
    checked_repo_id(repo_id, what="push_to_hub", owner=True)
    check_login(f"The page cannot be pushed to {repo_id}", token)
    study = read_study(results)
    with ExitStack() as stack:
        folder = Path(output or stack.enter_context(TemporaryDirectory(prefix="clipdyn-space-")))
        path = write_space(study, folder, results_dataset=results_dataset, licence=licence, **page)

        def write(to: Destination) -> str | None:
            models = [name for name in _repositories(study) if _is_on_hub(to.api, name, study)]
            readme = _readme(study, models=models, results_dataset=results_dataset, licence=licence)
            write_atomically(folder / _README, readme)
            return _commit(to, readme, path)

        return push(
            repo_id,
            write,
            problem=f"The page could not be pushed to the Space {repo_id}",
            done=f"{output} is complete." if output else "",
            repo_type="space",
            space_sdk="static",
            private=private,
            token=token,
        )


def _is_readme(path: Path) -> bool:
    return _BEGIN in path.read_text(encoding="utf-8", errors="replace").splitlines()


def _commit(to: Destination, readme: str, page: Path) -> str | None:
    history = to.api.list_repo_commits(to.repo_id, repo_type="space", revision=to.head)
    # A new Space has a page of the Hub's in its first commit; the only commit of a copy names its source.
    if [commit.title for commit in history] != [_FIRST_COMMIT]:
        readme = _merged(to.api, to.repo_id, to.head, readme)
    files = {_README: readme.encode(), _PAGE: page.read_bytes()}
    return to.commit(files, "Show the study, measured by hf-clipdyn")


def _merged(api: HfApi, repo_id: str, head: str, readme: str) -> str:
    """The README.md of a Space of ours, brought up to date."""
    text = ""
    if api.file_exists(repo_id, _README, repo_type="space", revision=head):
        path = api.hf_hub_download(repo_id, _README, repo_type="space", revision=head)
        text = Path(path).read_bytes().decode(errors="replace")  # with its own line ends
    if _BEGIN not in text.splitlines():
        raise ConfigError(
            f"The Space {repo_id} has other content (its README.md has no line {_BEGIN}): name another "
            "Space, or delete that one."
        )
    new = CardText.parse(readme)
    try:
        card = CardText.parse(text)
        for key in ("sdk", "app_file", "models", "datasets"):
            card = card.with_key(key, new.data.get(key)) if new.data.get(key) != card.data.get(key) else card
    except ValueError as error:
        raise ConfigError(f"The README.md of the Space {repo_id} {error}: correct it.") from error
    return str(card.with_section(new.body[new.body.index(_BEGIN) :], _BEGIN, _END))


def _repositories(study: Study) -> list[str]:
    """Repositories that may be on the Hub; a folder of models has no owner."""
    names = study.results.rows["repo_id"].drop_duplicates()
    return [name for name in names if "/" in name]


def _is_on_hub(api: HfApi, repo_id: str, study: Study) -> bool:
    """Whether the Hub has a commit that was measured: somebody else may own a repository with a local run's name."""
    rows = study.results.rows
    commit = str(rows.loc[rows["repo_id"] == repo_id, "commit"].iloc[-1])
    try:
        attempt(lambda: api.repo_info(checked_repo_id(repo_id), revision=commit), hub.PUSHING)
    except (ConfigError, RepositoryNotFoundError, RevisionNotFoundError):
        return False
    return True


def _readme(
    study: Study,
    *,
    models: Sequence[str] = (),
    results_dataset: str | None = None,
    licence: str | None = None,
) -> str:
    """The README.md of a new Space."""
    dynamics = any(len(one.points) > 1 for one in study.trajectories)
    whose = study.runs[0] if len(study.runs) == 1 else counted(len(study.runs), "run")
    title = f"{'Training dynamics' if dynamics else 'Measurements'} of {whose}"
    mirrors = filter(None, map(hub_dataset, study.trajectories))
    datasets = [*([results_dataset] if results_dataset else []), *dict.fromkeys(mirrors)]
    data = SpaceCardData(
        title=shorten(title, _LONGEST_TITLE),
        emoji="📈",
        colorFrom="indigo",
        colorTo="green",
        sdk="static",
        app_file=_PAGE,
        pinned=False,
        license=licence,
        tags=["hf-clipdyn", *(["training-dynamics"] if dynamics else [])],
        models=list(models) or None,
        datasets=datasets or None,
    )
    section = Markup(_section(study, results_dataset))  # noqa: S704 (escaped piece by piece)
    return render_card("space.md.jinja", data, title=title, section=section)


def _section(study: Study, results_dataset: str | None) -> str:
    rows = study.results.rows
    benchmarks = rows[["kind", "dataset"]].drop_duplicates()
    revisions = rows[["run", "revision"]].drop_duplicates()
    lines = [
        _BEGIN,
        "",
        f"`{_PAGE}` shows {counted(len(revisions), 'revision')} of {counted(len(study.runs), 'run')} on "
        f"{counted(len(benchmarks), 'benchmark')}, measured by hf-clipdyn {__version__}. It needs no other file.",
        "",
        *(f"- {markdown(run)}" for run in study.runs),
    ]
    if results_dataset:
        lines += ["", f"The table is [{markdown(results_dataset)}]({dataset_address(results_dataset)})."]
    if study.synthetic:
        named = [
            f"{title}: {caution}" if caution else f"{title}." for title, caution in study.synthetic.items()
        ]
        lines += ["", " ".join(["**Some benchmarks use synthetic images.**", *map(markdown, named)])]
    return "\n".join([*lines, "", _END])
