"""Classification among 16 classes: are model and observers right on the same images (Geirhos et al. 2019, 2021)?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hf_clipdyn.benchmarks.classes import ClassifiedKind
from hf_clipdyn.benchmarks.kind import ClassNames, Common, KindSettings, digest, share, term, words
from hf_clipdyn.data.prompts import PHOTO, imagenet_names
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, Condition, Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

PAIRED = (("edge", "silhouette"), ("edge", "cue-conflict"), ("silhouette", "cue-conflict"))
"""Subsets that show the same objects; their difference is taken object by object."""
_DRAWN = {"edge": "edges", "silhouette": "silhouettes", "cue-conflict": "cue conflicts"}
_JOINS = ("metric", "variant", "subset", "condition")
_REACH = Axis(title="log2 of the reach")


class ClassificationSettings(KindSettings):
    """What a user may choose for the classification benchmarks."""

    gone: ClassVar = {"published_prompts": False}

    classes: ClassNames = None
    """Names of at least two classes, for a model that knows only these. Decisions are among these, and images of other
    classes are left out. Default: all 16."""


class Classification(ClassifiedKind[ClassificationSettings]):
    """Zero-shot decisions among 16 classes on the subsets of model-vs-human, compared with human observers'.

    Trials: item, image_id, subset, condition, category (the right answer), exemplar (the object or photograph that
    the image was made from), protocol, decision, observer, n_classes (that a decision is among; null: 16).
    ``protocol`` is the name of a prompt set ("" is the default one), ``head`` (of a classifier) or
    ``human``. For ``human``, ``decision`` is the answer of ``observer``.
    """

    name = "classification"
    settings = ClassificationSettings
    schemas = ("classification",)
    clusters = ("exemplar",)
    columns = ("image_id", "subset", "condition", "category", "exemplar")
    score_version = 2
    terms = words(
        "Classification compared with human observers",
        15,
        term(
            "error_consistency",
            "error consistency with human observers",
            "Cohen's kappa between the correct decisions of the model and of one observer, averaged over conditions "
            "and observers. 0 is the agreement that the accuracies alone predict. It is not drawn if the model is at "
            "chance.",
            better="high",
            neutral=0.0,
            neutral_title="chance",
            hide_not_interpretable=True,
            overview=Overview(rank=25),
            perception="high",
        ),
        share(
            "accuracy",
            "accuracy",
            "Share of correct decisions among 16 classes. For a subset: the mean over the conditions of the official "
            "summary, which excludes undegraded images and conditions in which human observers score below 0.2.",
            overview=Overview(rank=26),
            perception="high",
        ),
        term(
            "accuracy_gap",
            "accuracy on one set minus accuracy on the other",
            "Both subsets show the same objects, so the accuracies are compared object by object. Edges minus "
            "silhouettes is the effect of the inner contours.",
            neutral=0.0,
            neutral_title="none",
            perception="high",
        ),
        term(
            "accuracy_difference",
            "squared accuracy difference",
            "Square of the difference between the model's and an observer's accuracy, averaged over conditions and "
            "observers.",
            better="low",
            perception="high",
        ),
        level=Axis(title="level"),
        conditions={
            "contrast": Condition(title="contrast", level=Axis(title="contrast"), untouched=1.0),
            "uniform-noise": Condition(title="uniform noise", level=Axis(title="width of the noise")),
            "low-pass": Condition(
                title="low-pass", level=Axis(title="sigma of the filter", unit="px"), untouched=0.0
            ),
            "high-pass": Condition(title="high-pass", level=Axis(title="sigma of the filter", unit="px")),
            "phase-scrambling": Condition(
                title="phase scrambling",
                level=Axis(title="width of the phase noise", unit="°"),
                untouched=0.0,
            ),
            "rotation": Condition(title="rotation", level=Axis(title="rotation", unit="°"), untouched=0.0),
            "eidolonI": Condition(title="eidolon I", level=_REACH),
            "eidolonII": Condition(title="eidolon II", level=_REACH),
            "eidolonIII": Condition(title="eidolon III", level=_REACH),
            "cr": Condition(title="in colour"),
            "bw": Condition(title="in grey"),
            "true": Condition(title="true colours"),
            "false": Condition(title="opponent colours"),
            "0": Condition(title="its own power spectrum"),
            "pow": Condition(title="mean power spectrum"),
            "inf": Condition(title="not filtered"),
        },
        variants={"name": "class name alone"},
        subsets={
            "uniform-noise": "uniform noise",
            "phase-scrambling": "phase scrambling",
            "power-equalisation": "power equalisation",
            "false-colour": "false colour",
            "eidolonI": "eidolon I",
            "eidolonII": "eidolon II",
            "eidolonIII": "eidolon III",
            **_DRAWN,
            **{f"{a} and {b}": f"{_DRAWN[a]} minus {_DRAWN[b]}" for a, b in PAIRED},
        },
        probes={"head": "own head"},
        references=(
            Reference(role="chance", title="chance"),
            Reference(role="null", title="shuffled", joins=(*_JOINS, "level")),
            Reference(role="lower_bound", title="lowest possible", joins=_JOINS),
            Reference(role="upper_bound", title="highest possible", joins=_JOINS),
            Reference(
                role="human",
                name="observers",
                title="human observers",
                joins=("metric", "subset", "condition", "level"),
            ),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: ClassificationSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        self._classes = self.keep_classes(settings.classes, GEIRHOS_CLASSES, "category")
        self.facts = _present(self.asked["subset"])
        self.fingerprint = digest(
            self.name,
            self.pixels[0].fingerprint,
            self.described[list(self.columns)].to_dict("list"),
            self.asked_before(with_thousand=False)[0],
            {"imagenet_1000": PHOTO} if settings.classes is None else {},
            list(imagenet_names().values()),
            self.humans[["item", "observer", "decision"]].to_dict("list"),
            *([] if settings.classes is None else [settings.classes]),
        )

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """Those of the settings, else all 16."""
        chosen = settings.classes if isinstance(settings, ClassificationSettings) else None
        return GEIRHOS_CLASSES if chosen is None else chosen

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Decide for a class with each prompt set, and add the answers of human observers."""
        import pandas as pd

        blocks = [*self.ask(readout, self._classes, self.stimuli[0]), self.humans]
        trials = pd.concat(blocks, ignore_index=True).assign(n_classes=len(self._classes))
        texts = [*self.columns, "protocol", "decision", "observer"]
        dtypes = {"item": "int64"} | dict.fromkeys(texts, "string") | {"n_classes": "Int64"}
        return trials.reindex(columns=list(dtypes)).astype(dtypes)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Accuracies by condition, agreement with human observers by subset, and the summary of model-vs-human."""
        from hf_clipdyn.benchmarks.classification_scores import classification_numbers

        yield from classification_numbers(trials)

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """The answers to each subset, in the conditions that the official summary counts."""
        from hf_clipdyn.benchmarks.classification_scores import is_summarised
        from hf_clipdyn.benchmarks.shape_scores import ASKED, HUMAN

        asked = trials[is_summarised(trials) & trials["protocol"].isin([*ASKED, HUMAN])]
        for subset, rows in asked.groupby("subset", sort=False):
            key = {"metric": "accuracy", "subset": str(subset), "condition": ""}
            yield from cls.answers_by_protocol(rows, "category", **key)


def _present(subsets: "pd.Series[str]") -> dict[str, str]:
    """How many of the official data sets are there, and of how many of their images, for the column ``settings``."""
    from hf_clipdyn.data.human_trials import human_accuracies

    official: dict[str, int] = {}
    for one in human_accuracies():
        official[one.dataset] = official.get(one.dataset, 0) + one.images
    shown = subsets.value_counts()
    present = [name for name in official if name in shown]
    n, whole = int(shown[present].sum()), sum(official[name] for name in present)
    facts = {"data_sets": f"{len(present)}/{len(official)}"}
    return facts | ({"incomplete": f"{n}/{whole}"} if n < whole else {})
