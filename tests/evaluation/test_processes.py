"""Two processes give the numbers of one, and one of them writes and speaks."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")


@pytest.fixture
def arguments(store, data):
    return [
        "me/run",
        *("--store", str(store), "--output", "results.parquet", "--n_resamples", "20", "--device", "cpu"),
        *("--benchmarks", "shape_bias/cue_conflict,noise/cifar10", "--benchmarks", "retrieval/flickr8k"),
        *("--sigmas", "0,0.1", "--batch_size", "8", "--revisions", "epoch-000,epoch-002"),
        *(f"--data-dir={name}={path}" for name, path in data.items()),
    ]


def test_two_processes_give_exactly_the_results_of_one(arguments, checkout, tmp_path, monkeypatch, capsys):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments])
    assert stopped.value.code == 0
    assert "results.parquet holds 92 measurements of 2 revisions" in capsys.readouterr().out

    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    done = subprocess.run(
        [*launch, str(checkout / "scripts" / "evaluate.py"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "ignore"},
        cwd=folders[1],
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results.parquet holds 92 measurements") == 1

    one, two = (pd.read_parquet(folder / "results.parquet").drop(columns="seconds") for folder in folders)
    np.testing.assert_allclose(one["value"], two["value"], atol=1e-6)
    exact = [name for name in one.columns if name not in ("value", "ci_low", "ci_high")]
    assert one[exact].equals(two[exact])
    trials = pd.read_parquet(folders[1] / "results.trials" / "me--run" / "noise--cifar10")
    assert len(trials) == 2 * 2 * 20  # revisions, sigmas, images: none dropped, none twice


def test_a_wrong_call_ends_with_one_sentence_and_code_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments, "--noise_stage", "raw"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "clipdyn: error: noise_stage is 'raw': take native or input.\n"
    assert not list(tmp_path.iterdir())
