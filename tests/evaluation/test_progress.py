"""What `clipdyn evaluate` shows while it works: a line a revision, bars on a terminal only, nothing with --quiet."""

import logging
import os
import re
import shutil
import sys

import forked
import pytest

if sys.platform != "win32":
    import fcntl
    import pty
    import struct
    import termios

LINES = [f"epoch-00{n}: {n + 1} of 3 cells done, N s" for n in range(3)]


@pytest.fixture
def command(store, data, tmp_path):
    """`command("--quiet")`: the command line that measures three revisions, on a data set that is in no cache."""
    images = shutil.copytree(data["cifar10"], tmp_path / "cifar10")
    arguments = [str(store), "--output", str(tmp_path / "results.parquet")]
    arguments += ["--benchmarks", "zero_shot/cifar10", f"--data-dir=cifar10={images}"]
    arguments += ["--device", "cpu", "--cache-dir", str(tmp_path / "pixels")]
    return lambda *more: [sys.executable, "-m", "hf_clipdyn", "evaluate", *arguments, *more]


def environment():
    return os.environ | {"PYTHONWARNINGS": "ignore"}


def plain(printed):
    """The lines, with seconds as ``N``."""
    return re.sub(r"\d+ s$", "N s", printed, flags=re.MULTILINE).splitlines()


def test_without_a_terminal_there_is_a_line_a_revision_and_no_bar(command):
    done = forked.run(command(), env=environment())
    assert done.returncode == 0, done.stderr
    assert plain(done.stderr) == LINES, "neither our bars nor those of datasets"
    assert done.stdout.startswith("12 numbers of 3 revisions on 1 benchmark are in ")
    again = forked.run(command(), env=environment())
    assert (again.stderr, again.stdout) == ("", done.stdout), "what was done before is not announced"


def test_quiet_leaves_the_result_and_the_warnings(command, tmp_path):
    done = forked.run(command("--quiet"), env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    shutil.rmtree(tmp_path / "results.trials")
    done = forked.run(command("--quiet", "--rescore"), env=environment())
    assert done.stderr.startswith("clipdyn: warning: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("flags", "bars"), [((), True), (("--no-show-progress",), False)])
def test_a_terminal_has_bars_unless_a_flag_forbids_them(command, flags, bars):
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    started = command("--revisions", "epoch-001", *flags)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        process = forked.start(started, stdout=nowhere.fileno(), stderr=side, env=environment())
    os.close(side)
    printed = forked.read_terminal(terminal)
    assert process.wait() == 0
    text = printed.decode()
    assert ("evaluating:" in text) == bars
    assert "epoch-001: 1 of 1 cells done" in text
    if not bars:
        assert len(text.splitlines()) == 1


def test_a_library_call_prints_nothing_and_logs_for_those_who_configure_logging(evaluate, capfd, caplog):
    evaluate("zero_shot/cifar10", revisions="epoch-000", show_progress=True)
    assert capfd.readouterr() == ("", "")
    assert not caplog.messages
    caplog.set_level(logging.INFO, "hf_clipdyn")
    evaluate("zero_shot/cifar10", revisions="epoch-000", show_progress=True)
    assert plain("\n".join(caplog.messages)) == ["[RANK 0] epoch-000: 1 of 1 cells done, N s"]
