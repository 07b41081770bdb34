"""Results in a terminal, in a pipe, in a narrow window, without colours and without Unicode, and in files."""

import math
import os
import re
import sys

import forked
import numpy as np
import pandas as pd
import pytest
from result_rows import row

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


def test_what_is_not_interpretable_is_a_dot_and_what_is_not_defined_a_gap():
    nothing = math.nan
    assert _draw([nothing, 0, nothing, 1], [True, False, False, False]) == "·▁ █"


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


def test_in_a_pipe_the_text_is_plain_and_whole(command, study, read, lines):
    done = forked.run(command, env=_environment(TERM="xterm-256color"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert [line.rstrip() for line in done.stdout.splitlines()] == lines(read(study()))
