"""Average precision for just-noticeable differences, as an `evaluate` metric."""

import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.jnd_map import jnd_map

_DESCRIPTION = """
Does a perceptual distance rank pairs that look the same to people before pairs that look different? The score
is the average precision of small distances for "same" judgements (Zhang et al. 2018).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    distances (`list` of `float`): distance of the two images of each pair.
    same (`list` of `float`): fraction of people who saw no difference, in [0, 1].
    groups (`list`): what pairs have in common (an image), to be resampled together; default None, single pairs.
    {RESAMPLING}

Returns:
    jnd_map (`float`): in [0, 1], larger is closer to people; a constant distance scores the mean of `same`. NaN with a
        warning if nobody judged any pair to be the same.
    n (`int`): pairs.
    jnd_map_ci (`list`): [low, high], from resampled pairs or groups.

Examples:

    >>> metric = evaluate.load("metrics/jnd_map")
    >>> metric.compute(distances=[0.1, 0.2, 0.3, 0.4], same=[1.0, 0.0, 1.0, 0.0], n_resamples=0)
    {{'jnd_map': 0.8333333333333333, 'n': 4}}
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
    jnd_map,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1801.03924"],
    features={
        "distances": NUMBER,
        "same": NUMBER,
    },
)
class JndMap(evaluate.Metric):
    pass
