"""Agreement of saliency maps with human fixations, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.saliency import saliency

_DESCRIPTION = """
How well do maps predict where people look? NSS, three AUCs, CC, SIM, KL and the information gain, each as the mean
over images, with the conventions of the MIT/Tuebingen benchmark (Bylinskii et al. 2019).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of maps): saliency map of each image, H lists of W numbers; sizes may differ.
    fixations (`list` of `list`): fixations of each image, [x, y] in pixels of its map from the upper left corner; an
        empty list if only densities are known.
    metrics (`list` of `str`): which of nss, auc, auc_judd, sauc, cc, sim, kl, ig; default None, all. A metric
        without its input is NaN, with a warning.
    sigma (`float`): width in pixels of the blur that turns fixations into the density for cc, sim and kl.
    densities (`list` of maps): densities of the data set, instead of sigma.
    other_fixations (`list` of `list`): for sauc: the fixations on the other images, rescaled to each image.
    baseline (map, or `list` of maps): for ig: the density of the centre bias, one for all images or one for each.
    sim_convention (`str`): "mit" (default; both maps are stretched to [0, 1] first) or "shift" (only negative
        maps are raised to 0).
    {RESAMPLING}

Returns:
    nss (`float`): mean of the standardised map at the fixations; 0 for chance.
    auc, auc_judd, sauc (`float`): in [0, 1], 0.5 for chance; negatives are all pixels, the pixels without fixation, and
        the other images' fixations.
    cc (`float`): in [-1, 1]; sim (`float`): in [0, 1]; kl (`float`): nats, smaller is better.
    ig (`float`): bits per fixation over the baseline.
    n, n_fixations (`int`): images and fixations.
    nss_ci, auc_ci, auc_judd_ci, sauc_ci, cc_ci, sim_ci, kl_ci, ig_ci (`list`): [low, high], from resampled images.

Examples:

    >>> metric = evaluate.load("metrics/saliency")
    >>> result = metric.compute(
    ...     predictions=[[[0.0, 1.0], [0.0, 0.0]]], fixations=[[[1.0, 0.0]]], metrics=["nss", "auc"], n_resamples=0
    ... )
    >>> round(result["nss"], 4), result["auc"], result["n_fixations"]
    (1.7321, 0.875, 1)
"""

_CITATION = """
@article{bylinskii2019what,
  title={What do different evaluation metrics tell us about saliency models?},
  author={Bylinskii, Zoya and Judd, Tilke and Oliva, Aude and Torralba, Antonio and Durand, Fr{\'e}do},
  journal={IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume={41},
  number={3},
  pages={740--757},
  year={2019}
}
"""


@metric_module(
    saliency,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1604.03605"],
    features={
        "predictions": datasets.List(datasets.List(NUMBER)),
        "fixations": datasets.List(datasets.List(NUMBER)),
    },
)
class Saliency(evaluate.Metric):
    pass
