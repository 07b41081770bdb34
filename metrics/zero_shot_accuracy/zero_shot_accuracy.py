"""Top-1 and top-5 accuracy, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

_DESCRIPTION = """
Share of images whose class is the best of a model's ranked predictions, or among the best five, beside the accuracy
of guessing.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `list` of `int`): class ids of each row, best first: all classes, or at least the best five.
    references (`list` of `int`): class id of each row.
    n_classes (`int`): number of classes to choose from; default None, known only where all are ranked.
    n_resamples (`int`): resamples behind an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): of the intervals, default 0.95.
    seed (`int`): of the resamples, default 0.

Returns:
    top1, top5 (`float`): in [0, 1]; top5 is NaN with a warning where fewer than five of more classes are given.
    chance (`float`): 1 / n_classes; NaN with a warning where that is unknown.
    n (`int`): rows.
    top1_ci, top5_ci (`list`): [low, high], from resampled rows.

Examples:

    >>> metric = evaluate.load("metrics/zero_shot_accuracy")
    >>> result = metric.compute(predictions=[[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0]], references=[0, 0, 0, 2])
    >>> result["top1"], result["top5"], result["n"]
    (0.5, 1.0, 4)
"""

_CITATION = """
@inproceedings{radford2021learning,
  title={Learning transferable visual models from natural language supervision},
  author={Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and
          Agarwal, Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and
          Krueger, Gretchen and Sutskever, Ilya},
  booktitle={International Conference on Machine Learning},
  pages={8748--8763},
  year={2021}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ZeroShotAccuracy(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float64")),
                    "references": datasets.Value("float64"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2103.00020"],
        )

    def _compute(
        self,
        predictions,
        references,
        n_classes=None,
        n_resamples=1000,
        confidence_level=0.95,
        seed=0,
    ):
        return zero_shot_accuracy(
            predictions,
            references,
            n_classes=n_classes,
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            seed=seed,
        )
