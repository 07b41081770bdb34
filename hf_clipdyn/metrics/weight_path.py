"""The way of the weights through training: how far, and how straight.

A state is a mapping of names to arrays. All floating-point parameters count, `logit_scale` as stored (its logarithm);
integer buffers (``position_ids``) do not. Layer normalisation makes the scale of many parameters arbitrary, so compare
lengths also relative to the first state.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats

__all__ = ["parts_of", "weight_path"]

_State: TypeAlias = dict[str, NDArray[Any]]
_WHOLE = "whole"
_STILL = "the weights do not move"
_NO_SEQUENCE = "the states are not a sequence, so that the last one was not known in time"
_BLOCK = re.compile(r".*?\.\d+(?=\.)")
_IMAGE = ("vision", "visual")


def weight_path(states: Iterable[Mapping[str, ArrayLike]]) -> dict[str, Any]:
    """Lengths and directions of the steps between revisions, of the whole model and of its parts.

    The states are read one after the other. In memory are the first, the current one and the one before, the last step,
    and of a sequence its last state.

    Args:
        states: of each revision, in the order of training, at least two with the same parameters. A sequence may load
            a state when it is asked for.

    Returns:
        For E states:

        - ``norms``, lengths of the weights, E numbers; ``steps``, lengths of the steps between neighbours, E - 1;
          ``path``, their sum; ``distance`` from the first state to the last.
        - ``straightness`` in [0, 1], distance/path; ``relative_distance``, distance over the length of the first state.
        - ``cosines`` of each step with the one before, E - 2 numbers; ``cosines_with_whole``, of each step with the way
          from the first state to the last, E - 1; all NaN if ``states`` is not a sequence.
        - ``parts``: the same numbers for each part that `parts_of` names. ``causes``.
        A cosine with a step of length 0 is NaN, as is a ratio to a length of 0.

    Raises:
        MetricError: fewer than two states, other parameters or shapes than in the first one, a number that is not
            finite, no floating-point parameter.

    Examples:
        >>> from hf_clipdyn.metrics.weight_path import weight_path
        >>> path = weight_path([{"logit_scale": [0.0]}, {"logit_scale": [3.0]}, {"logit_scale": [2.0]}])
        >>> path["steps"], path["straightness"], path["cosines"]
        ([3.0, 1.0], 0.5, [-1.0])
    """
    end = _parameters(states[-1]) if isinstance(states, Sequence) and states else None
    first: _State = {}
    before: _State = {}
    step: _State = {}
    rows: list[dict[str, Floats]] = []
    for state in states:
        now = _parameters(state)
        first = first or now
        _check_alike(now, first, f"state {len(rows)}")
        _check_alike(end or first, first, "the last state")
        row: dict[str, Floats] = {}
        for name, values in now.items():
            moved = np.subtract(values, before.get(name, values), dtype=np.result_type(values, np.float32))
            whole = None if end is None else np.subtract(end[name], first[name], dtype=np.float64)
            products = _products(
                values,
                moved,
                step.get(name, 0 * moved),
                np.subtract(values, first[name], dtype=moved.dtype),
                whole,
            )
            for part in (_WHOLE, *parts_of(name)):
                row[part] = row.get(part, 0.0) + products
            before[name], step[name] = values, moved
        rows.append(row)
    if len(rows) < 2:
        raise MetricError(f"A path needs at least two states, but there are {len(rows)}.")
    paths = {part: _path(np.array([row[part] for row in rows])) for part in rows[0]}
    result = paths.pop(_WHOLE)
    causes = (
        dict.fromkeys(("straightness", "cosines", "cosines_with_whole"), _STILL) if not result["path"] else {}
    )
    if end is None:
        causes["cosines_with_whole"] = _NO_SEQUENCE
    return result | {"parts": paths, "causes": causes}


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


def _parameters(state: Mapping[str, ArrayLike]) -> _State:
    """The floating-point parameters, as given."""
    found = {name: np.asarray(values) for name, values in state.items()}
    found = {name: values for name, values in found.items() if values.dtype.kind == "f"}
    if not found:
        raise MetricError("A state has no floating-point parameter: give a mapping of names to arrays.")
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise MetricError(f"The parameter {name} has numbers that are not finite.")
    return found


def _check_alike(state: _State, first: _State, which: str) -> None:
    other = sorted(state.keys() ^ first.keys())
    if other:
        raise MetricError(
            f"The parameters of {which} differ from those of the first one, for example in {other[0]}."
        )
    for name, values in state.items():
        if values.shape != first[name].shape:
            raise MetricError(
                f"{name} has the shape {values.shape} in {which}, but {first[name].shape} in the first one."
            )


def _products(weights: Floats, step: Floats, last: Floats, way: Floats, whole: Floats | None) -> Floats:
    """Of one parameter: |weights|², |step|², step · last step, |way so far|², step · whole way, |whole way|²."""
    pairs = [(weights, weights), (step, step), (step, last), (way, way)]
    pairs += [] if whole is None else [(step, whole), (whole, whole)]
    sums = [np.vdot(one.astype(np.float64), other.astype(np.float64)) for one, other in pairs]
    return np.array(sums + [np.nan] * (6 - len(sums)))


def _path(products: Floats) -> dict[str, Any]:
    """The numbers of one part from the `_products` of each state, (E, 6)."""
    norms, steps = np.sqrt(products[:, 0]), np.sqrt(products[1:, 1])
    length, distance, whole = steps.sum(), np.sqrt(products[-1, 3]), np.sqrt(products[-1, 5])
    return {
        "norms": norms.tolist(),
        "steps": steps.tolist(),
        "path": float(length),
        "distance": float(distance),
        "straightness": float(_ratio(distance, length)),
        "relative_distance": float(_ratio(distance, norms[0])),
        "cosines": _ratio(products[2:, 2], steps[1:] * steps[:-1]).tolist(),
        "cosines_with_whole": _ratio(products[1:, 4], steps * whole).tolist(),
    }


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """NaN where the denominator is 0."""
    below = np.asarray(denominator, np.float64)
    return np.asarray(numerator / np.where(below > 0, below, np.nan))
