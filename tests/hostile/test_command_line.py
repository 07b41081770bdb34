"""Hostile calls of the command line: one sentence each, and no secret in it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from hostile.harness import SECRET, Outcome

from hf_clipdyn.errors import ClipDynError, ConfigError, printable
from hf_clipdyn.revisions import list_revisions

FAST = 12
"""So many of the calls below are made in the ordinary run."""

LONG = "x" * 5000
BINARY = b"\xff\xfe".decode("utf-8", "surrogateescape")
MARKUP = "[red]<b>{0.__class__}$(touch x)"
COLOUR = "\x1b[31m\x1b[2J"

TOKENS = [
    ("train", f"--hub_tokn={SECRET}"),
    ("train", "--hub_tokn", SECRET),
    ("train", f"--{SECRET}"),
    ("train", "--config", SECRET),
    ("verify", "me/run", f"--{SECRET}"),
    ("verify", "me/run", "--store", SECRET),
    ("report", SECRET, "--output", "out"),
    ("prepare", SECRET, "--output", "out"),
    ("evaluate", "me/run", "--suite", SECRET),
    ("evaluate", "me/run", "--benchmarks", SECRET),
    ("evaluate", "me/run", "--batch-size", SECRET),
    ("evaluate", "me/run", "--noise-sigmas", SECRET),
    ("evaluate", "me/run", "--plugin", SECRET),
    ("evaluate", "me/run", "--config", SECRET),
    ("repair", SECRET),
    ("import", SECRET, "me/run", "--from-open-clip", "ViT-B-32"),
    (SECRET,),
]


def _sampled(cases: list[tuple[tuple[str, ...], str]]) -> list[object]:
    """The cases, all but the first ones marked as slow."""
    return [
        pytest.param(
            argv,
            says,
            id=f"{number}-{argv[0][:20] if argv else ''}".encode("ascii", "replace").decode(),
            marks=() if number < FAST else pytest.mark.slow,
        )
        for number, (argv, says) in enumerate(cases)
    ]


STORED = ("--store", "none")
CALLS: list[tuple[tuple[str, ...], str]] = [
    (("trian",), "Did you mean 'train'?"),
    (("evaluate", "me/run", "--data-dri", "x=y"), "There is no option 'data_dri'. Did you mean 'data_dir'?"),
    (("evaluate",), "See `clipdyn evaluate --help`."),
    (("report", "x.parquet"), "--output is missing"),
    (("evaluate", "me/run", "--batch-size", "many"), "batch_size is 'many'"),
    (("evaluate", "me/run", *STORED), "none"),
    (("report", "pipe", "--output", "out"), "it is not a regular file"),
    (("report", LONG, "--output", "out"), "x…x"),
    (("report", COLOUR, "--output", "out"), r"\x1b[31m"),
    (("report", "a long name\nclipdyn: error: b", "--output", "out"), "a long name"),
    (("report", BINARY, "--output", "out"), "surrogates not allowed"),
    (("verify", "me/run", "--store", "a\0b"), r"a\x00b"),
    (("report", "--print", "verdicts", BINARY), "surrogates not allowed"),
    (("report", "--print=verdicts", "file", "--output", BINARY), "surrogates not allowed"),
    (("evaluate", "me/run", "--output", f"{BINARY}.parquet"), "surrogates not allowed"),
    (
        ("evaluate", "open_clip:hf-hub:me/model@.", "--output", "out.parquet"),
        "no open_clip model 'hf-hub:me/model'",
    ),
    # --- missing arguments, unknown options, in every command
    (("import",), "required: SOURCE"),
    (("prepare", "tid2013"), "output is missing"),
    (("verify",), "required: REPO"),
    (("datasets", "--jsn"), "Did you mean 'json'?"),
    (("env", "x"), "Unrecognized arguments: x"),
    (("import", "a", "me/run", "--from-openclip", "x"), "Did you mean 'from_open_clip'?"),
    (("prepare", "tid2013", "-o", "x", "--push_to_hbu", "x"), "Did you mean 'push_to_hub'?"),
    (("verify", "me/run", "-x"), "-x"),
    (("verify", "me/run", "--deep=often"), "deep is 'often': "),
    (("verify", "me/run", "--store"), "--store: expected one argument"),
    ((LONG,), "There is no command"),
    ((COLOUR,), "There is no command"),
    ((MARKUP,), "There is no command"),
    (("",), "There is no command"),
    ((f"--{LONG}",), "xxx"),
    # --- absurd values of each option
    *[
        (("evaluate", "me/run", *STORED, option, value), says)
        for option, value, says in (
            ("--suite", "everything", "everything"),
            ("--suite", "", "suite"),
            ("--benchmarks", ",,,", "benchmarks is empty"),
            ("--benchmarks", "nothing/at_all", "nothing"),
            ("--benchmarks", LONG, "xxx"),
            ("--data-dir", "cifar10", "NAME=PATH"),
            ("--noise-sigmas", "a,b", "noise_sigmas is 'a': "),
            ("--noise-sigmas", "0.1,1e999", "noise_sigmas is '1e999': "),
            ("--noise-conditions", MARKUP, "Known: "),
            ("--retrieval-held-out", "1e3", "retrieval_held_out"),
            ("--plugin", "file", "is not a Python file"),
            ("--config", "file", "is not a mapping"),
            ("--config", "empty", "empty: Is a directory"),
            ("--config", LONG, "File name too long"),
            ("--seed", "x", "seed"),
            ("--dtype", "float8", "float8"),
        )
    ],
    # --- paths
    *[
        (("report", path, "--output", "out"), says)
        for path, says in (
            (".", "is a folder"),
            ("/dev/zero", "it is not a regular file"),
            ("file", "file: ArrowInvalid: Parquet"),
            ("file/below", "file/below"),
            ("../victim/secret.txt", "Parquet magic bytes not found"),
            (MARKUP, "does not exist"),
            ("", "is a folder"),
            ("\u202egnp.exe", r"\u202e"),
        )
    ],
    *[
        ((command, "me/run", "--store", path), "")
        for command in ("verify", "revisions", "evaluate")
        for path in ("file", "pipe", "/dev/null", "empty", LONG, BINARY, "a\nb", "")
    ],
    *[(("repair", path), "") for path in ("file", "pipe", "/dev/null", "empty", LONG, BINARY, MARKUP)],
    *[(("prepare", name, "--output", "out"), "no data set") for name in ("nothing", MARKUP, "../victim", "")],
    (("prepare", LONG, "--output", "out"), "no data set"),
    (("prepare", "procedural", "--output", "file"), "file"),
    (("prepare", "procedural", "--output", "out", "--num-processes", "x"), "num_processes"),
]


@pytest.mark.parametrize(("argv", "says"), _sampled(CALLS))
def test_a_wrong_call_is_one_sentence(
    clipdyn: Callable[..., Outcome], tmp_path: Path, argv: tuple[str, ...], says: str
) -> None:
    work = tmp_path / "work"
    (work / "file").write_text("content")
    (work / "epoch_1.pt").write_text("content")
    (work / "empty").mkdir()
    os.mkfifo(work / "pipe")
    outcome = clipdyn(*argv)
    assert says in outcome.sentence
    assert "Usage:" not in outcome.err
    assert "\x1b" not in outcome.err
    assert (work / "file").read_text() == "content"


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(argv, id=str(number), marks=() if number < 5 else pytest.mark.slow)
        for number, argv in enumerate(TOKENS)
    ],
)
def test_a_token_in_any_argument_is_not_printed(
    clipdyn: Callable[..., Outcome], argv: tuple[str, ...]
) -> None:
    outcome = clipdyn(*argv)
    outcome.assert_decent()
    assert outcome.code in (1, 2)
    assert SECRET[3:19] not in outcome.out + outcome.err


def test_a_token_in_a_warning_or_a_log_of_any_library_is_not_printed() -> None:
    done = _python(
        "import logging, warnings; from hf_clipdyn import cli\n"
        "def tell(*_, **__):\n"
        f"    warnings.warn('of hf_clipdyn {SECRET}')\n"
        f"    logging.getLogger('other').warning('%s of hf_home', '{SECRET}')\n"
        f"    try: raise ZeroDivisionError('{SECRET}')\n"
        "    except ZeroDivisionError: logging.getLogger('other').exception('failed')\n"
        "    return 0\n"
        "cli._run = tell; cli.main(['env'])"
    )
    for part in ("of hf_clipdyn hf_***", "hf_*** of hf_home", "ZeroDivisionError: hf_***"):
        assert part in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_message_cannot_look_like_another_one() -> None:
    assert printable("a\nclipdyn: done\x1b[2J\u202e") == "a\n  clipdyn: done\\x1b[2J\\u202e"
    assert len(printable("x " * 10**6)) < 5000
    assert printable("é, 中, 🦊\tb") == "é, 中, 🦊\tb"


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.run([sys.executable, "-c", code], env=os.environ | environment)


def test_a_bug_has_its_traceback_without_the_token() -> None:
    done = _python(
        "import sys; from hf_clipdyn import cli\n"
        f"def fail(*_, **__): raise ZeroDivisionError('{SECRET}')\n"
        "cli._run = fail; cli.main(['env'])"
    )
    assert done.returncode == 1
    assert "ZeroDivisionError: hf_***" in done.stderr
    assert SECRET not in done.stderr


def test_env_says_versions_and_caches_and_no_secret() -> None:
    done = _python("from hf_clipdyn.cli import main; main(['env'])", HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    for part in ("- hf-clipdyn: ", "- torch: ", "- device: ", "- cache of models: ", "there is one"):
        assert part in done.stdout
    assert SECRET[3:19] not in done.stdout


def test_a_local_run_of_the_repository_is_named_where_the_hub_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_clipdyn.cli.shared import naming_runs_here
    from hf_clipdyn.errors import RevisionNotFoundError

    monkeypatch.setattr("hf_clipdyn.revisions.open.run_here", {"me/run": "runs/demo"}.get)
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(RevisionNotFoundError, match=r"absent\. A run here .* runs/demo\."),
        naming_runs_here(["me/run"]),
    ):
        raise RevisionNotFoundError("It is absent.")
    with pytest.raises(RevisionNotFoundError, match=r"absent\.$"), naming_runs_here(["me/other"]):
        raise RevisionNotFoundError("It is absent.")
    with pytest.raises(ConfigError, match=r"wrong\.$"), naming_runs_here(["me/run"]):
        raise ConfigError("It is wrong.")


@pytest.mark.parametrize("text", [f"token: {SECRET}: [", f"batch_size: {SECRET}", f"{SECRET}: 1"])
def test_a_token_in_a_wrong_yaml_is_not_printed(
    clipdyn: Callable[..., Outcome], tmp_path: Path, text: str
) -> None:
    (tmp_path / "work" / "bad.yaml").write_text(text)
    for command in (("train",), ("evaluate", "me/run")):
        assert SECRET[3:19] not in clipdyn(*command, "--config", "bad.yaml").sentence


def test_a_token_in_place_of_a_name_is_not_in_the_error(tmp_path: Path) -> None:
    for name in (SECRET, f"me/{SECRET}", f"{SECRET}/run", "x" * 50 + SECRET):
        with pytest.raises(ClipDynError) as found:
            list_revisions(name, store=tmp_path)
        assert SECRET[3:10] not in str(found.value)


@pytest.mark.parametrize(
    "argv",
    [
        ("datasets",),
        ("datasets", "--json"),
        ("report", "t.parquet", "--print", "numbers"),
        ("env",),
        ("train", "--help"),
    ],
)
def test_an_output_that_is_full_is_one_sentence(
    tmp_path: Path, write_table: Callable[..., Path], argv: tuple[str, ...]
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
