"""Trains a small model with a real Trainer that publishes its states; run as a script, it can kill itself.

python trained.py FOLDER MODEL [--sharded] [--resume] [--kill EVENT STEP] [--measured] [name=value …]

The last ones are TrainingArguments.
"""

import argparse
import os
import signal
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from torch.distributed.tensor import DTensor
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    CLIPProcessor,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTForImageClassification,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny_models
from tiny_models import pair, vision_model

from hf_clipdyn.models.sizes import ModelSize, Tower, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.trainer import EvaluateRevisions, PublishRevisions
from hf_clipdyn.training.device import end_training

REPO = "me/run"
ROWS, WORDS, SIDE = 40, 8, 16

_TEXT = tiny_models.TEXT | {
    "vocab_size": 64,
    "max_position_embeddings": WORDS,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_VISION = tiny_models.VISION | {"num_hidden_layers": 1}


def make_model(name: str, *, vector: bool = False) -> PreTrainedModel:
    """A small model, from a fixed seed; with ``vector`` CLIP's temperature is no scalar, which FSDP cannot shard."""
    torch.manual_seed(0)
    if name == "clip":
        model = pair("CLIP", vision=_VISION, text=_TEXT, projection_dim=8)
        if vector:
            model.logit_scale = torch.nn.Parameter(model.logit_scale.detach().reshape(1))
            model.get_input_embeddings = model.text_model.get_input_embeddings  # accelerate asks for them
        return model
    if name == "siglip":
        return pair("Siglip", vision=_VISION, text=_TEXT)
    if name == "dual":
        text = BertModel(BertConfig(**_TEXT))
        return VisionTextDualEncoderModel(vision_model=vision_model("ViT", _VISION), text_model=text)
    if name == "classifier":
        return ViTForImageClassification(ViTConfig(**_VISION, num_labels=4))
    return GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=64, n_positions=WORDS))


def make_processor() -> CLIPProcessor:
    """A processor of images of 16 pixels."""
    size = ModelSize(SIDE, 8, Tower(16, 1, 2), Tower(16, 1, 2), 8, context_length=WORDS, vocab_size=300)
    tokenizer = train_tokenizer(["a picture"], vocab_size=300, context_length=WORDS)
    return CLIPProcessor(clip_image_processor(size), tokenizer)


def make_pair() -> tuple[PreTrainedModel, CLIPProcessor]:
    """A small CLIP and a processor whose tokenizer ends a text as the model's settings say."""
    model, processor = make_model("clip"), make_processor()
    model.config.text_config.eos_token_id = processor.tokenizer.eos_token_id
    return model, processor


class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Random images and words, the same in every process."""

    def __init__(self, language: bool, labelled: bool = False) -> None:
        self._language, self._labelled = language, labelled

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        words = torch.randint(2, 64, (WORDS,), generator=generator)
        words[-1] = 1  # CLIP pools at the end of the text
        if self._language:
            return {"input_ids": words, "labels": words}
        pixels = torch.randn(3, SIDE, SIDE, generator=generator)
        if self._labelled:
            return {"pixel_values": pixels, "labels": torch.tensor(index % 4)}
        return {"input_ids": words, "pixel_values": pixels}


def measuring() -> EvaluateRevisions:
    """Measures the distortions of the embedded world on each state."""
    return EvaluateRevisions("distortion/procedural", processor=make_processor(), show_progress=False)


class KillAt(TrainerCallback):
    """Kills the process at an event of a step, as a power failure would."""

    def __init__(self, event: str, step: int) -> None:
        def kill(args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(self, event, kill)


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
    batch: dict[str, Any] = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return batch if "labels" in batch else batch | {"return_loss": True}


def trainer(
    folder: Path, model: PreTrainedModel, *callbacks: TrainerCallback, rows: Any = None, **arguments: Any
) -> Trainer:
    """A Trainer of 40 rows: 5 steps an epoch, 2 epochs."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # of PEFT
    data = Rows(isinstance(bare, GPT2LMHeadModel), isinstance(bare, ViTForImageClassification))
    defaults = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.01,
        "save_steps": 5,
        "save_total_limit": 1,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }
    return Trainer(
        model,
        TrainingArguments(str(folder), **(defaults | arguments)),
        train_dataset=data if rows is None else rows,
        eval_dataset=data,
        data_collator=collate,
        callbacks=list(callbacks),
    )


def served(folder: Path, revision: str, kind: Any = AutoModel) -> PreTrainedModel:
    """The model that a run published."""
    return kind.from_pretrained(folder / "revisions" / revision)


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models have the same weights."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def shard() -> None:
    """Let a Trainer shard its model on CPUs, where accelerate alone passes over FSDP without a word."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
    from sharding import sharded_accelerator

    def make_accelerator(**_: Any) -> Accelerator:
        return sharded_accelerator(transformer_cls_names_to_wrap=["CLIPEncoderLayer"])

    transformers.trainer.Accelerator = make_accelerator


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill", nargs=2)
    parser.add_argument("--publish", default="epoch")
    parser.add_argument("--measured", action="store_true")
    parser.add_argument("--sharded", action="store_true")
    parser.add_argument("arguments", nargs="*")
    args = parser.parse_args()
    arguments = {
        name: literal_eval(value) for name, _, value in (one.partition("=") for one in args.arguments)
    }
    callbacks: list[TrainerCallback] = [PublishRevisions(REPO, publish=args.publish)]
    if args.measured:
        callbacks.append(measuring())
    if args.kill:
        callbacks.append(KillAt(args.kill[0], int(args.kill[1])))
    if args.sharded:
        shard()
    run = trainer(args.folder, make_model(args.model, vector=args.sharded), *callbacks, **arguments)
    run.train(resume_from_checkpoint=args.resume or None)
    if args.sharded:
        assert any(isinstance(one, DTensor) for one in run.model.parameters())
    accelerator = run.accelerator
    del run
    end_training(accelerator)


if __name__ == "__main__":
    main()
