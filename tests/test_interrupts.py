"""Signals end a command, with what is begun cleaned up, and even where a library goes on."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest

# `swallow` is where the signal comes; the command then goes on for up to five seconds.
COMMAND = """
import os, signal, sys, time
from pathlib import Path
from hf_clipdyn import cli

def command(*_, **__):
    try:
        {swallow}
        for _ in range(500):
            time.sleep(0.01)
        Path("went-on").touch()
    finally:
        Path("cleaned").touch()

cli._run = lambda words: command() or 0
cli.main(["env"])
"""
PLAINLY = "os.kill(os.getpid(), signal.SIG{name})"
IN_A_DESTRUCTOR = """
        class Ends:
            def __del__(self):
                os.kill(os.getpid(), signal.SIG{name})
                time.sleep(0.01)
        Ends()"""
CAUGHT = """
        try:
            os.kill(os.getpid(), signal.SIG{name})
            time.sleep(1)
        except BaseException:
            Path("went-on").touch()
            return 0"""


@pytest.mark.parametrize(
    ("name", "swallow"),
    [("INT", PLAINLY), ("TERM", PLAINLY), ("HUP", PLAINLY), ("INT", IN_A_DESTRUCTOR), ("TERM", CAUGHT)],
    ids=["INT", "TERM", "HUP", "INT in a destructor", "TERM caught"],
)
def test_a_signal_is_not_swallowed(tmp_path: Path, name: str, swallow: str) -> None:
    program = COMMAND.format(swallow=swallow.strip().format(name=name))
    done = forked.run([sys.executable, "-c", program], cwd=tmp_path)
    assert done.returncode == 128 + signal.Signals[f"SIG{name}"], done.stderr
    assert done.stderr.startswith("clipdyn: interrupted; what was done is kept.")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "cleaned").exists()
    assert (tmp_path / "went-on").exists() == (swallow == CAUGHT)


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + COMMAND.replace("range(500)", "range(2)")
    program = "import signal\n" + ignored.format(swallow=PLAINLY.format(name="INT"))
    assert forked.run([sys.executable, "-c", program], cwd=tmp_path).returncode == 0
    assert (tmp_path / "went-on").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_report_that_is_stopped_or_killed_has_only_whole_files_and_can_be_repeated(
    tmp_path: Path, study: Callable[..., Any], write: Callable[..., Path], sent: signal.Signals
) -> None:
    page, figures = tmp_path / "report" / "index.html", tmp_path / "report" / "figures"
    words = ["report", write(study()), "--output", page.parent]
    command = [sys.executable, "-m", "hf_clipdyn", *words]
    with (tmp_path / "err").open("wb") as error:
        process = forked.start(command, stderr=error.fileno(), cwd=tmp_path)
        forked.wait_until(lambda: len(list(figures.glob("*.p*"))) >= 4, process)
        os.kill(process.pid, sent)
        killed = sent == signal.SIGKILL
        assert process.wait() == (-sent if killed else 128 + sent)
    assert killed or (tmp_path / "err").read_text().startswith("clipdyn: interrupted;")
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>\n", ".pdf": b"%%EOF\n"}
    for file in figures.glob("[!.]*"):
        assert file.read_bytes().endswith(ends[file.suffix]), file
    assert forked.run(command, cwd=tmp_path).returncode == 0
    assert page.read_text().rstrip().endswith("</html>")
