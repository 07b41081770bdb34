"""What a Trainer says of its run: the facts of the cards, and what decides the weights of a step."""

import hashlib
import json
from typing import Any

from transformers import TrainingArguments

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.training.live_weights import adapted, adapter_parameters, parents_of, unwrapped
from hf_clipdyn.training.model import model_facts

# What decides the weights of a step. The number of epochs is not here: a longer run may continue a shorter one.
_RECIPE = (
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "seed",
    "data_seed",
    "bf16",
    "fp16",
)

_SAVED = ("_name_or_path", "architectures", "dtype", "transformers_version")
"""What saving or loading a model changes in its configuration."""

_ADAPTED = ("base_model_name_or_path", "inference_mode", "peft_version", "revision")
"""What says of adapters where they come from, not what they are."""


def card_facts(repo_id: str, args: TrainingArguments, model: Any, processor: Any | None) -> CardFacts:
    """What the cards of the revisions say by default."""
    recipe = {name: getattr(args, name) for name in _RECIPE} | {
        "num_train_epochs": args.num_train_epochs,
        "max_steps": args.max_steps,
        "batch size per device": args.train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "processes": args.world_size,
    }
    bare = unwrapped(model)
    of_model = model_facts(bare, processor)
    return CardFacts(
        repo_id=repo_id,
        task="zero-shot-image-classification" if hasattr(bare, "get_image_features") else None,
        seed=args.seed,
        recipe={
            name: str(getattr(value, "value", value))
            for name, value in recipe.items()
            if value not in (None, -1)
        },
        language=(),
        parents=parents_of(model),
        **of_model | {"parameters": of_model["parameters"] - adapter_parameters(model)},
    )


def recipe_hash(args: TrainingArguments, model: Any) -> str:
    """Name what decides the weights of a step, so that a journal of another run is not continued."""
    bare, adapters = unwrapped(model), adapted(model)
    decisive: dict[str, Any] = {name: str(getattr(args, name)) for name in _RECIPE}
    decisive["batch"] = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    settings = bare.config.to_dict()
    if "problem_type" in settings:
        settings["problem_type"] = None  # a classifier sets it in its first forward pass
    decisive["model"] = {name: value for name, value in settings.items() if name not in _SAVED}
    decisive["dtype"] = str(bare.dtype)
    if adapters is not None:
        decisive["adapters"] = {
            name: {
                key: sorted(value) if isinstance(value, set) else value
                for key, value in vars(one).items()
                if key not in _ADAPTED
            }
            for name, one in adapters.peft_config.items()
        }
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
