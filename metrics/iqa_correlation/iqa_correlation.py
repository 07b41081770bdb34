"""SRCC, KRCC and PLCC of a perceptual distance with human opinion scores, as an `evaluate` metric."""

import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation

_DESCRIPTION = """
Agreement of a perceptual distance, or of a quality score, with human opinion scores of image quality: Spearman's
(SRCC), Kendall's (KRCC, tau-b) and Pearson's (PLCC) correlation, raw and after the logistic fit that is usual in
image quality assessment, with intervals over the reference images.
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of `float`): distance of each distorted image to its reference, or its quality score.
    references (`list` of `float`): opinion score of each distorted image (MOS or DMOS).
    groups (`list`): reference image of each row, for the intervals. None resamples rows, and the
        interval is too narrow. With fewer than 50 reference images, it is Student's t on the jackknife over them.
    predictions_are (`str`): "distance" (default; larger is worse) or "score" (larger is better).
    higher_is_better (`bool`): whether a higher reference is better, default True (MOS: TID2013,
        KADID-10k); False for DMOS (CSIQ, LIVE).
    logistic (`int`): number of parameters of the fit for PLCC, 4 or 5 (VQEG); default None, no fit.
        Resamples do not repeat the fit.
    kendall (`bool`): False leaves KRCC out, whose cost grows with the power 1.5 of the rows; default True.
    {RESAMPLING}

Returns:
    srcc, krcc, plcc (`float`): in [-1, 1], signed: a distance is negative against MOS, positive against DMOS.
    alignment (`float`): the SRCC, with its sign chosen so that larger is always closer to humans.
    plcc_logistic, rmse_logistic (`float`): Pearson's correlation and root mean square error after the fit; only with
        `logistic`.
    n, n_groups (`int`): rows, and reference images (n without `groups`).
    srcc_ci, krcc_ci, plcc_ci, alignment_ci, plcc_logistic_ci, rmse_logistic_ci (`list`): [low, high].

Examples:

    >>> metric = evaluate.load("metrics/iqa_correlation")
    >>> result = metric.compute(predictions=[0.1, 0.4, 0.2, 0.9], references=[4.5, 2.5, 4.0, 1.0], n_resamples=0)
    >>> round(result["srcc"], 6), round(result["alignment"], 6), result["n"]
    (-1.0, 1.0, 4)
"""

_CITATION = """
@article{ponomarenko2015image,
  title={Image database {TID2013}: Peculiarities, results and perspectives},
  author={Ponomarenko, Nikolay and Jin, Lina and Ieremeiev, Oleg and Lukin, Vladimir and Egiazarian, Karen and
          Astola, Jaakko and Vozel, Benoit and Chehdi, Kacem and Carli, Marco and Battisti, Federica and
          Kuo, C.-C. Jay},
  journal={Signal Processing: Image Communication},
  volume={30},
  pages={57--77},
  year={2015}
}
"""


@metric_module(
    iqa_correlation,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://doi.org/10.1016/j.image.2014.10.009"],
    features={"predictions": NUMBER, "references": NUMBER},
)
class IqaCorrelation(evaluate.Metric):
    pass
