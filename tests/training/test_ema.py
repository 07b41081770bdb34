"""The published average equals that of a plain loop."""

from collections.abc import Callable
from pathlib import Path

import torch
from training_runs import finished, hashes
from transformers import CLIPModel

from hf_clipdyn.cards import Parent
from hf_clipdyn.revisions.manifest import read_manifest
from hf_clipdyn.training.callbacks import Callback, Training

Flags = Callable[..., list[str]]


class _PlainAverage(Callback):
    """The average as one would write it down, a state for each epoch."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.states: list[dict[str, torch.Tensor]] = []

    @staticmethod
    def _weights(training: Training) -> dict[str, torch.Tensor]:
        state = training.unwrapped.encoder.state_dict()
        return {name: weight.double().clone() for name, weight in state.items()}

    def run_begins(self, training: Training) -> None:
        self._average = self._weights(training)
        self.states.append(dict(self._average))

    def step_ends(self, training: Training) -> None:
        for name, weight in self._weights(training).items():
            self._average[name] = self._decay * self._average[name] + (1 - self._decay) * weight

    def epoch_ends(self, training: Training) -> None:
        self.states.append(dict(self._average))


def test_the_average_equals_that_of_a_plain_loop_and_the_weights_stay_their_own(
    flags: Flags, tmp_path: Path
) -> None:
    plain = _PlainAverage(0.8)
    summary = finished(flags("with", ema_decay=0.8, num_train_epochs=2), plain)
    for epoch, expected in enumerate(plain.states):
        folder = summary.folder / "ema" / "revisions" / f"epoch-{epoch:03d}"
        found = CLIPModel.from_pretrained(folder).state_dict()
        for name, weight in expected.items():
            torch.testing.assert_close(
                found[name].double(), weight.reshape(found[name].shape), atol=1e-6, rtol=1e-5
            )
    finished(flags("without", num_train_epochs=2))
    weights = [hashes(tmp_path / folder) for folder in ("with", "without")]
    assert weights[0] == weights[1]
    second = tmp_path / "with" / "ema" / "revisions" / "epoch-002"
    card = (second / "README.md").read_text(encoding="utf-8")
    assert "base_model:\n- me/run\n" in card
    assert "base_model_relation: merge" in card
    assert "| averaged from | [me/run](https://huggingface.co/me/run), revision `epoch-002` |" in card
    assert read_manifest(second).parents == (Parent("me/run", same_name=True),)
