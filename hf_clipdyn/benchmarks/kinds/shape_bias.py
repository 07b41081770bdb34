"""Does shape or texture decide where they conflict (Geirhos et al. 2019)? By prompts, and without text."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Influence,
    Measurement,
    Settings,
    cosine_distance,
    decode,
    digest,
    similarity,
    unit,
)
from hf_clipdyn.benchmarks.kinds.zero_shot import rank
from hf_clipdyn.benchmarks.linear_probe import decide_crossed
from hf_clipdyn.benchmarks.prompts import class_embeddings, default_templates, prompt_sets
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.shape_scores import (
    OTHER_CUE,
    consistency_influences_of,
    decision_influences_of,
    preference_influences,
    probe_influences,
    score_consistency,
    score_decisions,
    score_preference,
    score_probe,
)
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.imagenet_names import imagenet_names
from hf_clipdyn.data.prompts import PHOTO
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES
from hf_clipdyn.metrics.shape_decisions import shape_decisions

__all__ = ["ShapeBias", "triplet_preferences"]

_CUES = ("shape", "texture", "shape_exemplar", "texture_exemplar")
_TEXT_FREE, _PROBE, _HUMAN, _THOUSAND = "text_free", "crossed_probe", "human", "imagenet_1000"
_COUPLED_PROBE = "linear_probe"  # of earlier trials: a probe without a known chance level
_LOGIT_SCALE = 100  # CLIP's, and part of the 1,000-way protocol: its softmax is averaged over classes


class ShapeBias(Benchmark):
    """Shape bias on cue-conflict images: zero-shot decisions among the classes, triplets, linear probes.

    Trials: item, image_id, shape, texture, shape_exemplar, texture_exemplar, and protocol. For the name of
    a prompt set ("" is the default one) and for ``imagenet_1000`` ``decision`` is a class name; for
    ``text_free`` ``preference`` is the share of the image's triplets in which its shape mate is the nearer
    one, and ``mate_effect`` what the image does as a mate to those of others (`triplet_preferences`); for
    ``crossed_probe`` ``decision`` is what the probe for ``cue`` (shape or texture) says of a conflict
    image whose exemplar of that cue it has not seen (`decide_crossed`); for ``human`` it is the answer of ``observer``.
    """

    kind: ClassVar[str] = "shape_bias"
    schemas = ("cue_conflict",)
    suites: ClassVar = {
        "embedded": ("procedural",),
        "paper": ("cue_conflict",),
        "full": ("cue_conflict",),
    }
    needs_text: ClassVar[bool] = False  # a vision model answers the triplets and the probes
    text_drift: ClassVar[bool] = True
    clusters = ("shape_exemplar", "texture_exemplar")

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        pixels = decode(source.dataset, image_processor, settings)
        rows = np.flatnonzero(~pixels.broken)
        facts = source.dataset.select_columns(["image_id", *_CUES]).to_pandas()
        self._facts = facts.iloc[rows].reset_index(drop=True).assign(item=rows)
        used = set(self._facts["shape"]) | set(self._facts["texture"])
        named = used <= set(GEIRHOS_CLASSES)
        self._classes = list(GEIRHOS_CLASSES) if named else sorted(used)
        self._prompts = prompt_sets(source.metadata)
        # The 1,000 classes are those of photographs, and map onto these 16 categories alone.
        self._thousand = named and default_templates(source.metadata) == PHOTO
        self._humans = self._human_answers(source)
        self._stimuli = Stimuli(pixels.array, rows)
        self.left_out = int(pixels.broken.sum())
        self.fingerprint = digest(
            self.kind,
            _PROBE,
            pixels.fingerprint,
            facts.to_dict("list"),
            self._classes,
            self._prompts,
            list(imagenet_names().values()) if self._thousand else [],
            self._humans[["item", "observer", "decision"]].to_dict("list"),
        )

    def _human_answers(self, source: Source) -> pd.DataFrame:
        """One row for each answer of an observer to an image that is shown."""
        answers = source.dataset["human_responses"]
        told = [
            (position, answer["subject"], answer["response"])
            for position, item in enumerate(self._facts["item"])
            for answer in answers[item] or ()
        ]
        table = pd.DataFrame(told, columns=["position", "observer", "decision"])
        rows = self._facts.iloc[table.pop("position").to_numpy(np.int64)].reset_index(drop=True)
        humans: pd.DataFrame = rows.assign(
            protocol=_HUMAN, observer=table["observer"], decision=table["decision"]
        )
        return humans

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Decide for a class with each prompt set, count each image's triplets, probe for both cues."""
        images = readout.images(self._stimuli)
        blocks = []
        if not readout.only_text:
            preferences, effects = triplet_preferences(images, self._facts)
            blocks += [self._facts.assign(protocol=_TEXT_FREE, preference=preferences, mate_effect=effects)]
            blocks += [self._probed(images, cue) for cue in ("shape", "texture")]
        if readout.encoder.reads_text:
            for name, templates in self._prompts.items():
                best = rank(images, class_embeddings(readout, self._classes, templates))[:, 0]
                blocks.append(self._facts.assign(protocol=name, decision=np.asarray(self._classes)[best]))
            if self._thousand:
                texts = class_embeddings(readout, list(imagenet_names().values()), PHOTO)
                decisions = shape_decisions(_LOGIT_SCALE * similarity(images, texts), protocol="1000-way")
                blocks.append(self._facts.assign(protocol=_THOUSAND, decision=decisions))
            blocks.append(self._humans)
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        columns = [*self._facts, "protocol", "decision", "preference", "mate_effect", "cue", "observer"]
        types = dict.fromkeys(("decision", "cue", "observer"), "string")
        types |= dict.fromkeys(("preference", "mate_effect"), "float64")
        return trials.reindex(columns=columns).astype(types)

    def _probed(self, images: NDArray[np.float32], cue: str) -> pd.DataFrame:
        """What a linear probe reads of one cue in the conflict images, each by its class's other exemplars."""
        conflict = (self._facts["shape"] != self._facts["texture"]).to_numpy()
        rows = self._facts[conflict]
        classes, names = pd.factorize(rows[cue], sort=True)
        other = OTHER_CUE[cue]
        decided = decide_crossed(
            unit(images[conflict]),
            classes,
            rows[f"{cue}_exemplar"],
            pd.Index(names).get_indexer(rows[other]),
            rows[f"{other}_exemplar"],
        )
        decisions = [names[code] if code >= 0 else None for code in decided]
        trials: pd.DataFrame = rows.assign(protocol=_PROBE, cue=cue, decision=decisions)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Shape bias and accuracies of every prompt set, the text-free measures, consistency with people."""
        parts = {str(protocol): rows for protocol, rows in trials.groupby("protocol", sort=False)}
        measurements: list[Measurement] = []
        for protocol, rows in parts.items():
            if protocol == _TEXT_FREE:
                measurements += score_preference(rows, settings)
            elif protocol in (_PROBE, _COUPLED_PROBE):
                measurements += score_probe(rows, settings, has_chance=protocol == _PROBE)
            elif protocol == _HUMAN:
                measurements += score_consistency(parts[""], rows, settings)
            else:
                measurements += score_decisions(protocol, rows, settings)
        return measurements

    @staticmethod
    def influences(trials: pd.DataFrame) -> Iterator[Influence]:
        """All numbers are smooth functions of means over images."""
        parts = {str(protocol): rows for protocol, rows in trials.groupby("protocol", sort=False)}
        for protocol, rows in parts.items():
            if protocol == _TEXT_FREE:
                yield from preference_influences(rows)
            elif "cue" in rows and rows["cue"].notna().any():
                yield from probe_influences(rows)
            elif protocol == _HUMAN:
                yield from consistency_influences_of(parts[""], rows)
            else:
                yield from decision_influences_of(protocol, rows)


def triplet_preferences(
    images: NDArray[np.floating[Any]], facts: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the category triplets of each conflict image in which its shape mate is the nearer one.

    The shape mate has the anchor's class of shape, another shape exemplar, another texture class (and
    so another texture exemplar); the texture mate has the anchor's class of texture, another texture exemplar,
    another shape class. All valid pairs of mates count, ties one half.

    Args:
        images: embeddings, (n, d).
        facts: n rows with shape, texture, shape_exemplar, texture_exemplar.

    Returns:
        (n,) in [0, 1]; NaN where shape and texture agree, or where one of the mates does not exist. And (n,) what
        each image does as a mate: the sum over its anchors of (share of these triplets won by the shape -
        preference of the anchor) / number of the anchor's mates of that kind.
    """
    shape, texture, shape_exemplar, texture_exemplar = (pd.factorize(facts[name])[0] for name in _CUES)
    conflict = (facts["shape"] != facts["texture"]).to_numpy()
    result, effects = np.full(len(facts), np.nan), np.zeros(len(facts))
    for anchor in np.flatnonzero(conflict):
        same_shape, same_texture = shape == shape[anchor], texture == texture[anchor]
        shape_mates = conflict & same_shape & ~same_texture & (shape_exemplar != shape_exemplar[anchor])
        texture_mates = conflict & same_texture & ~same_shape & (texture_exemplar != texture_exemplar[anchor])
        if not (shape_mates.any() and texture_mates.any()):
            continue
        to_shape = cosine_distance(images[anchor], images[shape_mates])
        to_texture = cosine_distance(images[anchor], images[texture_mates])
        # The share of triplets that the shape wins, with each of the mates.
        by_mate = 1 - _share_below(to_texture, to_shape), _share_below(to_shape, to_texture)
        result[anchor] = by_mate[0].mean()
        for mates, won in zip((shape_mates, texture_mates), by_mate, strict=True):
            effects[mates] += (won - result[anchor]) / len(won)
    return result, effects


def _share_below(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values below each threshold, ties one half."""
    ordered = np.sort(values)
    # A tie is neither left nor right of its equals: the mean of both positions counts it one half.
    positions = [np.searchsorted(ordered, thresholds, side) for side in ("left", "right")]
    return np.asarray(np.mean(positions, axis=0) / len(values))
