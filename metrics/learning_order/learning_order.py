"""When each item is learned and forgotten over training, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import RESAMPLING, metric_module
from hf_clipdyn.metrics.learning_order import learning_order

_DESCRIPTION = """
Which items does a model learn when, which does it forget, and do runs with other seeds agree on them? From whether each
run was right at each revision on each item: first and stably learned, forgetting events, items that are never learned,
and the share of runs that are right (Toneva et al. 2019; Hacohen et al. 2020).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    right (`list` of `list` of `list` of `bool`): for each run, for each revision, whether each item was answered right.
    clusters (`list`): of the items, such as the image that they were made from. None: the items.
    {RESAMPLING}

Returns:
    first_learned, stably_learned, forgetting_events (`list` of `list` of `int`): by run and item; revisions are
        numbered from 1, and 0 means never.
    tp_agreement (`list` of `list` of `float`): by revision and item, share of the runs that are right.
    accessibility (`list` of `float`): by item, its mean over revisions.
    bimodality_ratio, all_right, all_wrong (`list` of `float`): by revision; with _expected for independent runs.
    never_learned, forgetting, unforgettable (`list` of `int`): by run; with _expected for a random learner.
    learned (`list` of `list` of `float`): by run and revision, share of items that were right until then.
    median_first_learned (`list` of `float`): by run; NaN with a warning if more than half are never learned.
    accuracy (`float`): over all runs, revisions and items.
    n, n_revisions, n_items (`int`): runs, revisions and items.
    never_learned_ci, forgetting_ci, unforgettable_ci, bimodality_ratio_ci (`list`): [low, high], from resampled items.

Examples:

    >>> metric = evaluate.load("metrics/learning_order")
    >>> right = [[[0, 1, 0], [1, 0, 0], [1, 1, 0]], [[0, 1, 0], [0, 1, 0], [1, 1, 1]]]
    >>> result = metric.compute(right=right, n_resamples=0)
    >>> result["first_learned"], result["forgetting_events"]
    ([[2, 1, 0], [3, 1, 3]], [[0, 1, 0], [0, 0, 0]])
"""

_CITATION = """
@inproceedings{toneva2019empirical,
  title={An Empirical Study of Example Forgetting during Deep Neural Network Learning},
  author={Toneva, Mariya and Sordoni, Alessandro and Tachet des Combes, Remi and Trischler, Adam and Bengio, Yoshua
          and Gordon, Geoffrey J.},
  booktitle={International Conference on Learning Representations},
  year={2019}
}
"""


@metric_module(
    learning_order,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/1812.05159"],
    features={"right": datasets.Sequence(datasets.Sequence(datasets.Value("bool")))},
)
class LearningOrder(evaluate.Metric):
    pass
