"""Run by torchrun: the gradients of one global batch of 8, split among however many processes there are."""

import sys

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import CLIPProcessor

from hf_clipdyn.models.sizes import ModelSize, Tower, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.device import end_training
from hf_clipdyn.training.loss import contrastive_loss
from hf_clipdyn.training.model import build_model

SIZE = ModelSize(16, 8, Tower(16, 2, 2), Tower(16, 1, 2), 8, context_length=8, vocab_size=600)
CAPTIONS = [f"a {colour} {thing}" for colour in ("red", "blue") for thing in ("cat", "car", "key", "tree")]


# A thread that waits for the interpreter's lock waits until this one lets go of it: a process that ends in
# the wrong order hangs often instead of once in hundreds of runs.
sys.setswitchinterval(1000)


def main(output: str) -> None:
    accelerator = Accelerator(cpu=True)
    tokenizer = train_tokenizer(CAPTIONS, vocab_size=600, context_length=8)
    set_seed(0)
    processor = CLIPProcessor(image_processor=clip_image_processor(SIZE), tokenizer=tokenizer)
    model = accelerator.prepare(build_model(SIZE, processor, "sdpa"))
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (8, 3, 16, 16), generator=generator, dtype=torch.uint8)
    ids = tokenizer(CAPTIONS, padding="max_length", return_tensors="pt")["input_ids"]
    local = slice(*(8 // accelerator.num_processes * (accelerator.process_index + i) for i in (0, 1)))
    accelerator.backward(contrastive_loss(*model(pixels[local], ids[local])))
    if accelerator.is_main_process:
        parameters = accelerator.unwrap_model(model).named_parameters()
        torch.save({name: p.grad.clone() for name, p in parameters if p.grad is not None}, output)
    del model
    end_training(accelerator)


if __name__ == "__main__":
    main(sys.argv[1])
