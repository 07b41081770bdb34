"""The commands but for train and evaluate: a class each, whose fields are its options and whose docstring is its help.

What computes is imported when a command runs, so that no help and no wrong call loads torch or pandas.
"""

import gc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from rich.filesize import decimal

from hf_clipdyn.cli.shared import QUIET, naming_runs_here
from hf_clipdyn.errors import ConfigError, render_table
from hf_clipdyn.options import Options
from hf_clipdyn.plugins import load_plugin

JSON = Field(False, validation_alias="json", description="Print JSON instead of a table.")
PRIVATE = Field(False, description="Create a private repository. One that exists and is public is refused.")
PUSH = Field(False, description="Publish on the Hub, too.")
STORE = Field(None, description="Store of version 0.3, which is read instead of the Hub.")
CLAIMS = Field(None, description="YAML file of claims to judge. Default: none.")
STIMULI: Any = Field("thumbnails", description="Stimuli on the page: none, or thumbnails if licences allow.")
STYLE = Field(None, description="Matplotlib style of the figures: a name, or a .mplstyle file.")
FOLDERS: Any = Field({}, description="Folder of a data set, NAME=PATH. Repeat it for each data set.")
PLUGIN = Field((), description="Python file that adds data sets, kinds of benchmarks or charts.")
Stimuli = Literal["none", "thumbnails"]


class _OfTables(Options):
    positional = ("results",)
    letters: ClassVar = {"output": "o"}

    results: tuple[Path, ...] = Field(min_length=1)
    """Tables of `clipdyn evaluate`, or folders with results.parquet. All are read together."""

    output: Path | None = None
    """Where to write. Default: the folder `report` or `share` in the folder of a run, if it is given alone."""

    claims: Path | None = CLAIMS

    stimuli: Stimuli = STIMULI

    data_dir: Mapping[str, Path] = FOLDERS

    def write_beside(self, name: str, said: str) -> None:
        """Make a folder of this name the output, if nothing but the folder of a run is given.

        Raises:
            ConfigError: there is no output, and no such folder.
        """
        if self.output is None and not (len(self.results) == 1 and self.results[0].is_dir()):
            raise ConfigError(said)
        object.__setattr__(self, "output", self.output or self.results[0] / name)


# --- main path -----------------------------------------------------------------------------------------------


class Demo(Options):
    """Run a small study without downloads.

    It trains on the embedded world, whose images are synthetic, saves every epoch, evaluates and reports. A
    second call continues where the first one stopped.
    """

    output_dir: Path | None = None
    """Folder of the run. Default: runs/demo, or runs/quick."""

    quick: bool = False
    """Three short epochs, in under a minute."""

    overwrite_output_dir: bool = False
    """Delete an earlier run in that folder and start again."""

    quiet: bool = QUIET

    def __call__(self) -> None:
        from hf_clipdyn.demo import run_demo

        print(run_demo(**dict(self)))


class Report(_OfTables):
    """Draw the trajectories, and judge the claims of a file.

    It writes a page with figures, and prints a table. `clipdyn share` publishes the page.

    With `--print numbers` it only prints the main metrics of each run and benchmark, with a sparkline over the
    revisions: a dot is a revision whose number is not interpretable, a gap is one without a number. With
    `--print verdicts` it only prints the verdict on each claim of `--claims`. With `--print differences` it only prints
    the paired differences of `--revisions` from the first of them, corrected for their number. `--output` is then a
    Parquet file for the table of verdicts or differences, or the file of `--format`.
    """

    printed: Literal["numbers", "verdicts", "differences"] | None = Field(None, validation_alias="print")
    """Only print these."""

    benchmarks: tuple[str, ...] = ()
    """For figures, numbers and differences: only these benchmarks, KIND/DATASET."""

    metric: str | None = None
    """For figures: this metric instead of the main ones; for numbers: all its rows, or `all` metrics."""
    x: str | None = None
    """For figures: the x axis, epoch, step, samples, accuracy or another metric of the benchmark."""

    format: Literal["csv", "markdown", "latex"] | None = None
    """For numbers: a table for a file or a paper, without the sparklines. csv does not round."""

    revisions: tuple[str, ...] = ()
    """For differences: the reference, then what is compared with it: revisions, models (owner/name, its last revision)
    or owner/name@revision. Default: all models, with the first one."""

    correction: Literal["bonferroni", "holm", "bh", "by", "none"] | None = None
    """For differences, for their number: bonferroni; holm, which finds more, without intervals; bh
    (Benjamini-Hochberg), to explore; by (Benjamini-Yekutieli); none. Default: bonferroni."""

    family: Literal["main", "all"] | None = None
    """For differences: what is corrected together: the main metrics, or all values. Default: main."""

    figures: bool = True
    """Also draw figures for papers."""

    figure_formats: tuple[Literal["png", "svg", "pdf"], ...] = Field(("png", "pdf"), min_length=1)
    """Formats of the figures."""

    figure_width: Literal["auto", "column", "page"] = "auto"
    """Width of the figures: column (3.35 inches), page (7 inches), or auto: by the number of panels."""

    try_it: bool = False
    """Put the image encoder of one run of a small CLIP into the page, to try it on your own images."""

    store: Path | None = None
    """For --try_it: folder of the run. Default: the run next to the table."""

    style: str | None = STYLE

    plugin: tuple[Path, ...] = PLUGIN

    quiet: bool = QUIET

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        printed = self.printed or "page"
        uses = {"benchmarks": ("page", "numbers", "differences"), "metric": ("page", "numbers")}
        uses |= {"format": ("numbers",), "try_it": ("page",), "x": ("page",)}
        uses |= dict.fromkeys(("revisions", "correction", "family"), ("differences",))
        for name, of in uses.items():
            if getattr(self, name) and printed not in of:
                raise ConfigError(f"{name} is for {' and '.join(of)}: leave it out, or change --print.")
        if self.printed == "verdicts" and self.claims is None:
            raise ConfigError("--print verdicts needs --claims: name a file of claims.")
        if printed == "numbers" and self.output is not None and self.format is None:
            raise ConfigError("The output of numbers requires format: csv, markdown or latex.")
        if self.store is not None and not self.try_it:
            raise ConfigError("store requires --try_it: nothing else reads models.")
        if self.printed is None:
            self.write_beside("report", "--output is missing: give a folder for the page, or choose --print.")
        return self

    def __call__(self) -> None:
        # Many objects and few cycles: as often as usual, looking for cycles takes a tenth of the time.
        gc.set_threshold(100_000, 50, 50)
        list(map(load_plugin, self.plugin))
        from hf_clipdyn.report import read_study

        getattr(self, f"_{self.printed or 'page'}")(read_study(self.results, claims=self.claims))
        if self.printed and self.output:
            print(f"\nWrote {self.output}.")

    def _page(self, study: Any) -> None:
        from hf_clipdyn.report import print_results, summarize, write_report
        from hf_clipdyn.statistics.verdicts import render

        assert self.output is not None
        of_page = {"figures", "style", "figure_formats", "figure_width", "try_it", "store", "stimuli"}
        options: Any = self.model_dump(include=of_page)
        chosen = self.model_dump(include={"benchmarks", "metric", "x"}, exclude_defaults=True)
        page = write_report(study, self.output, data_dirs=self.data_dir, figure_choice=chosen, **options)
        print_results(study)
        print("", *(f"- {sentence}" for sentence in summarize(study)), sep="\n")
        if study.verdicts:
            print(f"\n{render(study.verdicts)}")
        print(f"\nThe page is {page}.")

    def _numbers(self, study: Any) -> None:
        from hf_clipdyn.report import print_results

        print_results(study, self.benchmarks, self.metric, form=self.format, output=self.output)

    def _verdicts(self, study: Any) -> None:
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.statistics import verdicts

        if self.output is not None:
            verdicts.check_verdicts(self.output)
            facts = verdicts.provenance(study.results.origins, study.claims)
            verdicts.write_verdicts(verdicts.verdict_table(study.verdicts), self.output, facts)
        print(f"{verdicts.render(study.verdicts)}\n\n{origin_words(study)}")

    def _differences(self, study: Any) -> None:
        from hf_clipdyn.report.differences import print_differences

        asked: Any = self.model_dump(include={"benchmarks", "correction", "family"}, exclude_defaults=True)
        print_differences(study, self.revisions, self.output, **asked)


class Study(Options):
    """Train, measure and report a whole study.

    FILE is a YAML file, or the name of a study of the package. Its runs and models are trained and measured one after
    the other, on one thread, because a different thread count changes rounding, and so the weights. A second call does
    what is missing. The page shows all runs in the folder.

    `--shard 1/2` and `--shard 2/2` do a half each, also at the same time, or on two machines that share the folder. A
    last call without it relates, judges and draws.
    """

    positional = ("file",)
    former: ClassVar = {"config": "give the file without an option: `clipdyn study FILE`"}

    file: str
    """YAML file, or a study of the package: real-study, scaling-laws, study, study-arms or study-quick."""

    output_dir: Path | None = None
    """Folder of the study. Default: output_dir in the file, or runs/<name>."""

    data_dir: Mapping[str, Path] = FOLDERS

    shard: str | None = None
    """Train and measure only part i of n, for example 1/4. All parts share the folder."""

    report: bool = True
    """Write the page at the end, and judge the claims of a file."""

    claims: Path | None = CLAIMS

    stimuli: Stimuli = STIMULI

    style: str | None = STYLE

    quiet: bool = QUIET

    def __call__(self) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy's and torch's libraries are loaded, below
        from hf_clipdyn.study import run_study

        options: Any = self.model_dump(exclude={"file", "data_dir", "quiet"})
        if files := run_study(self.file, data_dirs=self.data_dir, **options):
            print(files.message)


# --- data ----------------------------------------------------------------------------------------------------


class Datasets(Options):
    """List the data sets and where to get them.

    It prints kind, rows and licence of each, and whether $CLIPDYN_DATA has it.
    """

    as_json: bool = JSON

    plugin: tuple[Path, ...] = PLUGIN

    def __call__(self) -> None:
        from hf_clipdyn.data import load

        list(map(load_plugin, self.plugin))
        rows = load.datasets_table()
        print(json.dumps(rows, indent=2) if self.as_json else render_table(rows))


class Prepare(Options):
    """Write a data set as Parquet with a card.

    It then loads without this package.
    """

    positional = ("name",)
    letters: ClassVar = {"output": "o"}

    name: str
    """Data set, as `clipdyn datasets` lists it."""

    output: Path
    """New folder for the Parquet files and the card."""

    data_dir: Mapping[str, Path] = {}
    """Folder or archive of the official data set, NAME=PATH."""

    dataset_config_name: str | None = None
    """Configuration of the data set, if there are several."""

    repo_id: str | None = None
    """Mirror on the Hub to read instead."""

    push_to_hub: bool = PUSH

    hub_model_id: str | None = None
    """Repository to push to, owner/name."""

    hub_private_repo: bool = PRIVATE

    num_processes: int | None = Field(None, ge=1)
    """Processes, for data sets in several shards."""

    plugin: tuple[Path, ...] = PLUGIN

    quiet: bool = QUIET

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.push_to_hub != (self.hub_model_id is not None):
            raise ConfigError("Give both push_to_hub and hub_model_id (owner/name), or neither.")
        if self.data_dir.keys() - {self.name}:
            raise ConfigError(f"Only {self.name} is prepared: give {self.name}=PATH as data_dir.")
        return self

    def __call__(self) -> None:
        from hf_clipdyn.data.prepare import prepare_dataset
        from hf_clipdyn.progress import draws_bars, library_bars

        list(map(load_plugin, self.plugin))
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
        print(prepared.message)


class Cache(Options):
    """List or delete cached data, or saved trials.

    The caches have tables, pixels, unpacked archives and scores of baselines. What is deleted there is made again when
    it is needed. Without trials, such as the embeddings of the kind geometry, the numbers stay, but differences between
    them lose their intervals, and new relations need another evaluation.
    """

    results: tuple[Path, ...] = ()
    """Tables of results: list or delete their trials instead of the caches."""

    delete: tuple[str, ...] = ()
    """Delete tables, pixels, unpacked, baselines, unfinished or all; with --results, the trials of kinds of benchmarks,
    such as geometry, or all."""

    older_than: float = Field(0.0, ge=0)
    """Delete only entries that were not used for N days."""

    cache_dir: Path | None = None
    """Folder of the caches. Default: the cache of datasets."""

    def __call__(self) -> None:
        from hf_clipdyn.data.cache import cache_table, cached, delete
        from hf_clipdyn.evaluation.kept_trials import delete_trials, kept_trials

        kinds, folder = list(self.delete), self.cache_dir
        if self.results:
            trials = kept_trials(self.results)
            entries = delete_trials(trials, kinds, self.older_than) if kinds else list(trials)
        else:
            entries = delete(kinds, folder, self.older_than) if kinds else cached(folder)
        if entries:
            print(render_table(cache_table(entries)))
        total = decimal(sum(entry.size for entry in entries))
        done = "Deleted" if kinds else "Kept" if self.results else "Cached"
        print(f"{done}: {len(entries)} entries, {total}.")


# --- models and revisions ------------------------------------------------------------------------------------


class _OfRepository(Options):
    positional = ("repo",)

    repo: str
    """Folder of a run or of models, or a repository, owner/name."""

    store: Path | None = STORE

    as_json: bool = JSON


class Revisions(_OfRepository):
    """List the revisions of a repository.

    It prints name, epoch, step, samples seen, commit and SHA-256 of each.
    """

    def __call__(self) -> None:
        from hf_clipdyn.revisions.open import list_revisions, render

        with naming_runs_here([self.repo]):
            print(render(list_revisions(self.repo, store=self.store), as_json=self.as_json))


class Verify(_OfRepository):
    """Check every revision and its weights.

    They are compared with the record of their run. The exit code is 1 on any finding but `identical-weights`, which
    may be what the run made.
    """

    deep: bool = False
    """Read every file and hash it."""

    def __call__(self) -> int:
        from hf_clipdyn.revisions.verify import verify

        with naming_runs_here([self.repo]):
            report = verify(self.repo, store=self.store, deep=self.deep)
        print(report.render(as_json=self.as_json))
        return int(not report.is_whole)


class Repair(Options):
    """Publish what is missing or wrong.

    What the Hub lacks is sent, a damaged folder is fetched from the Hub, and a branch with other contents is moved: its
    old commit keeps a tag. The exit code is 1 if anything is still missing, as in `verify`.
    """

    positional = ("run",)

    run: Path
    """Folder of the run (its output_dir)."""

    push_to_hub: bool = PUSH

    hub_model_id: str | None = None
    """Repository of a run that had only a local name, owner/name."""

    hub_private_repo: bool | None = None
    """The run is private, for every later command too; false opens it. Default: as it was asked before."""

    source: str | None = Field(None, validation_alias="from")
    """Make the folder from this repository, owner/name: its record, revisions and last checkpoint."""

    quiet: bool = QUIET

    def __call__(self) -> int:
        from hf_clipdyn.revisions.verify import repair

        wish: Any = {
            "hub_model_id": self.hub_model_id,
            "private": self.hub_private_repo,
            "source": self.source,
        }
        report = repair(self.run, push_to_hub=self.push_to_hub, tell=print, **wish)
        print(report.render())
        return int(not report.is_whole)


class Import(Options):
    """Make revisions of open_clip checkpoints.

    The sources are the checkpoints of one run of open_clip, and each becomes a revision of the repository TARGET.
    """

    positional = ("source", "target")
    former: ClassVar = {"store": "give output_dir: the revisions are in its folder `revisions`"}

    source: tuple[str, ...] = Field(min_length=1)
    """Checkpoint files, or owner/name/FOLDER on the Hub."""

    target: str
    """Repository to create."""

    from_open_clip: str
    """open_clip's name of the model, for example ViT-B-16-quickgelu."""

    samples_per_epoch: int | None = Field(None, ge=1)
    """Images per epoch, if known."""

    license: str | None = None
    """Licence of the weights, for local checkpoint files."""

    output_dir: Path | None = None
    """Folder of the run. Default: runs/<name>."""

    push_to_hub: bool = PUSH

    hub_private_repo: bool = PRIVATE

    quiet: bool = QUIET

    def __call__(self) -> int:
        from hf_clipdyn.revisions.importing import OpenClipSeries, import_open_clip

        summary = import_open_clip(
            OpenClipSeries(self.from_open_clip, self.source, per_epoch=self.samples_per_epoch),
            self.target,
            output_dir=self.output_dir or Path("runs") / self.target.rpartition("/")[2],
            licence=self.license,
            push_to_hub=self.push_to_hub,
            private=self.hub_private_repo or None,
        )
        print(summary.message)
        return int(bool(summary.missing))


class App(Options):
    """Ask every revision about an image.

    It starts a page in the browser, for this machine only: drop an image, take one with the webcam or show a stimulus
    of a benchmark, and write class names. The page shows probability, margin and rank of each class over the revisions,
    and where two of them attend. Nothing that you upload is kept. It requires `pip install 'hf-clipdyn[app]'`.
    """

    positional = ("what",)

    what: str
    """Run, repository or folder of models; or a table of `clipdyn evaluate`, for all of its models."""

    revisions: tuple[str, ...] = ()
    """Revisions to show. Default: all."""

    store: Path | None = STORE

    data_dir: Mapping[str, Path] = FOLDERS

    device: str | None = None
    """Device. Default: the GPU if there is one."""

    port: int | None = Field(None, ge=1, le=65535)
    """Port. Default: the first free one from 7860 on."""

    def __call__(self) -> None:
        from hf_clipdyn.app import serve
        from hf_clipdyn.evaluation.answers import open_models

        with naming_runs_here([self.what]):
            opened = open_models(
                self.what,
                store=self.store,
                wanted=self.revisions,
                device=self.device,
                data_dirs=self.data_dir,
            )
        serve(opened, port=self.port)


# --- sharing and support -------------------------------------------------------------------------------------


class Share(_OfTables):
    """Publish cards and reports of runs on the Hub.

    With --push_to_hub, the repository of each run gets a model card, README.md, and the report of the run: its page and
    its figures in the folder `report`. Hand-written text on a card is kept. `--output` gets a folder for each
    run; if nothing is pushed, it is by default `share` in the folder of a run that is given alone.

    The Hub shows the page of a model's repository as text. With --space, the page of all runs is published as a static
    Space, which readers can open.
    """

    push_to_hub: bool = False
    """Push card and report of each run to its repository, in one commit."""

    space: str | None = None
    """Publish the page of all runs as this static Space, owner/name."""

    hub_private_repo: bool = False
    """Write to no public repository; a missing Space becomes private."""

    results_dataset: str | None = None
    """Data set on the Hub with this table, to name as the source."""

    license: str | None = None
    """Licence of the Space, for example cc-by-4.0."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        pushes = self.push_to_hub or self.space is not None
        if not pushes:
            self.write_beside("share", "Give a place for cards and reports: output, push_to_hub or space.")
        if self.hub_private_repo and not pushes:
            raise ConfigError("hub_private_repo requires push_to_hub or space.")
        if self.license is not None and self.space is None:
            raise ConfigError("license requires space: it is the licence of the Space.")
        return self

    def __call__(self) -> None:
        from hf_clipdyn.report import push_runs, push_space, read_study, write_runs

        study, hidden = read_study(self.results, claims=self.claims), self.hub_private_repo
        page: Any = self.model_dump(include={"results_dataset", "stimuli"}) | {"data_dirs": self.data_dir}
        if self.push_to_hub:
            for repo_id, url in push_runs(study, output=self.output, private=hidden, **page).items():
                print(f"{repo_id} is pushed: {url}." if url else f"{repo_id} is up to date.")
        elif self.output is not None:
            print(*(f"Wrote {folder}." for folder in write_runs(study, self.output, **page)), sep="\n")
        if self.space is not None:
            url = push_space(study, self.space, private=hidden, licence=self.license, **page)
            print(f"The page is pushed: {url}." if url else f"The Space {self.space} is up to date.")


class Env(Options):
    """Print versions and device for a bug report."""

    def __call__(self) -> None:
        from hf_clipdyn.environment import environment

        print(*(f"- {name}: {value}" for name, value in environment().items()), sep="\n")
