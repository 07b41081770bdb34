"""Error consistency of two observers, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metrics.error_consistency import error_consistency

_DESCRIPTION = """
Do two observers (a model and a person, two people, two checkpoints) err on the same images? Cohen's kappa of being
correct: 1 for the same errors, 0 for what independent observers of the same accuracies would share (Geirhos et al.
2020).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `bool`): whether the first observer was correct on each image.
    references (`list` of `bool`): whether the second observer was, on the same images.
    n_resamples (`int`): resamples behind an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): of the intervals, default 0.95.
    seed (`int`): of the resamples, default 0.

Returns:
    kappa (`float`): in [-1, 1]; NaN with a warning where both are right on all images, or both wrong.
    kappa_min, kappa_max (`float`): the range that the two accuracies allow.
    observed, expected (`float`): share of images with both right or both wrong; the same for independent errors.
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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ErrorConsistency(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("bool"),
                    "references": datasets.Value("bool"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2006.16736"],
        )

    def _compute(
        self,
        predictions,
        references,
        n_resamples=1000,
        confidence_level=0.95,
        seed=0,
    ):
        return error_consistency(
            predictions,
            references,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            seed=seed,
        )
