"""A grid of runs: read from one file, started as jobs, resumed run by run."""

import json
import shlex
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import forked
import psutil
import pytest
from hub_server.server import WRITE_TOKEN

from hf_clipdyn.config import TrainingConfig, parse_training_config
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.jobs import submit
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.study import Study, read_training

Clipdyn = Callable[..., tuple[int, str, str]]

DEFAULTS = """
defaults:
  num_train_epochs: 2
  learning_rate: 1e-3
runs:
  - {seed: 0}
  - {seed: 1, scale: small}
  - {seed: 0, learning_rate: 5e-4, name: slow}
"""


@pytest.fixture
def grid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`grid_file(text)` writes study.yaml into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("study.yaml").write_text(text, encoding="utf-8")
        return Path("study.yaml")

    return write


@pytest.fixture
def clipdyn(clipdyn: Clipdyn) -> Clipdyn:
    """`clipdyn(*words)`: `clipdyn train` with these words."""
    return partial(clipdyn, "train")


def _grid(path: Path, *flags: str) -> Study:
    grid = Study.read_grid(path, flags)
    assert grid is not None
    return grid


def test_each_run_overrides_the_defaults_and_has_a_name_and_a_folder_of_its_own(
    grid_file: Callable[[str], Path],
) -> None:
    runs = _grid(grid_file(DEFAULTS)).members
    assert [one.name for one in runs] == ["tiny-seed0", "small-seed1", "slow"]
    assert [str(one.folder) for one in runs] == [f"runs/study/{one.name}" for one in runs]
    assert [one.config.learning_rate for one in runs] == [1e-3, 1e-3, 5e-4]
    assert {one.config.num_train_epochs for one in runs} == {2}
    assert {one.config.resume_from_checkpoint for one in runs} == {"true"}


def test_a_list_of_seeds_stands_for_one_run_each(grid_file: Callable[[str], Path]) -> None:
    runs = _grid(grid_file("runs: [{seed: [10, 11], scale: small}, {seed: 0}]")).members
    assert [one.name for one in runs] == ["small-seed10", "small-seed11", "tiny-seed0"]
    assert [one.config.seed for one in runs] == [10, 11, 0]
    assert [one.entry for one in runs] == [1, 1, 2]


def test_an_arm_is_part_of_the_name_of_a_run(grid_file: Callable[[str], Path]) -> None:
    runs = _grid(grid_file("runs: [{seed: 0}, {seed: 0, arm: noise}]")).members
    assert [one.name for one in runs] == ["tiny-seed0", "noise-tiny-seed0"]
    assert runs[0].config.recipe_hash() == runs[1].config.recipe_hash()


def test_flags_win_over_the_runs_and_name_the_folder_of_all(grid_file: Callable[[str], Path]) -> None:
    path = grid_file(DEFAULTS.replace("name: slow", "name: slow, output_dir: elsewhere"))
    assert [str(one.folder) for one in _grid(path).members][2] == "elsewhere"
    grid = _grid(path, "--learning_rate=3e-4", "--output_dir", "there")
    assert {one.config.learning_rate for one in grid.members} == {3e-4}
    assert [str(one.folder) for one in grid.members] == [
        "there/tiny-seed0",
        "there/small-seed1",
        "there/slow",
    ]
    assert str(grid.logs) == "there.logs"


def test_each_run_has_a_repository_of_its_own(grid_file: Callable[[str], Path]) -> None:
    text = DEFAULTS.replace(
        "defaults:\n", "defaults:\n  hub_model_id: me/study-{name}\n  push_to_hub: true\n"
    )
    runs = _grid(grid_file(text)).members
    assert [one.config.repository for one in runs] == [f"me/study-{one.name}" for one in runs]


def test_the_words_of_a_run_give_its_configuration_without_the_token() -> None:
    config = TrainingConfig(
        learning_rate=1e-05, bf16=False, publish="1,10", freeze="vision", hub_token=WRITE_TOKEN,
        model_name_or_path="a model/with 'quotes'", max_grad_norm=float("inf"), output_dir="runs/-x",
    )  # fmt: skip
    (run,) = Study.of_run(config).members
    assert WRITE_TOKEN not in str(run.words)
    assert parse_training_config(run.words[1:]) == TrainingConfig(
        **{**vars(config), "hub_token": None, "resume_from_checkpoint": "true"}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: []", "runs in study.yaml is a list of 0: give a list of mappings, one a run."),
        ("defaults: {seed: 1}", "runs in study.yaml is None: give a list"),
        ("runs: [1]", "runs in study.yaml is a list of 1: give a list"),
        ("defaults: 3\nruns: [{}]", "defaults in study.yaml is 3: give a mapping"),
        ("runs: [{}]\ndefault: 1", "There is no field in study.yaml: 'default'. Did you mean 'defaults'?"),
        ("runs: [{}]\ndefault: {}", "field one value. Only defaults, runs, models, evaluation may contain more."),
        ("defaults: {sed: 1}\nruns: [{}]", "There is no field in the defaults of study.yaml: 'sed'."),
        ("runs: [{seed: 0}, {sed: 1}]", "There is no field in run 2 of study.yaml: 'sed'."),
        ("defaults: {seed: [1, 2]}\nruns: [{}]", "seed in the defaults of study.yaml is a list of 2: give it"),
        ("runs: [{seed: []}]", "seed in run 1 of study.yaml is an empty list: give at least one seed."),
        ("runs: [{seed: [[1]]}]", "seed in run 1 of study.yaml is a list of 1: give it one value."),
        ("runs: [{seed: [1, x]}]", "seed in run 1 of study.yaml is 'x', which is not a whole number."),
        ("runs: [{seed: [1, 1]}]", "Two runs of study.yaml are called tiny-seed1"),
        ("runs: [{seed: [1, 2], name: a}]", "Two runs of study.yaml are called a: give each a `name` of its own."),
        ("runs: [{}]\nruns: [{seed: 1}]", "'runs' is given twice in line 2 of study.yaml: delete one."),
        ("runs: [{}]\nmodels: [{}]", "study.yaml is the file of a study: call `clipdyn study --config study.yaml`"),
        ("runs: &a [{seed: 1}]\ndefaults: *a", "There is an alias in line 2 of study.yaml"),
        ("runs: [{seed: x}]", "seed in run 1 of study.yaml is 'x', which is not a whole number."),
        ("runs: [{seed: -1}]", "seed in run 1 of study.yaml is -1: it must be in [0, 4294967295]."),
        ("runs: [{scale: huge}]", "There is no scale 'huge'."),
        ("runs: [{seed: 0}, {}]", "Two runs of study.yaml are called tiny-seed0: give each a `name` of its own."),
        ("runs: [{name: a/b}]", "run 1 of study.yaml: name is 'a/b': give letters, digits, dashes, dots"),
        ("runs: [{output_dir: a}, {seed: 1, output_dir: ./a}]", "have the same output_dir, a: give each its own"),
        (
            "defaults: {hub_model_id: me/x}\nruns: [{seed: 0}, {seed: 1}]",
            "tiny-seed0 and tiny-seed1 of study.yaml have the same repository, me/x: put {name},",
        ),
        ("defaults: {overwrite_output_dir: true}\nruns: [{}]", "cannot have overwrite_output_dir: leave it out"),
    ],
)  # fmt: skip
def test_a_wrong_grid_is_one_sentence(
    grid_file: Callable[[str], Path], clipdyn: Clipdyn, text: str, says: str
) -> None:
    code, out, error = clipdyn("--config", str(grid_file(text)))
    (line,) = error.splitlines()
    assert (code, out) == (2, "")
    assert says in line


def test_wrong_options_are_one_sentence(clipdyn: Clipdyn, grid_file: Callable[[str], Path]) -> None:
    path = str(grid_file(DEFAULTS))
    for words, says in (
        (["--print_command"], "`submit_setting` and `print_command` require --submit."),
        (["--submit=pbs"], "There is no scheduler 'pbs'."),
        (["--submit=local", "--submit-setting=gpus=1"], "There is no setting of local 'gpus'."),
        (["--submit=hf-jobs"], "requires a volume: give the bucket"),
        (["--sumbit=local"], "There is no option --sumbit. Did you mean --submit?"),
    ):
        code, _, error = clipdyn("--config", path, *words)
        assert (code, says.lower() in error.lower(), error.count("\n")) == (2, True, 1), error


def test_a_single_run_is_a_grid_of_one(clipdyn: Clipdyn, grid_file: Callable[[str], Path]) -> None:
    grid_file("")
    code, out, error = clipdyn("--config=quick", "--seed=3", "--submit=local", "--print_command")
    program, *words = shlex.split(out)
    assert (code, program, words[0]) == (0, "clipdyn", "train")
    config = parse_training_config(words[1:])
    assert (config.seed, config.output_dir, config.resume_from_checkpoint) == (3, "runs/quick", "true")
    assert error == "1 of 1 runs are not complete:\n    quick  0 of 3 epochs are trained\n"
    assert not Path("runs").exists()


def _plant(folder: Path, epochs: int, recipe: str = "{}") -> None:
    checkpoint = folder / "checkpoints" / f"epoch-{epochs:03d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "progress.json").write_text(
        f'{{"epoch": {epochs}, "step": 5, "samples_seen": 5, "num_processes": 1, "steps_per_epoch": 5, '
        f'"recipe": {recipe}}}'
    )


def test_jobs_on_the_hub_run_what_the_bucket_lacks(
    hub, grid_file: Callable[[str], Path], clipdyn: Clipdyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(grid_file(DEFAULTS))
    hub.state.buckets["me/results"] = {
        "cells/study/tiny-seed0/checkpoints/epoch-002/progress.json": 1,
        "cells/study/small-seed1/checkpoints/epoch-002/progress.json": 1,
        "cells/study/small-seed1/publishing/snapshots/epoch-002/model.safetensors": 1,
        "cells/study/slow/checkpoints/epoch-001-step-00000009/progress.json": 1,
    }
    volume = "--submit-setting=volume=hf://buckets/me/results/cells:/results"
    words = ["--config", path, "--submit=hf-jobs", volume, "--submit-setting=flavor=a10g-small"]
    code, _, error = clipdyn(*words)
    assert (code, "would lose --output_dir runs/study" in error) == (2, True), error
    code, out, error = clipdyn(*words, "--output_dir=/results/study")
    assert code == 0, error
    assert error.splitlines() == [
        "2 of 3 runs are not complete:",
        "    small-seed1  not saved: epoch-002",
        "    slow         1 of 2 epochs are trained",
        "    tiny-seed0   complete",
    ]
    assert out.startswith("Submitted 2 of 2 runs to the Hub. ")
    for job, name in zip(hub.state.jobs, ("small-seed1", "slow"), strict=True):
        assert job["labels"]["run"] == name
        assert job["command"][:6] == ["uv", "run", "--with", "hf-clipdyn", "clipdyn", "train"]
        assert f"--output_dir=/results/study/{name}" in job["command"]
    assert clipdyn(*words, "--output_dir=/results/study")[1].startswith(
        "Submitted 0 of 2 runs to the Hub, 2 are"
    )
    hub.state.buckets["me/results"] = {
        f"cells/study/{name}/checkpoints/epoch-002/progress.json": 1
        for name in ("tiny-seed0", "small-seed1", "slow")
    }
    code, out, _ = clipdyn(*words, "--output_dir=/results/study")
    assert out == "All 3 runs are complete in hf://buckets/me/results/cells/study.\n"
    code, _, error = clipdyn(*words, "--output_dir=/results/study", "--data_dir=/here")
    assert (code, "The Hub's machines cannot see --data_dir /here: leave it out" in error) == (2, True)


def test_a_run_of_another_recipe_is_not_taken_for_this_one(grid_file: Callable[[str], Path]) -> None:
    (run, *_) = _grid(grid_file("runs: [{num_train_epochs: 2}]")).members
    _plant(run.folder, 2, json.dumps(run.config.recipe() | {"scale": "small"}))
    with pytest.raises(
        ConfigError, match=r"scale='small' there, 'tiny' now.* use the same recipe, or another"
    ):
        run.lacks()


STOPS = """
import os, signal, sys
from pathlib import Path
from hf_clipdyn.training.loop import Callback
here = Path(__file__).parent
class Stops(Callback):
    def step_ends(self, training):
        if training.step == 8 and training.resumed_from is None and "{run}" in " ".join(sys.argv):
            os.kill(os.getpid(), signal.{signal})
"""


@pytest.fixture
def study(
    tmp_path: Path, flags: Callable[..., list[str]], grid_file: Callable[[str], Path]
) -> Callable[..., list[str]]:
    """`study("SIGKILL")`: words of a grid of two runs of ten steps; in its eighth one, seed 1 signals itself."""

    def make(number: str) -> list[str]:
        plugin = tmp_path / f"{tmp_path.name}.py"  # no two plug-ins of a process may share a name
        plugin.write_text(STOPS.format(run="--seed=1", signal=number))
        given = flags(num_train_epochs=2, plugin=plugin)
        values = dict(zip([one[2:] for one in given[::2]], given[1::2], strict=True)) | {
            "output_dir": tmp_path / "study"
        }
        del values["hub_model_id"]
        lines = "".join(f"  {key}: {value}\n" for key, value in values.items())
        return ["--config", str(grid_file(f"defaults:\n{lines}runs:\n- seed: 0\n- seed: 1\n"))]

    return make


def _revisions(folder: Path) -> list[tuple[str, str | None]]:
    return [(one.name, one.sha256) for one in list_revisions(f"local/{folder.name}", store=folder / "hub")]


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--submit=local", "--submit-setting=parallel=2"]])
def test_a_killed_run_is_named_and_the_same_command_completes_only_that(
    study: Callable[..., list[str]], clipdyn: Clipdyn, tmp_path: Path, where: list[str]
) -> None:
    words = [*study("SIGKILL"), *where]
    code, _, error = clipdyn(*words)
    assert code == 1
    assert "clipdyn: error: Run tiny-seed1 was killed by signal 9" in error
    assert "Repeat the command: it starts what is missing. 1 of 2 runs are not complete:" in error
    first = _revisions(tmp_path / "study" / "tiny-seed0")
    assert [name for name, _ in first] == ["epoch-000", "epoch-001", "epoch-002"]
    assert [name for name, _ in _revisions(tmp_path / "study" / "tiny-seed1")] == ["epoch-000", "epoch-001"]
    before = (tmp_path / "study" / "tiny-seed0" / "log.jsonl").stat().st_mtime_ns
    code, out, error = clipdyn(*words)
    assert code == 0, error
    assert error.splitlines()[:3] == [
        "1 of 2 runs are not complete:",
        "    tiny-seed1  1 of 2 epochs are trained",
        "    tiny-seed0  complete",
    ]
    assert f"All 2 runs are complete in {tmp_path / 'study'}; measure them with `clipdyn evaluate" in out
    assert (tmp_path / "study" / "tiny-seed0" / "log.jsonl").stat().st_mtime_ns == before
    assert len(_revisions(tmp_path / "study" / "tiny-seed1")) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_whose_end_slurm_announces_saves_a_checkpoint_is_requeued_and_ends_with_the_same_weights(
    study: Callable[..., list[str]], clipdyn: Clipdyn, tmp_path: Path
) -> None:
    """submitit's local executor. The signal comes inside an epoch; a checkpoint of that step is written first."""
    words = study("SIGUSR2")
    jobs = [
        "--submit=slurm",
        "--submit-setting=cluster=local",
        "--submit-setting=timeout_min=10",
        "--quiet",
        "true",
    ]
    assert clipdyn(*words, *jobs)[1].startswith("Submitted 2 runs to Slurm, jobs ")
    started = [one for one in psutil.Process().children() if "submitit.local._local" in one.cmdline()]
    assert not psutil.wait_procs(started, timeout=300)[1]
    logs = "".join(path.read_text() for path in (tmp_path / "study.logs").glob("*/*_log.*"))
    assert "Requeued job" in logs
    assert "interrupted after step 9; what was done is kept" in logs
    code, out, _ = clipdyn(*words, "--submit=slurm", "--submit-setting=cluster=local")
    assert (code, out.startswith("All 2 runs are complete")) == (0, True)
    (tmp_path / f"{tmp_path.name}.py").write_text("")
    whole, _ = read_training([*words, f"--output_dir={tmp_path / 'whole'}"])
    assert isinstance(whole, Study)
    submit(whole, "local")
    assert _revisions(tmp_path / "study" / "tiny-seed1") == _revisions(tmp_path / "whole" / "tiny-seed1")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_several_tasks_of_a_job_train_one_run_together(
    flags: Callable[..., list[str]], clipdyn: Clipdyn, tmp_path: Path
) -> None:
    settings = ("cluster=local", "timeout_min=10", "tasks_per_node=2")
    words = [*flags(num_train_epochs=1, per_device_train_batch_size=12), "--submit=slurm"]
    words += [f"--submit-setting={one}" for one in settings]
    assert clipdyn(*words)[1].startswith("Submitted 1 run to Slurm, jobs ")
    started = [one for one in psutil.Process().children() if "submitit.local._local" in one.cmdline()]
    assert not psutil.wait_procs(started, timeout=300)[1]
    logs = "".join(path.read_text() for path in (tmp_path / "run.logs").glob("*/*_log.*"))
    assert "2 processes" in logs, logs
    assert "Run: 1 epoch of 5 steps of 24 images" in logs
    assert clipdyn(*words)[1].startswith("The run is complete")


@pytest.mark.slow
def test_sigterm_ends_all_runs_with_checkpoints(study: Callable[..., list[str]], tmp_path: Path) -> None:
    words = [*study("SIGCONT"), "--num_train_epochs=500", "--submit=local", "--submit-setting=parallel=2"]
    process = psutil.Popen([sys.executable, "-m", "hf_clipdyn", "train", *words], cwd=tmp_path)
    folders = [tmp_path / "study" / f"tiny-seed{seed}" / "checkpoints" for seed in (0, 1)]
    forked.wait_until(lambda: all(any(folder.glob("*/progress.json")) for folder in folders), process)
    runs = process.children()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    assert not psutil.wait_procs(runs, timeout=1)[1]
    for log in (tmp_path / "study.logs").glob("*.log"):
        assert "interrupted after step" in log.read_text()
