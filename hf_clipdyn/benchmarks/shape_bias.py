"""Does shape or texture decide where they conflict (Geirhos et al. 2019)? By prompts, and without text."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    cosine_distance,
    decode,
    digest,
    measurement,
)
from hf_clipdyn.benchmarks.prompts import prompt_sets
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.zero_shot import rank_classes
from hf_clipdyn.metrics.cue_preference import anchor_preference
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES, shape_bias
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["ShapeBias", "triplet_preferences"]

_CUES = ("shape", "texture", "shape_exemplar", "texture_exemplar")
_TEXT_FREE = "text_free"
# Neither end of a bias is better; more cue decisions and a quiet class prior are what makes it readable.
_KEYS: dict[str, bool | None] = {
    "shape_bias": None,
    "texture_bias": None,
    "cue_accuracy": True,
    "null_cue_accuracy": None,
    "shape_accuracy": None,
    "texture_accuracy": None,
    "interpretable": None,
    "top_class_share": None,
}


class ShapeBias(Benchmark):
    """Shape bias on cue-conflict images: zero-shot decisions among the classes, and category triplets.

    Trials: item, image_id, shape, texture, shape_exemplar, texture_exemplar, and protocol: for the name
    of a prompt set ("" is the default one) ``decision`` is a class name; for ``text_free``
    ``preference`` is the share of the image's triplets in which its shape mate is the nearer one.
    """

    kind: ClassVar[str] = "shape_bias"
    schemas = ("cue_conflict",)
    suites: ClassVar = {
        "embedded": ("procedural",),
        "paper": ("cue_conflict",),
        "full": ("cue_conflict",),
    }
    needs_text: ClassVar[bool] = False  # a vision model answers the triplets
    clusters = ("shape_exemplar", "texture_exemplar")

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        pixels = decode(source.dataset, image_processor, settings)
        rows = np.flatnonzero(~pixels.broken)
        facts = source.dataset.select_columns(["image_id", *_CUES]).to_pandas()
        self._facts = facts.iloc[rows].reset_index(drop=True).assign(item=rows)
        used = set(self._facts["shape"]) | set(self._facts["texture"])
        self._classes = list(GEIRHOS_CLASSES) if used <= set(GEIRHOS_CLASSES) else sorted(used)
        self._prompts = prompt_sets(source.facts)
        self._stimuli = Stimuli(pixels.array, rows)
        self.left_out = int(pixels.broken.sum())
        self.fingerprint = digest(
            self.kind, pixels.fingerprint, facts.to_dict("list"), self._classes, self._prompts
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Decide for a class with each prompt set, and count each image's triplets."""
        images = readout.images(self._stimuli)
        preferences = triplet_preferences(images, self._facts)
        blocks = [self._facts.assign(protocol=_TEXT_FREE, decision=None, preference=preferences)]
        if readout.encoder.reads_text:
            for name, templates in self._prompts.items():
                best = rank_classes(readout, images, self._classes, templates)[:, 0]
                decisions = np.asarray(self._classes, object)[best]
                blocks.append(self._facts.assign(protocol=name, decision=decisions, preference=np.nan))
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        return trials.astype({"decision": "string", "preference": "float64"})

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Shape bias and accuracies of every prompt set, and the text-free preference."""
        measurements: list[Measurement] = []
        for protocol, rows in trials.groupby("protocol", sort=False):
            measurements += (
                _score_preference(rows, settings)
                if protocol == _TEXT_FREE
                else _score_decisions(str(protocol), rows, settings)
            )
        return measurements


def triplet_preferences(images: NDArray[np.floating[Any]], facts: pd.DataFrame) -> NDArray[np.float64]:
    """Share of the category triplets of each conflict image in which its shape mate is the nearer one.

    The shape mate has the anchor's class of shape, another shape exemplar, another texture class (and
    so another texture exemplar); the texture mate has the anchor's class of texture, another texture exemplar,
    another shape class. All valid pairs of mates count, ties one half.

    Args:
        images: embeddings, (n, d).
        facts: n rows with shape, texture, shape_exemplar, texture_exemplar.

    Returns:
        (n,) in [0, 1]; NaN where shape and texture agree, or where one of the mates does not exist.
    """
    shape, texture, shape_exemplar, texture_exemplar = (pd.factorize(facts[name])[0] for name in _CUES)
    conflict = (facts["shape"] != facts["texture"]).to_numpy()
    result = np.full(len(facts), np.nan)
    for anchor in np.flatnonzero(conflict):
        same_shape, same_texture = shape == shape[anchor], texture == texture[anchor]
        shape_mates = conflict & same_shape & ~same_texture & (shape_exemplar != shape_exemplar[anchor])
        texture_mates = conflict & same_texture & ~same_shape & (texture_exemplar != texture_exemplar[anchor])
        if not (shape_mates.any() and texture_mates.any()):
            continue
        to_shape = cosine_distance(images[anchor], images[shape_mates])
        to_texture = np.sort(cosine_distance(images[anchor], images[texture_mates]))
        # A tie is neither left nor right of its equals: the mean of both positions counts it one half.
        nearer = [np.searchsorted(to_texture, to_shape, side) for side in ("left", "right")]
        result[anchor] = 1 - np.mean(nearer) / len(to_texture)
    return result


def _score_decisions(protocol: str, rows: pd.DataFrame, settings: Settings) -> list[Measurement]:
    with undefined_causes() as causes:
        result = shape_bias(
            rows["decision"].to_list(),
            rows["shape"].to_list(),
            rows["texture"].to_list(),
            shape_exemplars=rows["shape_exemplar"].to_list(),
            texture_exemplars=rows["texture_exemplar"].to_list(),
            **settings.resampling,
        )
    suffix = f"/{protocol}" if protocol else ""
    groups = min(rows["shape_exemplar"].nunique(), rows["texture_exemplar"].nunique())
    return [
        measurement(result, key, causes, metric=key + suffix, n_groups=groups, higher_is_better=better)
        for key, better in _KEYS.items()
    ]


def _score_preference(rows: pd.DataFrame, settings: Settings) -> list[Measurement]:
    rows = rows[rows["preference"].notna()]
    if rows.empty:
        return [
            Measurement("shape_preference", float("nan"), note="no image has both a shape and a texture mate")
        ]
    result = anchor_preference(
        rows["preference"],
        shape_exemplars=rows["shape_exemplar"].to_list(),
        texture_exemplars=rows["texture_exemplar"].to_list(),
        **settings.resampling,
    )
    groups = min(rows["shape_exemplar"].nunique(), rows["texture_exemplar"].nunique())
    return [measurement(result, "shape_preference", {}, n_groups=groups)]
