"""An exponential moving average of the weights, published beside the run's own revisions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import ProcessorMixin

from hf_clipdyn.errors import TrainingError
from hf_clipdyn.revisions import Publisher
from hf_clipdyn.training.callbacks import PublishStates
from hf_clipdyn.training.checkpoint import read_tensors
from hf_clipdyn.training.loop import Training

__all__ = ["PublishAverage"]

_FILE = "ema.safetensors"


class PublishAverage(PublishStates):
    """Averages the weights after each step, and publishes the average whenever `PublishStates` publishes the weights.

    ``average = decay * average + (1 - decay) * weights``, beginning with the initialisation. Frozen parameters are not
    averaged. The average of a sharded model is sharded in the same way.

    Args:
        publisher, processor, steps: see `PublishStates`; the average needs a publisher of its own.
        decay: share of the average that is kept at each step, in (0, 1).
    """

    def __init__(
        self, publisher: Publisher | None, processor: ProcessorMixin, steps: set[int], *, decay: float
    ) -> None:
        super().__init__(publisher, processor, steps)
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average: list[torch.Tensor] = []

    def run_begins(self, training: Training) -> None:
        if not self._average:
            self._average = [weight.clone() for weight in _weights(training)]
        super().run_begins(training)

    @torch.no_grad()
    def step_ends(self, training: Training) -> None:
        self._update(self._average, _weights(training), training.step)
        super().step_ends(training)

    def save_state(self, training: Training, folder: Path) -> None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        with self._in_place_of_weights(training):
            state: dict[str, Any] = {**get_model_state_dict(training.unwrapped, options=options)}
            # Within the block: the tensors may be the model's own.
            if training.accelerator.is_main_process:
                save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / _FILE)

    def load_state(self, training: Training, folder: Path) -> None:
        state: dict[str, Any] = {**read_tensors(folder / _FILE)}
        own = [weight.clone() for weight in _weights(training)]
        try:
            set_model_state_dict(training.unwrapped, state, options=StateDictOptions(full_state_dict=True))
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{folder / _FILE} does not contain the average of this model: continue from another checkpoint, or "
                "start again with --overwrite_output_dir."
            ) from error
        self._average = [weight.clone() for weight in _weights(training)]
        _copy(own, _weights(training))

    def _publish(self, training: Training, name: str, epoch: int | None, loss: float | None) -> None:
        with self._in_place_of_weights(training):
            super()._publish(training, name, epoch, loss)

    @contextmanager
    def _in_place_of_weights(self, training: Training) -> Iterator[None]:
        """Use the average as the model's weights within the block."""
        weights = _weights(training)
        own = [weight.clone() for weight in weights]
        _copy(self._average, weights)
        try:
            yield
        finally:
            _copy(own, weights)


def _weights(training: Training) -> list[torch.Tensor]:
    """The trained parameters of this process: in a sharded model, its shards of them."""
    weights = (p.detach() for p in training.unwrapped.parameters() if p.requires_grad)
    return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in weights]


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for ours, theirs in zip(source, target, strict=True):
        theirs.copy_(ours)
