"""Perceptual similarity: does the distance choose as human observers do, and does it see what they see?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, KindSettings, digest, number, share, words
from hf_clipdyn.benchmarks.places import DISTANCES, DROPPED_DIMENSIONS, PROBES, PairKind
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_MANY_VOTES = 6
_IMAGES = ("reference", "image_0", "image_1")
_JUDGED = ("judgement", "votes", "subset")
_JOINS = ("metric", "subset", "level")


class Similarity(PairKind):
    """Two-alternative forced choice, per subset and pooled, with the human reference and the ceiling.

    If the number of judgements varies, rows with six or more judgements (the benchmark of NIGHTS) also have their own
    score, with level 6. The baseline ``pixels`` is the choice of the Euclidean distance between the
    pixels that the model sees.

    Trials: item, reference, image_0 and image_1 (numbers of the images shown; images with equal pixels have one
    number, in any column), judgement (share that preferred image_1), votes, subset, probe (projection, hidden, or the
    baseline), layer, distance, dropped_dimensions, value_0 and value_1 (of the reference to each candidate).
    """

    name = "similarity"
    schemas = ("triplet",)
    images = _IMAGES
    values = ("value_0", "value_1")
    clusters = (_IMAGES,)
    score_version = 2
    terms = words(
        "Perceptual similarity",
        70,
        share(
            "two_afc",
            "2AFC agreement",
            "How often the model's closer candidate is also the human observers' choice, weighted by their votes.",
            perception="middle",
            neutral=0.5,
            neutral_title="even",
            overview=Overview(rank=80),
        ),
        DROPPED_DIMENSIONS,
        level=Axis(title="minimum number of judgements"),
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="human", name="observers", title="human observers", joins=_JOINS),
            Reference(role="ceiling", title="ceiling", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        self.table[list(_IMAGES)] = self.numbers
        judged = self.described[list(_JUDGED)].to_dict("list")
        self.fingerprint = digest(self.name, [column.fingerprint for column in self.pixels], judged)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distances of the reference to both candidates, at every place."""
        return self.trials(readout, [*_IMAGES, *_JUDGED]).astype({"votes": "Int64"})

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """2AFC of every place, pooled and per subset; human observers and the ceiling once."""
        from hf_clipdyn.benchmarks.places import by_place, dropped_dimensions
        from hf_clipdyn.metrics.two_afc import two_afc

        for place, rows in by_place(trials):
            for part_of, part in _parts(rows):
                found = two_afc(part["value_0"], part["value_1"], part["judgement"])
                yield number("two_afc", found["two_afc"], part["item"], **place, **part_of)
            yield from dropped_dimensions(rows, place)
        for part_of, part in _parts(trials.drop_duplicates("item")):
            found = two_afc(part["value_0"], part["value_1"], part["judgement"])
            for role, reference in (("human", "observers"), ("ceiling", "")):
                named = {"probe": "", "role": role, "reference": reference, **part_of}
                yield number("two_afc", found[role], part["item"], **named)


def _parts(rows: "pd.DataFrame") -> "Iterator[tuple[dict[str, Any], pd.DataFrame]]":
    """All rows, and those with many votes if only some have; each of them whole and by subset."""
    from hf_clipdyn.benchmarks.places import by_subset

    certain = (rows["votes"] >= _MANY_VOTES).fillna(False).astype(bool)  # their number may be unknown
    levels: dict[float | None, pd.DataFrame] = {None: rows}
    if 0 < certain.sum() < len(rows):
        levels[float(_MANY_VOTES)] = rows[certain]
    for level, part in levels.items():
        for subset, inside in by_subset(part, rows):
            yield {"level": level, "subset": subset}, inside
