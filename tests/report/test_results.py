"""Reading tables of results, good and bad."""

from pathlib import Path

import pandas as pd
import pytest

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.report.results import read_results


def test_every_column_of_a_table_is_read(row, write):
    (read,) = read_results([write([row("noise/cifar10", "accuracy", 0.5, 0.1, epoch=2, group="sigma=0.10")])])
    assert (read.epoch, read.step, read.samples_seen, read.layer) == (2, 200, 12800, None)
    assert (read.value, read.ci_low, read.ci_high, read.n, read.n_groups) == (0.5, 0.4, 0.6, 1000, 64)
    assert (read.run, read.group, read.higher_is_better, read.note) == ("me/fixture", "sigma=0.10", None, "")


def test_columns_that_the_report_can_do_without_may_be_absent(row, tmp_path):
    path = tmp_path / "few.parquet"
    needed = ["repo_id", "revision", "benchmark", "metric", "value", "ci_low", "ci_high", "n"]
    pd.DataFrame([row("noise/cifar10", "accuracy", 0.5)])[needed].to_parquet(path)
    (read,) = read_results([path])
    assert (read.commit, read.epoch, read.group) == ("", None, "")


def test_a_missing_file_is_a_wrong_call(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.parquet does not exist: expected a table"):
        read_results([tmp_path / "absent.parquet"])


def test_a_folder_is_a_wrong_call(tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        read_results([tmp_path])


def test_no_path_at_all_is_a_wrong_call():
    with pytest.raises(ConfigError, match="No results were given"):
        read_results([])


@pytest.mark.parametrize("content", [b"", b"repo_id,value\nme/x,1\n", b"PAR1 cut off"])
def test_a_file_that_is_not_parquet_is_named_in_one_sentence(tmp_path, content):
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"results\.csv cannot be read as Parquet") as caught:
        read_results([path])
    assert "\n" not in str(caught.value)


def test_the_columns_that_a_table_lacks_are_listed(tmp_path):
    path = tmp_path / "other.parquet"
    pd.DataFrame({"repo_id": ["me/x"], "value": [1.0], "n": [1]}).to_parquet(path)
    with pytest.raises(ConfigError, match="lacks the columns revision, benchmark, metric, ci_low, ci_high"):
        read_results([path])


def test_a_text_in_place_of_a_number_is_an_error(row, tmp_path):
    path = tmp_path / "texts.parquet"
    pd.DataFrame([row("noise/cifar10", "accuracy", 0.5) | {"value": "high"}]).to_parquet(path)
    with pytest.raises(ConfigError, match="values in its column value that are not of the type double"):
        read_results([path])


def test_an_empty_table_is_a_failure_not_a_wrong_call(row, write):
    with pytest.raises(EvaluationError, match="holds no row") as caught:
        read_results([write([])])
    assert caught.value.exit_code == 1


def test_two_seeds_under_one_name_become_two_runs(row, write):
    first = write([row("noise/cifar10", "accuracy", 0.5, commit="a")], "seed0.parquet")
    second = write([row("noise/cifar10", "accuracy", 0.6, commit="b")], "seed1.parquet")
    runs = [read.run for read in read_results([first, second])]
    assert runs == ["me/fixture (seed0)", "me/fixture (seed1)"]


def test_files_of_the_same_name_are_told_apart_by_their_folder(row, write):
    paths = [
        write([row("noise/cifar10", "accuracy", 0.5, commit=commit)], f"{commit}/results.parquet")
        for commit in ("one", "two")
    ]
    assert [read.run for read in read_results(paths)] == [
        "me/fixture (one/results)",
        "me/fixture (two/results)",
    ]


def test_the_same_file_given_twice_counts_once(row, write):
    path = write([row("noise/cifar10", "accuracy", 0.5)])
    assert len(read_results([path, Path(path)])) == 1


def test_a_revision_that_was_trained_anew_is_shown_in_its_last_state(row, write):
    path = write(
        [
            row("noise/cifar10", "accuracy", 0.5, commit="old"),
            row("noise/cifar10", "accuracy", 0.6, commit="new"),
        ]
    )
    assert [read.value for read in read_results([path])] == [0.6]
