"""Parts of the revisions, measured apart into one folder, give the table of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from result_rows import sorted_rows

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.config import EvaluationConfig, in_shard
from hf_clipdyn.study import Study

BENCHMARKS = ("zero_shot/cifar10", "noise/cifar10")


def test_every_revision_is_in_one_shard_and_a_new_one_moves_no_other():
    def shards(revisions: int, parts: int) -> list[list[int]]:
        return [list(in_shard(range(revisions), f"{part}/{parts}")) for part in range(1, parts + 1)]

    for revisions, parts in ((3, 1), (3, 4), (10, 3), (40, 7)):
        held = shards(revisions, parts)
        assert sorted(one for part in held for one in part) == list(range(revisions))
        assert max(map(len, held)) - min(map(len, held)) <= 1
        longer = shards(revisions + 1, parts)
        assert all(after[: len(before)] == before for before, after in zip(held, longer, strict=True))
    assert in_shard([1, 2], None) == [1, 2]


@pytest.mark.parametrize("shard", ["0/4", "5/4", "a/b", "1", "1/0", "-1/4", "1/4/2", "", "1 / 4", "1/٤"])
def test_a_shard_that_is_no_part_of_a_whole_is_one_sentence(shard, clipdyn, tmp_path):
    with pytest.raises(ConfigError, match="give i/n with i from 1 to n"):
        EvaluationConfig(repo_id="me/run", shard=shard)
    code, _, error = clipdyn("evaluate", "me/run", "--store", tmp_path, f"--shard={shard}")
    assert code == 2
    (line,) = error.splitlines()
    assert line == f"clipdyn: error: shard is {shard!r}: give i/n with i from 1 to n, for example 1/4."


@pytest.mark.parametrize("other", [{"rescore": True}, {"push_to_hub": True, "hub_model_id": "me/results"}])
def test_what_concerns_the_whole_table_takes_no_shard(other):
    with pytest.raises(ConfigError, match="without `shard`, once all shards are done"):
        EvaluationConfig(repo_id="me/run", shard="1/2", output="results.parquet", **other)


def test_shards_one_after_the_other_give_the_table_of_one_process(evaluate, tmp_path, caplog):
    """With the texts of the run's last revision, which is in one of the shards only."""
    last = {"texts": "last"}
    caplog.set_level("INFO", "hf_clipdyn")
    output = tmp_path / "results.parquet"
    parts = [evaluate(*BENCHMARKS, output=output, shard=f"{part}/4", **last) for part in (4, 1, 3, 2)]
    assert [set(part["revision"]) for part in parts] == [set(), {"epoch-000"}, {"epoch-002"}, {"epoch-001"}]
    assert "Shard 4/4 has nothing to do: there are only 3 revisions." in caplog.text
    whole = evaluate(*BENCHMARKS, **last)
    assert set(whole["texts"]) == {"last"}
    pd.testing.assert_frame_equal(sorted_rows(pd.read_parquet(output)), sorted_rows(whole))
    for part in parts[1:]:
        own = whole[whole["revision"] == part["revision"].iloc[0]]
        pd.testing.assert_frame_equal(sorted_rows(part), sorted_rows(own))


def test_a_shard_counts_among_the_revisions_that_are_named(evaluate):
    found = evaluate("zero_shot/cifar10", revisions=["epoch-002", "epoch-000"], shard="2/2")
    assert set(found["revision"]) == {"epoch-000"}


@pytest.mark.slow
def test_four_processes_at_once_give_the_table_of_one(evaluate, store, data, tmp_path):
    output = tmp_path / "results.parquet"
    command = [
        *(sys.executable, "-m", "hf_clipdyn", "evaluate", str(store), "--device=cpu"),
        *("--output", str(output), f"--data-dir=cifar10={data['cifar10']}"),
        *(f"--benchmarks={','.join(BENCHMARKS)}", "--quiet"),
    ]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([*command, f"--shard={part}/4"], env=environment, stderr=subprocess.PIPE, text=True)
        for part in (1, 2, 3, 4)
    ]
    for process in started:
        _, error = process.communicate(timeout=300)
        assert (process.returncode, error) == (0, "")
    pd.testing.assert_frame_equal(sorted_rows(pd.read_parquet(output)), sorted_rows(evaluate(*BENCHMARKS)))
    assert not list(Path(tmp_path).rglob(".*.staging"))


def test_a_study_divides_its_members_and_every_shard_finishes_its_own(store, data, tmp_path):
    folder = tmp_path / "study"
    asked = {
        "models": [{"name": name, "repo_id": str(store)} for name in ("a", "b", "c")],
        "evaluation": {
            "benchmarks": list(BENCHMARKS),
            "relations": "error_consistency",
            "data_dir": f"cifar10={data['cifar10']}",
            "device": "cpu",
        },
    }
    (tmp_path / "asked.yaml").write_text(json.dumps(asked))
    study = Study(tmp_path / "asked.yaml", folder)
    study.run("1/2")
    assert [one.lacks() for one in study.members] == ["", "not fully measured", ""]
    study.run("2/2")
    assert study.run() == f"All members are complete in {folder}."
    whole = Study(tmp_path / "asked.yaml", tmp_path / "whole")
    whole.run()
    for parts, one in zip(study.members, whole.members, strict=True):
        table = pd.read_parquet(parts.folder / "results.parquet")
        assert set(table["revision"]) >= {"epoch-000", "epoch-001", "epoch-002"}
        assert "error_consistency-zero_shot" in set(table["kind"])
        pd.testing.assert_frame_equal(
            sorted_rows(table), sorted_rows(pd.read_parquet(one.folder / "results.parquet"))
        )


@pytest.mark.parametrize("task", [{}, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}])
def test_a_task_of_slurm_calls_its_part_of_the_study(task, checkout, tmp_path):
    (tmp_path / "clipdyn").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "clipdyn").chmod(0o755)
    script = ["bash", checkout / "scripts" / "study.sbatch", "--config", "a study.yaml"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | task
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "study --config a study.yaml" + (" --shard 3/8" if task else "") + "\n"
