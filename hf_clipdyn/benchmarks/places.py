"""Kinds that compare images: their words, the images and their distances at every place of the model, and trials."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, S, digest, number, term

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout, Stimuli
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
        self._sides: list[Stimuli] = []

    def trials(self, readout: "Readout", columns: Sequence[str]) -> "pd.DataFrame":
        """What people answered to each row, beside each of its distances: the model's, and that of the pixels.

        Args:
            readout: the revision.
            columns: of `table`, beside ``item``.
        """
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.pairs import pair_distances
        from hf_clipdyn.benchmarks.readout import Stimuli

        n, (first, *others) = len(self.shown), (column.array for column in self.pixels)
        if not self._sides:  # hashed for all revisions, and only if one is shown
            # One list of pairs, so that the unit of the normalised distance is pooled over all of them.
            rows = np.add.outer(len(first) * np.arange(len(others)), self.shown).ravel()
            self._sides = [Stimuli(first, np.tile(self.shown, len(others))), Stimuli(Stacked(others), rows)]
        distances = pair_distances(readout, *self._sides, show_progress=self._show_progress)
        sides = [distances[distances["pair"] // n == at].reset_index(drop=True) for at in range(len(others))]
        model = sides[0].assign(
            **{name: side["value"] for name, side in zip(self.values, sides, strict=True)}
        )
        pixels = {("pixels", "euclidean"): pd.DataFrame(self._of_pixels, columns=list(self.values))}
        return beside_each_distance(self.table[["item", *columns]], model, pixels)


def beside_each_distance(
    judged: "pd.DataFrame", model: "pd.DataFrame", baselines: Mapping[tuple[str, str], Any]
) -> "pd.DataFrame":
    """The trials: what people answered to each item, beside each of its distances.

    Args:
        judged: a row for each item.
        model: distances of the model, as `pair_distances` gives them, with the numbers of the rows of ``judged``.
        baselines: by probe and distance, values in the order of ``judged``, or a table of several columns of them.
    """
    import pandas as pd

    tables = [model]
    for (probe, distance), values in baselines.items():
        table = pd.DataFrame(values) if hasattr(values, "columns") else pd.DataFrame({"value": values})
        tables.append(
            table.assign(pair=range(len(judged)), probe=probe, distance=distance, dropped_dimensions=0)
        )
    places = pd.concat(tables, ignore_index=True).astype({"layer": "Int64"})
    named = ["probe", "layer", "distance", "dropped_dimensions"]
    measured = [name for name in tables[-1] if name not in ("pair", *named)]
    trials: pd.DataFrame = (
        judged.iloc[places["pair"]].reset_index(drop=True).join(places[[*named, *measured]])
    )
    return trials


class ReferenceKind(Kind[S]):
    """Base of kinds that compare distorted images with their references, of which each occurs in many rows.

    Attributes:
        judged: columns of the data set that are asked about.
        pixels, stimuli: of the references, each decoded once, and of the distorted images.
    """

    needs_text = False
    images = ("reference", "distorted")
    clusters = ("reference_id",)
    judged: ClassVar[tuple[str, ...]]

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.readout import Stimuli, decode

        squash = getattr(settings, "preprocess", "") == "squash"
        self.described = source.dataset.select_columns(list(self.judged)).to_pandas()
        reference_of = pd.factorize(self.described["reference_id"])[0]
        first = np.unique(reference_of, return_index=True)[1]
        distorted = decode(source.dataset, image_processor, common, "distorted", squash=squash)
        alone = source.dataset.select(first)
        references = decode(alone, image_processor, common, "reference", squash=squash)
        broken = distorted.broken | references.broken[reference_of]
        self.shown = np.flatnonzero(~broken)
        self.reference_of = reference_of[self.shown]
        self.pixels = [references, distorted]
        rows = (self.reference_of, self.shown)
        self.stimuli = [Stimuli(one.array, of) for one, of in zip(self.pixels, rows, strict=True)]
        self.table = self.described.iloc[self.shown].assign(item=self.shown)
        self.left_out = int(broken.sum())
        self.facts = source.incomplete(len(self.shown))
        self.fingerprint = digest(
            self.name, references.fingerprint, distorted.fingerprint, self.described.to_dict("list")
        )


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
