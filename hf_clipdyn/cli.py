"""`clipdyn …`: one command per step of a study.

Heavy imports stand inside the commands, so that ``clipdyn --help`` loads no torch.
Every option is taken with dashes and with underscores.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hf_clipdyn import __version__
from hf_clipdyn.errors import ClipDynError

__all__ = ["app", "main"]

app = typer.Typer(
    name="clipdyn",
    help="Train CLIP, publish every epoch as a Hub revision, and watch how it comes to see.",
    no_args_is_help=True,
    add_completion=False,
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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


# --- commands, in alphabetical order -----------------------------------------------------------------


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Tables of `clipdyn evaluate`; their runs are overlaid.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for index.html and the figures.")],
) -> None:
    """Draw the trajectories of evaluated revisions: figures, one page, and a table here."""
    from hf_clipdyn.report import result_tables, summarize, write_report

    page = write_report(results, output)
    for text in result_tables(results):
        typer.echo(f"{text}\n")
    for sentence in summarize(results):
        typer.echo(f"- {sentence}")
    typer.echo(f"\nThe page is {page}.")


@app.command()
def revisions(
    repo: Annotated[str, typer.Argument(help="Repository, owner/name.")],
    store: Annotated[Path | None, typer.Option(help="Folder of a local store; without it, the Hub.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the revisions of a repository: name, epoch, step, samples seen, commit, SHA-256."""
    from hf_clipdyn.revisions.listing import list_revisions, render

    typer.echo(render(list_revisions(repo, store=store), as_json=as_json))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def train(context: typer.Context) -> None:
    """Train CLIP and publish every epoch: `clipdyn train --config demo`, `clipdyn train --help`.

    Under `accelerate launch` or `torchrun`, scripts/train.py is the same command.
    """
    from hf_clipdyn.config import parse_training_config
    from hf_clipdyn.training import train as run_training

    summary = run_training(parse_training_config(context.args, prog="clipdyn train"))
    if summary is not None:
        typer.echo(summary.message)
        if summary.missing:
            raise typer.Exit(1)


# --- end of commands ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; print an error of this package as one sentence and exit with its code."""
    try:
        app(args=None if argv is None else list(argv))
    except ClipDynError as error:
        typer.echo(f"clipdyn: error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("clipdyn: interrupted; the same command continues where it stopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
