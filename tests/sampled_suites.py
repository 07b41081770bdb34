"""Suites of checkpoints in memory, to be read in parts: tensors as safetensors or `.bin`, whole or in shards."""

import hashlib
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from hf_clipdyn.errors import RevisionNotFoundError
from hf_clipdyn.revisions.repository import FileRecord

Tensors = Mapping[str, torch.Tensor]
Files = dict[str, bytes]


def safetensors(tensors: Tensors) -> Files:
    return {"model.safetensors": save({name: value.contiguous() for name, value in tensors.items()})}


def torch_bin(tensors: Tensors, *, zipped: bool = True) -> Files:
    """As torch 1.6 and later write it, or as earlier versions did."""
    file = io.BytesIO()
    torch.save(dict(tensors), file, _use_new_zipfile_serialization=zipped)
    return {"pytorch_model.bin": file.getvalue()}


def shards(tensors: Tensors, total: int = 2) -> Files:
    """The tensors in ``total`` files of consecutive names."""
    names = list(tensors)
    parts = [names[len(names) * part // total : len(names) * (part + 1) // total] for part in range(total)]
    files = {
        f"model-{part + 1:05d}-of-{total:05d}.safetensors": save({name: tensors[name] for name in own})
        for part, own in enumerate(parts)
    }
    return files | {"model.safetensors.index.json": b"{}"}


class Suite:
    """A repository of these revisions: a `ReadableRepository` that counts what is read."""

    where, on_disk = "the suite", False

    def __init__(self, revisions: Mapping[str, Files]) -> None:
        self._files = {hashlib.sha1(name.encode()).hexdigest(): files for name, files in revisions.items()}
        self._refs = {name: hashlib.sha1(name.encode()).hexdigest() for name in revisions}
        self.parts: list[int] = []

    def refs(self) -> dict[str, str]:
        return {"main": list(self._refs.values())[-1]} | self._refs

    def files(self, commit: str) -> dict[str, FileRecord]:
        if commit not in self._files:
            raise RevisionNotFoundError(commit)
        hashes = {path: hashlib.sha256(content).hexdigest() for path, content in self._files[commit].items()}
        return {path: FileRecord(len(self._files[commit][path]), one, one) for path, one in hashes.items()}

    def read(self, commit: str, path: str, size: int | None = None, offset: int = 0) -> bytes:
        content = self._files[commit][path][offset:]
        part = content if size is None else content[:size]
        self.parts.append(len(part))
        return part

    def fetched(self, commit: str, path: str) -> AbstractContextManager[Path]:
        raise AssertionError("files are read in parts")

    def absent_files(self, commit: str) -> list[str]:
        return []


def adamw_series(
    seed: int,
    *,
    order: int = 0,
    revisions: int = 12,
    steps: int = 60,
    decay: float = 0.1,
    same_until: int = 0,
) -> list[dict[str, NDArray[np.float32]]]:
    """Weights of a synthetic run under AdamW: the seed gives the start and the goal, the order the noise.

    Half of the input embeddings have no gradient, as those of tokens that never occur.

    Args:
        seed: of the initialisation.
        order: of the data.
        revisions: how many states, the initialisation first.
        steps: between two of them.
        decay: weight decay.
        same_until: the revision up to which the order is 0.
    """
    start = np.random.default_rng(seed)
    shapes = {"wte.weight": (128, 64)} | {f"layer.{index}.weight": (64, 64) for index in range(4)}
    weights = {name: start.normal(0, 1, shape) for name, shape in shapes.items()}
    goals = {name: start.normal(0, 1, shape) for name, shape in shapes.items()}
    first, second = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
    states = [{name: value.astype(np.float32) for name, value in weights.items()}]
    total = (revisions - 1) * steps
    for step in range(total):
        noise = np.random.default_rng([order if step >= same_until * steps else 0, step])
        rate = 4e-3 * 0.5 * (1 + np.cos(np.pi * step / total))
        for name, value in weights.items():
            gradient = 0.3 * (value - goals[name]) + noise.normal(0, 1, value.shape)
            if name == "wte.weight":
                gradient[64:] = 0
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.99 * second[name] + 0.01 * gradient**2
            value *= 1 - rate * decay
            value -= (
                rate
                * first[name]
                / (1 - 0.9 ** (step + 1))
                / (np.sqrt(second[name] / (1 - 0.99 ** (step + 1))) + 1e-8)
            )
        if (step + 1) % steps == 0:
            states.append({name: value.astype(np.float32) for name, value in weights.items()})
    return states


STEPS = (0, *(2**power for power in range(8)), *range(256, 1537, 128))
"""Of a trained suite: 20 revisions, as Pythia spaces them."""


def trained_lm(
    seed: int = 0, order: int = 0, *, start: Tensors | None = None, peak: float = 1e-3
) -> tuple[list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]]]:
    """A language model of Pythia's architecture, trained by AdamW on random Markov chains of the
    second order, which it does not learn to the end.

    A quarter of the vocabulary never occurs.

    Args:
        seed: of the initialisation.
        order: of the data.
        start: weights to begin with instead.
        peak: the learning rate, after a warm-up and before a cosine.

    Returns:
        The states at `STEPS`, and those of their exponential moving average.
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=256, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=32, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPTNeoXForCausalLM(config)
    if start is not None:
        model.load_state_dict(dict(start))
    follows = torch.from_numpy(np.random.default_rng(0).integers(0, 192, (192, 192, 4)))
    noise = np.random.default_rng([1, order])
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}]
    )
    kept: list[dict[str, torch.Tensor]] = []
    averages: list[dict[str, torch.Tensor]] = []
    mean = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            for states, now in ((kept, model.state_dict()), (averages, mean)):
                states.append({name: value.clone() for name, value in now.items()})
        for group in optimiser.param_groups:
            group["lr"] = peak * min((step + 1) / 32, 0.55 + 0.45 * np.cos(np.pi * step / STEPS[-1]))
        words = [*torch.from_numpy(noise.integers(0, 192, (2, 16)))]
        for _ in range(22):
            words.append(follows[words[-2], words[-1], torch.from_numpy(noise.integers(0, 4, 16))])
        batch = torch.stack(words, 1)
        optimiser.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimiser.step()
        for name, value in model.state_dict().items():
            mean[name].lerp_(value, 0.01)
    return kept, averages
