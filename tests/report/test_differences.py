"""Revisions and models beside a reference, in words and in a terminal."""

import numpy as np
import pandas as pd
import pytest
from kept_cells import decisions, keep
from result_rows import cell

from hf_clipdyn.cli import main
from hf_clipdyn.cli.commands import Report
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.options import metavar_of
from hf_clipdyn.report import read_study
from hf_clipdyn.report.differences import differences
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.statistics.compare import FAMILIES
from hf_clipdyn.statistics.corrections import CORRECTIONS

MODELS = ["me/a", "me/b", "me/c"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A table of three models on one benchmark: b is better than a, c is a with other errors."""
    path = tmp_path_factory.mktemp("models") / "results.parquet"
    store, rng = CellStore(path), np.random.default_rng(0)
    for name, share in zip(MODELS, (0.5, 0.8, 0.5), strict=True):
        keep(store, cell("main", "zero_shot/cifar10", repo_id=name), decisions(rng.random(100) < share))
    store.rebuild()
    return path


def test_all_models_are_compared_with_the_first_and_corrected_together(models):
    found = differences(read_study(models))
    table = found.table()
    assert table.caption == "me/b, me/c minus me/a"
    assert table.headings[:3] == ("compared", "benchmark", "metric")
    assert [(row[0], row[2]) for row in table.rows] == [
        *(("me/b", "zero-shot accuracy"), ("me/c", "zero-shot accuracy"))
    ]
    assert table.headings[-2:] == ("difference (Bonferroni)", "p (Bonferroni)"), (
        "one correction, named, for both"
    )
    assert [row[-1] for row in table.rows] == ["< 0.001", f"{found.of_family['p_adjusted'].iloc[1]:.3f}"]
    assert set(found.of_family["family_size"]) == {2}
    assert found.sentences()[:2] == [
        "Family, fixed before looking: main metrics of all benchmarks compared, default variants, whole data, each "
        "model's own texts: 2 numbers.",
        "Significant at 0.05: 1 before the correction, 1 after it (Bonferroni).",
    ]
    assert "4 not a value of the model" in found.sentences()[-1]


def test_of_an_exploration_only_what_stays_significant_has_an_interval(models):
    found = differences(read_study(models), "me/c", ["me/b", "me/a"], correction="bh", family="all")
    intervals = ["[" in row[5] for row in found.table().rows]
    assert intervals == (found.of_family["p_adjusted"] <= 0.05).tolist()
    assert {True, False} == set(intervals)
    assert "at most 5 % of these intervals miss" in " ".join(found.sentences())


def test_with_holm_there_are_no_intervals_that_could_contradict_it(models):
    found = differences(read_study(models), correction="holm")
    assert found.table().headings[-2:] == ("difference (Holm)", "p (Holm)")
    assert not any("[" in row[-2] for row in found.table().rows)
    assert "no intervals that agree with it" in found.sentences()[2]


def test_without_trials_or_a_second_model_there_is_nothing_to_compare(models):
    study = read_study(models)
    with pytest.raises(EvaluationError, match="nothing to compare with me/a"):
        differences(study.of_run("me/a"))
    rows = study.results.rows.assign()
    rows.attrs["vocabulary"] = study.results.words.dumps()
    with pytest.raises(EvaluationError, match="No benchmark has trials of me/a and me/b, me/c"):
        differences(read_study(rows))


def test_report_prints_the_differences_and_writes_their_table(models, tmp_path, capsys):
    output = tmp_path / "differences.parquet"
    asked = ["report", str(models), "--print", "differences", "--revisions", "me/a,me/b"]
    with pytest.raises(SystemExit) as stopped:
        main([*asked, "--correction", "by", "--output", str(output)])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("me/b minus me/a\nbenchmark ")
    assert "1 after it (Benjamini-Yekutieli)" in printed
    assert set(pd.read_parquet(output)["correction"]) == {"by", ""}
    for words, message in (
        (
            ["report", str(models), "--correction", "bh", "--output", "x"],
            "correction is for differences: leave it out, or change --print",
        ),
        ([*asked, "--output", str(models)], "is not a table of differences"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "names"), [("correction", CORRECTIONS), ("family", FAMILIES)])
def test_the_options_offer_every_correction_and_family(name, names):
    assert metavar_of(Report.model_fields[name]) == "|".join(names)
