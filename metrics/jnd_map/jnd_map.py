"""Average precision for just-noticeable differences, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metrics.jnd_map import jnd_map

_DESCRIPTION = """
Does a perceptual distance rank the pairs that people cannot tell apart before those that they can? The average
precision of small distances for "same" judgements (Zhang et al. 2018).
"""

_KWARGS_DESCRIPTION = """
Args:
    distances (`list` of `float`): distance of the two images of each pair.
    same (`list` of `float`): fraction of people who saw no difference, in [0, 1].
    groups (`list`): what pairs have in common (an image), to be resampled together; default None, single pairs.
    n_resamples (`int`): resamples behind an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): of the intervals, default 0.95.
    seed (`int`): of the resamples, default 0.

Returns:
    jnd_map (`float`): in [0, 1], larger is closer to people; a constant distance scores the mean of `same`. NaN with a
        warning where nobody saw any pair as the same.
    n (`int`): pairs.
    jnd_map_ci (`list`): [low, high], from resampled pairs or groups.

Examples:

    >>> metric = evaluate.load("metrics/jnd_map")
    >>> metric.compute(distances=[0.1, 0.2, 0.3, 0.4], same=[1.0, 0.0, 1.0, 0.0], n_resamples=0)
    {'jnd_map': 0.8333333333333333, 'n': 4}
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
class JndMap(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "distances": datasets.Value("float64"),
                    "same": datasets.Value("float64"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/1801.03924"],
        )

    def _compute(
        self,
        distances,
        same,
        groups=None,
        n_resamples=1000,
        confidence_level=0.95,
        seed=0,
    ):
        return jnd_map(
            distances,
            same,
            groups=groups,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            seed=seed,
        )
