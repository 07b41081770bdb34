"""Agreement with two-alternative forced choices, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metrics.two_afc import two_afc

_DESCRIPTION = """
Does a perceptual distance pick the image that people find more similar to a reference? The mean share of the people
whose choice it makes, beside what one person and the best possible choice would score (Zhang et al. 2018).
"""

_KWARGS_DESCRIPTION = """
Args:
    distances_0 (`list` of `float`): distance of the reference to candidate 0.
    distances_1 (`list` of `float`): distance of the reference to candidate 1.
    judgements (`list` of `float`): fraction of people who prefer candidate 1, in [0, 1].
    groups (`list`): what rows have in common (the reference), to be resampled together; default None, single rows.
    images (`list` of `list`): in place of groups, the three images that each row shows, one name for one image; rows
        with any common image then depend on each other. Default None.
    n_resamples (`int`): resamples behind an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): of the intervals, default 0.95.
    seed (`int`): of the resamples, default 0.

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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class TwoAfc(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "distances_0": datasets.Value("float64"),
                    "distances_1": datasets.Value("float64"),
                    "judgements": datasets.Value("float64"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/1801.03924"],
        )

    def _compute(
        self,
        distances_0,
        distances_1,
        judgements,
        groups=None,
        images=None,
        n_resamples=1000,
        confidence_level=0.95,
        seed=0,
    ):
        return two_afc(
            distances_0,
            distances_1,
            judgements,
            groups=groups,
            images=images,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            seed=seed,
        )
