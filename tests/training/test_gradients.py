"""Every way to compute gradients, in 1, 2 and 3 real processes, against autograd on the whole batch in one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from gradients_worker import LOSSES, WAYS, double_precision, global_batch, gradients, tiny_model

from hf_clipdyn.training.gradients import accumulated, cached
from hf_clipdyn.training.losses import Contrastive, Features, make_loss

pytestmark = pytest.mark.usefixtures("exact")
WORKER = Path(__file__).with_name("gradients_worker.py")
Gradients = dict[str, torch.Tensor]
EXACT = 1e-12  # of the norm, in double precision


@pytest.fixture
def exact() -> Iterator[None]:
    """Every test computes in double precision, see `gradients_worker`."""
    with double_precision():
        yield


def reference(loss: str, rows: list[list[int]]) -> tuple[float, Gradients]:
    """Loss and gradients of one process without any of our ways: the mean over the batches that the rows name."""
    model = tiny_model(loss).train()
    batch = global_batch()
    total: dict[str, torch.Tensor] = {}
    values = []
    for chosen in rows:
        value = make_loss(loss)(model(batch.pixels[chosen], batch.input_ids[chosen]))
        model.zero_grad()
        value.backward()
        values.append(float(value.detach()))
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                total[name] = total.get(name, 0) + parameter.grad / len(rows)
    return sum(values) / len(rows), total


def micro_batches(processes: int) -> list[list[int]]:
    """The rows of the first and of the second half of each process's part."""
    size = 24 // processes
    parts = [list(range(size * i, size * (i + 1))) for i in range(processes)]
    return [[row for part in parts for row in part[half : half + size // 2]] for half in (0, size // 2)]


def norm(found: Gradients) -> float:
    return float(torch.cat([gradient.flatten() for gradient in found.values()]).double().norm())


def assert_same(found: Gradients, expected: Gradients, what: str, exact: float = EXACT) -> None:
    assert found.keys() == expected.keys()
    whole = norm(expected)
    for name, gradient in expected.items():
        difference = float((found[name] - gradient).norm())
        if name.endswith(
            "k_proj.bias"
        ):  # softmax does not see what all keys share: the gradient is 0, plus rounding
            assert max(float(gradient.norm()), float(found[name].norm())) <= exact * whole, (what, name)
            continue
        assert float(gradient.norm()) > 0, f"{name} gets no gradient"
        assert difference <= exact * float(gradient.norm()), (what, name, difference / float(gradient.norm()))


def check(outcome: dict[str, Any], loss: str, way: str, processes: int, what: str) -> None:
    rows = micro_batches(processes) if way == "accumulated" else [list(range(24))]
    value, expected = reference(loss, rows)
    assert float(outcome["loss"]) == pytest.approx(value, rel=EXACT), what
    assert float(outcome["norm"]) == pytest.approx(norm(expected), rel=EXACT), what
    assert_same(outcome["gradients"], expected, what, EXACT)


def check_processes(processes: int, folder: Path, launch: Callable[..., str]) -> None:
    launch(processes, WORKER, str(folder / "outcome.pt"))
    outcome = torch.load(folder / "outcome.pt", weights_only=True)
    assert len(outcome) == 2 * len(LOSSES) * len(WAYS)
    for what, found in outcome.items():
        wrapper, loss, way = what.split(", ")
        check(found, loss, way, processes, f"{processes} processes, {what}")
        if processes > 1:
            assert found["synchronised"] == (wrapper == "data parallel"), what


@pytest.mark.parametrize("loss", LOSSES)
def test_in_one_process_every_way_gives_the_gradients_of_the_whole_batch(loss: str) -> None:
    for way, found in gradients(Accelerator(cpu=True), loss):
        check(found, loss, way, 1, way)


def test_two_processes_give_every_gradient_of_one_process_with_the_whole_batch(
    tmp_path: Path, launch: Callable[..., str]
) -> None:
    check_processes(2, tmp_path, launch)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_other_numbers_of_processes_do_so_too(
    processes: int, tmp_path: Path, launch: Callable[..., str]
) -> None:
    check_processes(processes, tmp_path, launch)


class Noisy(nn.Module):
    """A model with dropout that remembers the random numbers it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(3 * 16 * 16, 8), nn.Embedding(600, 8)
        self.logit_scale = nn.Parameter(torch.tensor([2.0]))
        self.drawn: list[torch.Tensor] = []
        self.double()

    def forward(self, pixels: torch.Tensor, input_ids: torch.Tensor) -> Features:
        mask = torch.rand(len(pixels), 8)
        self.drawn.append(mask)
        images = self.image(pixels.flatten(1).float() / 255) * (mask > 0.5)
        return Features(images, self.text(input_ids).mean(1), self.logit_scale.exp())


def test_the_second_pass_of_the_gradient_cache_draws_the_random_numbers_of_the_first() -> None:
    model, batch = Noisy(), global_batch()
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(3)
    cached(accelerator, model, Contrastive(), 10)(batch)
    first, second = model.drawn[:3], model.drawn[3:]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    torch.manual_seed(3)
    parts = [model(batch.pixels[i : i + 10], batch.input_ids[i : i + 10]) for i in (0, 10, 20)]
    joined = (torch.cat([part[i] for part in parts]) for i in (0, 1))
    Contrastive()(Features(*joined, parts[0].scale)).backward()
    assert_same(
        found, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, "dropout"
    )


def test_the_gradient_cache_holds_no_graph_larger_than_a_chunk() -> None:
    model, sizes = Noisy(), []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    cached(Accelerator(cpu=True), model, Contrastive(), 10)(global_batch())
    assert sizes == [10, 10, 4, 10, 10, 4]
    sizes.clear()
    cached(Accelerator(cpu=True), model, Contrastive(), 24)(global_batch())
    assert sizes == [24], "one chunk needs no second pass"


@pytest.mark.parametrize("loss", LOSSES)
def test_activation_checkpointing_changes_no_gradient(loss: str) -> None:
    accelerator, batch = Accelerator(cpu=True), global_batch()
    found = []
    for settings in ({}, {"gradient_checkpointing": True}):
        model = tiny_model(loss, **settings).train()
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, to=saved: (to.append(x.numel()), x)[1], lambda x: x
        ):
            accumulated(accelerator, model, make_loss(loss))(batch)
        found.append((sum(saved), {name: p.grad for name, p in model.named_parameters()}))
    (plain_memory, plain), (memory, checkpointed) = found
    assert memory < 0.7 * plain_memory
    assert all(torch.equal(checkpointed[name], gradient) for name, gradient in plain.items())
