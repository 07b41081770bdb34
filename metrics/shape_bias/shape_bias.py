"""Texture-shape bias on cue-conflict images, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import RESAMPLING, metric_module
from hf_clipdyn.metrics.shape_bias import shape_bias

_DESCRIPTION = """
Which of two conflicting cues determines what a model sees. A cue-conflict image has the shape of one class and the
texture of another; the shape bias is S / (S + T), where S and T count the decisions for the class of the shape and
of the texture (Geirhos et al. 2019). Rows whose shape and texture agree are excluded.
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of `str`): class name of each decision; a name that is not a class ("na") counts for no cue.
    shapes (`list` of `str`): class of the shape of each image.
    textures (`list` of `str`): class of the texture of each image.
    classes (`list` of `str`): all classes. None (default): the 16 of Geirhos et al. if they contain all shapes and
        textures, otherwise the union of shapes and textures.
    shape_exemplars (`list` of `str`): the source picture of each shape ("cat1"). With both kinds of exemplars, the
        intervals are clustered in two ways. Without them, rows are resampled, and the intervals are too narrow.
    texture_exemplars (`list` of `str`): the source picture of each texture.
    {RESAMPLING}

Returns:
    shape_bias (`float`): S / (S + T) in [0, 1], larger for more shape; NaN with a warning if no decision is for a cue.
    texture_bias (`float`): 1 - shape_bias.
    cue_accuracy, shape_accuracy, texture_accuracy (`float`): (S + T) / n, S / n, T / n.
    interpretable (`bool`): S + T exceeds the 97.5th percentile of its permutation null (drawn with `seed`), and no
        class receives half of the decisions. Near chance the bias tends to 0.5, whatever the model.
    null_cue_accuracy (`float`): mean of that null.
    top_class (`str`): the most frequent class; None if no answer is a class.
    top_class_share (`float`): its share.
    n, n_excluded, n_shape, n_texture (`int`): rows scored, rows without a conflict, S, T.
    shape_bias_ci, texture_bias_ci, cue_accuracy_ci, shape_accuracy_ci, texture_accuracy_ci (`list`): [low, high].

Examples:

    >>> metric = evaluate.load("metrics/shape_bias")
    >>> result = metric.compute(
    ...     predictions=["cat", "cat", "dog", "car"],
    ...     shapes=["cat", "cat", "cat", "car"],
    ...     textures=["dog", "car", "dog", "car"],
    ... )
    >>> result["shape_bias"], result["n_shape"], result["n_texture"], result["n_excluded"]
    (0.6666666666666666, 2, 1, 1)
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
    shape_bias,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1811.12231"],
    features={
        "predictions": datasets.Value("string"),
        "shapes": datasets.Value("string"),
        "textures": datasets.Value("string"),
    },
)
class ShapeBias(evaluate.Metric):
    pass
