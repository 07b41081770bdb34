"""`clipdyn …`: one command per step of a study.

Heavy imports are inside the commands, so that ``clipdyn --help`` loads no torch.
Options may be written with dashes or with underscores.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from tqdm.contrib.logging import logging_redirect_tqdm
from typer.core import TyperCommand

from hf_clipdyn import __version__
from hf_clipdyn.bundled import study_names
from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    EvaluationError,
    TrainingInterrupted,
    closest_name,
    counted,
    printable,
    readable_size,
    redact,
    redact_output,
    render_table,
    shown,
)
from hf_clipdyn.interrupts import raise_on_signals

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.options import Evaluation

__all__ = ["app", "main"]

# `train` and `evaluate` read their options from the fields of configurations: `hf_clipdyn.fields`.
_OWN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

# What gloo and NCCL raise in a collective if another process has ended.
_LOST_PROCESS = re.compile(r"gloo.*(?:closed by peer|reset by peer|Broken pipe)|remote process exited")


class _FieldsCommand(TyperCommand):
    """A command that reads its options itself; the shell completes them like those of the others."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The names that a line may go on with."""
        from hf_clipdyn.config import train_command
        from hf_clipdyn.evaluation.options import command_line

        flags = (train_command() if self.name == "train" else command_line()).flags.values()
        names = [flag.spelling for flag in flags if flag.is_option and flag.spelling.startswith(incomplete)]
        # typer's releases have the class of an item in different places; only its form is the same.
        items = [SimpleNamespace(value=name, type="plain", help=None) for name in names]
        return [*super().shell_complete(ctx, incomplete), *items]


app = typer.Typer(
    name="clipdyn",
    help="Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.",
    invoke_without_command=True,
    rich_markup_mode=None,  # rich drops a default in square brackets from a help text
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@contextmanager
def _reading(repos: str | Sequence[str], store: Path | None) -> Iterator[None]:
    """Add to an error about a repository on the Hub where a local run has that repository."""
    try:
        yield
    except ClipDynError as error:
        names = [repos] if isinstance(repos, str) else repos
        hints = [] if store is not None else [_store_hint(name, error) for name in names]
        hint = next(filter(None, hints), "")
        if not hint:
            raise
        error.args = (f"{error} {hint}",)
        raise


def _store_hint(repo: str, error: ClipDynError) -> str:
    from hf_clipdyn.errors import RevisionNotFoundError
    from hf_clipdyn.hub import is_transient, status_of

    unreachable = status_of(error) is None and is_transient(error)
    if not (unreachable or isinstance(error, RevisionNotFoundError)):
        return ""
    cached = "models--" + repo.replace("/", "--")
    below = [*Path().glob("runs/*/hub"), *Path().glob("runs/*/*/hub")]  # of a run, and of a run of a grid
    stores = [path for path in sorted(below) if (path / cached).is_dir()]
    if stores:
        return f"A local run has this repository: add --store {stores[0]}."
    return "The Hub cannot be reached. For a local run, name its store with --store." if unreachable else ""


def _load_plugins(paths: list[Path] | None) -> list[Path]:
    from hf_clipdyn.plugins import load_plugin

    for path in paths or []:
        load_plugin(path)
    return paths or []


Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", callback=_load_plugins, help="Python file that adds data sets."),
]

_LOG = logging.getLogger("hf_clipdyn")


def _be_quiet(context: typer.Context, quiet: bool) -> bool:
    """Print only the result, warnings and errors while the command runs."""
    if quiet and not context.resilient_parsing:
        from hf_clipdyn.progress import library_bars

        _LOG.setLevel(logging.WARNING)
        context.with_resource(library_bars(False))
    return quiet


Quiet = Annotated[
    bool,
    typer.Option("--quiet", callback=_be_quiet, help="Print only the result, warnings and errors."),
]


def _warn_of_old_spelling(context: typer.Context, licence: str | None) -> str | None:
    if licence is not None and not context.resilient_parsing:
        _LOG.warning("--licence is now called --license; a later version will refuse the old spelling.")
    return licence


OldLicence = Annotated[str | None, typer.Option("--licence", hidden=True, callback=_warn_of_old_spelling)]

ClaimsFile = Annotated[
    Path | None,
    typer.Option(help="YAML file of claims for the verdicts. Default: the claims.yaml of the package."),
]
Tables = Annotated[
    list[Path], typer.Argument(help="Tables of `clipdyn evaluate`, or folders with results.parquet.")
]

Stimuli = Annotated[
    str,
    typer.Option(
        help="Stimuli on the page: none, or thumbnails of the data sets whose licence allows redistribution."
    ),
]
DataDirs = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder of a data set for its thumbnails, as NAME=PATH. Repeat the option for each data set."
    ),
]
FigureStyle = Annotated[
    str | None, typer.Option(help="Matplotlib style of the figures: a name, or a .mplstyle file.")
]
"""Options of the page, the same in every command that writes it."""


def _page_options(stimuli: str, data_dir: list[str] | None) -> dict[str, Any]:
    """The options of the page as arguments of `write_report`, without the claims, which belong to the study."""
    from hf_clipdyn.fields import named_folders
    from hf_clipdyn.report.page.stimuli import stimuli_choice

    return {
        "stimuli": stimuli_choice(stimuli),
        "data_dirs": named_folders(data_dir or (), "--data-dir"),
    }


# --- commands, in alphabetical order -----------------------------------------------------------------


@app.command()
def cache(
    delete: Annotated[
        list[str] | None,
        typer.Option(help="What to delete: tables, pixels, unpacked, baselines, unfinished or all."),
    ] = None,
    older_than: Annotated[
        float, typer.Option(help="Delete only entries that were not used for N days.")
    ] = 0.0,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of the caches. Default: the cache of datasets.")
    ] = None,
) -> None:
    """List cached tables, pixels, unpacked archives and scores of baselines with their sizes, or delete them."""
    from hf_clipdyn.data.caches import cache_table, cached
    from hf_clipdyn.data.caches import delete as delete_cached

    entries = delete_cached(delete, cache_dir, older_than) if delete else cached(cache_dir)
    if entries:
        typer.echo(render_table(cache_table(entries)))
    total = readable_size(sum(entry.size for entry in entries))
    typer.echo(f"{'Deleted' if delete else 'Cached'}: {len(entries)} entries, {total}.")


@app.command()
def card(
    results: Tables,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a card and a figure of each run.")
    ] = None,
    push_to_hub: Annotated[
        bool, typer.Option("--push-to-hub", help="Update the card in the repository of each run.")
    ] = False,
    results_dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set on the Hub that contains this table, owner/name. The cards name it as their source."
        ),
    ] = None,
) -> None:
    """Write the model card of each run, or update the cards on the Hub. Text that a person wrote there is kept.

    On the Hub, the results of the last revision also go to .eval_results if the benchmark has a leaderboard.
    """
    from hf_clipdyn.report import push_cards, read_study, write_cards

    if output is None and not push_to_hub:
        raise ConfigError("Say where the cards go: `output`, `push-to-hub`, or both.")
    study = read_study(results)
    for path in write_cards(study, output, results_dataset=results_dataset) if output is not None else ():
        typer.echo(f"Wrote {path}.")
    for pushed in push_cards(study, results_dataset=results_dataset) if push_to_hub else ():
        typer.echo(
            f"The card is pushed: {pushed.url}."
            if pushed.url
            else f"The card of {pushed.repo_id} is up to date."
        )
        for name in pushed.eval_results:
            typer.echo(f"- {name}")
        for benchmark, cause in pushed.left_out.items():
            typer.echo(f"- Not in .eval_results: {printable(benchmark)}, since {printable(cause)}.")


@app.command("datasets")
def list_datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plugin: Plugins = None,
) -> None:
    """List every data set: kind, rows, licence, where to get it, and whether $CLIPDYN_DATA has it."""
    import json

    from hf_clipdyn.data.load import datasets_table

    del plugin
    rows = datasets_table()
    typer.echo(json.dumps(rows, indent=2) if as_json else render_table(rows))


@app.command()
def demo(
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/demo, or runs/quick.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three short epochs, in under a minute.")] = False,
    overwrite_output_dir: Annotated[
        bool,
        typer.Option("--overwrite-output-dir", help="Delete an earlier run in that folder and start again."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run a small study on the embedded synthetic world: train, publish every epoch, evaluate, report.

    Nothing is downloaded. A second call continues where the first one stopped.
    """
    from hf_clipdyn.demo import run_demo

    made = run_demo(output_dir, quick=quick, overwrite_output_dir=overwrite_output_dir, quiet=quiet)
    for line in made.closing:
        typer.echo(line)


@app.command()
def env() -> None:
    """Print versions, device, caches and platform, for a bug report."""
    from hf_clipdyn.environment import environment

    for name, value in environment().items():
        typer.echo(f"- {name}: {value}")


@app.command(cls=_FieldsCommand, context_settings=_OWN_OPTIONS)
def evaluate(context: typer.Context) -> None:
    """Measure benchmarks on the revisions of runs, or of any image encoders: `clipdyn evaluate --help`."""
    from hf_clipdyn.evaluation.options import Evaluation

    asked = Evaluation.read(context.args)
    _be_quiet(context, asked.command.quiet)
    given = asked.arguments
    given["show_progress"] &= not asked.command.quiet
    with _reading(given["repo_id"], given["store"]):
        if asked.command.dry_run:
            from hf_clipdyn.evaluation.config import EvaluationConfig
            from hf_clipdyn.evaluation.dry_run import dry_run as measure
            from hf_clipdyn.evaluation.evaluate import of_each

            for found in of_each(EvaluationConfig(**given), measure):
                typer.echo(found.message)
            return
        if asked.command.submit is not None:
            typer.echo(_submitted(asked))
            return
        _evaluate_here(given)


def _evaluate_here(given: dict[str, Any]) -> None:
    from accelerate import PartialState

    from hf_clipdyn.evaluation import evaluate_revisions

    results = evaluate_revisions(**given)
    state = PartialState()
    # A process that ends before its group does may abort in the threads of its last collective.
    state.destroy_process_group()
    if not state.is_main_process:
        return
    revisions = len(set(zip(results["repo_id"], results["revision"], strict=True)))
    benchmarks = len(set(zip(results["kind"], results["dataset"], strict=True)))
    typer.echo(
        f"{counted(len(results), 'number')} of {counted(revisions, 'revision')} on "
        f"{counted(benchmarks, 'benchmark')} are in {given['output']}; "
        f"draw them with `clipdyn report {given['output']} --output DIR`."
    )


def _submitted(asked: "Evaluation") -> str:
    from hf_clipdyn.evaluation.config import EvaluationConfig
    from hf_clipdyn.evaluation.submit import OF_THE_WHOLE, Shards
    from hf_clipdyn.jobs import submit

    command = asked.command
    assert command.submit is not None
    work = Shards(EvaluationConfig(**asked.arguments), asked.words(without=OF_THE_WHOLE), command.shards)
    return submit(work, command.submit, command.submit_setting, print_command=command.print_command)


@app.command()
def export_open_clip(
    repo: Annotated[str, typer.Argument(help="Repository, owner/name.")],
    output: Annotated[Path, typer.Argument(help="File to write, .pt or .safetensors.")],
    revision: Annotated[str, typer.Option(help="Revision to export.")] = "main",
    store: Annotated[Path | None, typer.Option(help="Folder of a local store. Default: the Hub.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write a revision as a checkpoint that open_clip loads, with bit-identical weights."""
    from hf_clipdyn.revisions.importing import export_open_clip as export

    del quiet
    with _reading(repo, store):
        typer.echo(f"Wrote {export(repo, revision, output, store=store)}.")


@app.command()
def import_open_clip(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT]... REPO", help="Checkpoint files, then the repository to create."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="open_clip's name of the model, for example ViT-B-16-quickgelu.")
    ],
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder of the journal. Default: runs/<name>.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the local store. Default: <output-dir>/hub.")
    ] = None,
    push_to_hub: Annotated[bool, typer.Option(help="Publish to the Hub too.")] = False,
    private: Annotated[bool, typer.Option(help="Make the repository on the Hub private.")] = False,
    samples_per_epoch: Annotated[int | None, typer.Option(help="Images per epoch, if known.")] = None,
    from_hub: Annotated[
        str | None, typer.Option(help="Download the checkpoints from this repository, one by one.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Folder of the run in that repository.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the weights, for local checkpoint files.")
    ] = None,
    old_licence: OldLicence = None,
    quiet: Quiet = False,
) -> None:
    """Publish open_clip's epoch checkpoints as revisions of a CLIPModel."""
    from hf_clipdyn.revisions.importing import hub_checkpoints, import_open_clip, local_checkpoints

    del quiet
    *checkpoints, repo = arguments
    if (from_hub is None) == (not checkpoints):
        raise ConfigError("Give either checkpoint files and a repository, or --from-hub and a repository.")
    if from_hub is not None:
        source = hub_checkpoints(from_hub, run)
    else:
        source = local_checkpoints([Path(name) for name in checkpoints], licence or old_licence)
    summary = import_open_clip(
        source,
        repo,
        model=model,
        output_dir=output_dir or Path("runs") / repo.rpartition("/")[2],
        store=store,
        push_to_hub=push_to_hub,
        private=private,
        samples_per_epoch=samples_per_epoch,
    )
    typer.echo(summary.message)
    if summary.missing:
        raise typer.Exit(1)


@app.command()
def parity(
    repo: Annotated[
        str, typer.Argument(help="Model with published values, for example openai/clip-vit-base-patch16.")
    ],
    data_dir: Annotated[
        list[str], typer.Option(help="NAME=PATH: folder of tid2013, nights or things.", metavar="NAME=PATH")
    ],
    revision: Annotated[str | None, typer.Option(help="Revision. Default: the last one.")] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            help="Compare with the published values of this model. For a model without published values."
        ),
    ] = None,
    published: Annotated[
        Path | None, typer.Option(help="CSV of published values. Default: those of 2024.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of a local store. Default: the Hub.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write.")] = None,
    device: Annotated[str | None, typer.Option(help="Device. Default: the GPU if there is one.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per forward pass.", min=1)] = 128,
    quiet: Quiet = False,
) -> None:
    """Compare each layer of a model with the value published for it in 2024."""
    from hf_clipdyn.evaluation.parity import is_written, render_parity, summarise_parity
    from hf_clipdyn.evaluation.parity import parity as measure
    from hf_clipdyn.fields import named_folders
    from hf_clipdyn.files import check_output
    from hf_clipdyn.progress import draws_bars

    data_dirs = named_folders(data_dir, "--data-dir")
    if output is not None:
        check_output(
            output, [published, *data_dirs.values()], what="a table of `clipdyn parity`", is_own=is_written
        )
    with _reading(repo, store):
        table = measure(
            repo,
            data_dirs=data_dirs,
            revision=revision,
            beside=beside,
            published=published,
            store=store,
            device=device,
            batch_size=batch_size,
            show_progress=draws_bars() and not quiet,
        )
    typer.echo(render_parity(table))
    for sentence in summarise_parity(table):
        typer.echo(f"- {sentence}")
    if output is not None:
        _write(output, table.to_csv(index=False))
        typer.echo(f"Wrote {output}.")


def _write(path: Path, text: str) -> None:
    from hf_clipdyn.files import write_atomically

    try:
        write_atomically(path, text)
    except OSError as error:
        raise EvaluationError(
            f"{path} cannot be written ({error.strerror or error}): name another file with --output."
        ) from error


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="Data set, as `clipdyn datasets` lists it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="New folder for the Parquet files and the card.")
    ],
    data_dir: Annotated[Path | None, typer.Option(help="Folder or archive of the official data set.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration, if there are several.")] = None,
    repo_id: Annotated[str | None, typer.Option(help="Mirror on the Hub to read instead.")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Repository to push to, owner/name.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make that repository private.")] = False,
    num_proc: Annotated[int | None, typer.Option(help="Processes, for data sets in several shards.")] = None,
    plugin: Plugins = None,
    quiet: Quiet = False,
) -> None:
    """Write a data set as Parquet with a data card. It then loads without this package."""
    from hf_clipdyn.data.prepare import prepare_dataset
    from hf_clipdyn.progress import draws_bars, library_bars

    del plugin
    with library_bars(draws_bars() and not quiet):
        prepared = prepare_dataset(
            name,
            output,
            config=config,
            data_dir=data_dir,
            repo_id=repo_id,
            push_to_hub=push_to_hub,
            private=private,
            num_proc=num_proc,
        )
    counts = ", ".join(f"{split} {rows:,}" for split, rows in prepared.rows.items())
    typer.echo(
        f"{prepared.folder}: {counts} rows. Load it with datasets.load_dataset({str(prepared.folder)!r})."
    )
    if prepared.url is not None:
        typer.echo(f"Pushed to {prepared.url}.")


@app.command()
def publish(
    resume: Annotated[Path, typer.Option(help="Folder of the run (its output_dir).")],
    push_to_hub: Annotated[bool, typer.Option(help="Also push a run that is only local so far.")] = False,
    allow_identical: Annotated[
        bool, typer.Option(help="Accept two revisions with the same weights.")
    ] = False,
    collection: Annotated[str | None, typer.Option(help="Add the repository to this Hub collection.")] = None,
    quiet: Quiet = False,
) -> None:
    """Publish the revisions of a run that are not published yet. Exit with 1 if any is still missing."""
    from hf_clipdyn.revisions.repair import join_collection, resume_publishing

    del quiet
    summary = resume_publishing(resume, push_to_hub=push_to_hub, allow_identical=allow_identical)
    typer.echo(summary.message)
    if collection is not None:
        typer.echo(join_collection(resume, collection))
    if summary.missing:
        raise typer.Exit(1)


@app.command()
def repair(
    run: Annotated[Path, typer.Argument(help="Folder of the run (its output_dir).")],
    quiet: Quiet = False,
) -> None:
    """Republish revisions that are missing or wrong, using the journal and intact copies."""
    from hf_clipdyn.revisions.repair import repair as repair_run

    del quiet
    repaired = repair_run(run)
    typer.echo(repaired.render())
    if not repaired.whole:
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of `clipdyn evaluate`, or folders with results.parquet. All are drawn together."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for index.html and the figures.")],
    claims: ClaimsFile = None,
    stimuli: Stimuli = "thumbnails",
    data_dir: DataDirs = None,
    figures: Annotated[bool, typer.Option(help="Also draw figures for papers.")] = True,
    style: FigureStyle = None,
    push_to_hub: Annotated[bool, typer.Option("--push-to-hub", hidden=True)] = False,
) -> None:
    """Judge the claims and draw the trajectories: a page, figures, and a table in the terminal.

    `clipdyn card` writes the model cards, `clipdyn space` publishes the page.
    """
    from hf_clipdyn.report import print_results, read_study, summarize, write_report

    if push_to_hub:
        raise ConfigError(
            "`report` pushes nothing: update the cards with `clipdyn card RESULTS --push_to_hub`, and publish the "
            "page with `clipdyn space RESULTS --push_to_hub ORG/NAME`."
        )
    study = read_study(results, claims=claims)
    page = write_report(study, output, figures=figures, style=style, **_page_options(stimuli, data_dir))
    print_results(study)
    typer.echo()
    for sentence in summarize(study):
        typer.echo(f"- {sentence}")
    typer.echo(f"\nThe page is {page}.")


@app.command()
def revisions(
    repo: Annotated[str, typer.Argument(help="Repository, owner/name, or a folder of models.")],
    store: Annotated[Path | None, typer.Option(help="Folder of a local store. Default: the Hub.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the revisions of a repository: name, epoch, step, samples seen, commit, SHA-256."""
    from hf_clipdyn.revisions import list_revisions
    from hf_clipdyn.revisions.listing import render

    with _reading(repo, store):
        typer.echo(render(list_revisions(repo, store=store), as_json=as_json))


@app.command()
def show(
    results: Tables,
    benchmark: Annotated[
        str | None, typer.Option(help="Show only this benchmark.", metavar="KIND/DATASET")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Show all numbers of this metric instead of the main metrics.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all numbers: every metric, layer, level and subset.")
    ] = False,
) -> None:
    """Print the main metrics of each run and benchmark, with a sparkline over the revisions.

    In a sparkline, a dot is a revision whose number is not interpretable; a gap is one without a number.
    """
    from hf_clipdyn.report import print_results, read_study

    print_results(read_study(results), benchmark=benchmark, metric=metric, everything=everything)


@app.command()
def space(
    results: Tables,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for index.html and README.md.")
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Space to publish the page in, owner/name.", metavar="ORG/NAME")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make that Space private.")] = False,
    results_dataset: Annotated[
        str | None, typer.Option(help="Data set on the Hub with this table, owner/name, to link.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the Space, for example cc-by-4.0.")
    ] = None,
    old_licence: OldLicence = None,
    claims: ClaimsFile = None,
    stimuli: Stimuli = "thumbnails",
    data_dir: DataDirs = None,
) -> None:
    """Publish the page of a study as a static Space on the Hub, or write its folder only."""
    from hf_clipdyn.report import push_space, read_study, write_space

    if push_to_hub is None:
        if output is None:
            raise ConfigError("Say where the page goes: `output`, `push-to-hub`, or both.")
        if private:
            raise ConfigError("`private` requires `push-to-hub`.")
    options = {"results_dataset": results_dataset, "licence": licence or old_licence}
    options |= _page_options(stimuli, data_dir)
    study = read_study(results, claims=claims)
    if push_to_hub is None:
        assert output is not None
        typer.echo(f"The page is {write_space(study, output, **options)}.")
        return
    url = push_space(study, push_to_hub, output=output, private=private, **options)
    typer.echo(f"The page is pushed: {url}." if url else f"The Space {push_to_hub} is up to date.")


@app.command()
def study(
    config: Annotated[
        str | None,
        typer.Option(help=f"YAML file of a study, or one of {', '.join(study_names())}. Default: study."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run the study `study-quick`: one scale, two seeds.")
    ] = False,
    arms: Annotated[
        bool, typer.Option("--arms", help="Run the study `study-arms`: the controls and ablations.")
    ] = False,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the study. Default: the output_dir in the file, or runs/<name of the file>."
        ),
    ] = None,
    data_dir: Annotated[
        list[str] | None,
        typer.Option(help="Folder of a data set, as NAME=PATH. Repeat the option for each data set."),
    ] = None,
    submit: Annotated[
        str, typer.Option(help="Where the runs start: local, slurm or hf-jobs.", metavar="SCHEDULER")
    ] = "local",
    submit_setting: Annotated[
        list[str] | None,
        typer.Option(help="Setting of the scheduler, for example parallel=1.", metavar="NAME=VALUE"),
    ] = None,
    print_command: Annotated[
        bool, typer.Option("--print-command", help="Print the commands of the runs, and run nothing.")
    ] = False,
    run: Annotated[
        str | None, typer.Option(help="Train and measure only this run, in this process.", metavar="NAME")
    ] = None,
    report: Annotated[bool, typer.Option(help="Judge the claims and write the page at the end.")] = True,
    claims: ClaimsFile = None,
    stimuli: Stimuli = "thumbnails",
    style: FigureStyle = None,
    quiet: Quiet = False,
) -> None:
    """Train every run of a study, measure every revision, judge the claims and draw the page.

    The runs are processes on this machine, one for each core, or jobs of a cluster. Each uses one thread, because
    a different thread count changes rounding, and so the weights. A second call does what is missing. The page shows
    all runs in the folder.
    """
    del quiet
    if (config is not None) + quick + arms > 1:
        raise ConfigError("Give only one of `config`, `quick` and `arms`: each names a study.")
    if run is not None:
        if submit != "local" or submit_setting or print_command:
            raise ConfigError("`run` computes in this process: leave out the options of `submit`.")
        os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy's and torch's libraries are loaded, below
    from hf_clipdyn.fields import named_folders
    from hf_clipdyn.jobs import submit as start
    from hf_clipdyn.study import Page, Study

    name = config or ("study-quick" if quick else "study-arms" if arms else "study")
    folders = named_folders(data_dir or (), "--data-dir")
    if run is None:
        page = Page(claims, _page_options(stimuli, None)["stimuli"], style) if report else None
        work = Study.read(name, output_dir, data_dirs=folders, page=page)
        typer.echo(start(work, submit, submit_setting or (), print_command=print_command))
        return
    member = Study.read(name, output_dir, data_dirs=folders).member(run)
    member.complete()
    typer.echo(f"{run} is trained and measured: {member.results}.")


@app.command(cls=_FieldsCommand, context_settings=_OWN_OPTIONS)
def train(context: typer.Context) -> None:
    """Train CLIP and publish every epoch: `clipdyn train --config demo`, `clipdyn train --help`.

    The file of `--config` may be a grid: `defaults:`, and a list `runs:` that overrides them. `--submit` starts the
    runs as jobs.

    With `accelerate launch` or `torchrun`, use scripts/train.py: it is the same command.
    """
    from hf_clipdyn.config import train_command

    train_command().read(context.args)  # help and wrong options need no torch
    from hf_clipdyn.jobs import run_in_turn, submit
    from hf_clipdyn.study import Study, read_training
    from hf_clipdyn.training import dry_run
    from hf_clipdyn.training import train as run_training

    asked, jobs = read_training(context.args)
    if isinstance(asked, Study):
        if jobs.submit is None:
            typer.echo(run_in_turn(asked))
        else:
            typer.echo(submit(asked, jobs.submit, jobs.submit_setting, print_command=jobs.print_command))
        return
    if asked.dry_run:
        cost = dry_run(asked)
        if cost is not None:
            typer.echo(cost.message)
        return
    summary = run_training(asked)
    if summary is not None:
        typer.echo(summary.message)
        if summary.missing:
            raise typer.Exit(1)


@app.command()
def verdicts(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Tables of `clipdyn evaluate`, or folders with results.parquet, of all seeds and scales."
        ),
    ],
    claims: Annotated[
        Path | None, typer.Option(help="YAML file of claims. Default: the claims.yaml of the package.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Study in that file. Default: the one with the most benchmarks in the tables."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table of verdicts to write, a Parquet file.")
    ] = Path("verdicts.parquet"),
    quiet: Quiet = False,
) -> None:
    """Judge each registered claim by its contrasts, gates and controls. Print the verdicts and write a table."""
    from hf_clipdyn.progress import draws_bars
    from hf_clipdyn.report.provenance import origin_words
    from hf_clipdyn.results.read import read_results
    from hf_clipdyn.statistics.claims import read_claims
    from hf_clipdyn.statistics.evidence import arm_effects, read_evidence
    from hf_clipdyn.statistics.judging import judge
    from hf_clipdyn.statistics.verdicts import (
        check_verdicts,
        provenance,
        render,
        verdict_table,
        write_verdicts,
    )

    read = read_results(results)
    check_verdicts(output, [*read.tables, claims])
    evidence = read_evidence(
        read,
        read_claims(claims),
        study=study,
        show_progress=draws_bars() and not quiet,
    )
    judged = judge(evidence)
    write_verdicts(verdict_table(judged), output, provenance(read, evidence))
    typer.echo(f"{render(judged, arm_effects(evidence))}\n\n{origin_words(read, evidence, claims)}")
    typer.echo(f"\nWrote {output}.")


@app.command()
def verify(
    repo: Annotated[str, typer.Argument(help="Repository, owner/name, or a folder of models.")],
    store: Annotated[Path | None, typer.Option(help="Folder of a local store. Default: the Hub.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every file and hash it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check that every revision exists and has the right weights. Exit with 1 on any finding."""
    from hf_clipdyn.revisions.verify import verify as verify_repo

    with _reading(repo, store):
        report = verify_repo(repo, store=store, deep=deep)
    typer.echo(report.render(as_json=as_json))
    if report.findings:
        raise typer.Exit(1)


# --- end of commands ---------------------------------------------------------------------------------


_show_other_warning = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
    """Print a warning of this package as a sentence, without the line of code that raised it."""
    if category.__module__.startswith("hf_clipdyn"):
        typer.echo(f"clipdyn: warning: {redact(str(message))}", err=True)
    else:
        _show_other_warning(redact(str(message)), category, *where, **further)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; print an error of this package as one sentence and exit with its code.

    No message, log or traceback has a token of the Hub: see `redact_output`. An exception that is a bug passes
    through, so that debuggers and launchers see it.
    """
    redact_output()
    warnings.showwarning = _show_warning
    code, received = 0, list[int]()
    # A launcher ends what hangs in a collective: Python's handlers would wait for its end.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    try:
        with raise_on_signals() if alone else nullcontext(received) as received, _printed_log():
            try:
                code = _run(sys.argv[1:] if argv is None else argv)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except SystemExit:
        if not received:
            raise
    except TrainingInterrupted as interrupted:
        typer.echo(f"clipdyn: {printable(str(interrupted))}", err=True)
        sys.exit(interrupted.exit_code)
    except ClipDynError as error:
        if not received:  # else it may be what was made of the interruption
            _fail(str(error), error.exit_code)
    except MemoryError:
        _fail("Out of memory: close other programs, use smaller batches, or use less data.", 1)
    except BrokenPipeError:  # whoever read the output has enough
        _drop_output()
        code = 1
    except RuntimeError as error:
        if not _LOST_PROCESS.search(str(error)):
            raise
        _fail("Another process of this run has ended, so this one ended too: read the other one's error.", 1)
    except OSError as error:
        place = error.filename or ("Standard output" if _drop_output() else None)
        if place is None:  # it concerns no file of the user's
            raise
        _fail(f"{place}: {error.strerror}.", 1)
    if received:
        code = 128 + received[-1]
    if code > 128:
        typer.echo(
            "clipdyn: interrupted; what was done is kept. To continue a training run, add "
            "--resume_from_checkpoint true. To continue anything else, repeat the command.",
            err=True,
        )
    sys.exit(code)


def _drop_output() -> bool:
    """Whether standard output cannot be written; what waits is then dropped, at which the interpreter would fail."""
    try:
        sys.stdout.write("\n")  # what could not be written before is forgotten
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.stdout.flush()
        return True
    return False


class _Sentences(logging.Formatter):
    """The bare message; a warning begins like an error of the command line."""

    def format(self, record: logging.LogRecord) -> str:
        text = printable(super().format(record).removeprefix("[RANK 0] "))  # the prefix is accelerate's
        return text if record.levelno < logging.WARNING else f"clipdyn: {record.levelname.lower()}: {text}"


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print what this package logs within the block on standard error, above any bars."""
    handler, level = logging.StreamHandler(), _LOG.level
    handler.setFormatter(_Sentences())
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm([_LOG]):
            yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"clipdyn: error: {printable(sentence)}", err=True)
    sys.exit(code)


def _run(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code.

    Raises:
        ConfigError: typer refuses the arguments.
    """
    for argument in argv:
        if "\0" in argument:
            raise ConfigError("An argument has a NUL character: no file or repository has such a name.")
        if re.search(r"[\ud800-\udfff]", argument):
            raise ConfigError(
                f"The argument {shown(argument)} is not UTF-8, which Parquet needs: rename the file or the folder."
            )
    try:
        return app(args=list(argv), prog_name="clipdyn", standalone_mode=False) or 0
    except typer.Abort:
        return 1
    except Exception as error:
        # typer's releases take click's errors or have their own copies of them: only their form is the same.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        raise ConfigError(_usage_words(error)) from None


def _usage_words(error: Any) -> str:
    """An error of typer as one sentence, with the nearest option and the command's help."""
    option = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    command = "clipdyn" if context is None else context.command_path
    said, hint = error.format_message().rstrip("."), ""
    if option and hasattr(error, "possibilities"):
        said = f"There is no option {option}"
        params = () if context is None else context.command.params
        known = [name for one in params if not one.hidden for name in one.opts if name.startswith("--")]
        close = closest_name(option, known)
        hint = f" Did you mean {close}?" if close else ""
    stop = "" if said.endswith("?") else "."
    return f"{said}{stop}{hint} See `{command} --help`."


if __name__ == "__main__":
    main()
