"""Similarity of two representations of the same items, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.representation import representation_similarity

_DESCRIPTION = """
Do two layers, revisions or models represent the same items alike, up to rotation and scale? Linear CKA, biased and
debiased (Kornblith et al. 2019), and the Procrustes distances (Williams et al. 2021).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    x (`list` of `list`): embedding of each item, at least four items.
    y (`list` of `list`): embedding of the same items by the other model; its number of dimensions may differ.
    groups (`list`): what items have in common, to be left out together; default None, single items.
    {RESAMPLING}

Returns:
    cka_biased (`float`): in [0, 1]; d/(n + d) for independent data of d dimensions.
    cka_debiased (`float`): in [-1, 1]; 1 for equal data, 0 for independent data.
    procrustes_distance (`float`): in [0, 1.42], after the best rotation and scale; 0 for equal data.
    angular_shape_distance (`float`): in [0, pi/2], the angle that belongs to it.
    n (`int`): items.
    cka_biased_ci, cka_debiased_ci, procrustes_distance_ci, angular_shape_distance_ci (`list`): [low, high], by the
        jackknife: nothing is drawn.

Examples:

    >>> metric = evaluate.load("metrics/representation_similarity")
    >>> x = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [1.0, 4.0]]
    >>> y = [[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [1.0, 3.0], [4.0, 0.0]]
    >>> result = metric.compute(x=x, y=y, n_resamples=0)
    >>> round(result["cka_debiased"], 4), round(result["procrustes_distance"], 4)
    (0.9317, 0.1508)
"""

_CITATION = """
@inproceedings{kornblith2019similarity,
  title={Similarity of Neural Network Representations Revisited},
  author={Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey},
  booktitle={International Conference on Machine Learning},
  year={2019}
}
"""


@metric_module(
    representation_similarity,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1905.00414"],
    features={"x": datasets.List(NUMBER), "y": datasets.List(NUMBER)},
)
class RepresentationSimilarity(evaluate.Metric):
    pass
