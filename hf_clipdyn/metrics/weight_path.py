"""The way of the weights through training: how far, how straight, and over which barriers.

A state is a mapping of names to arrays. All floating-point parameters count, `logit_scale` as stored (its logarithm);
integer buffers (``position_ids``) do not. Layer normalisation makes the scale of many parameters arbitrary, so compare
lengths also relative to the first state. Models of other seeds have permuted units: a barrier between them does not
mean that they compute different functions. Statistics of batch normalisation must be estimated again for
interpolated weights (Jordan et al. 2023); vision transformers have none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._left_out import as_rows
from hf_clipdyn.metrics._validation import Floats, Ints, as_codes, as_numbers, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, influence_interval
from hf_clipdyn.metrics.estimate import mean_influence

__all__ = ["barrier", "interpolate", "parts_of", "weight_path"]

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


def interpolate(
    first: Mapping[str, ArrayLike], second: Mapping[str, ArrayLike], alpha: float
) -> dict[str, NDArray[Any]]:
    """The state (1 - alpha) first + alpha second, both towers and both projections together.

    Args:
        first, second: of the same parameters. Integer buffers and the types of the numbers are those of the first.
        alpha: 0 for the first state, 1 for the second.

    Returns:
        A new state. ``logit_scale`` is interpolated as stored; interpolating its exponential gives another loss.

    Raises:
        MetricError: different parameters or shapes, a number that is not finite.

    Examples:
        >>> from hf_clipdyn.metrics.weight_path import interpolate
        >>> interpolate({"logit_scale": [2.0]}, {"logit_scale": [4.0]}, 0.25)["logit_scale"].tolist()
        [2.5]
    """
    ends = _parameters(first), _parameters(second)
    _check_alike(ends[1], ends[0], "the second state")
    mixed = {name: np.asarray(values) for name, values in first.items()}
    for name, start in ends[0].items():
        values = (1 - alpha) * start.astype(np.float64) + alpha * ends[1][name].astype(np.float64)
        mixed[name] = np.asarray(values, start.dtype)
    return mixed


def barrier(
    alphas: ArrayLike, losses: ArrayLike, *, halves: ArrayLike | None = None, confidence_level: float = 0.95
) -> dict[str, Any]:
    """How much the loss rises on the straight line between two states.

    Args:
        alphas: places on the line, from 0 (the first state) to 1 (the second), ascending, shape (A,), A >= 2.
        losses: the loss at each place, shape (A,); or of each item (a batch, an image), shape (A, n), of which the mean
            counts. Larger is worse: a loss, or an error.
        halves: the half of each item, 0 or 1, shape (n,): each half gives the loss at the place where that of the other
            half is highest, since a largest value is biased upwards. None: one place for all, and that bias.
        confidence_level: of the intervals, in (0, 1).

    Returns:
        Numbers in the unit of the loss, >= 0 without halves:

        - ``barrier_linear``, the largest loss above the straight line between the ends (Entezari et al. 2022).
        - ``barrier_mean_of_ends``, the largest loss above the mean of the ends (Frankle et al. 2020).
        - ``barrier_max_of_ends``, the largest loss above that of the worse end.
        - ``alpha``, where the loss is farthest above the straight line.
        - Of items: ``n``, ``<name>_ci`` [low, high] over items, at the places that were found, and ``influences``, see
          `hf_clipdyn.metrics.estimate`.

    Raises:
        MetricError: different lengths, alphas that do not ascend from 0 to 1, a number that is not finite, halves that
            are not two.

    Examples:
        >>> from hf_clipdyn.metrics.weight_path import barrier
        >>> found = barrier([0, 0.25, 0.5, 0.75, 1], [2, 2.3, 1.9, 1.2, 0.8])
        >>> [round(found[f"barrier_{name}"], 6) for name in ("linear", "mean_of_ends", "max_of_ends")]
        [0.6, 0.9, 0.3]
    """
    level = Resampling(confidence_level=confidence_level).confidence_level
    places = as_numbers("alphas", alphas)
    if len(places) < 2 or places[0] != 0 or places[-1] != 1 or (np.diff(places) <= 0).any():
        raise MetricError(f"alphas must ascend from 0 to 1, but are {places.tolist()}.")
    of_items = np.ndim(losses) == 2
    items = as_rows("losses", losses) if of_items else as_numbers("losses", losses)[:, None]
    check_lengths({"alphas": places, "losses": items})
    start, end, means = items[0], items[-1], items.mean(axis=1)
    worse = start if means[0] >= means[-1] else end
    above = {
        "barrier_linear": items - ((1 - places)[:, None] * start + places[:, None] * end),
        "barrier_mean_of_ends": items - (start + end) / 2,
        "barrier_max_of_ends": items - worse,
    }
    parts = None if halves is None else as_codes("halves", halves, items.shape[1])[0]
    if parts is not None and set(parts) != {0, 1}:
        raise MetricError("halves must divide the items into two.")
    highest = {name: _highest(rows, parts) for name, rows in above.items()}
    result: dict[str, Any] = {name: float(row.mean()) for name, row in highest.items()}
    result["alpha"] = float(places[above["barrier_linear"].mean(axis=1).argmax()])
    if not of_items:
        return result
    n = items.shape[1]
    influences = {name: mean_influence(row) for name, row in highest.items()}
    for name, influence in influences.items():
        interval = influence_interval(result[name], influence, [np.arange(n)], "linear", level)
        result[f"{name}_ci"] = interval
    return result | {"n": n, "influences": influences}


def _highest(rows: Floats, halves: Ints | None) -> Floats:
    """Of each item the value at the highest of all places; with halves, at that of the other half."""
    if halves is None:
        return np.asarray(rows[rows.mean(axis=1).argmax()])
    places = np.array([rows[:, halves != half].mean(axis=1).argmax() for half in (0, 1)])
    return np.asarray(rows[places[halves], np.arange(rows.shape[1])])


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
