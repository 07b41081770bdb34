"""Which page explains a public name of the package. That page links back: tests/test_pages.py."""

from .places import kind_path, relation_path

_HOW_TO = {
    "add-a-callback": ("Callback",),
    "add-a-data-set": ("DataBuilder", "DatasetMetadata"),
    "add-a-kind": ("Benchmark", "Kind", "KindSettings", "KindTerms", "Term"),
    "add-a-loss": ("Loss",),
    "ask-for-the-samples": ("Samples", "samples_between", "times_seen"),
    "evaluate-a-published-model": ("evaluate_model", "evaluate_revisions", "write_report"),
    "load-a-data-set": ("SubsetWarning", "dataset_metadata", "dataset_names", "load_dataset"),
    "publish": ("Revision", "Series", "list_revisions", "load_revision", "open_series"),
    "publish-from-a-trainer": (
        "EvaluateRevisions",
        "PublishRevisions",
        "Publisher",
        "Row",
        "Summary",
        "snapshot",
    ),
    "push-results": (
        "push_runs",
        "push_space",
        "write_cards",
        "write_runs",
    ),
    "read-the-table": (
        "compare_revisions",
        "headline",
        "load_results",
        "plot",
        "print_results",
        "read_study",
        "summarize",
    ),
    "run-a-study": ("run_study",),
    "train": (
        "TrainingConfig",
        "TrainingSummary",
        "delete_run",
        "output_folder",
        "repository",
        "train",
    ),
    "use-a-metric": ("load_metric", "metric_path"),
}
EXPLAINED = {name: f"how-to/{page}.md" for page, names in _HOW_TO.items() for name in names} | {
    "epoch_name": "reference/revision-names.md",
    "step_name": "reference/revision-names.md",
    "verdicts": "explanation/claims.md",
}
"""Page below docs/ by the name of a function or a class."""

_OF_KINDS = {
    "classification": ("observer_agreement",),
    "decodability": ("linear_probe",),
    "geometry": ("contrastive_geometry",),
    "jnd": ("jnd_map",),
    "label_distribution": ("label_distribution",),
    "noise": ("noise_robustness",),
    "odd_one_out": ("odd_one_out",),
    "psychophysics": ("psychophysics",),
    "quality": ("iqa_correlation",),
    "representation": ("embeddings", "rsa"),
    "retrieval": ("recall_at_k",),
    "saliency": ("fixation_maps", "saliency", "seen_maps"),
    "shape_bias": ("cue_preference", "shape_bias", "shape_decisions"),
    "similarity": ("two_afc",),
    "zero_shot": ("zero_shot_accuracy",),
}
_OF_RELATIONS = {
    "cue_learning": ("phases",),
    "error_consistency": ("error_consistency",),
    "learning_order": ("learning_order",),
    "representation_change": ("cka", "mutual_knn"),
    "weights": ("weight_path",),
}
METRICS = (
    {module: kind_path(kind) for kind, modules in _OF_KINDS.items() for module in modules}
    | {module: relation_path(name) for name, modules in _OF_RELATIONS.items() for module in modules}
    | dict.fromkeys(
        ("checks", "influence", "scores", "shared_images"),
        "explanation/intervals.md",
    )
)
"""Page below docs/ by the name of a module of `hf_clipdyn.metrics`."""


def functions(page: str) -> str:
    """Links from a page two folders below docs/ to the modules of metrics that it explains."""
    return ", ".join(
        f"[`hf_clipdyn.metrics.{module}`](../../reference/python/metrics.md#{module})"
        for module, explained in METRICS.items()
        if explained == page
    )
