"""A trainer of TRL publishes each epoch, also when it continues from a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.trainers import WordLevelTrainer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from hf_clipdyn import PublishRevisions, list_revisions
from hf_clipdyn.revisions.verify import verify

REPO = "me/tuned"
TEXTS = [f"the number {index} comes after {index - 1}" for index in range(1, 41)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator(TEXTS, WordLevelTrainer(special_tokens=["<unk>", "<pad>", "<eos>"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>"
    )


def tuner(folder: Path, tokenizer: PreTrainedTokenizerFast, epochs: int) -> Any:
    """A trainer of TRL, 5 steps an epoch."""
    trl = pytest.importorskip("trl", reason="TRL is not installed: `pip install trl`")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
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
        LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **size, **special)),
        settings,
        train_dataset=Dataset.from_dict({"text": TEXTS}),
        processing_class=tokenizer,
        callbacks=[PublishRevisions(REPO)],
    )


def test_supervised_fine_tuning_publishes_each_epoch_and_continues(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tuner(tmp_path, tokenizer, 1).train()
    continued = tuner(tmp_path, tokenizer, 2)
    continued.train(resume_from_checkpoint=True)

    revisions = list_revisions(tmp_path)
    assert [(one.name, one.step, one.samples_seen) for one in revisions] == [
        ("epoch-000", 0, 0),
        ("epoch-001", 5, 40),
        ("epoch-002", 10, 80),
    ]
    assert not verify(tmp_path, deep=True).findings
    folders = [tmp_path / "revisions" / one.name for one in revisions]
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in folders]
    last = continued.model.state_dict()
    assert all(torch.equal(value, last[name]) for name, value in models[-1].state_dict().items())
    for model, folder in zip(models, folders, strict=True):
        words = AutoTokenizer.from_pretrained(folder)(TEXTS[:2], return_tensors="pt")
        assert model(words["input_ids"]).logits.shape == (2, 6, len(tokenizer))
    assert "LlamaForCausalLM.from_pretrained" in (folders[-1] / "README.md").read_text()
