"""Whole runs with another loss, with batches in parts, compiled and sharded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.utils import is_torch_version
from training_runs import finished, log
from transformers import AutoModel, AutoProcessor, CLIPModel, CLIPProcessor, SiglipModel, SiglipProcessor

from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training import device

Flags = Callable[..., list[str]]
SHARDED = Path(__file__).with_name("sharded_training_worker.py")


def _weights(run: Path, revision: str) -> dict[str, torch.Tensor]:
    model, loading = CLIPModel.from_pretrained(run / "revisions" / revision, output_loading_info=True)
    assert not any(loading[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
    return dict(model.state_dict())


def _assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close({name: found[name] for name in expected}, expected, atol=2e-4, rtol=1e-3)


def test_a_run_with_the_sigmoid_loss_publishes_what_auto_classes_and_evaluations_load(
    flags: Flags, tmp_path: Path
) -> None:
    folder = finished(flags(loss="sigmoid", num_train_epochs=6)).folder / "revisions" / "epoch-006"
    losses = log(tmp_path / "run", "loss")
    assert sum(losses[-5:]) < sum(losses[:5])
    begin = SiglipModel.from_pretrained(folder.parent / "epoch-000")
    scale, bias = (float(x.detach()) for x in (begin.logit_scale.exp(), begin.logit_bias))
    assert (scale, bias) == pytest.approx((10, -10)), "the paper's"
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    assert (type(model), type(processor)) == (SiglipModel, SiglipProcessor)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "from transformers import SiglipModel, SiglipProcessor" in card
    captions = ["a red picture", "noise in blue"]
    inputs = processor(
        text=captions,
        images=torch.zeros(3, 50, 60, dtype=torch.uint8),
        padding="max_length",
        return_tensors="pt",
    )
    assert set(inputs) == {"pixel_values", "input_ids"}, "trained without an attention mask"
    with torch.no_grad():
        assert model(**inputs).logits_per_image.shape == (1, 2)
        expected = model.get_text_features(input_ids=inputs["input_ids"]).pooler_output
    encoder = Encoder.from_folder(folder, device="cpu")
    assert torch.equal(encoder.tokenize(captions)["input_ids"], inputs["input_ids"])
    torch.testing.assert_close(torch.as_tensor(encoder.embed_texts(captions)), expected)


def test_accumulated_batches_make_one_step(flags: Flags, tmp_path: Path) -> None:
    batches = {"per_device_train_batch_size": 12, "gradient_accumulation_steps": 2, "num_train_epochs": 1}
    summary = finished(flags(**batches))
    assert [step for step, _ in log(tmp_path / "run")] == [1, 2, 3, 4, 5], "120 images in steps of 24"
    assert list_revisions(summary.folder)[-1].samples_seen == 120


def test_two_processes_train_in_chunks_as_one_does_with_the_whole_batch(
    flags: Flags, checkout: Path, launch: Callable[..., str], tmp_path: Path
) -> None:
    one = finished(flags("one")).folder
    parts = {"per_device_train_batch_size": 12, "gradient_cache_chunk": 5, "gradient_checkpointing": True}
    launch(2, checkout / "scripts" / "train.py", *flags("two", **parts))
    _assert_close(_weights(tmp_path / "two", "epoch-003"), _weights(one, "epoch-003"))
    CLIPProcessor.from_pretrained(tmp_path / "two" / "revisions" / "epoch-003")


@pytest.mark.skipif(is_torch_version("<", "2.7"), reason="torch 2.6 does not compile the models")
@pytest.mark.parametrize("compiler", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_a_compiled_model_is_published_under_the_names_of_a_plain_one_and_resumed(
    compiler: str, flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_COMPILER", compiler)
    plain = finished(flags("plain")).folder
    compiled = flags("compiled", torch_compile=True)
    finished(compiled)
    resumed = flags(
        "compiled", torch_compile=True, resume_from_checkpoint=tmp_path / "compiled/checkpoints/epoch-003"
    )
    run = finished(resumed).folder
    _assert_close(_weights(run, "epoch-003"), _weights(plain, "epoch-003"))


@pytest.mark.slow
def test_a_sharded_run_publishes_the_weights_of_one_process_and_resumes_exactly(
    flags: Flags, tmp_path: Path, launch: Callable[..., str]
) -> None:
    """The weights and their moving average."""
    changes = {"ema_decay": 0.7, "save_steps": 3}
    one = finished(flags("one", **changes)).folder

    def sharded(output: str, *first: str, **more: object) -> None:
        launch(2, SHARDED, *first, *flags(output, per_device_train_batch_size=12, **changes, **more))

    sharded("two")
    sharded("stopped", "--stop")
    assert not (tmp_path / "stopped" / "checkpoints" / "epoch-002").exists()
    sharded("stopped", resume_from_checkpoint=True)
    for series in (".", "ema"):
        two, stopped = (_weights(tmp_path / name / series, "epoch-003") for name in ("two", "stopped"))
        _assert_close(two, _weights(one / series, "epoch-003"))
        assert all(torch.equal(stopped[name], tensor) for name, tensor in two.items())
    assert log(tmp_path / "stopped", "loss") == log(tmp_path / "two", "loss")
