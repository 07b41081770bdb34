"""Representational similarity: does the model find the same images alike as people do?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.base import NO_INTERVAL, Common, ImageKind, KindSettings, digest, number
from hf_clipdyn.benchmarks.dissimilarities import DISSIMILARITIES, image_dissimilarities
from hf_clipdyn.benchmarks.pair_tables import PROBES
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.representational_similarity import (
    Method,
    noise_ceiling,
    similarities_with_people,
    similarity_influences,
)
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

_METRICS: dict[str, Method] = {
    "alignment": "spearman",
    "alignment_tau_a": "tau_a",
    "alignment_pearson": "pearson",
}
_BY_PERSON = "alignment_by_person"
_WITHIN = "within_categories"
_DEFAULT = "cosine"
_SIDE = 64
_FEW_IMAGES = 3
_PIXELS = {
    "pixels": "pixels, 1 - Pearson",
    "pixels_euclidean": "pixels, Euclidean",
    "mean_colour": "mean colour",
}
_SYSTEMS = {
    "human_it": "human IT",
    "monkey_it": "monkey IT",
    "categories": "categories, 0/1",
    "silhouette": "silhouette",
    "model_animacy": "animate or not, 0/1",
    "model_face_body_manmade_natural": "face, body, made, natural, 0/1",
    "model_hmax": "HMAX",
    "model_v1": "V1 model",
    "model_radon": "Radon transform",
    "model_silhouette": "silhouette (Nili)",
    "model_eva": "EVA",
}
_CORTEX = "alignment_it"
_BRAINS = ("human_it", "monkey_it")
_DRAWN = ("pixels", "categories", "human_it")  # the others are in the tables below the figures
_JOINS = ("metric", "subset")
_AXIS: dict[str, Any] = {"better": "high", "perception": "high"}

Floats = NDArray[np.float64]


class Representation(ImageKind[KindSettings]):
    """Correlation between the model's and each person's dissimilarities of all pairs of images, averaged over people.

    The projection has Spearman's correlation, tau-a and Pearson's correlation, over all pairs and within categories,
    and Spearman's correlation with each person. Hidden states have Spearman's correlation over all pairs. The ceiling
    ``lower`` correlates each person with the mean of the others, ``upper`` with the mean of all. The baselines are the
    dissimilarities of the images at 64 x 64 pixels (RGB, bicubic), of their mean colours, and of the other systems in
    the data set: brains, models, categories. If it has brains, ``alignment_it`` is the model's correlation with each,
    with an interval over images.

    Trials: item and partner (rows of the two images of a pair), category and partner_category, probe (projection,
    hidden; or person, reference, baseline), name (of the person, the reference or the baseline), layer, distance,
    value.
    """

    name = "representation"
    schemas = ("dissimilarities",)
    terms = KindTerms(
        title="Representational similarity",
        rank=77,
        terms={
            "alignment": Term(
                title="alignment with people",
                meaning="Spearman's correlation between the model's dissimilarities and those of each "
                "person, averaged over people.",
                overview=Overview(rank=88),
                **_AXIS,
            ),
            "alignment_tau_a": Term(
                title="alignment with people, tau-a",
                meaning="The same with Kendall's tau-a, which does not favour predictions with ties.",
                **_AXIS,
            ),
            "alignment_pearson": Term(
                title="alignment with people, Pearson",
                meaning="The same with Pearson's correlation.",
                **_AXIS,
            ),
            _BY_PERSON: Term(
                title="alignment with each person",
                meaning="Spearman's correlation between the model's dissimilarities and those of one person.",
                **_AXIS,
            ),
            _CORTEX: Term(
                title="alignment with inferior temporal cortex",
                meaning="Spearman's correlation between the model's dissimilarities and those of the activity in the "
                "inferior temporal cortex, averaged over subjects and sessions.",
                **_AXIS,
            ),
        },
        variants=DISSIMILARITIES,
        subsets={_WITHIN: "within categories", **{name: _SYSTEMS[name] for name in _BRAINS}},
        probes=PROBES,
        references=(
            Reference(role="chance", title="chance", joins=_JOINS),
            Reference(role="ceiling", name="lower", title="ceiling, lower", joins=_JOINS),
            Reference(role="ceiling", name="upper", title="ceiling, upper", joins=_JOINS),
            Reference(role="human", name="another_person", title="one other person", joins=_JOINS),
            Reference(role="human", name="others", title="the other people", joins=_JOINS),
            Reference(role="human", name="people", title="people", joins=_JOINS),
            *(
                Reference(role="baseline", name=name, title=title, joins=_JOINS, drawn=name in _DRAWN)
                for name, title in (_PIXELS | _SYSTEMS).items()
            ),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "partner": "int64",
        "category": "str",
        "partner_category": "str",
        "probe": "str",
        "name": "str",
        "layer": "Int64",
        "distance": "str",
        "value": "float64",
    }
    needs_text = False
    reads_layers = True
    clusters = ("item", "partner")
    clusters_alike = True
    score_version = 2

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        if len(self.shown) < _FEW_IMAGES:
            raise DatasetError(
                f"{source.name} has only {len(self.shown)} readable images: give the folder of the whole "
                "data set."
            )
        self._show_progress = common.show_progress
        judged = (
            source.dataset.select_columns(["category", "place", "dissimilarities"])
            .select(self.shown)
            .to_list()
        )
        self._categories = np.array([row["category"] for row in judged])
        people, systems = _vectors(judged, "person"), _vectors(judged, "reference")
        if len(people) < 2:
            raise DatasetError(
                f"{source.name} has matrices of {len(people)} people: a ceiling needs at least two."
            )
        self._fixed = [("person", people, ""), ("reference", systems, ""), *_of_pixels(source, self.shown)]
        self.facts = source.incomplete(len(self.shown))
        self.fingerprint = digest(
            self.name,
            self.pixels.fingerprint,
            self._categories.tolist(),
            [
                [probe, name, vector.tolist()]
                for probe, held, _ in self._fixed
                for name, vector in held.items()
            ],
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Dissimilarities of all pairs at every place, beside those of people and baselines."""
        model = image_dissimilarities(readout, self.stimuli, show_progress=self._show_progress).assign(
            name=""
        )
        fixed = [
            pd.DataFrame(
                {
                    "probe": probe,
                    "name": name,
                    "layer": pd.array([None] * len(vector), dtype="Int64"),
                    "distance": distance,
                    "value": vector,
                }
            )
            for probe, held, distance in self._fixed
            for name, vector in held.items()
        ]
        table = pd.concat([model, *fixed], ignore_index=True)
        first, second = np.triu_indices(len(self.shown), 1)
        times = len(table) // len(first)
        shown = {
            "item": np.tile(self.shown[first], times),
            "partner": np.tile(self.shown[second], times),
            "category": np.tile(self._categories[first], times),
            "partner_category": np.tile(self._categories[second], times),
        }
        return table.assign(**shown)[list(self.trial_columns)].astype(self.trial_columns)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Alignments of every place, baseline and reference with people, and the ceilings."""
        held = _Matrices(trials)
        numbers: list[Number] = []
        for columns, result, influences in held.results(common):
            if columns["reference"] in _SYSTEMS and result["causes"]:
                continue  # a matrix of categories says nothing within them
            known = (
                None if influences is None else held.over_people(np.array(result["by_person"]), influences)
            )
            counted = {"n_clusters": result["n_images"], "influence": known}
            numbers.append(number(result, "alignment", **counted, **columns))
            for at, person in enumerate(held.persons if _has_persons(columns) else ()):
                numbers.append(held.with_one(at, result, influences, **columns | _of_person(person)))
        return [*numbers, *held.with_brains(common), *held.scales()]


def _has_persons(columns: Mapping[str, Any]) -> bool:
    """Whether the number is also given for each person."""
    wanted = {"metric": "alignment", "probe": "projection", "variant": _DEFAULT, "subset": ""}
    return all(columns[name] == value for name, value in wanted.items())


def _of_person(name: str) -> dict[str, str]:
    return {"metric": _BY_PERSON, "subset": name}


class _Matrices:
    """The matrices of a table of trials as vectors of pairs, in one order.

    Attributes:
        persons: names.
        people: (persons, pairs).
        images: their items.
        groups: the category of each image.
        systems: everything else, by its columns of a number as sorted items.
    """

    def __init__(self, trials: pd.DataFrame) -> None:
        trials = trials.sort_values(["item", "partner"], kind="stable")
        pairs = trials.drop_duplicates(["item", "partner"])
        shown = dict(zip(pairs["item"], pairs["category"], strict=True))
        shown |= dict(zip(pairs["partner"], pairs["partner_category"], strict=True))
        self.groups = [shown[image] for image in sorted(shown)]
        self.images = pd.Index(sorted(shown), name="image")
        persons = trials[trials["probe"] == "person"].groupby("name", sort=True)["value"]
        self.persons = [str(name) for name, _ in persons]
        self.people = np.stack([values.to_numpy(np.float64) for _, values in persons])
        self.systems: dict[tuple[tuple[str, Any], ...], Floats] = {}
        others = trials[trials["probe"] != "person"]
        for key, rows in others.groupby(["probe", "name", "distance", "layer"], sort=False, dropna=False):
            probe, name, distance, layer = cast("tuple[str, str, str, Any]", key)
            self.systems[tuple(_columns(probe, name, distance, layer).items())] = rows["value"].to_numpy(
                np.float64
            )

    def _parts(self) -> Iterator[tuple[str, list[str] | None]]:
        """Subsets of the pairs with the groups that they need."""
        yield "", None
        sizes = pd.Series(self.groups).value_counts()
        if len(sizes) > 1 and sizes.max() >= _FEW_IMAGES:
            yield _WITHIN, self.groups

    def over_people(self, by_person: Floats, influences: Floats) -> "pd.Series[float]":
        """What each image contributes to the mean over people through each person, images and people being drawn."""
        n_images, n_people = influences.shape
        cells = (influences + (by_person - by_person.mean()) / n_images) / n_people
        names = pd.MultiIndex.from_product([self.images, self.persons], names=["image", "person"])
        return pd.Series(cells.reshape(-1), index=names)

    def with_one(self, at: int, result: dict[str, Any], influences: Floats | None, **columns: Any) -> Number:
        """The similarity with one person or brain, which is at that position; its interval is over images."""
        low, high = result["by_person_ci"][at] if "by_person_ci" in result else NO_INTERVAL
        return Number(
            value=result["by_person"][at],
            ci_low=low,
            ci_high=high,
            n=result["n"],
            n_clusters=result["n_images"],
            note="; ".join(result["causes"].values()),
            influence=None if influences is None else pd.Series(influences[:, at], index=self.images),
            **columns,
        )

    def with_brains(self, common: Common) -> Iterator[Number]:
        """How much the model, at its projection and in its layers, and people agree with each brain."""
        values = {key: vector for key, vector in self.systems.items() if dict(key)["variant"] == _DEFAULT}
        known = {dict(key)["reference"]: vector for key, vector in self.systems.items()}
        names = [name for name in _BRAINS if name in known]
        if not names or not values:
            return
        brains, models = np.stack([known[name] for name in names]), np.stack(list(values.values()))
        results = similarities_with_people(models, brains, **common.resampling)
        each = zip(values, results, similarity_influences(models, brains), strict=True)
        for key, result, influences in each:
            for at, name in enumerate(names):
                yield self.with_one(at, result, influences, metric=_CORTEX, subset=name, **dict(key))
        of_people = similarities_with_people(brains, self.people, n_resamples=0)
        for name, result in zip(names, of_people, strict=True):
            place: dict[str, Any] = {"metric": _CORTEX, "subset": name, "probe": "", "n": result["n"]}
            yield Number(role="chance", value=0.0, n_clusters=result["n_images"], **place)
            yield Number(
                role="human",
                reference="people",
                value=result["alignment"],
                n_clusters=len(self.persons),
                **place,
            )

    def results(self, common: Common) -> Iterator[tuple[dict[str, Any], dict[str, Any], Floats | None]]:
        """Columns of a number, what `representational_similarity` says of it, and a value's influences."""
        for metric, method in _METRICS.items():
            for subset, groups in self._parts():
                asked = {
                    key: vector
                    for key, vector in self.systems.items()
                    if dict(key)["probe"] != "hidden" or (metric, subset) == ("alignment", "")
                }
                # The references of the data set are the same for all revisions, and get no interval.
                drawn = [key for key in asked if dict(key)["reference"] not in _SYSTEMS]
                for keys, resampling in (
                    (drawn, common.resampling),
                    ([key for key in asked if key not in drawn], common.resampling | {"n_resamples": 0}),
                ):
                    if not keys:
                        continue
                    models = np.stack([asked[key] for key in keys])
                    how: dict[str, Any] = {"method": method, "groups": groups}
                    results = similarities_with_people(models, self.people, **how, **resampling)
                    values = [at for at, key in enumerate(keys) if dict(key)["role"] == "value"]
                    known = similarity_influences(models[values], self.people, **how) if values else []
                    influences = dict(zip(values, known, strict=True))
                    for at, (key, result) in enumerate(zip(keys, results, strict=True)):
                        yield {"metric": metric, "subset": subset, **dict(key)}, result, influences.get(at)

    def scales(self) -> Iterator[Number]:
        """Chance, ceilings and what people have in common, for every metric and subset."""
        counted: dict[str, Any] = {"probe": "", "n_clusters": len(self.persons)}
        for metric, method in _METRICS.items():
            for subset, groups in self._parts():
                ceiling = noise_ceiling(self.people, method=method, groups=groups)
                columns = counted | {"metric": metric, "subset": subset, "n": self.people.shape[1]}
                yield Number(role="chance", value=0.0, **columns)
                for bound in ("lower", "upper"):
                    yield Number(role="ceiling", reference=bound, value=ceiling[bound], **columns)
                yield Number(role="human", reference="another_person", value=ceiling["pairwise"], **columns)
                if (metric, subset) == ("alignment", ""):
                    for person, value in zip(self.persons, ceiling["lower_by_person"], strict=True):
                        own = columns | _of_person(person)
                        yield Number(role="human", reference="others", value=value, **own)


def _columns(probe: str, name: str, distance: str, layer: Any) -> dict[str, Any]:
    """Columns of a number of the model, a baseline or a reference."""
    if probe in PROBES:
        place = None if pd.isna(layer) else int(layer)
        return {"probe": probe, "layer": place, "variant": distance, "role": "value", "reference": ""}
    return {"probe": "", "layer": None, "variant": distance, "role": "baseline", "reference": name}


def _vectors(judged: Sequence[Mapping[str, Any]], observer: str) -> dict[str, Floats]:
    """The dissimilarities of the images shown, by the name of a person or a reference.

    Raises:
        DatasetError: the rows have different matrices, or a number is missing.
    """
    places = [row["place"] for row in judged]
    by_name = [
        {one["name"]: one["values"] for one in row["dissimilarities"] if one["observer"] == observer}
        for row in judged
    ]
    names = list(by_name[0])
    shown = max(places) + 1
    if any(list(row) != names or any(len(held) < shown for held in row.values()) for row in by_name):
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


def _of_pixels(source: Source, rows: NDArray[np.int64]) -> list[tuple[str, dict[str, Floats], str]]:
    """Dissimilarities of the images themselves, by what they compare."""
    pictures = source.dataset.select_columns(["image"])  # a row also has all matrices
    images = [decode_image(pictures[row]["image"]) for row in rows.tolist()]
    small = np.stack(
        [
            np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), np.float64).ravel()
            for image in images
        ]
    )
    colours = np.stack([np.asarray(image, np.float64).mean(axis=(0, 1)) for image in images])
    upper = np.triu_indices(len(images), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - np.asarray(np.corrcoef(small))[upper]
    baselines = [("pixels", "correlation", np.nan_to_num(correlation, nan=1.0))]
    baselines += [
        (name, "euclidean", np.linalg.norm(values[upper[0]] - values[upper[1]], axis=1))
        for name, values in (("pixels_euclidean", small), ("mean_colour", colours))
    ]
    return [("baseline", {name: vector}, distance) for name, distance, vector in baselines]
