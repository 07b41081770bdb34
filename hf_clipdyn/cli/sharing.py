"""The commands for others: share, env."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from hf_clipdyn.cli import shared
from hf_clipdyn.command_line import Command
from hf_clipdyn.errors import ConfigError, counted, printable
from hf_clipdyn.fields import option

__all__ = ["Env", "Share"]

_SPACES = ("page", "app")
_AFFECTED = {
    **dict.fromkeys(("hub_model_id", "hub_private_repo", "license"), _SPACES),
    **dict.fromkeys(("claims", "stimuli", "data_dir"), ("page",)),
    "evaluator": ("evaluations",),
}
"""What an option affects, if not all that can be shared."""


@dataclass(frozen=True, kw_only=True)
class Share(Command, group="Sharing and support"):
    """Publish cards, page, app or evaluations.

    `clipdyn share cards RESULTS` writes the model card of each run, or updates the cards in the runs' repositories.
    Text that a person wrote there is kept. The results of the last revision also go to .eval_results if the benchmark
    has a leaderboard.

    `clipdyn share page RESULTS` publishes the page as a static Space, or writes its folder only.

    `clipdyn share app RESULTS` publishes `clipdyn app` as a Space of Gradio. It reads the revisions from the Hub, at
    the commits that were measured.

    `clipdyn share evaluations RESULTS` writes a document of Every Eval Ever for each revision, with the answers to each
    image where these are right or wrong. With --push-to-hub they go to the data set with the table, and the results in
    .eval_results point to them.
    """

    what: str = option(
        MISSING, "cards, page, app or evaluations.", choices=("cards", *_SPACES, "evaluations")
    )
    results: tuple[Path, ...] = shared.tables()
    output: Path | None = option(
        None,
        "Folder for cards and figures, the page, the app or the evaluations. Default: `cards`, `page`, "
        "`app` or `evaluations` in the folder of a run, if it is given alone.",
        short="o",
    )
    push_to_hub: bool = option(
        False, "Update the cards of the runs, or publish the page, the app or the evaluations."
    )
    hub_model_id: str | None = option(None, "Space to publish the page or the app in, owner/name.")
    hub_private_repo: bool = option(False, "Make that Space private.")
    results_dataset: str | None = option(
        None, "Data set on the Hub with this table, to name as the source, or to put the evaluations in."
    )
    evaluator: str | None = option(
        None,
        "Who measured, for the evaluations: a user or an organisation of the Hub. Default: unknown, or the owner of "
        "the data set that they are pushed to.",
    )
    license: str | None = option(None, "Licence of the Space, for example cc-by-4.0.")
    claims: Path | None = shared.claims()
    stimuli: str = shared.stimuli()
    data_dir: Mapping[str, Path] = shared.folders()

    def __post_init__(self) -> None:
        folder = shared.folder_of_run(self.results)
        if self.output is None and not self.push_to_hub and folder is not None:
            object.__setattr__(self, "output", folder / self.what)
        if self.output is None and not self.push_to_hub:
            raise ConfigError(f"Say where the {self.what} should go: `output`, `push-to-hub`, or both.")
        line = self.line()
        for name, affected in _AFFECTED.items():
            if self.what not in affected and getattr(self, name) != line.flags[name].default:
                raise ConfigError(f"`{name}` only affects the {' and the '.join(affected)}: leave it out.")
        if self.what == "evaluations" and self.push_to_hub and self.results_dataset is None:
            raise ConfigError("`push-to-hub` needs `results-dataset`: name the data set with the table.")
        if self.what not in _SPACES:
            return
        if self.push_to_hub and self.hub_model_id is None:
            raise ConfigError("`push-to-hub` needs `hub-model-id`: name the Space as owner/name.")
        if not self.push_to_hub and (self.hub_private_repo or self.hub_model_id is not None):
            raise ConfigError("`hub-model-id` and `hub-private-repo` require `push-to-hub`.")

    def run(self) -> None:
        if self.what == "cards":
            self._share_cards()
        elif self.what == "evaluations":
            self._share_evaluations()
        else:
            self._share_space()

    def _share_cards(self) -> None:
        from hf_clipdyn.report import push_cards, read_study, write_cards

        study = read_study(self.results)
        if self.output is not None:
            for path in write_cards(study, self.output, results_dataset=self.results_dataset):
                print(f"Wrote {path}.")
        for pushed in push_cards(study, results_dataset=self.results_dataset) if self.push_to_hub else ():
            done = f"is pushed: {pushed.url}" if pushed.url else f"of {pushed.repo_id} is up to date"
            print(f"The card {done}.")
            for name in pushed.eval_results:
                print(f"- {name}")
            for benchmark, cause in pushed.left_out.items():
                print(f"- Not in .eval_results: {printable(benchmark)}, since {printable(cause)}.")

    def _share_evaluations(self) -> None:
        from hf_clipdyn.report import push_evaluations, read_study, write_evaluations

        study = read_study(self.results)
        if self.output is not None:
            written = write_evaluations(study, self.output, evaluator=self.evaluator)
            print(f"Wrote {counted(len(written.paths), 'file')} to {self.output}.")
        if self.push_to_hub:
            assert self.results_dataset is not None
            written = push_evaluations(study, self.results_dataset, evaluator=self.evaluator)
            print(f"{self.results_dataset} has {counted(len(written.paths), 'file')} of evaluations.")
        for number, cause in (
            (written.undefined, "undefined"),
            (written.undirected, "of metrics of which neither end is better"),
        ):
            if number:
                print(f"- Left out: {counted(number, 'value')}, {cause}.")
        if written.withheld:
            names = ", ".join(map(printable, written.withheld))
            print(
                f"- Without answers, since the licence of the data does not allow passing them on: {names}."
            )

    def _share_space(self) -> None:
        from hf_clipdyn.report import push_space, read_study, write_space

        app = self.what == "app"
        options: dict[str, Any] = {
            "app": app,
            "results_dataset": self.results_dataset,
            "licence": self.license,
        }
        options |= {} if app else shared.page_options(self.stimuli, self.data_dir)
        study = read_study(self.results, claims=self.claims)
        if self.hub_model_id is None:
            assert self.output is not None
            print(f"The {self.what} is {write_space(study, self.output, **options)}.")
            return
        url = push_space(
            study, self.hub_model_id, output=self.output, private=self.hub_private_repo, **options
        )
        print(
            f"The {self.what} is pushed: {url}." if url else f"The Space {self.hub_model_id} is up to date."
        )


@dataclass(frozen=True, kw_only=True)
class Env(Command, group="Sharing and support"):
    """Print versions and device for a bug report."""

    def run(self) -> None:
        from hf_clipdyn.environment import environment

        for name, value in environment().items():
            print(f"- {name}: {value}")
