"""Error consistency of two observers, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import RESAMPLING, metric_module
from hf_clipdyn.metrics.error_consistency import error_consistency

_DESCRIPTION = """
Do two observers (a model and a person, two people, two checkpoints) err on the same images? Cohen's kappa of being
correct: 1 for the same errors, 0 for independent observers with the same accuracies (Geirhos et al.
2020).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of `bool`): whether the first observer was correct on each image.
    references (`list` of `bool`): whether the second observer was correct, on the same images.
    decisions (two `list`s): what each observer answered on each image. Optional.
    labels (`list`): the right answers; they belong to decisions.
    {RESAMPLING}

Returns:
    kappa (`float`): in [-1, 1]; NaN with a warning if both are right on all images, or both wrong.
    kappa_min, kappa_max (`float`): the range that the two accuracies allow.
    kappa_unbiased, kappa_over_max, copy_probability (`float`): without its bias, of what the accuracies allow, and the
        share of trials copied from the better observer; NaN if one observer is right, or wrong, on all images.
    same_wrong_answer, same_wrong_answer_chance, n_wrong: with decisions, of the images that are wrong for both.
    observed, expected (`float`): share of images with both right or both wrong; the share for independent errors.
    n (`int`): images.
    kappa_ci, observed_ci, expected_ci (`list`): [low, high], from resampled images.

Examples:

    >>> metric = evaluate.load("metrics/error_consistency")
    >>> result = metric.compute(predictions=[True, True, True, False], references=[True, True, False, False])
    >>> result["kappa"], result["observed"], result["expected"]
    (0.5, 0.75, 0.5)
"""

_CITATION = """
@inproceedings{geirhos2020beyond,
  title={Beyond accuracy: quantifying trial-by-trial behaviour of {CNN}s and humans by measuring error consistency},
  author={Geirhos, Robert and Meding, Kristof and Wichmann, Felix A.},
  booktitle={Advances in Neural Information Processing Systems},
  volume={33},
  year={2020}
}
"""


@metric_module(
    error_consistency,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/2006.16736"],
    features={
        "predictions": datasets.Value("bool"),
        "references": datasets.Value("bool"),
    },
)
class ErrorConsistency(evaluate.Metric):
    pass
