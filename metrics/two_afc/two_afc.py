"""Agreement with two-alternative forced choices, as an `evaluate` metric."""

import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.two_afc import two_afc

_DESCRIPTION = """
Does a perceptual distance pick the image that people find more similar to a reference? The score is the
mean share of people who agree with its choice, with the scores of one person and of the best possible choice for
comparison (Zhang et al. 2018).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    distances_0 (`list` of `float`): distance of the reference to candidate 0.
    distances_1 (`list` of `float`): distance of the reference to candidate 1.
    judgements (`list` of `float`): fraction of people who prefer candidate 1, in [0, 1].
    groups (`list`): what rows have in common (the reference), to be resampled together; default None, single rows.
    images (`list` of `list`): names of the three images of each row, instead of groups; rows with a common image then
        depend on each other. Default None.
    {RESAMPLING}

Returns:
    two_afc (`float`): in [0, 1], larger is closer to people, 0.5 for guessing; a tie counts one half.
    human (`float`): the score of one person against the others, the mean of p^2 + (1 - p)^2.
    ceiling (`float`): the best possible score, the mean of max(p, 1 - p).
    n, n_ties (`int`): rows, and rows with equal distances.
    two_afc_ci, human_ci, ceiling_ci (`list`): [low, high].

Examples:

    >>> metric = evaluate.load("metrics/two_afc")
    >>> result = metric.compute(distances_0=[0.1, 0.5, 0.3], distances_1=[0.2, 0.4, 0.3], judgements=[0.0, 1.0, 0.5])
    >>> round(result["two_afc"], 4), round(result["ceiling"], 4), result["n_ties"]
    (0.8333, 0.8333, 1)
"""

_CITATION = """
@inproceedings{zhang2018unreasonable,
  title={The unreasonable effectiveness of deep features as a perceptual metric},
  author={Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver},
  booktitle={Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages={586--595},
  year={2018}
}
"""


@metric_module(
    two_afc,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1801.03924"],
    features={
        "distances_0": NUMBER,
        "distances_1": NUMBER,
        "judgements": NUMBER,
    },
)
class TwoAfc(evaluate.Metric):
    pass
