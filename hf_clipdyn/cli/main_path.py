"""The main path of a study: demo, train, evaluate, report, study."""

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from hf_clipdyn.bundled import study_names
from hf_clipdyn.cli import shared
from hf_clipdyn.command_line import Command, CommandLine
from hf_clipdyn.errors import ConfigError, counted
from hf_clipdyn.fields import option

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.options import Evaluation
    from hf_clipdyn.statistics.compare import Family
    from hf_clipdyn.statistics.corrections import Correction


@dataclass(frozen=True, kw_only=True)
class Demo(Command, group="Main path"):
    """Run a small study without downloads.

    It trains on the embedded world, whose images are synthetic, saves every epoch, evaluates and reports. A
    second call continues where the first one stopped.
    """

    output_dir: Path | None = option(None, "Folder of the run. Default: runs/demo, or runs/quick.")
    quick: bool = option(False, "Three short epochs, in under a minute.")
    overwrite_output_dir: bool = option(False, "Delete an earlier run in that folder and start again.")
    quiet: bool = shared.quiet()

    def run(self) -> None:
        from hf_clipdyn.demo import run_demo

        made = run_demo(**vars(self))
        print(*made.closing, sep="\n")


@dataclass(frozen=True, kw_only=True)
class Train(Command, group="Main path"):
    """Train CLIP and save every epoch."""

    words: Sequence[str]

    @classmethod
    def line(cls) -> CommandLine:
        from hf_clipdyn.training.config import train_command

        return train_command()

    @classmethod
    def read(cls, argv: Sequence[str]) -> Self:
        cls.line().read(argv)  # help and wrong options need no torch
        return cls(words=argv)

    def run(self) -> int:
        from hf_clipdyn.training import train
        from hf_clipdyn.training.config import TrainingConfig

        done = train(TrainingConfig.read(self.words))
        if done is not None:
            print(done.message)
            return int(bool(done.missing))
        return 0


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command, group="Main path"):
    """Measure benchmarks on every revision."""

    asked: "Evaluation"

    @classmethod
    def line(cls) -> CommandLine:
        from hf_clipdyn.evaluation.options import command_line

        return command_line()

    @classmethod
    def read(cls, argv: Sequence[str]) -> Self:
        from hf_clipdyn.evaluation.options import Evaluation

        return cls(asked=Evaluation.read(argv))

    @property
    def quiet(self) -> bool:
        return self.asked.command.quiet

    def run(self) -> None:
        given = self.asked.arguments
        given["show_progress"] &= not self.quiet
        with shared.reading(given["repo_id"], given["store"]):
            if self.asked.command.dry_run:
                from hf_clipdyn.evaluation.config import EvaluationConfig

                config = EvaluationConfig(**given)
                config.check_names()
                from hf_clipdyn.evaluation.dry_run import dry_run, relations_message
                from hf_clipdyn.evaluation.evaluate import measure_each

                for plan in measure_each(config, dry_run) if config.selected else ():
                    print(plan.message)
                if config.related:
                    print(relations_message(config))
            else:
                _evaluate_here(given)


def _evaluate_here(given: dict[str, Any]) -> None:
    from hf_clipdyn.evaluation import evaluate_revisions

    results = evaluate_revisions(**given)
    from accelerate import PartialState  # loads torch, which what is refused does not wait for

    state = PartialState()
    # A process that ends before its group does may abort in the threads of its last collective.
    state.destroy_process_group()
    if not state.is_main_process:
        return
    revisions = len(set(zip(results["repo_id"], results["revision"], strict=True)))
    benchmarks = len(set(zip(results["kind"], results["dataset"], strict=True)))
    print(
        f"{counted(len(results), 'number')} of {counted(revisions, 'revision')} on "
        f"{counted(benchmarks, 'benchmark')} are in {given['output']}; "
        f"draw them with `clipdyn report {given['output']} --output DIR`."
    )


_NEEDS_PRINT = (
    ("benchmarks", "numbers", "differences"),
    ("metric", "numbers"),
    *((name, "differences") for name in ("revisions", "correction", "family")),
)


@dataclass(frozen=True, kw_only=True)
class Report(Command, group="Main path"):
    """Judge the claims and draw the trajectories.

    It writes a page with figures, and prints a table. `clipdyn share` publishes the page.

    With `--print numbers` it only prints the main metrics of each run and benchmark, with a sparkline over the
    revisions: a dot is a revision whose number is not interpretable, a gap is one without a number. With
    `--print verdicts` it only prints the verdict on each registered claim. With `--print differences` it only prints
    the paired differences of `--revisions` from the first of them, corrected for their number.
    """

    results: tuple[Path, ...] = shared.tables()
    output: Path | None = option(
        None,
        "Folder of the page. Default: `report` in the folder of a run, if it is given alone. With --print verdicts or "
        "differences: a Parquet file for their table.",
        short="o",
    )
    printed: str | None = option(
        None, "Only print these.", choices=("numbers", "verdicts", "differences"), flag="print"
    )
    claims: Path | None = shared.claims()
    benchmarks: tuple[str, ...] = option(
        (), "For numbers and differences: only these benchmarks.", metavar="KIND/DATASET,…"
    )
    metric: str | None = option(
        None, "For numbers: all of this metric instead of the main ones; `all`: everything."
    )
    revisions: tuple[str, ...] = option(
        (),
        "For differences: the reference, then what is compared with it: revisions, models (owner/name, its last "
        "revision) or owner/name@revision. Default: all models, with the first one.",
    )
    correction: str | None = option(
        None,
        "For differences, for their number: bonferroni; holm, which finds more, without intervals; bh "
        "(Benjamini-Hochberg), to explore; by (Benjamini-Yekutieli); none. Default: bonferroni.",
        choices=("bonferroni", "holm", "bh", "by", "none"),
    )
    family: str | None = option(
        None,
        "For differences: what is corrected together: the main metrics, or all values. Default: main.",
        choices=("main", "all"),
    )
    stimuli: str = shared.stimuli()
    data_dir: Mapping[str, Path] = shared.folders()
    figures: bool = option(True, "Also draw figures for papers.")
    figure_formats: tuple[str, ...] = option(
        ("png", "pdf"), "Formats of the figures.", choices=("png", "svg", "pdf")
    )
    figure_width: str = option(
        "auto",
        "Width of the figures: column (3.35 inches), page (7 inches), or auto: by the number of panels.",
        choices=("auto", "column", "page"),
    )
    try_it: bool = option(
        False, "Put the image encoder of one run of a small CLIP into the page, to ask it about own images."
    )
    store: Path | None = option(None, "For --try-it: folder of the run. Default: the run beside the table.")
    style: str | None = shared.style()
    plugin: tuple[Path, ...] = option((), "Python file that adds charts, kinds of benchmarks or data sets.")
    quiet: bool = shared.quiet()

    def __post_init__(self) -> None:
        for name, *needed in _NEEDS_PRINT:
            if getattr(self, name) and self.printed not in needed:
                raise ConfigError(f"`{name}` requires --print {' or '.join(needed)}.")
        if self.store is not None and not self.try_it:
            raise ConfigError("`store` requires --try-it: nothing else reads models.")
        if self.try_it and self.printed is not None:
            raise ConfigError("`try_it` is part of the page: leave out --print.")
        if self.printed == "numbers" and self.output is not None:
            raise ConfigError("--print numbers writes nothing: leave out `output`.")
        if self.printed is None and self.output is None:
            folder = shared.folder_of_run(self.results)
            if folder is None:
                raise ConfigError(
                    "--output is missing: give a folder for the page, or --print numbers, verdicts or differences."
                )
            object.__setattr__(self, "output", folder / "report")

    def run(self) -> None:
        # Many objects and few cycles: as often as usual, looking for cycles takes a tenth of the time.
        gc.set_threshold(100_000, 50, 50)
        shared.load_plugins(self.plugin)
        if self.printed == "verdicts":
            self._print_verdicts()
            return
        if self.printed == "differences":
            self._print_differences()
            return
        from hf_clipdyn.report import print_results, read_study, summarize, write_report

        if self.printed == "numbers":
            everything = self.metric == "all"
            metric = None if everything else self.metric
            study = read_study(self.results)
            for benchmark in self.benchmarks or (None,):
                print_results(study, benchmark=benchmark, metric=metric, everything=everything)
            return
        assert self.output is not None
        study = read_study(self.results, claims=self.claims)
        options = shared.page_options(self.stimuli, self.data_dir)
        options |= {"figure_formats": self.figure_formats, "figure_width": self.figure_width}
        options |= {"try_it": self.try_it, "store": self.store}
        page = write_report(study, self.output, figures=self.figures, style=self.style, **options)
        print_results(study)
        print("", *(f"- {sentence}" for sentence in summarize(study)), sep="\n")
        print(f"\nThe page is {page}.")

    def _print_verdicts(self) -> None:
        from hf_clipdyn.progress import draws_bars
        from hf_clipdyn.report.provenance import origin_words
        from hf_clipdyn.results.read import read_results
        from hf_clipdyn.statistics import verdicts
        from hf_clipdyn.statistics.claims import read_claims
        from hf_clipdyn.statistics.evidence import arm_effects, read_evidence
        from hf_clipdyn.statistics.judging import judge

        read = read_results(self.results)
        if self.output is not None:
            verdicts.check_verdicts(self.output, [*read.tables, self.claims])
        claims, bars = read_claims(self.claims), draws_bars() and not self.quiet
        evidence = read_evidence(read, claims, show_progress=bars)
        judged = judge(evidence)
        print(
            f"{verdicts.render(judged, arm_effects(evidence))}\n\n{origin_words(read, evidence, self.claims)}"
        )
        if self.output is not None:
            table = verdicts.verdict_table(judged)
            verdicts.write_verdicts(table, self.output, verdicts.provenance(read, evidence))
            print(f"\nWrote {self.output}.")

    def _print_differences(self) -> None:
        from hf_clipdyn.report import read_study
        from hf_clipdyn.report.differences import check_differences, differences

        study = read_study(self.results)
        if self.output is not None:
            check_differences(self.output, study.results.tables)
        compared = differences(
            study,
            self.revisions[0] if self.revisions else None,
            self.revisions[1:] or None,
            benchmarks=self.benchmarks or None,
            correction=cast("Correction", self.correction or "bonferroni"),
            family=cast("Family", self.family or "main"),
        )
        print(compared.render())
        if self.output is not None:
            compared.write(self.output)
            print(f"\nWrote {self.output}.")


@dataclass(frozen=True, kw_only=True)
class Study(Command, group="Main path"):
    """Train, measure and report a whole study.

    Its runs and models are trained and measured one after the other, on one thread, because a different thread count
    changes rounding, and so the weights. A second call does what is missing. The page shows all runs in the folder.

    `--shard 1/2` and `--shard 2/2` do a half each, also at the same time, or on two machines that share the folder. A
    last call without it relates, judges and draws.
    """

    config: str | None = option(None, f"{', '.join(study_names())}, or a YAML file. Default: study.")
    output_dir: Path | None = option(
        None, "Folder of the study. Default: output_dir in the file, or runs/<name>."
    )
    data_dir: Mapping[str, Path] = shared.folders()
    shard: str | None = option(
        None, "Train and measure only part i of n, for example 1/4. All parts share the folder."
    )
    report: bool = option(True, "Judge the claims and write the page at the end.")
    claims: Path | None = shared.claims()
    stimuli: str = shared.stimuli()
    style: str | None = shared.style()
    quiet: bool = shared.quiet()

    def run(self) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy's and torch's libraries are loaded, below
        from hf_clipdyn.study import Page
        from hf_clipdyn.study import Study as Members

        options = shared.page_options(self.stimuli, {})
        page = Page(self.claims, options["stimuli"], self.style) if self.report else None
        study = Members.read(self.config or "study", self.output_dir, data_dirs=self.data_dir, page=page)
        print(study.run(self.shard))
