"""How embeddings of images and texts separate and spread, as an `evaluate` metric."""

import datasets
import evaluate

from hf_clipdyn.metric_module import NUMBER, RESAMPLING, metric_module
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry

_DESCRIPTION = """
How do the embeddings of images and of their texts separate, spread and use their dimensions? The modality gap,
alignment and uniformity, RankMe, the effective rank and the participation ratio (Liang et al. 2022; Wang and Isola
2020; Garrido et al. 2023).
"""

_KWARGS_DESCRIPTION = f"""
Args:
    images (`list` of `list`): embedding of each image, of any length but 0.
    texts (`list` of `list`): embedding of the text of each image, with the same number of dimensions.
    groups (`list`): what rows have in common (an image with several texts), to be left out together; default None,
        single rows.
    {RESAMPLING}

Returns:
    gap (`float`): in [0, 2], distance of the mean image from the mean text; about sqrt(2/n) for equal distributions.
    gap_squared_unbiased (`float`): the square of the gap without that bias; may be negative.
    relative_modality_gap (`float`): in [0, 1], distance within pairs, over that plus the one within images and texts.
    alignment (`float`): in [0, 4], mean squared distance of the pairs; smaller is closer.
    uniformity_image, uniformity_text (`float`): log mean of exp(-2 distance^2); 0 at collapse, smaller is more uniform.
    rankme_image, rankme_text (`float`): RankMe, in [1, d].
    effective_rank_image, effective_rank_text (`float`): the same without its 1e-7.
    effective_rank_centred_image, effective_rank_centred_text (`float`): around the mean embedding.
    participation_ratio_image, participation_ratio_text (`float`): in [1, d], from the covariance.
    participation_ratio_debiased_image, participation_ratio_debiased_text (`float`): without the bias of few images; may
        exceed d.
    norm_image, norm_text (`float`): mean length of the embeddings as given.
    n (`int`): pairs.
    gap_ci (`list`): [low, high], and so for each other value; by the jackknife: nothing is drawn.

Examples:

    >>> metric = evaluate.load("metrics/contrastive_geometry")
    >>> result = metric.compute(
    ...     images=[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]],
    ...     texts=[[0.8, 0.6], [-0.6, 0.8], [0.0, 1.0], [1.0, 0.0]],
    ... )
    >>> round(result["gap"], 4), round(result["alignment"], 4), round(result["effective_rank_image"], 4), result["n"]
    (0.4243, 0.4, 2.0, 4)
"""

_CITATION = """
@inproceedings{liang2022mind,
  title={Mind the Gap: Understanding the Modality Gap in Multi-modal Contrastive Representation Learning},
  author={Liang, Weixin and Zhang, Yuhui and Kwon, Yongchan and Yeung, Serena and Zou, James},
  booktitle={Advances in Neural Information Processing Systems},
  volume={35},
  year={2022}
}
"""


@metric_module(
    contrastive_geometry,
    description=_DESCRIPTION,
    inputs_description=_KWARGS_DESCRIPTION,
    citation=_CITATION,
    reference_urls=["https://arxiv.org/abs/2203.02053"],
    features={"images": datasets.List(NUMBER), "texts": datasets.List(NUMBER)},
)
class ContrastiveGeometry(evaluate.Metric):
    pass
