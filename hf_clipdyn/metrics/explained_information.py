"""How much of what a model knows would a simple model explain? Shared information (Nakkiran et al. 2019)."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.metrics._validation import Floats, Ints, as_codes, check_not_empty
from hf_clipdyn.metrics.bootstrap import influence_interval

__all__ = ["explained_information"]

_NOTHING = 1e-12  # bits: rounding


def explained_information(
    decisions: ArrayLike,
    simple_decisions: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """The information on the label in a model's decisions that a simple model's decisions contain already.

    With F, L and Y for the three inputs it is I(F;Y) - I(F;Y|L): at most I(F;Y), and negative if F and L complement
    each other. These are plug-in estimates: an entropy is too low by (cells - 1) / (2 n ln 2). With 16 classes that
    matters below 50,000 items, so give binary classes, such as animate or not.

    Args:
        decisions: of the model, shape (n,): numbers or names.
        simple_decisions: of a simple model on the same items, such as a linear one on pixels, trained on the same set.
        labels: of the items.
        clusters: of the items, shape (n,), such as exemplars; None for the items themselves.
        confidence_level: of the intervals, by linearisation.

    Returns:
        - ``information`` I(F;Y), ``information_given`` I(F;Y|L), ``explained``, their difference, in bits;
        - ``explained_share``, ``explained`` / ``information``; NaN if that is 0;
        - ``information_bias``, ``explained_bias``: how much too large these are on average;
        - ``<name>_ci``, [low, high] of the first four; ``influences``, what each item contributes to them, (n,);
        - ``n``, ``causes``.

    Raises:
        MetricError: different lengths, no rows, missing values.

    Examples:
        >>> from hf_clipdyn.metrics.explained_information import explained_information
        >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> result = explained_information(labels, [0, 0, 0, 1, 0, 1, 1, 1], labels)
        >>> result["information"], round(result["explained_share"], 3)
        (1.0, 0.189)
    """
    columns = {"decisions": decisions, "simple_decisions": simple_decisions, "labels": labels}
    n = np.asarray(labels, dtype=object).size
    f, simple, y = (as_codes(name, column, n)[0] for name, column in columns.items())
    check_not_empty("labels", y)
    groups = as_codes("clusters", clusters, n)[0]
    information, information_bias = _sum_of_entropies(plus=[(f,), (y,)], minus=[(f, y)])
    given, given_bias = _sum_of_entropies(plus=[(f, simple), (y, simple)], minus=[(simple,), (f, y, simple)])
    by_item = {"information": information, "information_given": given, "explained": information - given}
    values = {name: float(items.mean()) for name, items in by_item.items()}
    influences = {name: (items - values[name]) / n for name, items in by_item.items()}
    whole, causes = values["information"], {}
    if whole > _NOTHING:
        share = values["explained"] / whole
        influence = (influences["explained"] - share * influences["information"]) / whole
    else:
        share, influence = math.nan, np.full(n, math.nan)
        causes["explained_share"] = "the decisions contain no information on the labels"
    values["explained_share"], influences["explained_share"] = share, influence
    return {
        **values,
        "information_bias": information_bias,
        "explained_bias": information_bias - given_bias,
        **{
            f"{name}_ci": influence_interval(value, influences[name], [groups], "linear", confidence_level)
            for name, value in values.items()
        },
        "influences": influences,
        "n": n,
        "causes": causes,
    }


def _sum_of_entropies(plus: list[tuple[Ints, ...]], minus: list[tuple[Ints, ...]]) -> tuple[Floats, float]:
    """Of each item the surprises in bits, whose mean is the sum of plug-in entropies; and the bias of that sum."""
    terms = [(1, codes) for codes in plus] + [(-1, codes) for codes in minus]
    total, bias = np.zeros(len(plus[0][0])), 0.0
    for sign, codes in terms:
        _, cells, counts = np.unique(np.stack(codes), axis=1, return_inverse=True, return_counts=True)
        total -= sign * np.log2(counts / len(total))[cells.reshape(-1)]
        bias -= sign * (len(counts) - 1) / (2 * len(total) * math.log(2))
    return total, bias
