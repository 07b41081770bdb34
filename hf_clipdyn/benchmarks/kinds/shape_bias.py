"""Does shape or texture decide where they conflict (Geirhos et al. 2019)? By prompts, and without text."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hf_clipdyn.benchmarks.classes import ClassifiedKind
from hf_clipdyn.benchmarks.heads import HEAD
from hf_clipdyn.benchmarks.kind import ClassNames, Common, KindSettings, digest, share, words
from hf_clipdyn.benchmarks.shape_scores import (
    ALL_CLASSES,
    ASKED,
    BY_IMAGE,
    BY_PERSON,
    CROSSED_PROBE,
    GREY,
    HUMAN,
    LINEAR_PROBE,
    NETWORKS,
    OBSERVERS,
    OTHER_CUE,
    TEXT_FREE,
    TEXT_FREE_ALL,
    decided_by_probe,
    is_untouched,
    shape_numbers,
)
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import Condition, Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout, Stimuli
    from hf_clipdyn.benchmarks.shape_scores import Scored
    from hf_clipdyn.benchmarks.sources import Source

_CUES = ("shape", "texture", "shape_exemplar", "texture_exemplar")
_NAMES = ("image_id", *_CUES, "protocol", "decision", "cue", "observer", "condition")
_SHARE: dict[str, Any] = {"perception": "high", "better": ""}
_PREFERENCE: dict[str, Any] = _SHARE | {
    "neutral": 0.5,
    "neutral_title": "no preference",
    "poles": ("texture", "shape"),
}


class ShapeBiasSettings(KindSettings):
    """Which classes a decision is among, and whether the images are also shown in grey."""

    classes: ClassNames = None
    """Names of at least two classes, for a model that knows only these. Decisions are among these, and only the images
    whose shape and texture are both among them are used. Default: all classes."""

    grey: bool = Field(False, validation_alias="gray")
    """Also test each image in grey-scale."""

    only_set: ClassVar = True  # so that cells of earlier versions keep their key


class ShapeBias(ClassifiedKind[ShapeBiasSettings]):
    """Shape bias on cue-conflict images: zero-shot decisions among the classes, triplets, linear probes.

    Trials: item, image_id, shape, texture, shape_exemplar, texture_exemplar, and protocol. The protocol says what the
    other columns contain:

    - The name of a prompt set ("" is the default one), or ``head`` (of a classifier): ``decision`` is a class name.
    - ``text_free``: ``preference`` is the share of the image's triplets in which its shape mate is the closer one.
      ``mate_effect`` is the effect of the image, as a mate, on the triplets of others
      (`hf_clipdyn.metrics.cue_preference.triplet_preferences`).
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
    columns = ("image_id", *_CUES)
    clusters = ("shape_exemplar", "texture_exemplar")
    needs_text = False  # a vision model answers the triplets and the probes
    score_version = 4
    terms = words(
        "Texture-shape bias",
        10,
        share(
            "shape_bias",
            "shape bias",
            "Share of shape decisions among all decisions for the shape or the texture, S / (S + T).",
            **_PREFERENCE,
            rests_on="cue_accuracy",
            overview=Overview(rank=10),
        ),
        share(
            "shape_preference",
            "text-free shape preference",
            "How often an image is closer to one of the same shape than to one of the same texture; no text is "
            "involved.",
            **_PREFERENCE,
            overview=Overview(rank=20),
        ),
        share(
            "cue_accuracy",
            "cue accuracy",
            "Share of images whose decision is for the shape or the texture, (S + T) / n. The shape bias uses only "
            "these decisions.",
            perception="high",
        ),
        *(
            share(
                f"{cue}_accuracy",
                f"{cue} accuracy",
                f"Share of images whose {cue} is named, by prompts ({named} / n) or by a linear probe.",
                **_SHARE,
            )
            for cue, named in (("shape", "S"), ("texture", "T"))
        ),
        variants={"name": "class name alone"},
        subsets={ALL_CLASSES: "images of all classes"},
        conditions={GREY: Condition(title="in grey")},
        probes={LINEAR_PROBE: "linear probe", HEAD: "own head"},
        references=(
            Reference(role="chance", title="chance", joins=("metric", "probe", "condition")),
            Reference(
                role="null",
                title="decisions shuffled over the images",
                joins=("metric", "variant", "condition"),
            ),
            Reference(role="human", name=OBSERVERS, title="human observers"),
            Reference(role="human", name=BY_IMAGE, title="the mean observer, over images", drawn=False),
            Reference(role="human", name=BY_PERSON, title="the mean observer, over observers", drawn=False),
            *(
                Reference(role="baseline", name=name, title=title, drawn=False)
                for name, (title, _, _) in NETWORKS.items()
            ),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: ShapeBiasSettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.readout import corrupted

        super().__init__(source, image_processor, settings, common)
        (pixels,) = self.pixels
        self.every = self.asked
        forms: dict[str | None, Stimuli] = {None: self.stimuli[0]}
        if settings.grey:
            forms[GREY] = corrupted(pixels, self.shown, _in_grey, GREY, common)
        offered = _classes(self.asked)
        self.names = self.keep_classes(settings.classes, offered, "shape", "texture")
        self.is_restricted = settings.classes is not None
        self.is_asked = self.every["item"].isin(self.asked["item"]).to_numpy()
        self.forms = {
            form: (shown, shown.select(np.flatnonzero(self.is_asked))) for form, shown in forms.items()
        }
        self.facts = {}
        self.fingerprint = digest(
            self.name,
            CROSSED_PROBE,
            pixels.fingerprint,
            self.described[list(self.columns)].to_dict("list"),
            self.names,
            *self.asked_before(with_thousand=not self.is_restricted and _are_published(offered)),
            self.humans[["item", "observer", "decision"]].to_dict("list"),
            *([GREY] if settings.grey else []),
        )

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """Those of the settings, else those that `_classes` finds."""
        if isinstance(settings, ShapeBiasSettings) and settings.classes is not None:
            return settings.classes
        return _classes(source.dataset.select_columns(["shape", "texture"]).to_pandas())

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Decide for a class with each prompt set, count each image's triplets, probe for both cues."""
        import pandas as pd

        blocks = [
            trials.assign(condition=form) for form in self.forms for trials in self._observed(readout, form)
        ]
        if readout.knows(self.names):
            blocks.append(self.humans)
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        ordered = trials.reindex(columns=["item", *_NAMES, "preference", "mate_effect"])
        types = dict.fromkeys(_NAMES, "string") | dict.fromkeys(("preference", "mate_effect"), "float64")
        return ordered.astype(types)

    def _observed(self, readout: "Readout", form: str | None) -> "Iterator[pd.DataFrame]":
        """What the model says of the images in one form."""
        from hf_clipdyn.benchmarks.vectors import unit

        every, asked = self.forms[form]
        if not readout.only_text:
            embeddings = unit(readout.images(every))
            yield _preferred(embeddings[self.is_asked], self.asked, TEXT_FREE)
            if self.is_restricted:
                yield _preferred(embeddings, self.every, TEXT_FREE_ALL)
            yield from (self._probed(embeddings[self.is_asked], cue) for cue in OTHER_CUE)
        if readout.knows(self.names):
            yield from self.ask(readout, self.names, asked)

    def _probed(self, embeddings: Any, cue: str) -> "pd.DataFrame":
        """What a linear probe reads of one cue in the conflict images, each by its class's other exemplars."""
        conflict = (self.asked["shape"] != self.asked["texture"]).to_numpy()
        rows = self.asked[conflict]
        decisions = decided_by_probe(embeddings[conflict], rows, cue)
        trials: pd.DataFrame = rows.assign(protocol=CROSSED_PROBE, cue=cue, decision=decisions)
        return trials

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[Scored]":
        """See `hf_clipdyn.benchmarks.shape_scores`."""
        return shape_numbers(trials, seed)

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """Whether prompts and observers name the shape, and probes their own cue; not of grey images."""
        from hf_clipdyn.benchmarks.answers import answers_of

        shown = trials[is_untouched(trials)]
        asked = shown[shown["protocol"].isin([*ASKED, HUMAN])]
        yield from cls.answers_by_protocol(asked, "shape", metric="shape_accuracy")
        for cue in OTHER_CUE:
            decided = shown[(shown["cue"] == cue) & shown["decision"].notna()]
            if len(decided):
                key = NumberKey(metric=f"{cue}_accuracy", probe=LINEAR_PROBE)
                yield answers_of(decided, key, label=cue, clusters=cls.clusters)


def _classes(images: "pd.DataFrame") -> list[str]:
    """The classes that a decision is among: the 16 categories if the images show no others, else those shown."""
    from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

    used = set(images["shape"]) | set(images["texture"])
    return list(GEIRHOS_CLASSES) if used <= set(GEIRHOS_CLASSES) else sorted(used)


def _are_published(classes: Sequence[str]) -> bool:
    from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

    return list(classes) == list(GEIRHOS_CLASSES)


def _in_grey(pixels: Any, row: int) -> Any:
    from hf_clipdyn.benchmarks.degradations import luminance, to_pixels

    del row
    return to_pixels(luminance(pixels))


def _preferred(embeddings: Any, images: "pd.DataFrame", protocol: str) -> "pd.DataFrame":
    from hf_clipdyn.metrics.cue_preference import triplet_preferences

    preferences, effects = triplet_preferences(embeddings, *(images[name] for name in _CUES))
    return images.assign(protocol=protocol, preference=preferences, mate_effect=effects)
