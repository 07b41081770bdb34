"""Odd one out of three: does the model's similarity leave out the image that human observers leave out?"""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, share, words
from hf_clipdyn.benchmarks.places import by_subset
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_OBJECTS = ("object_0", "object_1", "object_2")
_PIXELS_AT_ONCE = 2**14


class OddOneOut(Kind[KindSettings]):
    """The share of triplets in which the image outside the model's most similar pair is also the human observers'
    choice.

    Similarity is the cosine of the projections, or their dot product. The baseline ``pixels`` is minus the Euclidean
    distance between the pixels that the model sees. The ceiling is how often one observer agrees with the majority of
    the others, in triplets that were judged several times; its interval is over triplets.

    Trials: item (a judgement), object_0, object_1, object_2 (rows of the data set; observers chose object_2 as the odd
    one), subset (whether all three are the reference photographs), asked (False for repeated judgements, which only
    the ceiling uses), probe (projection, pixels, or people), similarity, choice (position of the model's odd one; null
    for a tie), score.
    """

    name = "odd_one_out"
    schemas = ("odd_one_out",)
    needs_text = False
    clusters = (_OBJECTS,)
    score_version = 2
    terms = words(
        "Odd one out",
        75,
        share(
            "accuracy",
            "agreement with human observers",
            "Share of judgements in which the model and the observer chose the same image. The model chooses the image "
            "outside its most similar pair. The interval is over objects.",
            perception="high",
            overview=Overview(rank=85),
        ),
        variants={"cosine": "cosine", "dot_product": "dot product", "euclidean": "Euclidean"},
        probes={"projection": "projection"},
        references=(
            Reference(role="chance", title="chance", joins=("metric",)),
            Reference(role="ceiling", title="human observers (leave-one-out)", joins=("metric",)),
            Reference(role="baseline", name="pixels", title="pixels", joins=("metric", "subset")),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        import numpy as np

        super().__init__(source, image_processor, settings, common)
        self._judged = self._judgements()
        self.rows = self._judged["object_2"].to_numpy(np.int64)
        self._asked = self._judged[self._judged["asked"]]
        # Positions among the images that are shown.
        self._triplets = np.searchsorted(self.shown, self._asked[[*_OBJECTS]].to_numpy(np.int64))
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, self._judged.to_dict("list"))

    def _judgements(self) -> "pd.DataFrame":
        """One row per judgement: its objects, whether a model is asked, and which photographs it shows."""
        import numpy as np
        import pandas as pd

        shown = self.table
        row_of = dict(zip(shown["image_id"], shown["item"], strict=True))
        listed = shown.explode("odd_in").dropna(subset="odd_in")
        others = pd.DataFrame(listed["odd_in"].tolist(), index=listed.index)
        first, second = others["other_0"].map(row_of), others["other_1"].map(row_of)
        odd, asked = listed["item"].astype("int64"), ~others["only_repeated"].astype(bool)
        table = pd.DataFrame(dict(zip(_OBJECTS, (first, second, odd), strict=True))).assign(asked=asked)
        table = table.dropna().astype(dict.fromkeys(_OBJECTS, "int64")).reset_index(drop=True)
        is_reference = (
            self.described["is_reference"].to_numpy(bool)[table[[*_OBJECTS]].to_numpy()].all(axis=1)
        )
        subset = np.where(is_reference, "reference_photographs", "other_photographs")
        return table.assign(item=np.arange(len(table)), subset=subset)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Choose the odd one of each triplet, by both similarities."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.vectors import similarity

        (stimuli,) = self.stimuli
        images = readout.images(stimuli).astype(np.float64)
        people = self._judged[~self._judged["asked"]]
        blocks = [
            self._answers(similarity(images, images)).assign(probe="projection", similarity="cosine"),
            self._answers(np.round(images @ images.T, 12)).assign(
                probe="projection", similarity="dot_product"
            ),
            self._of_pixels.assign(probe="pixels", similarity="euclidean"),
            people.assign(probe="people", similarity="", choice=np.nan, score=np.nan),
        ]
        return pd.concat([one.astype({"choice": "Int64"}) for one in blocks], ignore_index=True)

    def _answers(self, similarities: "NDArray[np.float64]") -> "pd.DataFrame":
        """Choice and score in each triplet that is asked, from the (images, images) similarities."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.metrics.odd_one_out import odd_one_out_scores

        first, second, odd = self._triplets.T
        pairs = [similarities[one] for one in ((second, odd), (first, odd), (first, second))]
        scores, chosen = odd_one_out_scores(np.stack(pairs, axis=1), np.full(len(odd), 2))
        choice = pd.Series(chosen, self._asked.index, dtype="Int64")
        return self._asked.assign(choice=choice.mask(choice < 0), score=scores)

    @cached_property
    def _of_pixels(self) -> "pd.DataFrame":
        """By minus the Euclidean distance, over blocks of pixels: all of them would not fit in memory."""
        import numpy as np

        n, (pixels,) = len(self.shown), self.pixels
        flat, products = pixels.array.reshape(len(pixels.array), -1), np.zeros((n, n))
        for start in range(0, flat.shape[1], _PIXELS_AT_ONCE):
            block = flat[:, start : start + _PIXELS_AT_ONCE][self.shown].astype(np.float64)
            products += block @ block.T  # whole numbers below 2**53: exact
        squares = np.diag(products)
        return self._answers(-np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)))

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """The choice of each similarity; a tie is wrong."""
        from hf_clipdyn.benchmarks.answers import answers_of

        asked = trials[trials["asked"] & (trials["probe"] == "projection")]
        chosen = asked.assign(decision=asked["choice"].fillna(-1), label=2)
        for name, rows in chosen.groupby("similarity", sort=False):
            yield answers_of(rows, NumberKey(metric="accuracy", variant=str(name)), clusters=_OBJECTS)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Agreement of every similarity, pooled and by the photographs shown; chance and the ceiling."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling
        from hf_clipdyn.metrics.scores import Score, mean

        n_asked = int(trials["asked"].sum())
        yield number("accuracy", Score(1 / 3, n=n_asked), role="chance", probe="")
        judged = trials.drop_duplicates("item")
        found = leave_one_out_ceiling(judged[[*_OBJECTS]].to_numpy(np.int64), np.full(len(judged), 2))
        if found.facts["n"]:
            triplets = pd.Index([str(one) for one in found.facts["triplets"].tolist()], name="triplet")
            counted = {"probe": "", "n_clusters": len(triplets)}
            yield number("accuracy", found["ceiling"], triplets, role="ceiling", **counted)
        for (probe, name), rows in trials[trials["asked"]].groupby(["probe", "similarity"], sort=False):
            columns = {"variant": str(name)}
            if probe == "pixels":
                columns |= {"probe": "", "role": "baseline", "reference": "pixels"}
            for subset, part in by_subset(rows):
                yield number("accuracy", mean(part["score"], "share"), part["item"], subset=subset, **columns)
