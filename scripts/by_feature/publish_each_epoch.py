"""A plain accelerate loop that trains a small CLIP, publishes each epoch as a revision, and measures it.

    accelerate launch scripts/by_feature/publish_each_epoch.py --output_dir runs/by-feature
    accelerate launch scripts/by_feature/publish_each_epoch.py --benchmarks zero_shot/procedural
    accelerate launch --multi_gpu --num_processes 8 scripts/by_feature/publish_each_epoch.py --fsdp

Three calls publish: `Publisher`, `submit` and `finish`; `evaluate_model` measures. Copy them into your own training.
The data are the embedded world, so that it runs in seconds on a CPU, where accelerate shards nothing. Each process
contrasts the images of its own batch; `hf_clipdyn.training` contrasts those of all processes.
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin, set_seed
from torch.utils.data import DataLoader
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn import Publisher, evaluate_model, load_dataset, snapshot
from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import Row, epoch_name


def embedded_world(images):
    """Rows of images with captions, their processor, and what makes a batch of rows."""
    dataset = load_dataset("procedural", name="captions_small", split="train").select(range(images))
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

    return dataset, processor, collate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", type=Path, default=Path("runs/by-feature"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--benchmarks", nargs="+", help="measured after each epoch")
    parser.add_argument("--fsdp", action="store_true", help="shard the model over the processes (FSDP2)")
    args = parser.parse_args()

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["CLIPEncoderLayer"],
    )
    accelerator = Accelerator(fsdp_plugin=plugin if args.fsdp else None)
    set_seed(0)

    with accelerator.main_process_first():
        dataset, processor, collate = embedded_world(args.images)
    loader = DataLoader(dataset, args.batch_size, shuffle=True, drop_last=True, collate_fn=collate)
    model = CLIPModel(clip_config(model_size("tiny"), processor.tokenizer))
    if args.fsdp:
        # Scalars cannot be sharded: the temperature gets one dimension. The revisions have the scalar.
        model.logit_scale = torch.nn.Parameter(model.logit_scale.detach().reshape(1))
        # accelerate asks for the embeddings, to keep tied ones together; CLIP has none that are tied.
        model.get_input_embeddings = model.text_model.get_input_embeddings
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    step = 0

    def publish(epoch, loss):
        samples = step * args.batch_size * accelerator.num_processes
        row = Row(name=epoch_name(epoch), epoch=epoch, step=step, samples_seen=samples, loss=loss)
        publisher.submit(row, snapshot(model, processor))  # all processes take part
        if args.benchmarks:
            # No weight and no random state changes: training goes on as without this.
            evaluate_model(
                accelerator.unwrap_model(model),
                processor,
                args.benchmarks,
                repo_id="local/by-feature",
                revision=row.name,
                epoch=epoch,
                step=step,
                samples_seen=samples,
                output=args.output_dir / "results.parquet",
                show_progress=False,
            )

    with Publisher(args.output_dir, "local/by-feature", disable=not accelerator.is_main_process) as publisher:
        publish(0, None)
        for epoch in range(1, args.epochs + 1):
            model.train()
            total = torch.zeros((), device=accelerator.device)
            for steps, batch in enumerate(loader, 1):  # noqa: B007  (divides the total below)
                loss = model(**batch, return_loss=True).loss
                accelerator.backward(loss)
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
