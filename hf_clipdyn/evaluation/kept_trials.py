"""The trials beside tables, which `clipdyn cache --results` lists and deletes as it does the entries of the cache."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hf_clipdyn.data.cache import Entry, chosen_entries
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.trials import KeptTrials, trials_folder


def kept_trials(tables: Iterable[Path]) -> dict[Entry, list[Path]]:
    """The files of the trials beside tables, by run and benchmark, the largest first.

    Raises:
        EvaluationError: there is no such table, or it cannot be read.
    """
    found = {}
    for table in tables:
        if not table.is_file():
            raise EvaluationError(f"{table} is not a table of results: name a results.parquet.")
        trials, files = KeptTrials([table]), defaultdict(list)
        for cell in CellStore(table).cells():
            if (file := trials.file(cell.key)) is not None:
                files[cell.kind, f"{cell.dataset}, {cell.repo_id}"].append(file)
        for (kind, origin), of in files.items():
            states = [file.stat() for file in of]
            size, used = sum(one.st_size for one in states), max(one.st_mtime for one in states)
            found[Entry(kind, origin, trials_folder(table), size, used)] = of
    return dict(sorted(found.items(), key=lambda item: -item[0].size))


def delete_trials(
    trials: Mapping[Entry, Sequence[Path]], kinds: Sequence[str], older_than: float = 0.0
) -> list[Entry]:
    """Delete the trials of some kinds of benchmarks, or of ``all``, and return their entries.

    The cells with their numbers and influences stay.

    Args:
        trials: see `kept_trials`.
        kinds: of benchmarks.
        older_than: delete only what did not change for this number of days.

    Raises:
        UnknownNameError, ConfigError: see `chosen_entries`.
    """
    known = list(dict.fromkeys(entry.kind for entry in trials))
    chosen = chosen_entries(trials, kinds, known, older_than)
    for file in (file for entry in chosen for file in trials[entry]):
        file.unlink(missing_ok=True)
    return chosen
