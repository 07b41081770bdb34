"""Ctrl-C and SIGKILL cost the pair in work and nothing else, with the last revision's texts and while watching too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.cli import main
from hf_clipdyn.evaluation.store import PAIR, trials_folder
from hf_clipdyn.models.encoder import Encoder

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")


@pytest.fixture
def arguments(store, data):
    return [
        *("me/run", "--store", str(store), "--n_resamples", "0", "--device", "cpu", "--sigmas", "0,0.1"),
        *("--benchmarks", "zero_shot/cifar10,noise/cifar10", f"--data-dir=cifar10={data['cifar10']}"),
    ]


def same(path: Path, whole: pd.DataFrame) -> None:
    """The table at the path is the whole one, whatever the order of its pairs."""
    key = [*PAIR, "probe", "metric", "group"]
    found = pd.read_parquet(path)
    assert not found.duplicated(key).any()
    tables = [table.drop(columns="seconds").set_index(key).sort_index() for table in (found, whole)]
    pd.testing.assert_frame_equal(*tables)


def evaluate(arguments, output: Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *arguments, "--output", str(output)])
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("moment", [("embed_images", 5), ("embed_texts", 2)], ids=["images", "last texts"])
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(
    arguments, tmp_path, monkeypatch, capsys, moment
):
    """The second call for texts is that of the last revision's, whose weights are in the model at that moment."""
    whole, output = tmp_path / "whole.parquet", tmp_path / "results.parquet"
    assert evaluate(arguments, whole) == 0
    name, number = moment
    calls = []
    ask = getattr(Encoder, name)

    def interrupted(self, *args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return ask(self, *args, **kwargs)

    monkeypatch.setattr(Encoder, name, interrupted)
    assert evaluate(arguments, output) == 130
    assert "interrupted; what was done is kept" in capsys.readouterr().err
    done = pd.read_parquet(output)
    assert 0 < len(done) < len(pd.read_parquet(whole))
    assert evaluate(arguments, output) == 0
    same(output, pd.read_parquet(whole))
    assert not list(tmp_path.rglob(".*.staging"))


def start(arguments, output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hf_clipdyn.cli", "evaluate", *arguments, "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        # A job in the background inherits that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_ends_watching(arguments, tmp_path):
    output = tmp_path / "results.parquet"
    with start([*arguments, "--watch"], output) as process:

        def idle() -> bool:
            return output.exists() and pd.read_parquet(output)["revision"].nunique() == 3

        wait_for(idle, process)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted; what was done is kept" in error
    assert "Traceback" not in error
    assert set(pd.read_parquet(output)["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}


@pytest.mark.slow
def test_sigkill_at_any_moment_loses_the_pair_in_work_at_most(arguments, tmp_path):
    whole, output = tmp_path / "whole.parquet", tmp_path / "results.parquet"
    assert evaluate(arguments, whole) == 0
    expected = pd.read_parquet(whole)
    n_pairs = len(expected[list(PAIR)].drop_duplicates())
    rng = np.random.default_rng(0)
    done = 0

    def pairs() -> int:
        return len(pd.read_parquet(output)[list(PAIR)].drop_duplicates()) if output.exists() else 0

    for _ in range(4):
        if done == n_pairs:
            break
        with start(arguments, output) as process:
            wait_for(lambda: pairs() > done or process.poll() is not None, process)  # noqa: B023
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            process.communicate()
        assert pairs() > done, "what was done before is there, and more"
        done = pairs()
        rows = pd.read_parquet(output)
        for pair, part in rows.groupby(list(PAIR)):
            assert len(part) == (expected[list(PAIR)] == list(pair)).all(axis=1).sum(), "a pair is half there"
    assert evaluate(arguments, output) == 0
    same(output, expected)
    files = [
        {str(file.relative_to(trials_folder(path))) for file in trials_folder(path).rglob("*.parquet")}
        for path in (whole, output)
    ]
    assert files[0] == files[1]
