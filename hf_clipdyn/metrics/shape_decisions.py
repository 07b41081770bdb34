"""From class scores to one of the 16 categories of the cue-conflict images: two protocols.

They are different metrics. Geirhos et al. map the 1,000 classes of an ImageNet classifier onto the
16 categories; a model with a text tower can be asked about the 16 directly.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from hf_clipdyn.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["GEIRHOS_CLASSES", "IMAGENET_CATEGORIES", "shape_decisions"]

IMAGENET_CATEGORIES: Mapping[str, tuple[int, ...]] = {
    "airplane": (404,),
    "bear": (294, 295, 296, 297),
    "bicycle": (444, 671),
    "bird": (
        *(8, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 23, 24, 80, 81, 82, 83),
        *(87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 98, 99, 100),
        *(127, 128, 129, 130, 131, 132, 133, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145),
    ),
    "boat": (472, 554, 625, 814, 914),
    "bottle": (440, 720, 737, 898, 899, 901, 907),
    "car": (436, 511, 817),
    "cat": (281, 282, 283, 284, 285, 286),
    "chair": (423, 559, 765, 857),
    "clock": (409, 530, 892),
    # The breeds from 152 to 268, less eight that the authors left out.
    "dog": tuple(sorted({*range(152, 269)} - {192, 204, 227, 242, 251, 258, 260, 264})),
    "elephant": (385, 386),
    "keyboard": (508, 878),
    "knife": (499,),
    "oven": (766,),
    "truck": (555, 569, 656, 675, 717, 734, 864, 867),
}
"""Indices of the ImageNet (ILSVRC 2012) classes of each category, as in model-vs-human."""

GEIRHOS_CLASSES = tuple(IMAGENET_CATEGORIES)
"""The 16 categories of the cue-conflict images, sorted."""


def shape_decisions(
    scores: "ArrayLike",
    *,
    protocol: Literal["16-way", "1000-way"] = "16-way",
    classes: Sequence[str] = GEIRHOS_CLASSES,
) -> list[str]:
    """Name of the category that each image is decided to be.

    Args:
        scores: logits, shape (n, number of classes): of ``classes`` for "16-way"; of ImageNet's
            1,000 classes in their usual order for "1000-way". Their scale matters there: CLIP's
            are 100 times the cosine.
        protocol: "16-way" (default) takes the class with the highest score; "1000-way" takes the
            softmax over the 1,000 classes and the category with the highest mean probability.
        classes: names of the columns for "16-way"; not used otherwise.

    Returns:
        n names, the ``predictions`` of `shape_bias`. Of equal scores the first wins.

    Raises:
        MetricError: scores of another shape, NaN, an unknown protocol.

    Examples:
        >>> from hf_clipdyn.metrics.shape_decisions import shape_decisions
        >>> shape_decisions([[0.1, 0.9], [0.8, 0.2]], classes=["cat", "dog"])
        ['dog', 'cat']
    """
    import numpy as np  # kinds load the classes alone

    if protocol not in ("16-way", "1000-way"):
        raise MetricError(f"protocol must be '16-way' or '1000-way', but is {protocol!r}.")
    names = list(classes) if protocol == "16-way" else list(IMAGENET_CATEGORIES)
    width = len(names) if protocol == "16-way" else 1000
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != width:
        raise MetricError(
            f"The {protocol} protocol needs scores of shape (n, {width}), given: {table.shape}."
        )
    if np.isnan(table).any():
        raise MetricError("scores must be numbers, but some are NaN.")
    if protocol == "1000-way":
        from scipy.special import softmax

        probabilities = softmax(table, axis=1)
        columns = [probabilities[:, list(indices)].mean(axis=1) for indices in IMAGENET_CATEGORIES.values()]
        table = np.stack(columns, axis=1)
    return [names[i] for i in table.argmax(axis=1)]
