"""The commands about data sets: datasets, prepare, cache."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path

from hf_clipdyn.cli import shared
from hf_clipdyn.command_line import Command
from hf_clipdyn.errors import ConfigError, readable_size, render_table
from hf_clipdyn.fields import option


@dataclass(frozen=True, kw_only=True)
class Datasets(Command, group="Data"):
    """List the data sets and where to get them.

    It says kind, rows and licence of each, and whether $CLIPDYN_DATA has it.
    """

    as_json: bool = option(False, "Print JSON instead of a table.", flag="json")
    plugin: tuple[Path, ...] = option((), "Python file that adds data sets.")

    def run(self) -> None:
        import json

        from hf_clipdyn.data import load

        shared.load_plugins(self.plugin)
        rows = load.datasets_table()
        print(json.dumps(rows, indent=2) if self.as_json else render_table(rows))


@dataclass(frozen=True, kw_only=True)
class Prepare(Command, group="Data"):
    """Write a data set as Parquet with a card.

    It then loads without this package.
    """

    name: str = option(MISSING, "Data set, as `clipdyn datasets` lists it.")
    output: Path = option(MISSING, "New folder for the Parquet files and the card.", named=True, short="o")
    data_dir: Mapping[str, Path] = field(
        default_factory=dict, metadata={"help": "Folder or archive of the official data set, NAME=PATH."}
    )
    dataset_config_name: str | None = option(None, "Configuration of the data set, if there are several.")
    repo_id: str | None = option(None, "Mirror on the Hub to read instead.")
    push_to_hub: bool = option(False, "Push it to the Hub as well.")
    hub_model_id: str | None = option(None, "Repository to push to, owner/name.")
    hub_private_repo: bool = option(False, "Make that repository private.")
    num_processes: int | None = option(
        None, "Processes, for data sets in several shards.", within="[1, 1000000]"
    )
    plugin: tuple[Path, ...] = option((), "Python file that adds data sets.")
    quiet: bool = shared.quiet()

    def __post_init__(self) -> None:
        if self.push_to_hub != (self.hub_model_id is not None):
            raise ConfigError("Give both `push_to_hub` and `hub_model_id` (owner/name), or neither.")
        for name, path in self.data_dir.items():
            if name != self.name:
                raise ConfigError(
                    f"--data-dir is {name}={path}, but {self.name} is prepared: give {self.name}=PATH."
                )

    def run(self) -> None:
        from hf_clipdyn.data.prepare import prepare_dataset
        from hf_clipdyn.progress import draws_bars, library_bars

        shared.load_plugins(self.plugin)
        with library_bars(draws_bars() and not self.quiet):
            prepared = prepare_dataset(
                self.name,
                self.output,
                config=self.dataset_config_name,
                data_dir=self.data_dir.get(self.name),
                repo_id=self.repo_id,
                push_to_hub=self.hub_model_id,
                private=self.hub_private_repo,
                num_proc=self.num_processes,
            )
        counts = ", ".join(f"{split} {rows:,}" for split, rows in prepared.rows.items())
        print(
            f"{prepared.folder}: {counts} rows. Load it with datasets.load_dataset({str(prepared.folder)!r})."
        )
        if prepared.url is not None:
            print(f"Pushed to {prepared.url}.")


@dataclass(frozen=True, kw_only=True)
class Cache(Command, group="Data"):
    """List or delete cached data, or saved trials.

    The caches have tables, pixels, unpacked archives and scores of baselines. What is deleted there is made again when
    it is needed. Without trials, such as the embeddings of the kind geometry, the numbers stay, but differences between
    them lose their intervals, and new relations need another evaluation.
    """

    results: tuple[Path, ...] = option(
        (), "Tables of results: list or delete their trials instead of the caches."
    )
    delete: tuple[str, ...] = option(
        (),
        "Delete tables, pixels, unpacked, baselines, unfinished or all; with --results, the trials of kinds of "
        "benchmarks, such as geometry, or all.",
    )
    older_than: float = option(0.0, "Delete only entries that were not used for N days.")
    cache_dir: Path | None = option(None, "Folder of the caches. Default: the cache of datasets.")

    def run(self) -> None:
        from hf_clipdyn.data.caches import cache_table, cached, delete
        from hf_clipdyn.results.cells import delete_trials, kept_trials

        kinds = list(self.delete)
        if self.results:
            trials = kept_trials(self.results)
            entries = delete_trials(trials, kinds, self.older_than) if kinds else list(trials)
        else:
            folder = self.cache_dir
            entries = delete(kinds, folder, self.older_than) if kinds else cached(folder)
        if entries:
            print(render_table(cache_table(entries)))
        total = readable_size(sum(entry.size for entry in entries))
        print(
            f"{'Deleted' if kinds else 'Kept' if self.results else 'Cached'}: {len(entries)} entries, {total}."
        )
