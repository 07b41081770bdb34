"""Representational similarity: does the model find the same images alike as human observers do?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, term, words
from hf_clipdyn.benchmarks.places import PROBES
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

    Vectors = Mapping[str, NDArray[np.float64]]

_FEW_IMAGES = 3
_SIDE = 64
_BASELINES = {
    "pixels": "pixels, 1 - Pearson",
    "pixels_euclidean": "pixels, Euclidean",
    "mean_colour": "mean colour",
    "categories": "categories, 0/1",
}
_DRAWN = ("pixels", "categories")  # the others are in the tables below the figures
_JOINS = ("metric",)


class Representation(Kind[KindSettings]):
    """Spearman's correlation of the model's dissimilarities of all pairs of images with each observer's, averaged.

    The ceiling ``lower`` correlates each observer with the mean of the others, ``upper`` with the mean of all. The
    baselines are the dissimilarities of the images at 64 x 64 pixels (RGB, bicubic), of their mean colours, and whether
    their categories differ. Intervals are over images and observers.

    Trials: item and partner (rows of the two images of a pair), probe (projection, hidden; or person, baseline), name
    (of the observer or the baseline), layer, distance, value.
    """

    name = "representation"
    schemas = ("dissimilarities",)
    needs_text = False
    reads_layers = True
    clusters = (("item", "partner"),)
    score_version = 3
    terms = words(
        "Representational similarity",
        77,
        term(
            "alignment",
            "alignment with human observers",
            "Spearman's correlation between the model's dissimilarities and an observer's, averaged over human "
            "observers.",
            better="high",
            perception="high",
            overview=Overview(rank=88),
        ),
        variants={"cosine": "cosine", "correlation": "1 - Pearson", "euclidean": "Euclidean"},
        probes=PROBES,
        references=(
            Reference(role="chance", title="chance", joins=_JOINS),
            Reference(role="ceiling", name="lower", title="ceiling, lower", joins=_JOINS),
            Reference(role="ceiling", name="upper", title="ceiling, upper", joins=_JOINS),
            Reference(role="human", name="another_person", title="one other observer", joins=_JOINS),
            *(
                Reference(role="baseline", name=name, title=title, joins=_JOINS, drawn=name in _DRAWN)
                for name, title in _BASELINES.items()
            ),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        if len(self.shown) < _FEW_IMAGES:
            raise DatasetError(
                f"{source.name} has only {len(self.shown)} readable images: give the folder of the whole "
                "data set."
            )
        self._show_progress = common.show_progress
        columns = ["category", "place", "dissimilarities"]
        judged = source.dataset.select_columns(columns).select(self.shown).to_list()
        people, systems = _vectors(judged, "person"), _vectors(judged, "reference")
        if len(people) < 2:
            raise DatasetError(
                f"{source.name} has matrices of {len(people)} observers: a ceiling needs at least two."
            )
        of_images = self._of_images(source)
        self._fixed: list[tuple[str, str, str, NDArray[np.float64]]] = [
            *(("person", name, "", vector) for name, vector in people.items()),
            *(("reference", name, "", vector) for name, vector in systems.items()),
            *(("baseline", name, distance, vector) for name, distance, vector in of_images),
        ]
        shown = [[probe, name, vector.tolist()] for probe, name, _, vector in self._fixed]
        categories = [row["category"] for row in judged]
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, categories, shown)

    def _of_images(self, source: "Source") -> "Iterator[tuple[str, str, NDArray[np.float64]]]":
        """Dissimilarities of the images themselves: a name, how they are compared, and the vector."""
        import numpy as np
        from PIL import Image

        from hf_clipdyn.data.images import decode_image

        pictures = source.dataset.select_columns(["image"])  # a row also has all matrices
        images = [decode_image(pictures[row]["image"]) for row in self.shown.tolist()]
        scaled = [image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC) for image in images]
        small = np.stack([np.asarray(image, np.float64).ravel() for image in scaled])
        colours = np.stack([np.asarray(image, np.float64).mean(axis=(0, 1)) for image in images])
        upper = np.triu_indices(len(images), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = 1 - np.asarray(np.corrcoef(small))[upper]
        yield "pixels", "correlation", np.nan_to_num(correlation, nan=1.0)
        for name, values in (("pixels_euclidean", small), ("mean_colour", colours)):
            yield name, "euclidean", np.linalg.norm(values[upper[0]] - values[upper[1]], axis=1)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Dissimilarities of all pairs at every place, beside those of human observers and baselines."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.dissimilarities import image_dissimilarities

        places = image_dissimilarities(readout, *self.stimuli, show_progress=self._show_progress)
        vectors: list[tuple[str, str, int | None, str, NDArray[np.float64]]] = [
            ("hidden" if at else "projection", "", at - 1 if at else None, distance, vector)
            for at, by_distance in enumerate(places)
            for distance, vector in by_distance.items()
        ]
        vectors += [
            (probe, name, None, distance, vector)
            for probe, name, distance, vector in self._fixed
            if probe == "person" or name in _BASELINES
        ]
        pairs = self.shown[np.stack(np.triu_indices(len(self.shown), 1))]
        frames = [
            pd.DataFrame(
                {"item": pairs[0], "partner": pairs[1], "probe": probe, "name": name, "value": vector}
            ).assign(layer=pd.array([layer] * len(vector), dtype="Int64"), distance=distance)
            for probe, name, layer, distance, vector in vectors
        ]
        return pd.concat(frames, ignore_index=True)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Alignment of every place and baseline with human observers, chance, and the ceilings."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.metrics.rsa import noise_ceiling, rsa_of_models
        from hf_clipdyn.metrics.scores import Score

        trials = trials.sort_values(["item", "partner"], kind="stable")
        images = np.unique(trials[["item", "partner"]].to_numpy(np.int64))
        by_person = trials[trials["probe"] == "person"].groupby("name", sort=True)["value"]
        people = np.stack([values.to_numpy(np.float64) for _, values in by_person])
        places, models = [], []
        is_shown = trials["probe"].isin([*PROBES]) | trials["name"].isin([*_BASELINES])
        key = ["probe", "name", "distance", "layer"]
        for found, rows in trials[is_shown].groupby(key, sort=False, dropna=False):
            places.append(_columns(*cast("tuple[str, str, str, Any]", found)))
            models.append(rows["value"].to_numpy(np.float64))
        names = [str(name) for name, _ in by_person]
        cells = pd.MultiIndex.from_product([images, names], names=["image", "person"])
        for place, scores in zip(places, rsa_of_models(models, people), strict=True):
            yield number("alignment", scores["alignment"], cells, n_clusters=len(images), **place)
        counted = {"probe": "", "n_clusters": len(people)}
        ceiling = noise_ceiling(people)
        for role, reference, value in (
            ("chance", "", 0.0),
            ("ceiling", "lower", ceiling["lower"]),
            ("ceiling", "upper", ceiling["upper"]),
            ("human", "another_person", ceiling["pairwise"]),
        ):
            score = Score(value, n=people.shape[1])
            yield number("alignment", score, role=role, reference=reference, **counted)


def _columns(probe: str, name: str, distance: str, layer: Any) -> dict[str, Any]:
    """Columns of a number of the model or a baseline."""
    import pandas as pd

    if probe in PROBES:
        return {"probe": probe, "layer": None if pd.isna(layer) else int(layer), "variant": distance}
    return {"probe": "", "variant": distance, "role": "baseline", "reference": name}


def _vectors(judged: Sequence[Mapping[str, Any]], observer: str) -> "Vectors":
    """The dissimilarities of the images shown, by the name of a person or a reference.

    Raises:
        DatasetError: the rows have different matrices, or a number is missing.
    """
    import numpy as np

    places = [row["place"] for row in judged]
    by_name = [
        {one["name"]: one["values"] for one in row["dissimilarities"] if one["observer"] == observer}
        for row in judged
    ]
    names = list(by_name[0])
    shown = max(places) + 1
    if any(list(row) != names or any(len(values) < shown for values in row.values()) for row in by_name):
        raise DatasetError(
            "The rows of the data set have different matrices: prepare the data set again from its files."
        )
    upper = np.triu_indices(len(places), 1)
    vectors = {name: np.array([row[name] for row in by_name], np.float64)[:, places][upper] for name in names}
    if not all(np.isfinite(vector).all() for vector in vectors.values()):
        raise DatasetError(
            "A matrix of the data set has missing numbers: prepare the data set again from its files."
        )
    return vectors
