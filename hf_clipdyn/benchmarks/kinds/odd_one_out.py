"""Odd one out of three: does the model's similarity leave out the image that people leave out?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import (
    Common,
    ImageKind,
    KindSettings,
    digest,
    mean_by_item,
    number,
    similarity,
)
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture
from hf_clipdyn.benchmarks.kept_tables import KeptTable
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out, odd_one_out_scores
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

_OBJECTS = ["object_0", "object_1", "object_2"]
_REFERENCE, _OTHER = "reference_photographs", "other_photographs"
_PIXELS_AT_ONCE = 2**14
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class OddOneOut(ImageKind[KindSettings]):
    """The share of triplets in which the image outside the model's most similar pair is the one that people chose.

    Similarity is the cosine of the projections, or their dot product. The baseline ``pixels`` is minus the Euclidean
    distance between the pixels that the model sees. The ceiling is how often one person agrees with the majority of
    the others, in triplets that were judged several times.

    Trials: item (a judgement), object_0, object_1, object_2 (rows of the data set; people chose object_2 as the odd
    one), subset (whether all three are the reference photographs), asked (False for repeated judgements, which only
    the ceiling uses), probe (projection, pixels, or people), similarity, choice (position of the model's odd one; null
    for a tie), score.
    """

    name = "odd_one_out"
    schemas = ("odd_one_out",)
    terms = KindTerms(
        title="Odd one out",
        rank=75,
        terms={
            "accuracy": Term(
                title="agreement with people",
                meaning="Share of judgements in which the model and the person chose the same image. The "
                "model chooses the image outside its most similar pair. The interval is over "
                "objects.",
                limits=(0.0, 1.0),
                better="high",
                perception="high",
                overview=Overview(rank=85),
            ),
            "same_objects": Term(
                title="agreement with people on these objects",
                meaning="The same value, but its interval is over triplets of these objects only.",
                limits=(0.0, 1.0),
                better="high",
                mirrors="accuracy",
            ),
            "most_frequent": Term(
                title="share of the most frequent answer",
                meaning="The ceiling that the literature reports. It is too high, since it includes the "
                "answer that it predicts.",
                limits=(0.0, 1.0),
            ),
        },
        variants={"cosine": "cosine", "dot_product": "dot product", "euclidean": "Euclidean"},
        probes={"projection": "projection"},
        references=(
            Reference(role="chance", title="chance", joins=("metric",)),
            Reference(role="ceiling", title="people (leave-one-out)", joins=("metric",)),
            Reference(role="baseline", name="pixels", title="pixels", joins=("metric", "subset")),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        **dict.fromkeys(_OBJECTS, "int64"),
        "subset": "str",
        "asked": "bool",
        "probe": "str",
        "similarity": "str",
        "choice": "Int64",
        "score": "float64",
    }
    needs_text = False
    clusters = tuple(_OBJECTS)
    clusters_alike = True

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self._judged = _judgements(source, self.shown)
        self.rows = self._judged["object_2"].to_numpy(np.int64)
        asked = self._judged["asked"].to_numpy(bool)
        # Positions among the images that are shown.
        places = np.searchsorted(self.shown, self._judged[_OBJECTS].to_numpy(np.int64))
        self._asked, self._triplets = self._judged[asked], places[asked]
        self._pixels = self._of_pixels(common)
        self.facts = source.incomplete(len(self.shown))
        self.fingerprint = digest(self.name, self.pixels.fingerprint, self._judged.to_dict("list"))

    def _of_pixels(self, common: Common) -> pd.DataFrame:
        items = self._asked["item"].tolist()
        dtypes = {name: self.trial_columns[name] for name in ("item", "choice", "score")}
        kept = KeptTable(
            "odd one out of pixels", [self.pixels.fingerprint, self._triplets.tolist()], dtypes, items, common
        )
        table = kept.read()
        if table is None:
            table = self._answers(-_distances(self.pixels.array, self.shown))
            kept.write(table)
        return table

    def _answers(self, similarities: Floats) -> pd.DataFrame:
        """Choice and score in each triplet that is asked, from the (images, images) similarities."""
        first, second, odd = self._triplets.T
        pairs = [similarities[one] for one in ((second, odd), (first, odd), (first, second))]
        scores, chosen = odd_one_out_scores(np.stack(pairs, axis=1), np.full(len(odd), 2))
        choice = pd.array(chosen, dtype="Int64")
        choice[chosen < 0] = pd.NA
        return pd.DataFrame({"item": self._asked["item"].to_numpy(), "choice": choice, "score": scores})

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Choose the odd one of each triplet, by both similarities."""
        images = readout.images(self.stimuli).astype(np.float64)
        people = self._judged[~self._judged["asked"]]
        blocks = [people.assign(probe="people", similarity="", score=np.nan)]
        products = np.round(images @ images.T, 12)
        for probe, name, answers in (
            ("projection", "cosine", self._answers(similarity(images, images))),
            ("projection", "dot_product", self._answers(products)),
            ("pixels", "euclidean", self._pixels),
        ):
            shown = self._asked.merge(answers, on="item", validate="one_to_one")
            blocks.append(shown.assign(probe=probe, similarity=name))
        columns = list(self.trial_columns)
        typed = [block.reindex(columns=columns).astype(self.trial_columns) for block in blocks]
        return pd.concat(typed, ignore_index=True)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Three objects: the odd one of people, who always chose the last, and that of each similarity."""
        asked = trials[trials["asked"] & (trials["probe"] == "projection")]
        shown = asked.drop_duplicates("item").set_index("item")
        return Gallery(
            pictures=tuple(
                Picture(title=title, rows=shown[name]) for title, name in zip("ABC", _OBJECTS, strict=True)
            ),
            answer="picture",
            answers={
                OddOneOut.terms.variants.get(str(name), str(name)): choices.fillna(-1)
                for name, choices in asked.set_index("item").groupby("similarity", sort=False)["choice"]
            },
            people=pd.Series(2, index=shown.index),
            people_title="a person's choice",
        )

    views = (GalleryView(("item", *_OBJECTS, "asked", "probe", "similarity", "choice"), gallery),)

    answers_from = ("item", *_OBJECTS, "asked", "probe", "similarity", "choice")

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterator[Answers]:
        """The choice of each similarity; a tie is wrong."""
        asked = trials[trials["asked"] & (trials["probe"] == "projection")]
        chosen = asked.assign(decision=asked["choice"].fillna(-1), label=2)
        for name, rows in chosen.groupby("similarity", sort=False):
            yield answers_of(rows, NumberKey(metric="accuracy", variant=str(name)), clusters=cls.clusters)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Agreement of every similarity, pooled and by the photographs shown; chance and the ceiling."""
        numbers = [
            Number(metric="accuracy", role="chance", probe="", value=1 / 3, n=int(trials["asked"].sum())),
            *_ceiling(trials, common),
        ]
        for columns, rows in _parts(trials):
            result = odd_one_out(rows["score"], rows[_OBJECTS].to_numpy(np.int64), **common.resampling)
            known = mean_by_item(rows["score"].to_numpy(np.float64), rows["item"])
            counted = columns | {"n_clusters": result["n_objects"], "influence": known}
            numbers.append(number(result, "accuracy", **counted))
            if "role" not in columns:
                of_triplets = known.rename_axis("triplet")
                counted = columns | {"n_clusters": len(rows), "influence": of_triplets}
                numbers.append(number(result, "same_objects", **counted))
        return numbers


def _judgements(source: Source, rows: Ints) -> pd.DataFrame:
    """One row per judgement: its objects, whether a model is asked, and which photographs it shows."""
    facts = source.dataset.select_columns(["image_id", "is_reference", "odd_in"]).to_pandas()
    row_of = {facts["image_id"][row]: row for row in rows.tolist()}
    listed = facts.iloc[rows].explode("odd_in").dropna(subset="odd_in")
    partners = pd.DataFrame(listed["odd_in"].tolist(), index=listed.index)
    table = pd.DataFrame(
        {
            "object_0": partners["other_0"].map(row_of),
            "object_1": partners["other_1"].map(row_of),
            "object_2": listed.index,
            "asked": ~partners["only_repeated"].astype(bool),
        }
    )
    table = table.dropna().astype(dict.fromkeys(_OBJECTS, "int64")).reset_index(drop=True)
    is_reference = facts["is_reference"].to_numpy(bool)[table[_OBJECTS].to_numpy()].all(axis=1)
    return table.assign(item=np.arange(len(table)), subset=np.where(is_reference, _REFERENCE, _OTHER))


def _distances(array: NDArray[np.uint8], rows: Ints) -> Floats:
    """Euclidean distances (n, n) between images, over blocks of their pixels: all of them would not fit in memory."""
    flat = array.reshape(len(array), -1)
    products = np.zeros((len(rows), len(rows)))
    for start in range(0, flat.shape[1], _PIXELS_AT_ONCE):
        block = flat[:, start : start + _PIXELS_AT_ONCE][rows].astype(np.float64)
        products += block @ block.T  # whole numbers below 2**53: exact
    squares = np.diag(products)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))


def _ceiling(trials: pd.DataFrame, common: Common) -> list[Number]:
    judged = trials.drop_duplicates("item")
    objects = judged[_OBJECTS].to_numpy(np.int64)
    result = leave_one_out_ceiling(objects, np.full(len(judged), 2), **common.resampling)
    if not result["n"]:
        return []
    columns: dict[str, Any] = {"probe": "", "n_clusters": result["n_triplets"]}
    return [
        number(result, "ceiling", metric="accuracy", role="ceiling", **columns),
        number(result, "most_frequent", role="diagnostic", **columns),
    ]


def _parts(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Columns of a number and its trials: every similarity, pooled and by photographs if both kinds are shown."""
    asked = trials[trials["asked"]]
    for (probe, name), rows in asked.groupby(["probe", "similarity"], sort=False):
        columns: dict[str, Any] = {"variant": str(name)}
        if probe == "pixels":
            columns |= {"probe": "", "role": "baseline", "reference": "pixels"}
        yield columns, rows
        if rows["subset"].nunique() > 1:
            for subset, part in rows.groupby("subset"):
                yield columns | {"subset": str(subset)}, part
