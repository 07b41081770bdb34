"""Accuracy under pixel noise, its drop and the area under its curve, as an `evaluate` metric."""

import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.noise_robustness import noise_robustness

_DESCRIPTION = """
How fast classification accuracy falls when increasing noise is added to the pixels: the accuracy at each noise level,
its drop relative to clean images (raw and corrected for chance), the area under the curve, and the level at which the
accuracy is halfway to chance.
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of `int`): predicted class id, a row for each image at each noise level.
    references (`list` of `int`): true class id of each row.
    sigmas (`list` of `float`): noise of each row, a standard deviation on pixels in [0, 1]; 0.0 marks the clean
        images, which are required.
    n_classes (`int`): number of classes, for the chance level; with None (default) no drop is compared with chance.
    groups (`list`): image of each row, so that an image is resampled with all its noise levels. None (default)
        resamples rows, and the intervals of the drops are too wide.
    places (`list` of `float`): position of each distinct sigma on the axis of area and threshold, NaN to leave one
        out; None (default) uses the sigmas themselves.
    {RESAMPLING}

Returns:
    sigmas (`list` of `float`): the distinct noise levels, ascending from 0.0. These lists have the same order:
    accuracy: in [0, 1].
    relative_drop: (clean - noisy) / clean; 0 for no effect, 1 for all accuracy lost.
    chance_corrected_drop: (clean - noisy) / (clean - chance). Both are NaN if clean is indistinguishable from chance.
    n_per_sigma: rows of each level.
    area (`float`): mean accuracy from the first to the last place (trapezoids), in [0, 1].
    threshold (`float`): place at which the accuracy first falls halfway from clean to chance, by interpolation; NaN
        if it never does. An interval that ends with the axis is open there.
    clean_accuracy (`float`), n (`int`): accuracy at sigma 0, number of rows.
    accuracy_ci, relative_drop_ci, chance_corrected_drop_ci (`list` of `list`): [low, high] for each sigma.
    area_ci, threshold_ci, clean_accuracy_ci (`list`): [low, high].

Examples:

    >>> metric = evaluate.load("metrics/noise_robustness")
    >>> result = metric.compute(
    ...     predictions=[0, 1, 0, 0], references=[0, 1, 0, 1], sigmas=[0.0, 0.0, 0.1, 0.1], n_classes=1000
    ... )
    >>> result["sigmas"], result["accuracy"], result["relative_drop"], result["area"]
    ([0.0, 0.1], [1.0, 0.5], [0.0, 0.5], 0.75)
"""

_CITATION = """
@inproceedings{hendrycks2019robustness,
  title={Benchmarking Neural Network Robustness to Common Corruptions and Perturbations},
  author={Hendrycks, Dan and Dietterich, Thomas},
  booktitle={International Conference on Learning Representations},
  year={2019}
}
"""


@metric_module(
    noise_robustness,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1903.12261"],
    features={
        "predictions": NUMBER,
        "references": NUMBER,
        "sigmas": NUMBER,
    },
)
class NoiseRobustness(evaluate.Metric):
    pass
