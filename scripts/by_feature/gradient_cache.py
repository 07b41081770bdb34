"""`publish_each_epoch.py` with GradCache (Gao et al. 2021): a large batch in little memory; the new lines are marked.

accelerate launch scripts/by_feature/gradient_cache.py --output_dir runs/gradient-cache
"""

import argparse
from contextlib import nullcontext  # new
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.nn.functional import cross_entropy  # new
from torch.utils.data import DataLoader
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn import Publisher, load_dataset, snapshot
from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import Row, epoch_name


# >>> gradient_cache
def features(model, chunk):
    """Normalised embeddings of images and texts, and the logarithm of the temperature."""
    output = model(**chunk)
    return output.image_embeds, output.text_embeds, model_of(model).logit_scale


def model_of(model):
    return getattr(model, "module", model)


def contrastive_loss(images, texts, logit_scale):
    logits = logit_scale.exp() * images @ texts.T
    target = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def backward_in_chunks(accelerator, model, batch, size):
    """The gradients of the whole batch, with the activations of ``size`` images in memory; returns the loss."""
    count = len(batch["pixel_values"])
    chunks = [{name: x[start : start + size] for name, x in batch.items()} for start in range(0, count, size)]
    with torch.no_grad():  # first pass: embeddings only
        images, texts, logit_scale = zip(*(features(model, chunk) for chunk in chunks), strict=True)
    leaves = [x.detach().requires_grad_() for x in (torch.cat(images), torch.cat(texts), logit_scale[0])]
    loss = contrastive_loss(*leaves)
    of_images, of_texts, of_scale = torch.autograd.grad(loss, leaves)
    parts = zip(chunks, of_images.split(size), of_texts.split(size), strict=True)
    for number, (chunk, of_image, of_text) in enumerate(parts, 1):  # second pass: each chunk with its graph
        last = number == len(chunks)
        with nullcontext() if last else accelerator.no_sync(model):  # processes exchange gradients once
            image, text, logit_scale = features(model, chunk)
            product = (image * of_image).sum() + (text * of_text).sum()
            accelerator.backward(product + (logit_scale * of_scale if last else 0 * logit_scale))
    return loss.detach()


# <<< gradient_cache


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", type=Path, default=Path("runs/by-feature"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch_size", type=int, default=64)
    # >>> gradient_cache
    parser.add_argument("--chunk", type=int, default=16)
    # <<< gradient_cache
    args = parser.parse_args()

    accelerator = Accelerator()
    set_seed(0)

    with accelerator.main_process_first():
        dataset = load_dataset("procedural", name="captions_small", split="train")
    dataset = dataset.select(range(args.images))
    tokenizer = train_tokenizer(
        (text for texts in dataset["captions"] for text in texts), vocab_size=1024, context_length=16
    )
    processor = CLIPProcessor(image_processor=clip_image_processor(model_size("tiny")), tokenizer=tokenizer)

    def collate(rows):
        return processor(
            images=[row["image"] for row in rows],
            text=[row["captions"][0] for row in rows],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )

    loader = DataLoader(dataset, args.batch_size, shuffle=True, drop_last=True, collate_fn=collate)
    model = CLIPModel(clip_config(model_size("tiny"), tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    step = 0

    def publish(epoch, loss):
        samples = step * args.batch_size * accelerator.num_processes
        row = Row(name=epoch_name(epoch), epoch=epoch, step=step, samples_seen=samples, loss=loss)
        publisher.submit(row, snapshot(model, processor))  # all processes take part

    with Publisher(args.output_dir, "local/by-feature", disable=not accelerator.is_main_process) as publisher:
        publish(0, None)
        for epoch in range(1, args.epochs + 1):
            model.train()
            total = torch.zeros((), device=accelerator.device)
            for steps, batch in enumerate(loader, 1):  # noqa: B007  (divides the total below)
                # >>> gradient_cache
                loss = backward_in_chunks(accelerator, model, batch, args.chunk)
                # <<< gradient_cache
                optimizer.step()
                optimizer.zero_grad()
                total += loss.detach()
                step += 1
            mean = total.item() / steps
            publish(epoch, mean)
            accelerator.print(f"epoch {epoch}: loss {mean:.4f}")
        accelerator.print(publisher.finish().message)
    accelerator.end_training()


if __name__ == "__main__":
    main()
