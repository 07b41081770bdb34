"""A `transformers.Trainer` whose epochs are published and measured: two callbacks, and nothing else of ours.

    accelerate launch scripts/by_feature/trainer_callbacks.py --output_dir runs/trainer

The data and the model are those of `publish_each_epoch.py`. The same callbacks work with the trainers of TRL.
"""

import argparse
from pathlib import Path

from publish_each_epoch import embedded_world
from transformers import CLIPModel, Trainer, TrainingArguments, set_seed

from hf_clipdyn import EvaluateRevisions, PublishRevisions
from hf_clipdyn.models.sizes import clip_config, model_size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output_dir", type=Path, default=Path("runs/trainer"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--benchmarks", nargs="+", default=["zero_shot/procedural"])
    args = parser.parse_args()

    training = TrainingArguments(
        args.output_dir,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size,
        learning_rate=1e-3,
        save_strategy="epoch",
        save_total_limit=1,
        remove_unused_columns=False,  # `collate` needs them
        report_to="none",
    )
    set_seed(training.seed)

    with training.main_process_first():
        dataset, processor, collate = embedded_world(args.images)
    trainer = Trainer(
        CLIPModel(clip_config(model_size("tiny"), processor.tokenizer)),
        training,
        train_dataset=dataset,
        data_collator=lambda rows: {**collate(rows), "return_loss": True},
        processing_class=processor,
        callbacks=[
            PublishRevisions("local/by-feature"),
            EvaluateRevisions(args.benchmarks, repo_id="local/by-feature"),
        ],
    )
    trainer.train()


if __name__ == "__main__":
    main()
