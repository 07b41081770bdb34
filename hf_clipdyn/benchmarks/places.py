"""Kinds that compare images: their words, the images and their distances at every place of the model, and trials."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, S, digest, number, term

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale
    from hf_clipdyn.results.row import Number

DISTANCES = {
    "cosine": "cosine",
    "euclidean": "Euclidean",
    "normalised_euclidean": "normalised Euclidean",
}
"""Variants of a model's numbers, with their titles."""
PROBES = {"projection": "projection", "hidden": "hidden states"}
"""Where a model's distances are taken, with their titles; any other probe in the trials is a baseline."""
DROPPED_DIMENSIONS = term(
    "dropped_dimensions",
    "dropped dimensions",
    "Dimensions without a scale in the normalised Euclidean distance, since they are equal in all pairs.",
)


class PairKind(Kind[KindSettings]):
    """Base of kinds in which people compared the first image of a row with each of its other images.

    Attributes:
        values: columns of the trials with the distance to each of the other images.
        numbers: of the images in the rows that are shown, (n, columns); one number for one image, in any column.
    """

    needs_text = False
    reads_layers = True
    values: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row, pixel_distance

        super().__init__(source, image_processor, settings, common)
        keys = [key for column in self.stimuli for key in column.keys]
        self.numbers = pd.factorize(np.array(keys, dtype=object))[0].reshape(len(self.stimuli), -1).T
        first, *others = (column.array for column in self.pixels)
        self._of_pixels = cached_per_row(
            "distances of pixels",
            [column.fingerprint for column in self.pixels],
            self.shown,
            lambda row: tuple(pixel_distance(first[row], other[row]) for other in others),
            common,
        )
        self._show_progress = common.show_progress

    def trials(self, readout: "Readout", columns: Sequence[str]) -> "pd.DataFrame":
        """What people answered to each row, beside each of its distances: the model's, and that of the pixels.

        Args:
            readout: the revision.
            columns: of `table`, beside ``item``.
        """
        import numpy as np

        from hf_clipdyn.benchmarks.pairs import pair_distances
        from hf_clipdyn.benchmarks.readout import Stimuli

        n, (first, *others) = len(self.shown), (column.array for column in self.pixels)
        # One list of pairs, so that the unit of the normalised distance is pooled over all of them.
        rows = np.add.outer(len(first) * np.arange(len(others)), self.shown).ravel()
        distances = pair_distances(
            readout,
            Stimuli(first, np.tile(self.shown, len(others))),
            Stimuli(Stacked(others), rows),
            show_progress=self._show_progress,
        )
        sides = [distances[distances["pair"] // n == at].reset_index(drop=True) for at in range(len(others))]
        values = {name: side["value"] for name, side in zip(self.values, sides, strict=True)}
        model = sides[0].drop(columns="value").assign(**values)
        pixels = of_baseline("pixels", "euclidean", **dict(zip(self.values, self._of_pixels.T, strict=True)))
        return with_judgements(self.table[["item", *columns]], [model, pixels])


class DistortedKind(Kind[S]):
    """Base of kinds that compare distorted images with their references; many rows share a reference.

    The first row of a reference gives its image. The first of `stimuli` and of `pixels` are the references, and each
    reference is decoded once.

    Attributes:
        judged: columns of the data set that go into the trials.
    """

    needs_text = False
    images = ("reference", "distorted")
    clusters = ("reference_id",)
    judged: ClassVar[tuple[str, ...]]

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.readout import Stimuli, decode

        del settings
        judged: pd.DataFrame = source.dataset.select_columns(list(self.judged)).to_pandas()
        reference_of = pd.factorize(judged["reference_id"])[0]
        first = source.dataset.select(np.unique(reference_of, return_index=True)[1])
        squash = self.preprocess == "squash"
        distorted = decode(source.dataset, image_processor, common, "distorted", squash=squash)
        references = decode(first, image_processor, common, "reference", squash=squash)
        broken = distorted.broken | references.broken[reference_of]
        self.shown = np.flatnonzero(~broken)
        self.pixels = [references, distorted]
        self._reference_of = reference_of
        self.stimuli = [
            Stimuli(references.array, reference_of[self.shown]),
            Stimuli(distorted.array, self.shown),
        ]
        self.table = judged.iloc[self.shown].assign(item=self.shown)
        self.left_out = int(broken.sum())
        self.facts = source.incomplete(len(self.shown))
        self.fingerprint = digest(
            self.name, references.fingerprint, distorted.fingerprint, judged.to_dict("list")
        )

    def of_pixels(self, what: str, compare: Callable[[Any, Any], tuple[float, ...]], common: Common) -> Any:
        """Values of each reference with its distorted image, as the model sees them, (items, values); kept on disk."""
        from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row

        references, distorted = self.pixels
        return cached_per_row(
            what,
            [references.fingerprint, distorted.fingerprint, self._reference_of.tolist()],
            self.shown,
            lambda row: compare(references.array[self._reference_of[row]], distorted.array[row]),
            common,
        )


def of_baseline(probe: str, distance: str, **values: Any) -> "pd.DataFrame":
    """The values of a baseline for all items in their order, for `with_judgements`."""
    import pandas as pd

    table = pd.DataFrame(values)
    return table.assign(pair=table.index, probe=probe, distance=distance, dropped_dimensions=0)


def with_judgements(judged: "pd.DataFrame", distances: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
    """What people answered to each item, beside each of its distances.

    Args:
        judged: a row of each item, in the order of the items' numbers.
        distances: of the model (`pairs.pair_distances`) and of baselines, with the items' numbers in ``pair``.
    """
    import pandas as pd

    table = pd.concat(distances, ignore_index=True).astype({"layer": "Int64", "dropped_dimensions": "int64"})
    named = ["probe", "layer", "distance", "dropped_dimensions"]
    values = [name for name in table if name not in ("pair", *named)]
    items = judged.iloc[table["pair"]].reset_index(drop=True)
    joined: pd.DataFrame = items.join(table[[*named, *values]])
    return joined


class Stacked:
    """Memory maps of equal shape as one array of rows, without a copy."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, rows: Any) -> Any:
        import numpy as np

        if np.ndim(rows):
            return np.stack([self[row] for row in rows])
        part, row = divmod(int(rows), len(self._parts[0]))
        return np.asarray(self._parts[part][row])


def by_place(trials: "pd.DataFrame") -> "Iterator[tuple[dict[str, Any], pd.DataFrame]]":
    """Cut trials by what gave the distances: (columns of a number, rows)."""
    import pandas as pd

    groups = trials.groupby(["probe", "distance", "layer"], sort=False, dropna=False)
    of_place: tuple[Any, Any, Any]
    for of_place, rows in groups:  # type: ignore[assignment]
        probe, distance, layer = of_place
        place: dict[str, Any] = {"probe": str(probe), "variant": str(distance)}
        if probe not in PROBES:
            place |= {"probe": "", "role": "baseline", "reference": str(probe)}
        yield place | {"layer": None if pd.isna(layer) else int(layer)}, rows


def by_subset(
    rows: "pd.DataFrame", whole: "pd.DataFrame | None" = None
) -> "Iterator[tuple[str, pd.DataFrame]]":
    """All rows, then those of each subset if there are several, among these rows or those of the whole data set."""
    yield "", rows
    if (rows if whole is None else whole)["subset"].nunique() > 1:
        for subset, part in rows.groupby("subset"):
            yield str(subset), part


def dropped_dimensions(rows: "pd.DataFrame", place: Mapping[str, Any]) -> "Iterator[tuple[Number, Scale]]":
    """How many dimensions have no unit: beside each normalised distance.

    Args:
        rows: trials of one place.
        place: columns of the number, from `by_place`.
    """
    from hf_clipdyn.metrics.scores import Score

    if place["variant"] == "normalised_euclidean":
        dropped = Score(float(rows["dropped_dimensions"].iloc[0]), n=len(rows))
        yield number("dropped_dimensions", dropped, **{**place, "role": "diagnostic"})
