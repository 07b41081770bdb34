"""Two or three processes give the numbers of one, and one of them writes and speaks."""

import numpy as np
import pandas as pd
import pytest
from result_rows import trials_of


@pytest.fixture
def arguments(store, data, judged):
    """Pairs, whose images wait for each other on the disk, and benchmarks of single images."""
    folders = data | {"nights": judged["nights"]}
    return [
        str(store),
        *("--output", "results.parquet", "--device", "cpu"),
        *("--benchmarks", "shape_bias/cue_conflict,noise/cifar10"),
        *("--benchmarks", "retrieval/flickr8k,similarity/nights"),
        *("--noise-sigmas", "0,0.1", "--batch-size", "8", "--revisions", "epoch-000,epoch-002"),
        *(f"--data-dir={name}={path}" for name, path in folders.items()),
    ]


@pytest.fixture
def further(judged):
    """Arguments for the kinds beyond those above."""
    names = (
        "quality/tid2013,similarity/bapps,jnd/bapps,saliency/osie,"
        "zero_shot/cifar10,zero_shot/procedural,distortion/procedural"
    )
    probes = "attention_layers,rollout,gradient_input,grad_cam"
    return [
        *("--benchmarks", names, "--saliency-probes", probes),
        *(f"--data-dir={name}={path}" for name, path in judged.items() if name != "nights"),
    ]


@pytest.fixture
def one_process(tmp_path, monkeypatch, clipdyn):
    """The table that the command writes in this process."""

    def run(arguments):
        (tmp_path / "one").mkdir()
        monkeypatch.chdir(tmp_path / "one")
        assert clipdyn("evaluate", *arguments)[0] == 0
        return pd.read_parquet("results.parquet")

    return run


@pytest.fixture
def processes(tmp_path, checkout, launch):
    """`processes(2, "torchrun", arguments)`: the folder in which they worked, and what they printed."""

    def run(count, launcher, arguments):
        folder = tmp_path / f"{launcher}-{count}"
        folder.mkdir()
        script = checkout / "scripts" / "evaluate.py"
        quiet = {"PYTHONWARNINGS": "ignore"}
        if launcher is not None:  # processes that are forked share the caches of the tests
            quiet["HF_HOME"] = str(tmp_path / "home")
        return folder, launch(count, script, *arguments, launcher=launcher, cwd=folder, environment=quiet)

    return run


def assert_equal(one, several):
    """Counts and names are equal, values to 1e-6."""
    one, several = (table.drop(columns="seconds") for table in (one, several))
    numbers = ["value", "ci_low", "ci_high"]
    for name in numbers:
        np.testing.assert_allclose(one[name], several[name], atol=1e-6, rtol=0, err_msg=name)
    assert one.drop(columns=numbers).equals(several.drop(columns=numbers))


@pytest.mark.parametrize("launcher", [None, pytest.param("accelerate", marks=pytest.mark.slow)])
def test_two_processes_give_exactly_the_results_of_one(arguments, launcher, one_process, processes):
    one = one_process(arguments)
    folder, printed = processes(2, launcher, arguments)
    assert printed.count(f"{len(one)} numbers of 2 revisions on 4 benchmarks are in results.parquet") == 1
    assert_equal(one, pd.read_parquet(folder / "results.parquet"))
    trials = trials_of(folder / "results.parquet", "noise/cifar10")
    assert len(trials) == 2 * 2 * 20  # revisions, levels, images: none dropped, none twice
    assert not trials.duplicated(["revision", "item", "level"]).any()


@pytest.mark.slow
def test_every_kind_gives_the_same_in_two_and_three_processes(arguments, further, one_process, processes):
    """Six captioned photographs are one batch: two of three processes have nothing to do there."""
    arguments = [*arguments, *further]
    one = one_process(arguments)
    assert set(one["kind"]) == {
        *("distortion", "jnd", "noise", "quality", "retrieval"),
        *("saliency", "shape_bias", "similarity", "zero_shot"),
    }
    for count in (2, 3):
        folder, _ = processes(count, "torchrun", arguments)
        assert_equal(one, pd.read_parquet(folder / "results.parquet"))
