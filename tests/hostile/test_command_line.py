"""Hostile calls of the command line: one sentence each without a secret; tests/test_options.py has wrong options."""

import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from hostile.harness import SECRET, Run, Write

from hf_clipdyn.errors import printable

LONG = "x" * 5000
BINARY = b"\xff\xfe".decode("utf-8", "surrogateescape")
MARKUP = "[red]<b>{0.__class__}$(touch x)"
COLOUR = "\x1b[31m\x1b[2J"

CALLS = [
    (("report", "pipe", "--output", "out"), "it is not a regular file"),
    (("report", LONG, "--output", "out"), "x…x"),
    (("report", COLOUR, "--output", "out"), r"\x1b[31m"),
    (("report", "a long name\nclipdyn: error: b", "--output", "out"), "a long name"),
    (("report", "../victim/secret.txt", "--output", "out"), "secret.txt"),
    (("report", "file/below", "--output", "out"), "file/below"),
    (("report", "--print=verdicts", "file", "--output", BINARY), "surrogates not allowed"),
    (("verify", "me/run", "--store", "a\0b"), r"a\x00b"),
    (("repair", "/dev/null"), "/dev/null"),
    (("evaluate", "me/run", "--store", "none", "--config", LONG), "File name too long"),
    (("evaluate", "me/run", "--store", "none", "--noise-conditions", MARKUP), "condition of noise"),
    (("prepare", "../victim", "--output", "out"), "../victim"),
    (("prepare", "procedural", "--output", "file"), "file"),
    (("cache", "--delete", "../victim"), "There is no kind of cache"),
    (("cache", "--delete", "all", "--older-than", "-1"), "older_than is"),
    ((MARKUP,), "There is no command"),
]


@pytest.mark.parametrize(("argv", "says"), CALLS)
def test_a_hostile_path_or_name_is_one_sentence(
    clipdyn: Run, tmp_path: Path, argv: tuple[str, ...], says: str
) -> None:
    work = tmp_path / "work"
    (work / "file").write_text("content")
    os.mkfifo(work / "pipe")
    outcome = clipdyn(*argv)
    assert says in outcome.sentence
    assert "\x1b" not in outcome.err
    assert (work / "file").read_text() == "content"


TOKENS = [
    (SECRET,),
    ("train", f"--hub_tokn={SECRET}"),
    ("train", "--config", SECRET),
    ("evaluate", f"me/{SECRET}", "--plugin", SECRET),
    ("evaluate", f"{SECRET}/run", "--batch-size", SECRET),
    ("revisions", "x" * 50 + SECRET),
]


@pytest.mark.parametrize("argv", TOKENS)
def test_a_token_in_any_argument_is_not_printed(clipdyn: Run, argv: tuple[str, ...]) -> None:
    outcome = clipdyn(*argv)
    outcome.assert_decent()
    assert outcome.code in (1, 2)
    assert SECRET[3:19] not in outcome.out + outcome.err


@pytest.mark.parametrize("traceback", ["", "1"])
def test_a_token_in_a_warning_a_log_or_a_traceback_is_not_printed(traceback: str) -> None:
    done = _python(
        "import logging, warnings; from hf_clipdyn import cli\n"
        "def tell(*_, **__):\n"
        f"    warnings.warn('of hf_clipdyn {SECRET}')\n"
        f"    logging.getLogger('other').warning('%s of hf_home', '{SECRET}')\n"
        f"    try: raise ZeroDivisionError('{SECRET}')\n"
        "    except ZeroDivisionError: logging.getLogger('other').exception('failed')\n"
        f"    raise LookupError('{SECRET}')\n"
        "cli._run = tell; cli.main(['env'])",
        CLIPDYN_TRACEBACK=traceback,
    )
    assert done.returncode == 1
    errors = ("ZeroDivisionError: hf_***", "LookupError: hf_***")
    for part in ("of hf_clipdyn hf_***", "hf_*** of hf_home", *errors):
        assert part in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_message_cannot_look_like_another_one() -> None:
    assert printable("a\nclipdyn: done\x1b[2J\u202e") == "a\n  clipdyn: done\\x1b[2J\\u202e"
    assert len(printable("x " * 10**6)) < 5000
    assert printable("é, 中, 🦊\tb") == "é, 中, 🦊\tb"


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.run([sys.executable, "-c", code], env=os.environ | environment)


def test_env_says_versions_and_caches_and_no_secret() -> None:
    done = _python("from hf_clipdyn.cli import main; main(['env'])", HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    for part in ("- hf-clipdyn: ", "- torch: ", "- device: ", "- cache of models: ", "there is one"):
        assert part in done.stdout
    assert SECRET[3:19] not in done.stdout


@pytest.mark.parametrize(
    "argv", [("datasets", "--json"), ("report", "t.parquet", "--print", "numbers"), ("train", "--help")]
)
def test_an_output_that_is_full_is_one_sentence(
    tmp_path: Path, write_table: Write, argv: tuple[str, ...]
) -> None:
    write_table(tmp_path / "t.parquet")
    with Path("/dev/full").open("wb") as full, (tmp_path / "err").open("wb") as error:
        command = [sys.executable, "-m", "hf_clipdyn", *argv]
        process = forked.start(command, stdout=full.fileno(), stderr=error.fileno(), cwd=tmp_path)
        assert process.wait() == 1
    assert (tmp_path / "err").read_text() == "clipdyn: error: Standard output: No space left on device.\n"


def test_an_output_that_nobody_reads_to_its_end_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "err").open("wb") as error:
        command = [sys.executable, "-m", "hf_clipdyn", "env"]
        process = forked.start(command, stdout=write, stderr=error.fileno(), cwd=tmp_path)
        os.close(write)
        assert process.wait() == 1
    assert (tmp_path / "err").read_text() == ""
