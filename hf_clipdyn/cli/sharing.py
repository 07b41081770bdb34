"""The commands for others: share, env."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.cli import shared
from hf_clipdyn.command_line import Command
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.fields import option


@dataclass(frozen=True, kw_only=True)
class Share(Command, group="Sharing and support"):
    """Publish cards and reports of runs on the Hub.

    With --push-to-hub, the repository of each run gets a model card, README.md, and the report of the run: its page and
    its figures in the folder `report`. Text that a person wrote on a card is kept.

    The Hub shows the page of a model's repository as text. With --space, the page of all runs is published as a static
    Space, which readers can open.
    """

    results: tuple[Path, ...] = shared.tables()
    output: Path | None = option(
        None,
        "Folder for cards and reports, with a folder for each run. Default: `share` in the folder of a run, if it is "
        "given alone and nothing is pushed.",
        short="o",
    )
    push_to_hub: bool = option(False, "Push card and report of each run to its repository, in one commit.")
    space: str | None = option(
        None, "Publish the page of all runs as this static Space, owner/name.", metavar="NAME"
    )
    hub_private_repo: bool = option(False, "Write to no public repository; a missing Space becomes private.")
    results_dataset: str | None = option(
        None, "Data set on the Hub with this table, to name as the source.", metavar="NAME"
    )
    license: str | None = option(None, "Licence of the Space, for example cc-by-4.0.")
    claims: Path | None = shared.claims()
    stimuli: str = shared.stimuli()
    data_dir: Mapping[str, Path] = shared.folders()

    def __post_init__(self) -> None:
        pushes = self.push_to_hub or self.space is not None
        folder = shared.folder_of_run(self.results)
        if self.output is None and not pushes and folder is not None:
            object.__setattr__(self, "output", folder / "share")
        if self.output is None and not pushes:
            raise ConfigError("Say where cards and reports should go: `output`, `push-to-hub` or `space`.")
        if self.hub_private_repo and not pushes:
            raise ConfigError("`hub-private-repo` requires `push-to-hub` or `space`.")
        if self.license is not None and self.space is None:
            raise ConfigError("`license` requires `space`: it is the licence of the Space.")

    def run(self) -> None:
        from hf_clipdyn.report import push_runs, push_space, read_study, write_runs

        study = read_study(self.results, claims=self.claims)
        page = shared.page_options(self.stimuli, self.data_dir)
        page |= {"results_dataset": self.results_dataset}
        if self.push_to_hub:
            pushed = push_runs(study, output=self.output, private=self.hub_private_repo, **page)
            for repo_id, url in pushed.items():
                print(f"{repo_id} is pushed: {url}." if url else f"{repo_id} is up to date.")
        elif self.output is not None:
            for folder in write_runs(study, self.output, **page):
                print(f"Wrote {folder}.")
        if self.space is not None:
            url = push_space(study, self.space, private=self.hub_private_repo, licence=self.license, **page)
            print(f"The page is pushed: {url}." if url else f"The Space {self.space} is up to date.")


@dataclass(frozen=True, kw_only=True)
class Env(Command, group="Sharing and support"):
    """Print versions and device for a bug report."""

    def run(self) -> None:
        from hf_clipdyn.environment import environment

        for name, value in environment().items():
            print(f"- {name}: {value}")
