"""Does shape or texture decide where they conflict (Geirhos et al. 2019)? By prompts, and without text."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import (
    Common,
    digest,
    unit,
)
from hf_clipdyn.benchmarks.classes import ClassifiedKind, default_templates
from hf_clipdyn.benchmarks.degradations import grey, to_pixels
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView
from hf_clipdyn.benchmarks.heads import HEAD
from hf_clipdyn.benchmarks.input_views import corrupted
from hf_clipdyn.benchmarks.kind import ClassNames, KindSettings
from hf_clipdyn.benchmarks.probe import decide_crossed
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.shape_scores import (
    ALL_CLASSES,
    CONFLICT,
    CROSSED_PROBE,
    GREY,
    HUMAN,
    LINEAR_PROBE,
    NETWORKS,
    OBSERVERS,
    OTHER_CUE,
    TEXT_FREE,
    TEXT_FREE_ALL,
    is_untouched,
    numbers_of_people,
    shape_numbers,
)
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.prompts import PHOTO, imagenet_names
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import Condition, KindTerms, Overview, Reference, Term

__all__ = ["ShapeBias", "ShapeBiasSettings", "triplet_preferences"]

_CUES = ("shape", "texture", "shape_exemplar", "texture_exemplar")
_THOUSAND = "imagenet_1000"
_PROMPTS = "prompts"
_SHARE: dict[str, Any] = {"limits": (0.0, 1.0), "perception": "high"}
_BIAS: dict[str, Any] = _SHARE | {
    "neutral": 0.5,
    "neutral_title": "no preference",
    "rests_on": "cue_accuracy",
}


class ShapeBiasSettings(KindSettings):
    """Which classes a decision is among, and whether the images are also shown in grey."""

    classes: ClassNames = None
    """Names of at least two classes, for a model that knows only these. Decisions are among these, and only the images
    whose shape and texture are both among them are asked about. Default: all classes."""

    grey: bool = Field(False, validation_alias="gray")
    """Ask about each image in grey, too."""

    only_set: ClassVar = True  # so that cells of earlier versions keep their key


class ShapeBias(ClassifiedKind[ShapeBiasSettings]):
    """Shape bias on cue-conflict images: zero-shot decisions among the classes, triplets, linear probes.

    Trials: item, image_id, shape, texture, shape_exemplar, texture_exemplar, and protocol. The protocol says what the
    other columns contain:

    - The name of a prompt set ("" is the default one), ``imagenet_1000``, or ``head`` (of a classifier): ``decision``
      is a class name.
    - ``text_free``: ``preference`` is the share of the image's triplets in which its shape mate is the closer one.
      ``mate_effect`` is the effect of the image, as a mate, on the triplets of others (`triplet_preferences`).
    - ``crossed_probe``: ``decision`` is the answer of the linear probe for ``cue`` (shape or texture) to a conflict
      image. The probe has not seen the image's exemplar of that cue (`decide_crossed`).
    - ``human``: ``decision`` is the answer of ``observer``.

    If decisions are among some classes (``classes``), all of these are about the images with both cues among them, and
    ``text_free_all`` is ``text_free`` on all images. ``condition`` is ``grey`` for images that were shown in grey, and
    null for the others.
    """

    name = "shape_bias"
    settings = ShapeBiasSettings
    schemas = ("cue_conflict",)
    terms = KindTerms(
        title="Texture-shape bias",
        rank=10,
        terms={
            "shape_bias": Term(
                title="shape bias",
                meaning="Share of shape decisions among all decisions for the shape or the texture, S / "
                "(S + T).",
                poles=("texture", "shape"),
                overview=Overview(rank=10),
                **_BIAS,
            ),
            "texture_bias": Term(
                title="texture bias",
                meaning="One minus the shape bias, T / (S + T).",
                poles=("shape", "texture"),
                mirrors="shape_bias",
                **_BIAS,
            ),
            "shape_preference": Term(
                title="text-free shape preference",
                meaning="How often an image is closer to one of the same shape than to one of the same texture; "
                "no text is involved.",
                neutral=0.5,
                neutral_title="no preference",
                poles=("texture", "shape"),
                overview=Overview(rank=20),
                **_SHARE,
            ),
            "cue_accuracy": Term(
                title="cue accuracy",
                meaning="Share of images whose decision is for the shape or the texture, (S + T) / n. The "
                "shape bias uses only these decisions.",
                better="high",
                **_SHARE,
            ),
            **{
                f"{cue}_accuracy": Term(
                    title=f"{cue} accuracy",
                    meaning=f"Share of images whose {cue} is named, by prompts ({named} / n) or by a linear probe.",
                    **_SHARE,
                )
                for cue, named in (("shape", "S"), ("texture", "T"))
            },
            "error_consistency": Term(
                title="error consistency with people",
                meaning="Cohen's kappa between the correct shape decisions of the model and of one "
                "observer, averaged over observers. 0 is the agreement that the accuracies alone "
                "predict.",
                better="high",
                perception="high",
                neutral=0.0,
                neutral_title="chance",
            ),
            "top_class_share": Term(
                title="share of the most frequent decision",
                meaning="Share of the decisions that name the most frequent class. If it is one half or "
                "more, the shape bias is not interpretable.",
                neutral=0.5,
                neutral_title="limit",
                **_SHARE,
            ),
        },
        variants={
            "imagenet_80": "80 ImageNet templates",
            "name": "class name alone",
            _THOUSAND: "1,000-way",
        },
        subsets={CONFLICT: "images with a conflict", ALL_CLASSES: "images of all classes"},
        conditions={GREY: Condition(title="in grey")},
        probes={LINEAR_PROBE: "linear probe", HEAD: "own head"},
        references=(
            Reference(role="chance", title="chance", joins=("metric", "probe", "condition")),
            Reference(
                role="null",
                title="decisions shuffled over the images",
                joins=("metric", "variant", "condition"),
            ),
            Reference(role="lower_bound", title="lowest at these accuracies", joins=("metric", "subset")),
            Reference(role="upper_bound", title="highest at these accuracies", joins=("metric", "subset")),
            Reference(
                role="human", name=OBSERVERS, title="people among themselves", joins=("metric", "subset")
            ),
            *(
                Reference(role="baseline", name=name, title=title, drawn=False)
                for name, (title, _, _) in NETWORKS.items()
            ),
        ),
    )
    columns = ("image_id", *_CUES)
    trial_columns: ClassVar = {
        "item": "int64",
        **dict.fromkeys(columns, "string"),
        "protocol": "string",
        "decision": "string",
        "preference": "float64",
        "mate_effect": "float64",
        "cue": "string",
        "observer": "string",
        "condition": "string",
    }
    later_columns = ("condition",)
    needs_text = False  # a vision model answers the triplets and the probes
    text_drift = True
    score_version = 3
    clusters = ("shape_exemplar", "texture_exemplar")

    def __init__(
        self, source: Source, image_processor: Any, settings: ShapeBiasSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        offered = _classes(self.images)
        named = offered == list(GEIRHOS_CLASSES) and settings.classes is None
        # The 1,000 classes are those of photographs, and map onto these 16 categories alone.
        self._thousand = {_THOUSAND: PHOTO} if named and default_templates(source.metadata) == PHOTO else {}
        self._every = self.images
        forms: dict[str | None, Stimuli] = {None: self.stimuli}
        if settings.grey:
            forms[GREY] = corrupted(self.pixels, self.shown, _in_grey, GREY, common)
        self._classes = self.keep_classes(settings.classes, offered, "shape", "texture")
        self._restricted = settings.classes is not None
        self._is_asked = self._every["item"].isin(self.images["item"]).to_numpy()
        asked = np.flatnonzero(self._is_asked)
        self._forms = {form: (shown, shown.select(asked)) for form, shown in forms.items()}
        self.fingerprint = digest(
            self.name,
            CROSSED_PROBE,
            self.pixels.fingerprint,
            self.described.to_dict("list"),
            self._classes,
            self.prompts,
            list(imagenet_names().values()) if self._thousand else [],
            self.humans[["item", "observer", "decision"]].to_dict("list"),
            *([GREY] if settings.grey else []),
        )

    @classmethod
    def classes(cls, source: Source, settings: KindSettings) -> Sequence[str]:
        if isinstance(settings, ShapeBiasSettings) and settings.classes is not None:
            return settings.classes
        return _classes(source.dataset.select_columns(["shape", "texture"]).to_pandas())

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Decide for a class with each prompt set, count each image's triplets, probe for both cues."""
        blocks = [
            trials.assign(condition=form) for form in self._forms for trials in self._observed(readout, form)
        ]
        if readout.knows(self._classes):
            blocks.append(self.humans)
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        return trials.reindex(columns=list(self.trial_columns)).astype(self.trial_columns)

    def _observed(self, readout: Readout, form: str | None) -> Iterator[pd.DataFrame]:
        """What the model says of the images in one form."""
        every, asked = self._forms[form]
        if not readout.only_text:
            embeddings = readout.images(every)
            own = embeddings[self._is_asked]
            yield _preferred(own, self.images, TEXT_FREE)
            if self._restricted:
                yield _preferred(embeddings, self._every, TEXT_FREE_ALL)
            yield from (self._probed(own, cue) for cue in OTHER_CUE)
        if readout.knows(self._classes):
            yield from self.ask(readout, self._classes, self._thousand, asked)

    def _probed(self, embeddings: NDArray[np.float32], cue: str) -> pd.DataFrame:
        """What a linear probe reads of one cue in the conflict images, each by its class's other exemplars."""
        conflict = (self.images["shape"] != self.images["texture"]).to_numpy()
        rows = self.images[conflict]
        classes, names = pd.factorize(rows[cue], sort=True)
        other = OTHER_CUE[cue]
        decided = decide_crossed(
            unit(embeddings[conflict]),
            classes,
            rows[f"{cue}_exemplar"],
            pd.Index(names).get_indexer(rows[other]),
            rows[f"{other}_exemplar"],
        )
        decisions = [names[code] if code >= 0 else None for code in decided]
        trials: pd.DataFrame = rows.assign(protocol=CROSSED_PROBE, cue=cue, decision=decisions)
        return trials

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Images with both cues, and what prompts and probes decide."""
        shown = trials.drop_duplicates("item").set_index("item")
        asked = trials[~trials["protocol"].isin([TEXT_FREE, TEXT_FREE_ALL, HUMAN]) & is_untouched(trials)]
        answers = {
            _way(ShapeBias.terms, *cast("tuple[str, Any]", key)): rows.set_index("item")["decision"]
            for key, rows in asked.groupby(["protocol", "cue"], sort=False, dropna=False)
        }
        prompted = sorted(answers, key=lambda title: title != _PROMPTS)  # the default prompts first
        return Gallery(
            answer="class",
            answers={title: answers[title] for title in prompted},
            truth=shown["shape"],
            truth_title="shape",
            lure=shown["texture"],
            lure_title="texture",
            choosing=tuple(
                _way(ShapeBias.terms, str(name), None)
                for name in asked[asked["cue"].isna()]["protocol"].unique()
            ),
            **ShapeBias.people(trials),
            check=shown[["image_id", "shape", "texture"]],
        )

    views = (
        GalleryView(
            ("item", "image_id", *_CUES, "protocol", "decision", "cue", "observer", "condition"), gallery
        ),
    )

    answers_from = ("item", *_CUES, "protocol", "decision", "cue", "observer", "condition")

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterator[Answers]:
        """Whether prompts and people name the shape, and whether the probes name their own cue; not of grey images."""
        shown = trials[is_untouched(trials)]
        asked = shown[shown["cue"].isna() & ~shown["protocol"].isin([TEXT_FREE, TEXT_FREE_ALL])]
        yield from cls.answers_by_protocol(asked, "shape", metric="shape_accuracy")
        for cue in OTHER_CUE:
            decided = shown[(shown["cue"] == cue) & shown["decision"].notna()]
            if len(decided):
                key = NumberKey(metric=f"{cue}_accuracy", probe=LINEAR_PROBE)
                yield answers_of(decided, key, label=cue, clusters=cls.clusters)

    @classmethod
    def numbers_of_people(cls, trials: pd.DataFrame) -> Sequence[Number]:
        """The shape bias of people (`shape_scores.numbers_of_people`)."""
        return numbers_of_people(trials)

    score = staticmethod(shape_numbers)


def _classes(images: pd.DataFrame) -> list[str]:
    """The classes that a decision is among: the 16 categories if the images show no others, else those shown."""
    used = set(images["shape"]) | set(images["texture"])
    return list(GEIRHOS_CLASSES) if used <= set(GEIRHOS_CLASSES) else sorted(used)


def _way(terms: KindTerms, protocol: str, cue: Any) -> str:
    if not pd.isna(cue):
        return f"linear probe for {cue}"
    return terms.variants.get(protocol, protocol) or _PROMPTS


def _in_grey(pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
    del row
    return to_pixels(grey(pixels))


def _preferred(embeddings: NDArray[np.floating[Any]], images: pd.DataFrame, protocol: str) -> pd.DataFrame:
    preferences, effects = triplet_preferences(embeddings, images)
    return images.assign(protocol=protocol, preference=preferences, mate_effect=effects)


def triplet_preferences(
    embeddings: NDArray[np.floating[Any]], images: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the category triplets of each conflict image in which its shape mate is the nearer one.

    The shape mate has the anchor's class of shape, another shape exemplar, another texture class (and
    so another texture exemplar); the texture mate has the anchor's class of texture, another texture exemplar,
    another shape class. All valid pairs of mates count, ties one half.

    Args:
        embeddings: (n, d).
        images: n rows with shape, texture, shape_exemplar, texture_exemplar.

    Returns:
        (n,) in [0, 1]; NaN where shape and texture agree, or where one of the mates does not exist. And (n,) what
        each image does as a mate: the sum over its anchors of (share of these triplets won by the shape -
        preference of the anchor) / number of the anchor's mates of that kind.
    """
    result, effects = np.full(len(images), np.nan), np.zeros(len(images))
    rows = unit(embeddings)
    for anchor, shape_mates, texture_mates in _mates(images):
        # As `cosine_distance`, with all vectors scaled once.
        to_shape, to_texture = (
            0.5 * np.square(rows[anchor] - rows[mates]).sum(axis=-1) for mates in (shape_mates, texture_mates)
        )
        # The share of triplets that the shape wins, with each of the mates.
        by_mate = 1 - _share_below(to_texture, to_shape), _share_below(to_shape, to_texture)
        result[anchor] = by_mate[0].mean()
        for mates, won in zip((shape_mates, texture_mates), by_mate, strict=True):
            effects[mates] += (won - result[anchor]) / len(won)
    return result, effects


def _mates(images: pd.DataFrame) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Each conflict image that has mates of both kinds, with its shape mates and its texture mates."""
    shape, texture, shape_exemplar, texture_exemplar = (pd.factorize(images[name])[0] for name in _CUES)
    conflict = (images["shape"] != images["texture"]).to_numpy()
    for anchor in np.flatnonzero(conflict).tolist():
        same_shape, same_texture = shape == shape[anchor], texture == texture[anchor]
        shape_mates = conflict & same_shape & ~same_texture & (shape_exemplar != shape_exemplar[anchor])
        texture_mates = conflict & same_texture & ~same_shape & (texture_exemplar != texture_exemplar[anchor])
        if shape_mates.any() and texture_mates.any():
            yield anchor, np.flatnonzero(shape_mates), np.flatnonzero(texture_mates)


def _share_below(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values below each threshold, ties one half."""
    ordered = np.sort(values)
    # A tie is neither left nor right of its equals: the mean of both positions counts it one half.
    left, right = (np.searchsorted(ordered, thresholds, side) for side in ("left", "right"))
    return np.asarray((left + right) / 2 / len(values))
