"""Whole runs, in real processes where they are killed or launched."""

import gc
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from training_runs import finished, hashes, log, wait_for_log
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.errors import ConfigError, PublishError, TrainingError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.training import delete_run, device, repository
from hf_clipdyn.training.config import TrainingConfig, publishing_steps
from hf_clipdyn.training.data import open_rows
from hf_clipdyn.training.losses import Contrastive, Features
from hf_clipdyn.training.model import TrainedModel

Flags = Callable[..., list[str]]


def _script(checkout: Path, flags: list[str], *launcher: str) -> list[str]:
    return [sys.executable, *launcher, str(checkout / "scripts" / "train.py"), *flags]


def test_a_run_on_photographs_publishes_every_epoch_and_learns(flags: Flags, tmp_path: Path) -> None:
    summary = finished(flags(num_train_epochs=6, arm="noise"))
    assert summary.published == [f"epoch-{epoch:03d}" for epoch in range(7)]
    losses = [loss for _, loss in log(tmp_path / "run")]
    assert len(losses) == 30
    assert sum(losses[-5:]) < sum(losses[:5])
    revisions = list_revisions(summary.folder)
    assert [r.samples_seen for r in revisions] == [120 * epoch for epoch in range(7)]
    assert len({r.sha256 for r in revisions}) == 7
    model = CLIPModel.from_pretrained(summary.folder / "revisions" / "epoch-006")
    assert {(r.scale, r.seed, r.arm, r.parameters) for r in revisions} == {
        ("tiny", 0, "noise", model.num_parameters())
    }


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(flags: Flags) -> None:
    weights = [
        hashes(finished(flags(output, **seeds)).folder)
        for output, seeds in (("a", {}), ("b", {"seed": 0}), ("c", {"seed": 1}), ("d", {"data_seed": 1}))
    ]
    assert weights[0] == weights[1]
    assert not set(weights[0]) & set(weights[2])
    assert set(weights[0]) & set(weights[3]) == {weights[0][0]}, (
        "data_seed changes the order, not the beginning"
    )


def test_a_killed_run_continues_with_the_weights_and_losses_of_an_uninterrupted_one(
    flags: Flags, checkout: Path, tmp_path: Path
) -> None:
    """Killed inside epoch 3 and resumed there: the order of batches after a late resume went wrong elsewhere."""
    whole = finished(flags("whole", num_train_epochs=4))
    killed = tmp_path / "killed"
    process = forked.start(_script(checkout, flags("killed", num_train_epochs=4, save_steps=2)))
    wait_for_log(process, killed, 12)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "checkpoints" / "epoch-004").exists(), "it was killed too late to test anything"
    with pytest.raises(ConfigError, match="resume_from_checkpoint"):
        finished(flags("killed", num_train_epochs=4))
    resumed = finished(flags("killed", num_train_epochs=4, resume_from_checkpoint="true"))
    assert log(killed) == log(tmp_path / "whole")
    expected, found = (list_revisions(s.folder) for s in (whole, resumed))
    assert [(r.name, r.sha256, r.loss) for r in found] == [(r.name, r.sha256, r.loss) for r in expected]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_a_checkpoint_and_the_next_command(
    flags: Flags, checkout: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    command = _script(checkout, flags(num_train_epochs=500))
    with (tmp_path / "error").open("w+") as file:
        process = forked.start(command, stderr=file.fileno())
        forked.wait_until(lambda: any(tmp_path.glob("run/checkpoints/epoch-*")), process)
        os.kill(process.pid, sent)
        assert process.wait() == code
        error = (tmp_path / "error").read_text()
    assert "clipdyn: interrupted after step" in error
    assert (
        f"Continue with `clipdyn train --config {tmp_path}/run/config.yaml --resume_from_checkpoint" in error
    )
    (checkpoint,) = tmp_path.glob("run/checkpoints/epoch-*")
    assert json.loads((checkpoint / "progress.json").read_text())["step"] == log(tmp_path / "run")[-1][0]
    assert "Traceback" not in error
    names = [r.name for r in list_revisions(tmp_path / "run")]
    assert names[:2] == ["epoch-000", "epoch-001"]


def test_a_finished_run_that_is_resumed_trains_nothing_more(flags: Flags, tmp_path: Path) -> None:
    first = finished(flags())
    before = log(tmp_path / "run")
    again = finished(flags(resume_from_checkpoint="true"))
    assert again.published == first.published
    assert log(tmp_path / "run") == before


def test_another_recipe_does_not_continue_a_run(flags: Flags) -> None:
    finished(flags(num_train_epochs=1))
    with pytest.raises(ConfigError, match=r"learning_rate=0\.001 there, 0\.01 now"):
        finished(flags(num_train_epochs=1, learning_rate=0.01, resume_from_checkpoint="true"))


def test_a_folder_that_is_no_checkpoint_is_refused(flags: Flags, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a checkpoint"):
        finished(flags(resume_from_checkpoint=tmp_path))


def test_deleting_a_run_deletes_nothing_else_in_its_folder(flags: Flags, tmp_path: Path) -> None:
    finished(flags(num_train_epochs=2))
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    delete_run(tmp_path / "run")
    summary = finished(flags(num_train_epochs=1))
    assert summary.published == ["epoch-000", "epoch-001"]
    assert (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8") == "mine"
    for name in ("revisions", "checkpoints"):
        mine = tmp_path / "run" / name / "notes.txt"
        mine.write_text("mine", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"notes\.txt is among the files of a run"):
            delete_run(tmp_path / "run")
        mine.unlink()
    assert [r.name for r in list_revisions(summary.folder)] == summary.published


def test_steps_inside_epochs_are_published_too(flags: Flags) -> None:
    summary = finished(flags(num_train_epochs=2, publish="log2"))
    names = [r.name for r in list_revisions(summary.folder)]
    assert sorted(names) == sorted(
        ["epoch-000", "epoch-001", "epoch-002", *(f"step-{2**k:08d}" for k in range(4))]
    )


def test_each_scale_and_seed_has_a_repository_of_its_own() -> None:
    pattern = "me/run-{scale}-seed{seed}"
    names = {
        repository(TrainingConfig(hub_model_id=pattern, scale=scale, seed=seed))
        for scale in ("tiny", "small")
        for seed in (0, 1)
    }
    assert names == {"me/run-tiny-seed0", "me/run-tiny-seed1", "me/run-small-seed0", "me/run-small-seed1"}
    assert repository(TrainingConfig(hub_model_id="me/run")) == "me/run"
    assert repository(TrainingConfig(scale="small", seed=3)) == "local/procedural-small-seed3"


def test_publishing_steps_are_powers_of_two_or_a_list() -> None:
    assert publishing_steps("epoch", 100) == set()
    assert publishing_steps("log2", 100) == {1, 2, 4, 8, 16, 32, 64}
    assert publishing_steps("5,50,500", 100) == {5, 50}
    for wrong in ("often", "0,1", "-3"):
        with pytest.raises(ConfigError, match="give epoch, log2, or steps"):
            TrainingConfig(publish=wrong)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_published(
    flags: Flags, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = Contrastive.__call__
    calls = []

    def explode(loss: Contrastive, features: Features) -> torch.Tensor:
        calls.append(1)
        return real(loss, features) * (float("nan") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(Contrastive, "__call__", explode)
    with pytest.raises(TrainingError, match=r"became nan in step 8.*Lower learning_rate"):
        finished(flags())
    names = [r.name for r in list_revisions(tmp_path / "run")]
    assert names == ["epoch-000", "epoch-001"]


def test_one_broken_image_is_skipped_and_reported(
    flags: Flags, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photographs / "Images" / "0007.jpg"
    path.write_bytes(path.read_bytes()[:200])
    summary = finished(flags(num_train_epochs=1, per_device_train_batch_size=17))
    assert "1 broken image skipped" in capsys.readouterr().err
    assert list_revisions(summary.folder)[-1].samples_seen == 119


def test_more_than_one_percent_of_broken_images_stops_the_run(flags: Flags, photographs: Path) -> None:
    for name in ("0001.jpg", "0002.jpg"):
        (photographs / "Images" / name).write_bytes(b"")
    with pytest.raises(TrainingError, match=r"2 of 120 images cannot be decoded or .* more than 1 %"):
        finished(flags())


def test_temperature_stays_within_its_bounds(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = TrainedModel.clamp_scale

    def clamp(model: TrainedModel) -> None:
        model.encoder.logit_scale.data += 10 if len(seen) % 2 else -10  # an optimiser gone wild
        real(model)
        seen.append(float(model.encoder.logit_scale.exp().detach()))

    monkeypatch.setattr(TrainedModel, "clamp_scale", clamp)
    finished(flags(num_train_epochs=1))
    assert min(seen) == pytest.approx(1)
    assert max(seen) == pytest.approx(100)


def test_three_revisions_load_in_a_fresh_offline_process_and_differ(flags: Flags) -> None:
    summary = finished(flags())
    program = f"""
import sys, torch
from transformers import CLIPModel, CLIPProcessor
run = {str(summary.folder / "revisions")!r}
sums = set()
for name in ("epoch-000", "epoch-002", "epoch-003"):
    model = CLIPModel.from_pretrained(f"{{run}}/{{name}}").eval()
    processor = CLIPProcessor.from_pretrained(f"{{run}}/{{name}}")
    image = torch.zeros(3, 50, 60, dtype=torch.uint8)
    inputs = processor(text=["a red picture", "noise in blue"], images=image, return_tensors="pt", padding=True)
    with torch.no_grad():
        sums.add(round(float(model(**inputs).logits_per_image.sum()), 6))
assert not any(name.startswith("hf_clipdyn") for name in sys.modules)
print(len(sums))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", program], capture_output=True, text=True
    )
    assert done.stdout.strip() == "3", done.stderr


def test_two_processes_train_as_one_does_with_the_whole_batch(
    flags: Flags, checkout: Path, launch: Callable[..., str]
) -> None:
    one = finished(flags("one"))
    launch(2, checkout / "scripts" / "train.py", *flags("two", per_device_train_batch_size=12))
    expected = CLIPModel.from_pretrained(one.folder / "revisions" / "epoch-003").state_dict()
    two = one.folder.parent / "two" / "revisions" / "epoch-003"
    found = CLIPModel.from_pretrained(two).state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, atol=2e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}"
        )
    CLIPProcessor.from_pretrained(two)


def test_a_run_that_asked_for_two_processes_and_got_one_stops(flags: Flags, checkout: Path) -> None:
    """`accelerate launch --cpu --num_processes 2` starts one process and says nothing."""
    accelerate = ("-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2")
    command = _script(checkout, flags(), *accelerate)
    done = forked.run(command)
    assert done.returncode == 1
    assert "Several processes were requested and 1 started" in done.stderr
    assert done.stderr.count("clipdyn: error:") == 1


def test_the_token_is_in_no_file_of_a_run(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    finished(flags(num_train_epochs=1))
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert (tmp_path / "run" / "config.yaml") in files
    assert not [path for path in files if b"hf_secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"dataset_name": "/nowhere/at/all"}, 2, "no folder or archive /nowhere/at/all"),
        ({"scale": "huge"}, 2, "no scale 'huge'"),
        ({"output_dir": "/proc/run"}, 1, "/proc/run"),
        ({"train_split": "validation"}, 2, "validation"),
        ({"report_to": "nonsense"}, 2, "nonsense"),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(
    flags: Flags, changes: dict[str, str], code: int, says: str, clipdyn: Callable[..., tuple[int, str, str]]
) -> None:
    exit_code, _, said = clipdyn("train", *flags(**changes))
    assert exit_code == code
    error = said.strip().splitlines()[-1]
    assert error.startswith("clipdyn: error: ")
    assert says in error


@pytest.mark.filterwarnings("ignore::hf_clipdyn.training.device.CrowdedWarning")
def test_a_resumed_run_keeps_what_the_machine_decided_at_its_beginning(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine the precision, the attention and the threads would be others."""
    undecided = flags(num_train_epochs=1)
    place = undecided.index("--bf16")
    del undecided[place : place + 2]
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    finished(undecided)
    written = TrainingConfig.read(["--config", str(tmp_path / "run" / "config.yaml")])
    assert (written.bf16, written.attn_implementation, written.num_threads) == (False, "sdpa", 1)
    monkeypatch.setattr(device, "has_bf16", lambda: True)
    resuming = [*undecided, "--resume_from_checkpoint", "true"]
    finished(resuming)
    with pytest.raises(ConfigError, match="attn_implementation='sdpa' there, 'eager' now"):
        finished([*resuming, "--attn_implementation", "eager"])
    with pytest.raises(ConfigError, match="num_threads=1 there, 2 now"):
        finished([*resuming, "--num_threads", "2"])


def test_a_run_that_took_no_step_is_simply_started_again(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_: Contrastive, features: Features) -> torch.Tensor:
        return features.scale * float("nan")

    with monkeypatch.context() as patched:
        patched.setattr(Contrastive, "__call__", explode)
        with pytest.raises(TrainingError, match="became nan in step 1,"):
            finished(flags(learning_rate=0.5))
    assert [r.name for r in list_revisions(tmp_path / "run")] == ["epoch-000"]
    summary = finished(flags(num_train_epochs=1))
    assert summary.published == ["epoch-000", "epoch-001"]
    with pytest.raises(ConfigError, match="already contains a run"):
        finished(flags(num_train_epochs=1))


def test_a_run_that_is_still_going_on_is_not_deleted(flags: Flags, tmp_path: Path) -> None:
    finished(flags(num_train_epochs=1))
    with (
        Store(tmp_path / "run").locked(),
        pytest.raises(PublishError, match="Another process writes"),
    ):
        delete_run(tmp_path / "run")
    assert (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("norm", ["0", "inf"])
def test_without_a_norm_gradients_are_not_clipped(
    flags: Flags, norm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Accelerator, "clip_grad_norm_", None)  # a call would fail
    finished(flags(num_train_epochs=1, max_grad_norm=norm))
    losses = [loss for _, loss in log(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_columns_that_are_not_found_can_be_named(flags: Flags, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = [{"bild": _png(rng), "worte": f"a picture {i}", "caption": None} for i in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    changes = {"dataset_name": folder, "image_column": "bild", "caption_column": "worte"}
    assert finished(flags(num_train_epochs=1, **changes)).published[-1] == "epoch-001"
    with pytest.raises(ConfigError, match=r"caption_column is 'wrote', but the columns are bild, worte"):
        finished(flags("other", **(changes | {"caption_column": "wrote"})))


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_the_columns_of_an_imagefolder_can_be_named(flags: Flags, photographs: Path) -> None:
    (photographs / "captions.txt").unlink()
    lines = ["file_name,worte,caption"]
    lines += [f"{i:04d}.jpg,a picture,other" for i in range(120)]
    (photographs / "Images" / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    named = flags(num_train_epochs=1, dataset_name=photographs / "Images", caption_column="worte")
    dataset = open_rows(TrainingConfig.read(named)).dataset
    assert dataset[0]["captions"] == ["a picture"]
    gc.collect()  # `datasets` leaves the file of metadata open; no later test shall be told


def _png(rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()
