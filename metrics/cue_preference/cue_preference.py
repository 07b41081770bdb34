"""Text-free preference for shape over texture, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metrics.cue_preference import cue_preference

_DESCRIPTION = """
Is a cue-conflict image nearer to another image of its shape or to one of its texture? The share of such triplets
that the shape wins. No class name and no text tower takes part, so it can be read where zero-shot classification is
still near chance.
"""

_KWARGS_DESCRIPTION = """
Args:
    distances_shape (`list` of `float`): distance of a conflict image to another of its shape class, a row a triplet.
    distances_texture (`list` of `float`): distance of the same image to another of its texture class.
    shape_exemplars (`list` of `list`): the pictures that the shapes of each row's conflict image, of its shape mate
        and of its texture mate were taken from. With both kinds of exemplars, the rows of one image are averaged first
        and the interval is clustered in two ways, else rows are resampled and the interval is too narrow. A `list` of
        `str` names those of the conflict image alone; that interval is too narrow where exemplars differ much.
    texture_exemplars (`list` of `list`): the pictures that their textures were taken from.
    n_resamples (`int`): resamples behind an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): of the intervals, default 0.95.
    seed (`int`): of the resamples, default 0.

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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class CuePreference(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "distances_shape": datasets.Value("float64"),
                    "distances_texture": datasets.Value("float64"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/1811.12231"],
        )

    def _compute(
        self,
        distances_shape,
        distances_texture,
        shape_exemplars=None,
        texture_exemplars=None,
        n_resamples=1000,
        confidence_level=0.95,
        seed=0,
    ):
        return cue_preference(
            distances_shape,
            distances_texture,
            shape_exemplars=shape_exemplars,
            texture_exemplars=texture_exemplars,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            seed=seed,
        )
