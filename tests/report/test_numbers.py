"""Results and their differences from a reference, in a terminal, in a pipe and in files."""

import math
import os
import re
import sys

import forked
import numpy as np
import pandas as pd
import pytest
from kept_cells import decisions, keep
from result_rows import cell, row

from hf_clipdyn.errors import UnknownNameError
from hf_clipdyn.report import read_study
from hf_clipdyn.report.differences import difference_sentences, difference_table, differences
from hf_clipdyn.report.numbers import numbers_frame, print_results
from hf_clipdyn.results.cells import CellStore


@pytest.fixture
def lines(capsys, monkeypatch):
    """`lines(study)`: what `print_results` prints, line by line, where nobody forces colours."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def printed(study):
        print_results(study)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return printed


@pytest.mark.parametrize(
    ("values", "silent", "drawn"),
    [(range(8), (), "▁▂▃▄▅▆▇█"), ([0.5, 0, math.nan, 1], [0], "·▁ █"), (range(80), (), "▁" * 3)],
)
def test_a_course_has_dots_for_what_is_not_interpretable_and_gaps_for_what_is_not_defined(
    read, values, silent, drawn
):
    rows = [
        row("zero_shot/x", "top1", value, epoch=epoch, interpretable=epoch not in silent)
        for epoch, value in enumerate(values)
    ]
    (shown,) = numbers_frame(read(rows))["course"]
    assert shown.startswith(drawn)
    assert len(shown) == min(len(values), 40)


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
    assert re.search(r"0\.400  0\.400  not interpretable +1,000$", bias)
    (area,) = [line for line in found if "area under" in line]
    assert re.search(r"0\.400 +- +not defined +1,000$", area)
    assert found[found.index(area) + 1] == "    not defined: not defined on these data"


def test_filters_show_one_benchmark_or_every_number_of_a_metric(study, read):
    both = read([*study(), *study(dataset="cue_conflict")])
    only = numbers_frame(both, ["shape_bias/cue_conflict"])
    assert set(only["benchmark"]) == {"shape_bias/cue_conflict"}
    levels = numbers_frame(both, ["noise/procedural"], "chance_corrected_drop")["metric"]
    assert sum("sigma" in metric for metric in levels) == len(set(levels)) > 1
    assert len(numbers_frame(both, metric="all")) > len(numbers_frame(both)) > len(only)
    with pytest.raises(UnknownNameError, match="Did you mean 'shape_bias/cue_conflict'"):
        numbers_frame(both, ["shape_bias/cue_conflicts"])


@pytest.mark.parametrize("form", ["csv", "markdown", "latex"])
def test_a_file_has_a_row_for_each_number_and_no_markup_of_names(study, read, tmp_path, form):
    name = "me/a|b_$x^2$ \\input{x} <b>"
    table, output = read(study(name)), tmp_path / "numbers"
    print_results(table, ["shape_bias/procedural", "noise/procedural"], form=form, output=output)
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


def test_in_a_pipe_the_text_is_plain_and_whole(study, read, write, lines):
    command = [sys.executable, "-m", "hf_clipdyn", "report", "--print", "numbers", write(study())]
    done = forked.run(command, env=os.environ | {"TERM": "xterm-256color"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert [line.rstrip() for line in done.stdout.splitlines()] == lines(read(study()))


# --- differences from a reference --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A table of three models on one benchmark: b is better than a, c is a with other errors."""
    path = tmp_path_factory.mktemp("models") / "results.parquet"
    store, rng = CellStore(path), np.random.default_rng(0)
    for name, share in (("me/a", 0.5), ("me/b", 0.8), ("me/c", 0.5)):
        keep(store, cell("main", "zero_shot/cifar10", repo_id=name), decisions(rng.random(100) < share))
    store.rebuild()
    return path


def test_all_models_are_compared_with_the_first_and_corrected_together(models):
    study = read_study(models)
    found = differences(study)
    table = difference_table(study, found, "bonferroni")
    assert [(row[0], row[2]) for row in table.rows] == [
        *(("me/b", "zero-shot accuracy"), ("me/c", "zero-shot accuracy"))
    ]
    assert [row[-1] for row in table.rows] == ["< 0.001", f"{found['p_adjusted'].dropna().iloc[1]:.3f}"]
    assert set(found["family_size"].dropna()) == {2}
    sentences = difference_sentences(found, "bonferroni", "main")
    assert sentences[1] == "Significant at 0.05: 1 before the correction, 1 after it (Bonferroni)."
    assert "4 not a value of the model" in sentences[-1]


def test_report_prints_the_differences_and_writes_their_table(models, tmp_path, clipdyn):
    output = tmp_path / "differences.parquet"
    before = models.read_bytes()
    asked = ("report", models, "--print", "differences", "--revisions", "me/a,me/b")
    code, printed, _ = clipdyn(*asked, "--correction", "by", "--output", output)
    assert code == 0
    assert printed.startswith("me/b minus me/a\nbenchmark ")
    assert "1 after it (Benjamini-Yekutieli)" in printed
    assert set(pd.read_parquet(output)["correction"]) == {"by", ""}
    code, _, error = clipdyn(*asked, "--output", models)
    assert (code, "is not a table of differences" in error) == (2, True)
    assert models.read_bytes() == before
