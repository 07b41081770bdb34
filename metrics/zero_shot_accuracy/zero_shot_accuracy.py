"""Top-1 and top-5 accuracy, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

_DESCRIPTION = """
Share of images whose class is first, or among the first five, in a model's ranked predictions, with the accuracy of
guessing for comparison.
"""

_KWARGS_DESCRIPTION = f"""
Args:
    predictions (`list` of `list` of `int`): class ids of each row, best first: all classes, or at least the best five.
    references (`list` of `int`): class id of each row.
    n_classes (`int`): number of classes to choose from; with None (default), it is known only if all are ranked.
    {RESAMPLING}

Returns:
    top1, top5 (`float`): in [0, 1]; top5 is NaN with a warning if fewer than five of more classes are ranked.
    chance (`float`): 1 / n_classes; NaN with a warning if that is unknown.
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


@metric_module(
    zero_shot_accuracy,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/2103.00020"],
    features={
        "predictions": datasets.List(NUMBER),
        "references": NUMBER,
    },
)
class ZeroShotAccuracy(evaluate.Metric):
    pass
