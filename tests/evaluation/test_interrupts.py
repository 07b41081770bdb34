"""Ctrl-C and SIGKILL cost the cell in work and nothing else, with the last revision's texts and while watching too."""

import os
import signal
import sys
import time

import forked
import numpy as np
import pandas as pd
import pytest
from result_rows import sorted_rows

from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.trials import trials_folder


@pytest.fixture
def arguments(store, data):
    benchmarks = ("--benchmarks", "zero_shot/cifar10,noise/cifar10", f"--data-dir=cifar10={data['cifar10']}")
    return [str(store), "--device", "cpu", "--noise-sigmas", "0,0.1", *benchmarks]


def same(path, whole):
    """The table at the path is the whole one, whatever the order of its cells."""
    tables = [sorted_rows(pd.read_parquet(one)) for one in (path, whole)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("moment", [("show_images", 5), ("embed_texts", 2)], ids=["images", "last texts"])
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(
    arguments, tmp_path, monkeypatch, clipdyn, moment
):
    """The second call for texts is that of the last revision's, whose weights are in the model at that moment."""
    whole, output = tmp_path / "whole.parquet", tmp_path / "results.parquet"
    assert clipdyn("evaluate", *arguments, "-o", whole)[0] == 0
    name, number = moment
    calls = []
    ask = getattr(Encoder, name)

    def interrupted(self, *args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return ask(self, *args, **kwargs)

    monkeypatch.setattr(Encoder, name, interrupted)
    assert clipdyn("evaluate", *arguments, "-o", output)[0] == 130
    assert 0 < len(pd.read_parquet(output)) < len(pd.read_parquet(whole))
    assert clipdyn("evaluate", *arguments, "-o", output)[0] == 0
    same(output, whole)
    assert not list(tmp_path.rglob(".*.staging"))


def start(arguments, output):
    """Its errors are in ``error`` beside the table."""
    command = [sys.executable, "-m", "hf_clipdyn", "evaluate", *arguments, "--output", output]
    with output.with_name("error").open("wb") as error:
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        return forked.start(command, stdout=error.fileno(), stderr=error.fileno(), env=environment)


def test_ctrl_c_ends_watching(arguments, tmp_path):
    output = tmp_path / "results.parquet"
    process = start([*arguments, "--watch"], output)

    def idle():
        return output.exists() and pd.read_parquet(output)["revision"].nunique() == 3

    forked.wait_until(idle, process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(300) == 130
    error = output.with_name("error").read_text()
    assert (error.count("interrupted"), error.count("Traceback")) == (1, 0)
    assert set(pd.read_parquet(output)["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}


@pytest.mark.slow
def test_sigkill_at_any_moment_loses_the_cell_in_work_at_most(arguments, tmp_path, clipdyn):
    whole, output = tmp_path / "whole.parquet", tmp_path / "results.parquet"
    assert clipdyn("evaluate", *arguments, "-o", whole)[0] == 0
    names = {cell.key for cell in CellStore(whole).cells()}
    rng = np.random.default_rng(0)
    done: set[str] = set()

    def cells():
        return {file.stem for file in cells_folder(output).glob("*.parquet") if not file.name.startswith(".")}

    for _ in range(4):
        if done == names:
            break
        process = start(arguments, output)
        forked.wait_until(lambda: cells() > done or process.poll() is not None, process)  # noqa: B023
        time.sleep(rng.uniform(0, 0.1))
        process.wait(0)
        assert cells() > done, "what was done before is there, and more"
        done = cells()
        for cell in CellStore(output).cells():
            rows = pd.read_parquet(cells_folder(output) / f"{cell.key}.parquet")
            wanted = pd.read_parquet(cells_folder(whole) / f"{cell.key}.parquet")
            assert len(rows) == len(wanted), "a cell is half there"
    assert clipdyn("evaluate", *arguments, "-o", output)[0] == 0
    same(output, whole)
    files = [{file.name for file in trials_folder(path).glob("*.parquet")} for path in (whole, output)]
    assert files[0] == files[1]
