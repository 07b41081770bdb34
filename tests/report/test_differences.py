"""Revisions and models beside a reference, in words and in a terminal."""

import numpy as np
import pandas as pd
import pytest
from kept_cells import decisions, keep
from result_rows import cell

from hf_clipdyn.cli import main
from hf_clipdyn.report import read_study
from hf_clipdyn.report.differences import differences
from hf_clipdyn.results.cells import CellStore

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
