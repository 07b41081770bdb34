"""What a run says on standard error: what it is about to do, and what to do next."""

import shlex
import sys
from pathlib import Path

from tqdm.auto import tqdm

from hf_clipdyn import progress
from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.errors import readable_size
from hf_clipdyn.training.loop import Training
from hf_clipdyn.training.model import TrainedModel

__all__ = ["beginning", "continuation", "draws_bars", "duration", "next_command", "say"]


def say(line: str) -> None:
    """Print a line on standard error, above the bar if one is drawn."""
    tqdm.write(line, file=sys.stderr)


def draws_bars(config: TrainingConfig) -> bool:
    """Whether bars are drawn; see `hf_clipdyn.progress.draws_bars`."""
    return progress.draws_bars() and not (config.disable_tqdm or config.quiet)


def beginning(
    config: TrainingConfig, training: Training, folder: Path, repo_id: str, steps: set[int]
) -> list[str]:
    """What a run is about to do, one line for each subject, warnings last.

    Args:
        config: settled by the machine.
        training: before its first step in this process.
        folder: of the run.
        repo_id: of its revisions.
        steps: whose states are published beside those of the epochs.
    """
    source, accelerator, model = training.source, training.accelerator, training.unwrapped
    captions = "" if source.captions is None else f" with {source.captions:,} captions"
    left_out = f"; {_count(source.left_out, 'image')} that fill no batch are left out of each"
    parameters = list(model.parameters())
    number = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    frozen = f" ({trained:,} of them trained)" if trained != number else ""
    size = sum(p.numel() * p.element_size() for p in parameters)
    threads = f", {_count(config.num_threads, 'thread')}" if accelerator.device.type == "cpu" else ""
    revisions = training.epochs + 1 + sum(step % source.steps_per_epoch > 0 for step in steps)
    where = f"{folder / 'hub'}{' and on the Hub' * config.push_to_hub}"
    average = (
        f", and as many of the averaged weights as {repo_id}-ema" if config.ema_decay is not None else ""
    )
    begun = f", from step {training.step} on" if training.step else ""
    lines = [
        f"Data: {config.dataset_name}, {_count(source.images, 'image')}{captions} an epoch"
        f"{left_out * bool(source.left_out)}.",
        f"Model: {config.size_name}, {number:,} parameters{frozen}; {accelerator.device.type} in "
        f"{'bf16' if config.bf16 else 'fp32'}, {config.attn_implementation} attention, "
        f"{_count(accelerator.num_processes, 'process')}{threads}.",
        f"Run: {_count(training.epochs, 'epoch')} of {_count(source.steps_per_epoch, 'step')} of "
        f"{_count(source.global_batch_size, 'image')}, {_count(training.total_steps, 'step')} in all{begun}.",
        f"Revisions: {revisions} as {repo_id} in {where}{average}, {readable_size(size)} each, "
        f"{readable_size(size * revisions)} in all.",
    ]
    if config.model_name_or_path is not None:
        lines.insert(1, _starting_point(config, model))
    if config.warmup_steps > training.total_steps:
        lines.append(
            f"Warning: warmup_steps is {config.warmup_steps} and the run has {_count(training.total_steps, 'step')}: "
            "the learning rate rises until the last step. Lower warmup_steps, or train for more epochs."
        )
    return lines


def continuation(folder: Path, processes: int) -> str:
    """The command that continues the run in ``folder``."""
    flags = f"--config {shlex.quote(str(folder / 'config.yaml'))} --resume_from_checkpoint true"
    if processes == 1:
        return f"clipdyn train {flags}"
    return f"torchrun --nproc_per_node {processes} scripts/train.py {flags}"


def next_command(repo_id: str, store: Path) -> str:
    """The command that evaluates the revisions of a run."""
    return f"clipdyn evaluate {repo_id} --store {shlex.quote(str(store))}"


def duration(seconds: float) -> str:
    """Whole seconds below two minutes, minutes below two hours, then hours.

    Examples:
        >>> from hf_clipdyn.training.statements import duration
        >>> duration(75), duration(600), duration(9000)
        ('75 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _starting_point(config: TrainingConfig, model: TrainedModel) -> str:
    parts: dict[str, bool] = {}
    for name, parameter in model.encoder.named_parameters():
        part = name.partition(".")[0]
        parts[part] = parts.get(part, False) or parameter.requires_grad
    trained, frozen = (", ".join(sorted(p for p in parts if parts[p] is one)) for one in (True, False))
    at = "" if config.model_revision == "main" else f" at {config.model_revision}"
    return f"The run continues {config.model_name_or_path}{at}. It trains {trained}." + (
        f" It does not train {frozen}." if frozen else ""
    )


def _count(number: int | None, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural * (number != 1)}"
