"""A trainer of TRL publishes each epoch, also when it continues from a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trained import REPO, equal, make_processor, served
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from hf_clipdyn import PublishRevisions, list_revisions
from hf_clipdyn.revisions.verify import verify

TEXTS = [f"the number {index} comes after {index - 1}" for index in range(1, 41)]
TOKENIZER = make_processor().tokenizer


def tuner(folder: Path, epochs: int) -> Any:
    """A trainer of TRL, 5 steps an epoch."""
    trl = pytest.importorskip("trl", reason="TRL is not installed: `pip install trl`")
    torch.manual_seed(0)
    special = {f"{name}_token_id": getattr(TOKENIZER, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 32, "vocab_size": len(TOKENIZER)}
    settings = trl.SFTConfig(
        str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        learning_rate=0.01,
        max_length=16,
        save_strategy="epoch",
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=None,  # TRL's default, which transformers calls deprecated
        disable_tqdm=True,
    )
    return trl.SFTTrainer(
        GPT2LMHeadModel(GPT2Config(**sizes, **special)),
        settings,
        train_dataset=Dataset.from_dict({"text": TEXTS}),
        processing_class=TOKENIZER,
        callbacks=[PublishRevisions(REPO)],
    )


def test_supervised_fine_tuning_publishes_each_epoch_and_continues(tmp_path: Path) -> None:
    tuner(tmp_path, 1).train()
    continued = tuner(tmp_path, 2)
    continued.train(resume_from_checkpoint=True)
    revisions = list_revisions(tmp_path)
    steps = [("epoch-000", 0, 0), ("epoch-001", 5, 40), ("epoch-002", 10, 80)]
    assert [(one.name, one.step, one.samples_seen) for one in revisions] == steps
    assert not verify(tmp_path, deep=True).findings
    assert equal(served(tmp_path, "epoch-002", AutoModelForCausalLM), continued.model)
    folder = tmp_path / "revisions" / "epoch-000"
    words = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt")
    logits = AutoModelForCausalLM.from_pretrained(folder)(words["input_ids"]).logits
    assert logits.shape[2] == len(TOKENIZER)
    assert "GPT2LMHeadModel.from_pretrained" in (folder / "README.md").read_text()
