"""The words of the report: what a metric is called, what it means, on which scale it is drawn.

A metric that is not listed here is drawn all the same, under its own name.
"""

from dataclasses import dataclass

from hf_clipdyn.evaluation import store
from hf_clipdyn.report.trajectories import Trajectory, stem

__all__ = [
    "BASELINES",
    "FINAL_TEXT",
    "HUMAN_SHAPE_BIAS",
    "Term",
    "benchmark_words",
    "group_words",
    "is_synthetic",
    "metric_words",
    "probe_words",
    "term",
]

HUMAN_SHAPE_BIAS = 0.9587
"""Shape bias of the ten human observers pooled (9,236 shape and 398 texture decisions; Geirhos et
al. 2019), on the real cue-conflict images only."""


BASELINES = {
    "centre_bias": "centre bias",
    "centre_gaussian": "centre Gaussian",
    "human": "humans",
    "pixels": "pixels",
    "full_resolution": "full resolution",
}
"""Probes that read no model, in words: what is measured with them is a scale for the model's numbers."""

FINAL_TEXT = f"/{store.FINAL_TEXT}"
"""Suffix of a metric that asks every revision with the text embeddings of the run's last one."""


@dataclass(frozen=True)
class Term:
    """One metric in words.

    Attributes:
        title: name for headings and axes.
        meaning: one sentence for the page.
        limits: range of the axis where it is fixed, so that pages compare; None follows the data.
        level: value at which the metric says neither one thing nor the other; drawn as a line.
        level_words: what that line is.
    """

    title: str
    meaning: str = ""
    limits: tuple[float, float] | None = None
    level: float | None = None
    level_words: str = ""


_UNIT = (0.0, 1.0)
_EVEN = "even"
_RANK = "Spearman's rank correlation over all pairs; larger is closer to"
_SYNTHETIC_ORDER = "the order of the synthetic severities (no opinion scores)"

_TERMS = {
    "shape_bias": Term(
        "shape bias", "Shape decisions among the decisions for either cue, S / (S + T).", _UNIT, 0.5, _EVEN
    ),
    "texture_bias": Term("texture bias", "One minus the shape bias, T / (S + T).", _UNIT, 0.5, _EVEN),
    "shape_preference": Term(
        "text-free shape preference",
        "How often an image lies nearer to one that shares its shape than to one that shares its texture; "
        "no text is involved.",
        _UNIT,
        0.5,
        _EVEN,
    ),
    "cue_accuracy": Term(
        "cue accuracy",
        "Decisions for either cue among all images, (S + T) / n: what the shape bias rests on.",
        _UNIT,
    ),
    "shape_accuracy": Term("shape accuracy", "Decisions for the shape among all images, S / n.", _UNIT),
    "texture_accuracy": Term("texture accuracy", "Decisions for the texture among all images, T / n.", _UNIT),
    "top_class_share": Term(
        "share of the commonest decision",
        "How much of the decisions one class takes; from one half on the shape bias is not interpretable.",
        _UNIT,
        0.5,
        "limit",
    ),
    "accuracy": Term(
        "accuracy", "Right decisions among all images, with prompts where no linear probe is named.", _UNIT
    ),
    "clean_accuracy": Term("accuracy without noise", "Right decisions on the clean images.", _UNIT),
    "top1": Term("zero-shot accuracy", "Right zero-shot decisions (top 1) among all images.", _UNIT),
    "top5": Term("zero-shot accuracy, top 5", "Images whose class is among the first five decisions.", _UNIT),
    "relative_drop": Term(
        "relative accuracy drop",
        "(clean - noisy) / clean; larger is more sensitive to the noise. "
        "Not defined while the clean accuracy is not clear of chance.",
        None,
        0.0,
        "no loss",
    ),
    "chance_corrected_drop": Term(
        "accuracy drop, chance-corrected",
        "(clean - noisy) / (clean - chance); larger is more sensitive to the noise. "
        "Not defined while the clean accuracy is not clear of chance.",
        None,
        0.0,
        "no loss",
    ),
    "area": Term("area under the accuracy-noise curve", "Mean accuracy over the range of sigma.", _UNIT),
    "drop_when_right": Term(
        "loss of what was right",
        "Of the images that are classified correctly when clean, the share that the noise makes wrong. "
        "Not defined while the clean accuracy is not clear of chance.",
        _UNIT,
    ),
    "noise_rms": Term(
        "effective noise",
        "Root mean square of the change of the pixels, in [0, 1]: less than the nominal sigma, since values are "
        "clipped at black and white.",
        _UNIT,
    ),
    "displacement": Term(
        "displacement of the embedding",
        "How far the noise moves an embedding, relative to the spread over images.",
        None,
        0.0,
        "none",
    ),
    "alignment": Term("alignment with humans", f"{_RANK} human judgement.", None, 0.0, "none"),
    "alignment_ssim": Term(
        "low-level alignment (proxy)",
        f"{_RANK} 1 - SSIM. A proxy: no human judged these images.",
        None,
        0.0,
        "none",
    ),
    "alignment_severity": Term(
        "alignment with severity (proxy)", f"{_RANK} {_SYNTHETIC_ORDER}.", None, 0.0, "none"
    ),
    "image_to_text_recall_at_1": Term("image-to-text recall at 1", "", _UNIT),
    "image_to_text_recall_at_5": Term("image-to-text recall at 5", "", _UNIT),
    "image_to_text_recall_at_10": Term("image-to-text recall at 10", "", _UNIT),
    "text_to_image_recall_at_1": Term("text-to-image recall at 1", "", _UNIT),
    "text_to_image_recall_at_5": Term("text-to-image recall at 5", "", _UNIT),
    "text_to_image_recall_at_10": Term("text-to-image recall at 10", "", _UNIT),
    "srcc": Term("SRCC, signed", "Spearman's correlation of distance and score.", None, 0.0, "none"),
    "krcc": Term("KRCC, signed", "Kendall's tau-b of distance and score.", None, 0.0, "none"),
    "plcc": Term("PLCC, signed", "Pearson's correlation of distance and score.", None, 0.0, "none"),
    "plcc_logistic": Term(
        "PLCC after a logistic fit", "Pearson's correlation of fitted distance and score.", None, 0.0, "none"
    ),
    "rmse_logistic": Term("RMSE after a logistic fit", "In units of the score; smaller is closer to humans."),
    "two_afc": Term(
        "2AFC agreement",
        "How often the distance chooses the candidate that people chose, weighted by their votes.",
        _UNIT,
        0.5,
        _EVEN,
    ),
    "jnd_map": Term(
        "mAP of just noticeable differences",
        "Average precision of the distance in finding the pairs that people took for the same.",
        _UNIT,
    ),
    "error_consistency": Term(
        "error consistency with humans",
        "Cohen's kappa of right and wrong shape decisions, mean over the observers; 0 is what the accuracies "
        "alone give.",
        None,
        0.0,
        "chance",
    ),
    "nss": Term("NSS", "Normalised scanpath saliency at the fixations.", None, 0.0, "none"),
    "auc": Term("AUC", "Area under the ROC curve against all pixels.", None, 0.5, "none"),
    "auc_judd": Term("AUC-Judd", "Area under the ROC curve, Judd's thresholds.", None, 0.5, "none"),
    "sauc": Term(
        "shuffled AUC",
        "Area under the ROC curve against fixations of other images, by which a centre bias gains nothing.",
        None,
        0.5,
        "none",
    ),
    "cc": Term("CC", "Pearson correlation of the maps.", None, 0.0, "none"),
    "sim": Term("SIM", "Sum of the minima of the two maps.", _UNIT),
    "kl": Term("KL divergence", "In nats; smaller is closer to the humans' map."),
    "ig": Term("information gain", "Over the centre bias, in bits per fixation.", None, 0.0, "none"),
}

_KINDS = {
    "shape_bias": "Texture-shape bias",
    "zero_shot": "Zero-shot classification",
    "retrieval": "Retrieval",
    "noise": "Sensitivity to noise",
    "quality": "Image quality",
    "distortion": "Low-level alignment (proxies)",
    "similarity": "Perceptual similarity",
    "jnd": "Just noticeable differences",
    "saliency": "Saliency",
}


def rank(benchmark: str, metric: str) -> tuple[int, bool, str, int]:
    """Sort key: the kinds and metrics in the order of this file, real images before synthetic ones."""
    kind = benchmark.partition("/")[0]
    kinds, metrics = list(_KINDS), list(_TERMS)
    return (
        kinds.index(kind) if kind in kinds else len(kinds),
        is_synthetic(benchmark),
        benchmark,
        metrics.index(stem(metric)) if stem(metric) in metrics else len(metrics),
    )


def term(metric: str) -> Term:
    """What the report knows of a metric; its own name where nothing is known."""
    return _TERMS.get(stem(metric), Term(stem(metric).replace("_", " ")))


def is_known(metric: str) -> bool:
    """Whether the report has words for a metric."""
    return stem(metric) in _TERMS


def metric_words(metric: str) -> str:
    """Title of a metric with its variant: ``alignment (proxy), cosine``."""
    _, _, variant = metric.partition("/")
    title = term(metric).title
    variant = variant.replace("imagenet_1000", "1,000-way")
    return f"{title}, {variant.replace('/', ', ').replace('_', ' ')}" if variant else title


def group_words(one: Trajectory) -> str:
    """What sets a trajectory apart within its metric: probe, layer, group, texts; "" for none."""
    parts = [probe_words(one)] if one.probe else []
    if one.layer is not None:
        parts.append(f"layer {one.layer}")
    if one.group:
        parts.append(one.group.replace("=", " ").replace("_", " "))
    if one.metric.endswith(FINAL_TEXT):
        parts.append("text of the last revision")
    return ", ".join(parts)


def probe_words(one: Trajectory) -> str:
    """How a number was read out, or the baseline that stands in the place of a model."""
    if one.kind == "saliency" and one.probe == "pixels":
        return "gradient energy"
    return BASELINES.get(one.probe, one.probe.replace("_", " "))


def is_synthetic(benchmark: str) -> bool:
    """Whether the data set of a benchmark is rendered by this project and shows no real image."""
    return benchmark.partition("/")[2].startswith("procedural")


def benchmark_words(benchmark: str) -> str:
    """``shape_bias/procedural`` as a heading; a synthetic world is called one."""
    kind, _, dataset = benchmark.partition("/")
    title = _KINDS.get(kind, kind.replace("_", " ").capitalize())
    return f"{title}: {'synthetic world' if is_synthetic(benchmark) else dataset.replace('_', ' ')}"


def place_words(benchmark: str) -> str:
    """Where a benchmark measures, for the middle of a sentence."""
    _, _, dataset = benchmark.partition("/")
    return f"the synthetic world ({dataset})" if is_synthetic(benchmark) else dataset.replace("_", " ")
