"""How far the weights move during training.

A state is a mapping of names to arrays. All floating-point parameters count, `logit_scale` as stored (its logarithm);
integer buffers (``position_ids``) do not. Layer normalisation makes the scale of many parameters arbitrary, so compare
lengths within one part.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats

__all__ = ["parts_of", "weight_path"]

_BLOCK = re.compile(r".*?\.\d+(?=\.)")
_IMAGE = ("vision", "visual")


def weight_path(states: Iterable[Mapping[str, ArrayLike]]) -> dict[str, dict[str, Any]]:
    """Lengths of the weights and of their steps between revisions, of the whole model and of its parts.

    The states are read one after the other; the first, the current one and the one before are in memory.

    Args:
        states: of each revision, in the order of training, at least two with the same parameters.

    Returns:
        By part, ``""`` for the whole model, else as `parts_of` names it, for E states: ``norms``, lengths of the
        weights, E numbers; ``steps``, lengths of the steps between neighbours, E - 1; ``path``, their sum; ``distance``
        from the first state to the last.

    Raises:
        MetricError: fewer than two states, other parameters or shapes than in the first one, a number that is not
            finite, no floating-point parameter.

    Examples:
        >>> from hf_clipdyn.metrics.weight_path import weight_path
        >>> path = weight_path([{"logit_scale": [0.0]}, {"logit_scale": [3.0]}, {"logit_scale": [2.0]}])[""]
        >>> path["steps"], path["path"], path["distance"]
        ([3.0, 1.0], 4.0, 2.0)
    """
    first: dict[str, NDArray[Any]] = {}
    before: dict[str, NDArray[Any]] = {}
    lengths: dict[str, list[Floats]] = defaultdict(list)  # of the weights, of the step, of the way so far
    n = 0
    for state in states:
        now = {name: np.asarray(values) for name, values in state.items()}
        now = {name: values for name, values in now.items() if values.dtype.kind == "f"}
        first, before = first or now, before or now
        _check(now, first, n)
        row: dict[str, Floats] = defaultdict(lambda: np.zeros(3))
        for name, values in now.items():
            single = np.result_type(values, np.float32)
            moved = (np.subtract(values, start[name], dtype=single) for start in (before, first))
            sums = np.array([np.square(one, dtype=np.float64).sum() for one in (values, *moved)])
            for part in ("", *parts_of(name)):
                row[part] += sums
        for part, total in row.items():
            lengths[part].append(np.sqrt(total))
        before, n = now, n + 1
    if n < 2:
        raise MetricError(f"A path needs at least two states, but there are {n}.")
    return {part: _path(np.array(rows)) for part, rows in lengths.items()}


def parts_of(name: str) -> list[str]:
    """The parts of a CLIP that a parameter belongs to: its tower and its block, by its name.

    Args:
        name: as in a state dict of transformers or open_clip.

    Returns:
        "image" or "text", or neither for the scale and the bias of the logits; then the layer, or outside the layers
        the module. The token embedding is a block of its own, since it is longer than all others.

    Examples:
        >>> from hf_clipdyn.metrics.weight_path import parts_of
        >>> parts_of("vision_model.encoder.layers.3.mlp.fc1.weight")
        ['image', 'vision_model.encoder.layers.3']
        >>> parts_of("text_model.embeddings.token_embedding.weight")
        ['text', 'text_model.embeddings.token_embedding']
        >>> parts_of("logit_scale")
        ['logit_scale']
    """
    if name in ("logit_scale", "logit_bias"):
        return [name]
    layer = _BLOCK.match(name)
    block = layer[0] if layer else name.removesuffix(".weight").removesuffix(".bias")
    return ["image" if name.startswith(_IMAGE) else "text", block]


def _check(state: Mapping[str, NDArray[Any]], first: Mapping[str, NDArray[Any]], at: int) -> None:
    if not state:
        raise MetricError("A state has no floating-point parameter: give a mapping of names to arrays.")
    other = sorted(state.keys() ^ first.keys())
    if other:
        raise MetricError(
            f"The parameters of state {at} differ from the parameters of the first one, for example in {other[0]}."
        )
    for name, values in state.items():
        if values.shape != first[name].shape:
            raise MetricError(
                f"{name} has the shape {values.shape} in state {at}, but {first[name].shape} in the first one."
            )
        if not np.isfinite(values).all():
            raise MetricError(f"The parameter {name} has numbers that are not finite.")


def _path(lengths: Floats) -> dict[str, Any]:
    norms, steps, ways = lengths.T
    return {
        "norms": norms.tolist(),
        "steps": steps[1:].tolist(),
        "path": float(steps[1:].sum()),
        "distance": float(ways[-1]),
    }
