"""What a call means, settled before the first forward pass: revisions, data sets, and settings that bear on them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_clipdyn.benchmarks.base import Settings
from hf_clipdyn.benchmarks.registry import benchmark_class, kinds
from hf_clipdyn.benchmarks.sources import Source, open_source
from hf_clipdyn.data.load import find_locally, lacks_files
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, DatasetError, EvaluationError, UnknownNameError
from hf_clipdyn.revisions import Revision

__all__ = ["check_settings", "choose_revisions", "open_sources"]


def check_settings(names: Sequence[str], settings: Settings) -> None:
    """Refuse a setting that none of the chosen benchmarks reads: its user would believe in it.

    Raises:
        ConfigError: naming the kinds that do.
    """
    chosen = {benchmark_class(name) for name in names}
    usual = Settings()
    for field in sorted({field for kind in kinds().values() for field in kind.settings}):
        value = getattr(settings, field)
        if value != getattr(usual, field) and not any(field in kind.settings for kind in chosen):
            offering = [name for name, kind in kinds().items() if field in kind.settings]
            raise _nobody_offers(f"{field} is", value, offering, names)
    wanted = settings.preprocess
    if wanted is not None and not any(wanted in kind.preprocesses for kind in chosen):
        offering = [name for name, kind in kinds().items() if wanted in kind.preprocesses]
        raise _nobody_offers("preprocess is", wanted, offering, names)


def _nobody_offers(what: str, value: Any, offering: Sequence[str], names: Sequence[str]) -> ConfigError:
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
    return ConfigError(
        f"{what} {shown}, which bears on {' and '.join(offering)} alone, and {', '.join(names)} "
        f"{'is' if len(names) == 1 else 'are'} chosen: leave it out, or name such a benchmark with --benchmarks."
    )


def choose_revisions(
    repo_id: str, listed: Sequence[Revision], wanted: Sequence[str] | None, say: Callable[[str], Any]
) -> tuple[list[Revision], Revision]:
    """The revisions that are to be measured, and the last one of the whole run.

    Raises:
        UnknownNameError: one that is wanted does not exist.
        EvaluationError: the repository has none at all.
    """
    if not listed:
        raise EvaluationError(f"{repo_id} has no revisions: train one, or name the store that holds them.")
    able = [revision for revision in listed if revision.sha256 is not None] or list(listed)
    if wanted is None:
        bare = [revision.name for revision in listed if revision not in able]
        if bare:
            say(f"Left out, since they hold no weights: {', '.join(bare)}.")
        return able, able[-1]
    by_name = {revision.name: revision for revision in listed}
    for name in wanted:
        if name not in by_name:
            raise UnknownNameError("revision", name, by_name)
    return [by_name[name] for name in dict.fromkeys(wanted)], able[-1]


def open_sources(
    names: Sequence[str],
    data_dirs: Mapping[str, Path],
    token: str | None,
    *,
    skip_missing: bool,
    say: Callable[[str], Any],
) -> dict[str, Source]:
    """The data set behind each benchmark; all that are missing are named at once, with the place to get them.

    The Hub is asked for mirrors only if all data sets without one are there, or what is missing is left out.

    Raises:
        EvaluationError: some are missing and are not to be left out, or none is there.
    """
    sources: dict[str, Source] = {}
    shown = {name: name.partition("/")[2] for name in names}
    absent = {one for one in set(shown.values()) - set(data_dirs) if lacks_files(one)}
    missing = {
        name: f"its files are not here; they are at {dataset_metadata(dataset).where}."
        for name, dataset in shown.items()
        if dataset in absent
    }
    if missing and not skip_missing:
        raise EvaluationError(_missing_table(missing, names, data_dirs))
    opened: dict[tuple[str, tuple[str, ...]], Source | DatasetError] = {}
    for name, dataset in shown.items():
        schemas = benchmark_class(name).schemas
        if name in missing:
            continue
        if (dataset, schemas) not in opened:  # a Hub that does not answer is waited for once
            opened[dataset, schemas] = _open(dataset, schemas, data_dirs, token)
        found = opened[dataset, schemas]
        if isinstance(found, Source):
            sources[name] = found
        else:
            missing[name] = str(found)
    if missing:
        table = _missing_table(missing, names, data_dirs)
        if not skip_missing:
            raise EvaluationError(table)
        say(f"Left out: {table}")
    if not sources:
        raise EvaluationError("No benchmark can run: nothing was evaluated.")
    return sources


def _missing_table(missing: Mapping[str, str], names: Sequence[str], data_dirs: Mapping[str, Path]) -> str:
    """What is missing, a line a benchmark, and what was not asked for yet; then what to do."""
    width = max(map(len, names))
    lines = []
    for name in names:
        dataset = name.partition("/")[2]
        facts = dataset_metadata(dataset)
        if name in missing:
            lines.append(f"  {name:<{width}}  {_with_place(missing[name], facts.where)}")
        elif dataset not in data_dirs and facts.mirror is not None and find_locally(dataset) is None:
            lines.append(
                f"  {name:<{width}}  is read from the Hub ({facts.mirror}) when the others are here."
            )
    named = sorted({name.partition("/")[2] for name in missing})
    root = os.environ.get("CLIPDYN_DATA")
    return "\n".join(
        [
            f"{len(missing)} of {len(names)} benchmarks cannot run, since their data are missing:",
            *lines,
            f"Put the folders, under the names {', '.join(named)}, into one folder, and set CLIPDYN_DATA to that "
            f"({f'now {root}' if root else 'not set now'}); or give each with --data-dir NAME=PATH; or run the others "
            "with --skip-missing.",
        ]
    )


def _open(
    dataset: str, schemas: tuple[str, ...], data_dirs: Mapping[str, Path], token: str | None
) -> Source | DatasetError:
    try:
        return open_source(dataset, schemas, data_dir=data_dirs.get(dataset), token=token)
    except DatasetError as error:
        return error


def _with_place(why: str, where: str) -> str:
    return why if where in why else f"{why} It is at {where}."
