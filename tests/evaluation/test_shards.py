"""Parts of the revisions, measured apart into one folder, give the table of one process."""

import os
import subprocess

import pandas as pd
import pytest
from result_rows import sorted_rows

from hf_clipdyn.evaluation.config import in_shard

BENCHMARKS = ("zero_shot/cifar10", "noise/cifar10")


def test_every_revision_is_in_one_shard_and_a_new_one_moves_no_other():
    def shards(revisions, parts):
        return [list(in_shard(range(revisions), f"{part}/{parts}")) for part in range(1, parts + 1)]

    for revisions, parts in ((3, 1), (3, 4), (10, 3), (40, 7)):
        held = shards(revisions, parts)
        assert sorted(one for part in held for one in part) == list(range(revisions))
        assert max(map(len, held)) - min(map(len, held)) <= 1
        longer = shards(revisions + 1, parts)
        assert all(after[: len(before)] == before for before, after in zip(held, longer, strict=True))


def test_shards_one_after_the_other_give_the_table_of_one_process(evaluate, tmp_path):
    """With the texts of the run's last revision, which is in one of the shards only."""
    last = {"texts": "last"}
    output = tmp_path / "results.parquet"
    parts = [evaluate(*BENCHMARKS, output=output, shard=f"{part}/4", **last) for part in (4, 1, 3, 2)]
    assert [set(part["revision"]) for part in parts] == [set(), {"epoch-000"}, {"epoch-002"}, {"epoch-001"}]
    whole = evaluate(*BENCHMARKS, **last)
    assert set(whole["texts"]) == {"last"}
    pd.testing.assert_frame_equal(sorted_rows(pd.read_parquet(output)), sorted_rows(whole))
    for part in parts[1:]:
        own = whole[whole["revision"] == part["revision"].iloc[0]]
        pd.testing.assert_frame_equal(sorted_rows(part), sorted_rows(own))


@pytest.mark.parametrize(
    ("array", "step", "shards"),
    [
        ([], None, [""]),
        (range(1, 9), 1, [f" --shard {part}/8" for part in range(1, 9)]),
        (range(3, 9), 1, [f" --shard {part}/6" for part in range(1, 7)]),
        (range(0, 7, 2), 2, [f" --shard {part}/4" for part in range(1, 5)]),
        ([7], 1, [" --shard 1/1"]),
        ([1, 3, 7], 1, None),
    ],
    ids=["no array", "1-8", "3-8", "0-7:2", "7", "1,3,7"],
)
def test_a_task_of_slurm_calls_its_part_of_the_study(array, step, shards, checkout, tmp_path):
    (tmp_path / "clipdyn").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "clipdyn").chmod(0o755)
    script = ["bash", checkout / "scripts" / "study.sbatch", "--config", "a study.yaml"]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    printed = []
    for task in array or [None]:
        facts = (
            {} if task is None else {"ID": task, "COUNT": len(array), "MIN": min(array), "MAX": max(array)}
        )
        facts |= {"STEP": step} if facts else {}
        slurm = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in facts.items()}
        done = subprocess.run(script, env=os.environ | path | slurm, capture_output=True, text=True)
        printed.append(done.stdout)
        assert (done.returncode, "--array is not a range" in done.stderr) == (
            (2, True) if shards is None else (0, False)
        )
    expected = [f"study --config a study.yaml{shard}\n" for shard in shards or []]
    assert printed == (expected or [""] * len(array))
