"""Run by torchrun: the gradients of one global batch of 24, split among 1, 2 or 3 processes, in every way.

All is computed in double precision, in which rounding is far below every error of method. In single precision, the
gradients of plain autograd are themselves wrong by up to 1.4e-6 of their norm.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import set_seed
from sharding import data_parallel_accelerator, sharded_accelerator
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from transformers import CLIPProcessor

sys.path.insert(0, str(Path(__file__).parents[1]))

from printed_blocks import printed_plugin

from hf_clipdyn.models.sizes import MODEL_SIZES, ModelSize, Tower, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch
from hf_clipdyn.training.device import end_training
from hf_clipdyn.training.gradients import make_backward
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.model import TrainedModel, make_model, unsharded

SIZE = ModelSize(16, 8, Tower(16, 2, 2), Tower(16, 1, 2), 8, context_length=8, vocab_size=600)
COLOURS, THINGS = ("red", "blue", "green"), ("cat", "car", "key", "tree", "dog", "boat", "bird", "clock")
CAPTIONS = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS]
printed_plugin("add-a-loss")
LOSSES = ("class_cross_entropy", "contrastive", "sigmoid")  # the first one is a plug-in
WAYS: dict[str, dict[str, int]] = {
    "whole": {},
    "cached": {"gradient_cache_chunk": 3},
    "unevenly cached": {"gradient_cache_chunk": 5},
    "accumulated": {"gradient_accumulation_steps": 2},
}


def double_precision() -> AbstractContextManager[object]:
    """Where the package casts to single precision, it casts to double precision instead."""
    return patch.object(torch.Tensor, "float", torch.Tensor.double)


def tiny_model(loss: str, **settings: Any) -> TrainedModel:
    """A model of two layers for that loss, in double precision."""
    tokenizer = train_tokenizer(CAPTIONS, vocab_size=600, context_length=8)
    processor = CLIPProcessor(image_processor=clip_image_processor(SIZE), tokenizer=tokenizer)
    set_seed(0)
    with patch.dict(MODEL_SIZES, gradients=SIZE):
        config = TrainingConfig(scale="gradients", attn_implementation="sdpa", **settings)
        return make_model(config, None, processor, make_loss(loss).model_type).double()


def global_batch() -> Batch:
    """Twenty-four pairs; ten captions come twice or more, in one process, chunk or micro-batch and across them."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (24, 3, 16, 16), generator=generator, dtype=torch.uint8)
    tokenizer = train_tokenizer(CAPTIONS, vocab_size=600, context_length=8)
    captions = [CAPTIONS[i % 10] for i in range(24)]
    ids = tokenizer(captions, padding="max_length", return_tensors="pt")["input_ids"]
    return Batch(pixels, ids)


def gradients(accelerator: Accelerator, loss: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and outcome of each way: its loss, every gradient, and how often gradients were synchronised."""
    model = tiny_model(loss)
    optimizer = torch.optim.SGD(model.parameters())
    model, optimizer = accelerator.prepare(model, optimizer)  # FSDP2 takes both or none
    synchronised = 0

    def counting(state: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        nonlocal synchronised
        synchronised += bucket.is_last()
        return allreduce_hook(state, bucket)

    if hasattr(model, "register_comm_hook"):
        model.register_comm_hook(None, counting)
    whole = global_batch()
    local = 24 // accelerator.num_processes
    rows = slice(local * accelerator.process_index, local * (accelerator.process_index + 1))
    for name, way in WAYS.items():
        synchronised = 0
        value = make_backward(TrainingConfig(**way), accelerator, model, make_loss(loss))(
            Batch(whole.pixels[rows], whole.input_ids[rows])
        )
        named = accelerator.unwrap_model(model).named_parameters()
        found = {parameter: unsharded(p.grad).clone() for parameter, p in named}
        norm = unsharded(accelerator.clip_grad_norm_(model.parameters(), 1e9))
        yield name, {"loss": value, "gradients": found, "norm": norm, "synchronised": synchronised}
        optimizer.zero_grad()


def main(output: str) -> None:
    # A thread that waits for the interpreter's lock waits until this one lets go of it: a process that ends in
    # the wrong order hangs often instead of once in hundreds of runs.
    sys.setswitchinterval(1000)
    outcome: dict[str, Any] = {}
    for wrapper in ("data parallel", "sharded"):
        for loss in LOSSES:
            accelerator = data_parallel_accelerator()
            if wrapper == "sharded":
                accelerator = sharded_accelerator()
            with double_precision():
                for way, found in gradients(accelerator, loss):
                    outcome[f"{wrapper}, {loss}, {way}"] = found
            accelerator.free_memory()
    if accelerator.is_main_process:
        torch.save(outcome, output)
    end_training(accelerator)


if __name__ == "__main__":
    main(sys.argv[1])
