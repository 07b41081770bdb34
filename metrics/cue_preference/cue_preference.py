"""Text-free preference for shape over texture, as an `evaluate` metric."""

import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.cue_preference import cue_preference

_DESCRIPTION = """
Is a cue-conflict image closer to another image of its shape or to one of its texture? The score is the share of such
triplets in which the shape wins. It uses neither class names nor a text encoder, so it is meaningful even if zero-shot
classification is still near chance.
"""

_KWARGS_DESCRIPTION = f"""
Args:
    distances_shape (`list` of `float`): distance of a conflict image to another of its shape class, for each triplet.
    distances_texture (`list` of `float`): distance of the same image to another of its texture class.
    shape_exemplars (`list` of `list`): source pictures of the shapes, for the conflict image, the shape mate and the
        texture mate of each row. With both kinds of exemplars, the rows of one image are averaged first, and the
        interval is clustered in two ways. Without them, rows are resampled, and the interval is too narrow. A `list`
        of `str` names only those of the conflict image; then the interval is too narrow if exemplars differ much.
    texture_exemplars (`list` of `list`): source pictures of the textures.
    {RESAMPLING}

Returns:
    shape_preference (`float`): in [0, 1], larger for more shape, 0.5 for no preference; a tie counts one half.
    n, n_ties (`int`): rows, and rows with equal distances.
    shape_preference_ci (`list`): [low, high].

Examples:

    >>> metric = evaluate.load("metrics/cue_preference")
    >>> result = metric.compute(distances_shape=[0.1, 0.4, 0.3, 0.2], distances_texture=[0.2, 0.3, 0.3, 0.5])
    >>> result["shape_preference"], result["n"], result["n_ties"]
    (0.625, 4, 1)
"""

_CITATION = """
@inproceedings{geirhos2019imagenettrained,
  title={ImageNet-trained {CNN}s are biased towards texture; increasing shape bias improves accuracy and robustness},
  author={Geirhos, Robert and Rubisch, Patricia and Michaelis, Claudio and Bethge, Matthias and
          Wichmann, Felix A. and Brendel, Wieland},
  booktitle={International Conference on Learning Representations},
  year={2019}
}
"""


@metric_module(
    cue_preference,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1811.12231"],
    features={
        "distances_shape": NUMBER,
        "distances_texture": NUMBER,
    },
)
class CuePreference(evaluate.Metric):
    pass
