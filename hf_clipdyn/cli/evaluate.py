"""`clipdyn evaluate`; apart from the other commands, so that its help imports none of their options."""

from pathlib import Path

from hf_clipdyn.cli.shared import QUIET, naming_runs_here
from hf_clipdyn.errors import counted
from hf_clipdyn.evaluation.config import EvaluationConfig, FullPath


class Evaluate(EvaluationConfig):
    """Measure benchmarks on the revisions of runs, or of any image encoders on the Hub or in folders.

    Cells that are already in the table are skipped. If the command is killed, only its current cell is lost. With
    `accelerate launch` or `torchrun`, use scripts/evaluate.py: it is the same command.
    """

    most_used = (*EvaluationConfig.most_used, "dry_run")

    output: FullPath = Path("results.parquet")
    """Parquet file for the table of results. An existing table is continued. Cells and trials are stored beside it."""

    dry_run: bool = False
    """Print cells, images and expected time; write nothing."""

    quiet: bool = QUIET

    def __call__(self) -> None:
        config = self.but(show_progress=self.show_progress and not self.quiet)
        with naming_runs_here(map(str, self.repo_id)):
            (_plan if self.dry_run else _measure)(config)


def _plan(config: Evaluate) -> None:
    config.check_names()  # before torch is loaded
    from hf_clipdyn.evaluation.dry_run import dry_run, in_words, relations_message
    from hf_clipdyn.evaluation.evaluate import measure_each

    for costs in measure_each(config, dry_run) if config.selected else ():
        print(in_words(costs))
    if config.related:
        print(relations_message(config))


def _measure(config: Evaluate) -> None:
    from hf_clipdyn.evaluation import run
    from hf_clipdyn.revisions.published import shown_path

    results = run(config)
    from accelerate import PartialState  # loads torch, which what is refused does not wait for

    state = PartialState()
    # A process that ends before its group does may abort in the threads of its last collective.
    state.destroy_process_group()
    if not state.is_main_process:
        return
    revisions = counted(len(set(zip(results["repo_id"], results["revision"], strict=True))), "revision")
    benchmarks = counted(len(set(zip(results["kind"], results["dataset"], strict=True))), "benchmark")
    output = shown_path(config.output)
    print(
        f"{counted(len(results), 'number')} of {revisions} on {benchmarks} are in {output}; "
        f"draw them with `clipdyn report {output} --output DIR`."
    )
