"""Several processes give the numbers of one, and one of them writes; the command line says the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")


@pytest.fixture
def command(store, data, checkout):
    """`command(2, output)` runs the evaluation in two processes, with fresh caches beside the output."""

    def run(
        n_processes: int, output: Path, *extra: str, script: bool = True
    ) -> subprocess.CompletedProcess[str]:
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={n_processes}", "--standalone"]
        entry = [str(checkout / "scripts" / "evaluate.py")]
        start = [*(launcher if n_processes > 1 else []), *entry]
        arguments = [
            "me/run",
            *("--store", str(store), "--output", str(output), "--n_resamples", "20", "--device", "cpu"),
            *("--benchmarks", "shape_bias/cue_conflict,noise/cifar10", "--benchmarks", "retrieval/flickr8k"),
            *("--sigmas", "0,0.1", "--batch_size", "8", "--revisions", "epoch-000,epoch-002"),
            *(f"--data-dir={name}={path}" for name, path in data.items()),
            *extra,
        ]
        environment = {
            **os.environ,
            "HF_HOME": str(output.parent / "home"),
            "ACCELERATE_USE_CPU": "true",
            "PYTHONWARNINGS": "ignore",
        }
        return subprocess.run(
            [sys.executable, *start, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=output.parent,
            timeout=100,
        )

    return run


def test_two_processes_give_exactly_the_results_of_one(command, tmp_path):
    tables = []
    for n_processes in (1, 2):
        folder = tmp_path / str(n_processes)
        folder.mkdir()
        done = command(n_processes, folder / "results.parquet")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("results.parquet holds") == 1, "one process speaks"
        tables.append(pd.read_parquet(folder / "results.parquet").drop(columns=["seconds"]))
        trials = pd.read_parquet(folder / "results.trials" / "me--run" / "noise--cifar10")
        assert len(trials) == 2 * 2 * 20  # revisions, sigmas, images: none dropped, none twice
    one, two = tables
    np.testing.assert_allclose(one["value"], two["value"], atol=1e-6)
    exact = [name for name in one.columns if name not in ("value", "ci_low", "ci_high")]
    assert one[exact].equals(two[exact])


def test_a_wrong_call_ends_with_one_sentence_and_code_2(command, tmp_path):
    done = command(1, tmp_path / "results.parquet", "--noise_stage", "raw")
    assert done.returncode == 2
    assert done.stderr.strip() == "clipdyn: error: noise_stage is 'raw': take native or input."
    assert not (tmp_path / "results.parquet").exists()
