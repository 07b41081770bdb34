"""A Trainer's output folder, one of its checkpoints, and a model are revisions; adapters go with their base model."""

import json
import math
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_clipdyn.errors import ConfigError, ModelError, RevisionError, RevisionNotFoundError
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, model_files
from hf_clipdyn.revisions import list_revisions, load_revision, open_series
from hf_clipdyn.revisions.folders import with_base

LOGGED = [
    {"step": 1, "loss": 2.0, "learning_rate": 0.5},
    {"step": 1, "eval_loss": 1.5},
    {"step": 2, "loss": 1.0, "learning_rate": 0.25},
]


def _write_state(checkpoint: Path, **changes: Any) -> None:
    step = int(checkpoint.name.rpartition("-")[2])
    state = {"global_step": step, "epoch": step / 2, "log_history": LOGGED[: 2 * step - 1]}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state | changes))


@pytest.fixture
def out(tmp_path: Path, trained) -> Path:
    """What a Trainer leaves: two checkpoints, and beside them the processor that they lack."""
    out = tmp_path / "out"
    for step in (2, 1):
        checkpoint = out / f"checkpoint-{step}"
        trained(step)(checkpoint)
        for name in PROCESSOR_NAMES:
            if (checkpoint / name).exists():
                (checkpoint / name).replace(out / name)
        _write_state(checkpoint)
    (out / "runs").mkdir()  # of TensorBoard
    return out


def test_checkpoints_are_revisions_by_step_with_what_was_logged_until_then(out: Path) -> None:
    first, second = revisions = list_revisions(out)
    assert [(one.name, one.step, one.epoch) for one in revisions] == [
        ("step-00000001", 1, None),
        ("step-00000002", 2, 1),
    ]
    assert (first.loss, first.learning_rate, first.validation_loss) == (2.0, 0.5, 1.5), "later states know it"
    assert (second.loss, second.learning_rate, second.validation_loss) == (1.0, 0.25, None)
    weights = (out / "checkpoint-2" / "model.safetensors").read_bytes()
    assert (second.sha256, second.size) == (sha256(weights).hexdigest(), len(weights))
    assert first.commit != second.commit
    assert open_series(out).repo_id == "out"
    assert list_revisions(out / "checkpoint-2") == [second]


def test_a_checkpoint_is_fetched_with_the_processor_beside_it_and_its_own_comes_first(
    out: Path, trained, tmp_path: Path
) -> None:
    series = open_series(out)
    first, second = series.revisions()
    for _ in range(2):
        folders = [series.fetch(one) for one in (first, second)]
    for step, folder in enumerate(folders, start=1):
        expected = trained(step)
        expected(tmp_path / str(step))
        for path in (tmp_path / str(step)).iterdir():
            assert (folder / path.name).read_bytes() == path.read_bytes()
    loaded, other = (load_revision(out, one.name).state_dict() for one in (first, second))
    assert not torch.equal(loaded["text_projection.weight"], other["text_projection.weight"])
    own = out / "checkpoint-1" / "tokenizer_config.json"
    own.write_text('{"model_max_length": 7}')
    (changed, _) = series.revisions()
    assert changed.commit != first.commit
    fetched = series.fetch(changed)
    assert (fetched / own.name).read_bytes() == own.read_bytes()
    assert (fetched / "tokenizer.json").exists() is False, "a tokenizer is that of one place"
    with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
        series.fetch(first)


def test_a_model_saved_at_the_end_is_main_unless_a_checkpoint_has_its_content(out: Path, trained) -> None:
    for path in (out / "checkpoint-2").iterdir():
        shutil.copyfile(path, out / path.name)
    assert [one.name for one in list_revisions(out)] == ["step-00000001", "step-00000002"]
    trained(5)(out)
    assert [one.name for one in list_revisions(out)] == ["step-00000001", "step-00000002", "main"]
    shutil.rmtree(out / "checkpoint-1")
    shutil.rmtree(out / "checkpoint-2")
    (alone,) = list_revisions(out)
    assert (alone.name, alone.step, alone.loss) == ("main", 2, 1.0), "the state beside it is the last one"
    (out / "trainer_state.json").unlink()
    (alone,) = list_revisions(out)
    assert (alone.step, alone.epoch, alone.loss) == (None, None, None)


def test_a_checkpoint_in_writing_is_none_and_one_without_weights_cannot_be_fetched(out: Path) -> None:
    (out / "checkpoint-2" / "trainer_state.json").unlink()  # it is written after the weights
    (first,) = list_revisions(out)
    assert first.name == "step-00000001"
    _write_state(out / "checkpoint-2")
    (out / "checkpoint-2" / "model.safetensors").unlink()
    series = open_series(out)
    *_, second = series.revisions()
    with pytest.raises(RevisionError, match=r"step-00000002 of .*out has no whole model"):
        series.fetch(second)
    (out / "checkpoint-1" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="out contains no model"):
        list_revisions(out)


@pytest.mark.parametrize("moment", ["before it is fetched", "while it is listed", "all of them"])
def test_a_checkpoint_that_a_trainer_removes_is_a_revision_that_is_not_found(
    out: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    series = open_series(out)
    first, _ = series.revisions()
    models = series.models()
    if moment == "while it is listed":
        monkeypatch.setattr(series, "models", lambda: models)
    for checkpoint in out.glob("checkpoint-*" if moment == "all of them" else "checkpoint-1"):
        shutil.rmtree(checkpoint)
    with pytest.raises(RevisionNotFoundError):
        series.fetch(first) if moment == "before it is fetched" else series.revisions()


def test_a_number_that_is_none_is_unknown_and_a_broken_state_is_refused(out: Path) -> None:
    _write_state(out / "checkpoint-2", log_history=[{"loss": math.nan, "step": 1}], epoch=math.inf)
    assert [(one.loss, one.epoch) for one in list_revisions(out)] == [(None, None), (None, None)]
    (out / "checkpoint-2" / "trainer_state.json").write_text("[")
    with pytest.raises(RevisionError, match=r"checkpoint-2.*trainer_state\.json"):
        list_revisions(out)


# --- adapters ---


@pytest.fixture
def adapters(tmp_path: Path, trained) -> Path:
    """A checkpoint of adapters on the model in the folder `base`; their weights are not read here."""
    trained(0)(tmp_path / "base")
    checkpoint = tmp_path / "tuned" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    named = {"base_model_name_or_path": str(tmp_path / "base")}
    (checkpoint / "adapter_config.json").write_text(json.dumps(named))
    (checkpoint / "adapter_model.safetensors").write_bytes(b"adapters")
    _write_state(checkpoint)
    return checkpoint


def test_adapters_are_fetched_with_their_base_model_and_another_base_is_another_revision(
    adapters: Path, trained, tmp_path: Path
) -> None:
    series = open_series(adapters.parent)
    (revision,) = series.revisions()
    folder = series.fetch(revision)
    names = {path.name for path in folder.iterdir()}
    assert names == {*model_files(tmp_path / "base"), "adapter_config.json", "adapter_model.safetensors"}
    assert (folder / "model.safetensors").resolve() == tmp_path / "base" / "model.safetensors"
    assert revision.sha256 == sha256(b"adapters").hexdigest()
    trained(1)(tmp_path / "base")
    (changed,) = series.revisions()
    assert (changed.sha256, changed.commit != revision.commit) == (revision.sha256, True)
    (tmp_path / "base" / "model.safetensors").unlink()
    (gone,) = series.revisions()
    with pytest.raises(RevisionError, match="base, whose files are not there or have changed"):
        series.fetch(gone)


def test_adapters_beside_whole_weights_are_no_model(adapters: Path, trained) -> None:
    trained(3)(adapters)
    with pytest.raises(ConfigError, match="tuned contains no model"):
        list_revisions(adapters.parent)


def test_adapters_that_version_0_3_published_on_a_folder_need_its_files_unchanged(
    adapters: Path, trained, tmp_path: Path
) -> None:
    base, settings = tmp_path / "base", adapters / "adapter_config.json"
    named = json.loads(settings.read_text())
    settings.write_text(json.dumps(named | {"revision": list_revisions(base)[0].commit}))
    assert with_base(adapters)["config.json"] == base / "config.json"
    trained(1)(base)
    with pytest.raises(RevisionError, match="base, whose files are not there or have changed"):
        with_base(adapters)
    settings.write_text(json.dumps(named))
    with pytest.raises(ModelError, match="names no base model with its revision"):
        with_base(adapters)
