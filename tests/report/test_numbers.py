"""Results in a terminal, in a pipe, in a narrow window, without colours and without Unicode, and in files."""

import fcntl
import io
import math
import os
import re
import struct
import sys
import termios

import forked
import numpy as np
import pandas as pd
import pytest
from result_rows import row
from rich.cells import cell_len

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.report.numbers import numbers_frame, print_numbers, print_results, sparkline

pty = pytest.importorskip("pty")

_BLOCKS = "▁▂▃▄▅▆▇█"
_VARIABLES = (
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR_FORCE",
    "TTY_COMPATIBLE",
    "COLORTERM",
    "TERM",
    "COLUMNS",
    "LINES",
)


@pytest.fixture
def lines(capsys, monkeypatch):
    """`lines(study, width=None, metric=…)`: what `print_results` prints, line by line."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def printed(study, width=None, **options):
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        print_results(study, **options)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return printed


def _draw(values, silent=None):
    values = np.array(values, float)
    quiet = np.zeros(len(values), bool) if silent is None else np.array(silent)
    return sparkline(values, quiet, np.nanmin(values), np.nanmax(values))


def test_a_sparkline_runs_from_the_least_to_the_greatest_value():
    assert _draw(range(8)) == _BLOCKS
    assert _draw([1, 0, 1]) == "█▁█"


def test_a_constant_is_in_the_middle():
    assert _draw([0.3, 0.3]) == "▅▅"


def test_what_is_not_interpretable_is_a_dot_and_what_is_not_defined_a_gap():
    nothing = math.nan
    assert _draw([nothing, 0, nothing, 1], [True, False, False, False]) == "·▁ █"


def test_of_many_revisions_neighbours_share_a_sign():
    assert _draw([value for value in range(8) for _ in range(10)]) == "".join(5 * block for block in _BLOCKS)
    assert len(_draw(range(79))) == 40


def test_each_run_and_benchmark_has_a_line_for_each_main_metric(study, read, lines):
    found = lines(read(study()))
    assert found[0].split() == ["metric", "course", "first", "last", "interval", "n"]
    assert found[1] == "me/fixture"
    start = found.index("  Texture-shape bias: embedded world (synthetic) (shape_bias/procedural)")
    assert re.search(r"^    shape bias +·▁▁▄▇█ +0\.300 +0\.840 +\[0\.800, 0\.880\] +1,000$", found[start + 1])
    assert "no number" not in " ".join(found)


def test_a_last_revision_that_means_nothing_gives_no_interval(read, lines):
    rows = [
        row("shape_bias/x", "shape_bias", 0.4, 0.1, epoch=epoch, interpretable=epoch == 0) for epoch in (0, 1)
    ]
    rows += [row("noise/x", "area", value, 0.1, epoch=epoch) for epoch, value in enumerate((0.4, math.nan))]
    found = lines(read(rows))
    (bias,) = [line for line in found if "  shape bias" in line]
    assert bias.endswith("0.400  0.400  not interpretable  1,000")
    (area,) = [line for line in found if "area under" in line]
    assert re.search(r"0\.400 +- +not defined +1,000$", area)
    assert found[found.index(area) + 1] == "    not defined: not defined on these data"


def test_runs_share_the_scale_of_a_number(read):
    rows = [
        row("zero_shot/x", "top1", value + shift, 0.1, epoch=epoch, repo_id=f"me/{shift}")
        for shift in (0.0, 0.4)
        for epoch, value in enumerate((0.1, 0.5))
    ]
    assert numbers_frame(read(rows))["course"].tolist() == ["▁▅", "▅█"]


def test_filters_show_one_benchmark_or_every_number_of_a_metric(study, read):
    both = read([*study(), *study(dataset="cue_conflict")])
    only = numbers_frame(both, benchmark="shape_bias/cue_conflict")
    assert set(only["benchmark"]) == {"shape_bias/cue_conflict"}
    levels = numbers_frame(both, metric="chance_corrected_drop", benchmark="noise/procedural")["metric"]
    assert len(levels) == len(set(levels))
    assert sum("sigma" in metric for metric in levels) > 1
    assert len(numbers_frame(both, everything=True)) > len(numbers_frame(both)) > len(only)
    with pytest.raises(UnknownNameError, match="Did you mean 'shape_bias/cue_conflict'"):
        numbers_frame(both, benchmark="shape_bias/cue_conflicts")
    with pytest.raises(UnknownNameError, match="Did you mean 'shape_bias'"):
        numbers_frame(both, metric="shape_bais")


def test_the_frame_has_the_numbers_as_they_are(read):
    values = {0: 0.5, 1: 0.612345678}
    rows = [row("zero_shot/x", "top1", value, 0.02, epoch=epoch) for epoch, value in values.items()]
    (found,) = numbers_frame(read(rows)).to_dict("records")
    assert (found["first"], found["last"], found["n"]) == (0.5, 0.612345678, 1000)
    assert found["ci_low"] == pytest.approx(0.592345678, abs=1e-12)
    assert found["ci_high"] == pytest.approx(0.632345678, abs=1e-12)


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_a_file_has_a_row_for_each_number_and_no_markup_of_names(study, read, tmp_path, form):
    name = "me/a|b_$x^2$ \\input{x} <b>"
    table, output = read(study(name)), tmp_path / "numbers"
    print_numbers(table, ["shape_bias/procedural", "noise/procedural"], form, output)
    text = output.read_text(encoding="utf-8")
    frame = numbers_frame(table)
    shown = frame[frame["benchmark"].isin(["shape_bias/procedural", "noise/procedural"])]
    if form == "csv":
        read_again = pd.read_csv(output)
        assert read_again["last"].tolist() == shown["last"].tolist()
        assert set(read_again["run"]) == {name}
    elif form == "markdown":
        lines = text.splitlines()
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
        assert len(lines) == 2 + len(shown)
        assert "0.840" in text
    else:
        assert r"a|b\_\$x\textasciicircum 2\$ \textbackslash input\{x\} <b>" in text
        assert text.count(r"\\") == 1 + len(shown)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
def test_no_line_is_wider_than_the_terminal(study, read, lines, width):
    rows = [*study("me/" + "long-name-" * 20), *study("me/漢字漢字漢字漢字漢字漢字漢字漢字漢字")]
    found = lines(read(rows), width, everything=True)
    assert all(cell_len(line) <= width for line in found)
    assert any(re.search(r" 0\.\d{3}", line) for line in found), "the last value stays"


def test_names_cannot_move_the_cursor(read, lines):
    name = "me/\x1b[2J\x07evil\u202e\nnew line\ttab"
    found = lines(read([row("zero_shot/x", "top1", 0.5, repo_id=name)]))
    assert not any(re.search(r"[\x00-\x1f\x7f\u202e]", line) for line in found)
    assert r"me/\x1b[2J\x07evil\u202e" in found
    assert "new line tab" in found


@pytest.fixture
def command(write, study):
    return [sys.executable, "-m", "hf_clipdyn.cli", "report", "--print", "numbers", write(study())]


def _environment(**variables):
    return {name: value for name, value in os.environ.items() if name not in _VARIABLES} | variables


def _on_terminal(command, columns, **variables):
    """What a command prints on a terminal of this width."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = forked.start(command, stdout=side, env=_environment(**variables))
    os.close(side)
    printed = forked.read_terminal(terminal)
    assert process.wait() == 0
    return printed.decode().replace("\r\n", "\n")


def _plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_terminal_has_colours_and_lines_of_its_width(command):
    text = _on_terminal(command, 64, TERM="xterm-256color")
    assert "\x1b[36m" in text
    assert max(map(cell_len, _plain(text).splitlines())) <= 64
    assert "█" in text


@pytest.mark.parametrize(
    "variables", [{"TERM": "xterm-256color", "NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"]
)
def test_without_colours_a_terminal_has_plain_text_of_its_width(command, variables):
    text = _on_terminal(command, 70, **variables)
    assert "\x1b" not in text
    assert 60 < max(map(cell_len, text.splitlines())) <= 70


def test_columns_win_over_the_size_of_the_terminal(command):
    text = _on_terminal(command, 200, TERM="dumb", COLUMNS="50")
    assert max(map(cell_len, text.splitlines())) <= 50


def test_in_a_pipe_the_text_is_plain_and_whole(command, study, read, lines):
    done = forked.run(command, env=_environment(TERM="xterm-256color"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert [line.rstrip() for line in done.stdout.splitlines()] == lines(read(study()))


def test_force_color_brings_colours_into_a_pipe(command):
    done = forked.run(command, env=_environment(TERM="xterm-256color", FORCE_COLOR="1"))
    assert "\x1b[36m" in done.stdout
    assert "~" not in _plain(done.stdout), "and no limit to its width"


def test_an_encoding_without_blocks_has_digits(study, read, monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii", write_through=True))
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    print_results(read(study("me/Ünï")))
    text = printed.getvalue().decode("ascii")
    assert "me/?n?" in text
    assert re.search(r"\.1\d+ +0\.300 +0\.840", text)


def test_an_unknown_metric_is_one_sentence(command):
    done = forked.run([*command, "--metric", "shape_bais"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'shape_bias'?" in done.stderr
    assert done.stderr.startswith("clipdyn: error: ")
