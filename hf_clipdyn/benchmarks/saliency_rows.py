"""Scores of the maps of one image: the model's, the baselines' and the other observers'."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.gallery import kept_map
from hf_clipdyn.benchmarks.observers import Observers, Target, without
from hf_clipdyn.benchmarks.views import SeenPart, upsample_map
from hf_clipdyn.metrics.saliency_map_scores import METRICS, ImageScorer, SaliencyMap

if TYPE_CHECKING:
    from hf_clipdyn.models.maps import Place

CENTRE_GAUSSIAN, CENTRE_BIAS, PIXELS, HUMAN = "centre_gaussian", "centre_bias", "pixels", "human"
"""What the column ``probe`` of the trials says of maps that come from no model."""

LEFT_OUT = "left_out_observer"
"""Subset of the rows whose model, baselines and humans are all compared with the same one observer."""

_POINT_METRICS = ("nss", "auc", "auc_judd", "sauc", "ig")
_DENSITY_METRICS = ("cc", "sim", "kl")
_NO_POINTS = "no fixation points"
_NO_OBSERVERS = "the data set does not distinguish its observers"
_NO_OTHERS = "no other image has a fixation"
_FLAT_DENSITY = "the fixation map is constant"
_CELLS = 8

Floats = NDArray[np.float64]
TrialRow = dict[str, Any]


class ImageRows:
    """Rows of the trials of `Saliency` for one image.

    Args:
        observers: what maps are scored against.
        index: of the image among theirs.
    """

    def __init__(self, observers: Observers, index: int) -> None:
        self._observers, self._index = observers, index
        self._image = observers.viewed[index]

    @cached_property
    def _target(self) -> Target:
        return self._observers.target(self._index)

    def _scorer(self, target: Target) -> Callable[[SaliencyMap], dict[str, float]]:
        return _scorer(self._image.view.shape, target)

    @cached_property
    def _against_everyone(self) -> Callable[[SaliencyMap], dict[str, float]]:
        return self._scorer(self._target)

    @cached_property
    def _against_left_out(self) -> Callable[[SaliencyMap], dict[str, float]]:
        return self._scorer(Target(density=self._target.left_out))

    def of_model(self, maps: Mapping["Place", Floats]) -> list[TrialRow]:
        """Scores of coarse maps."""
        rows: list[TrialRow] = []
        last = dict(sorted(maps, key=lambda place: place[1] or 0))  # the deepest layer of each probe
        for place, coarse in maps.items():
            if not np.isfinite(coarse).all():
                rows += self.without_map(place, "the model's map is not finite")
                continue
            for smoothed in (False, True):
                sigma = self._observers.sigma if smoothed else None
                fine = upsample_map(coarse, self._image.view, sigma)
                keeps = place[0] != PIXELS and place[1] == last[place[0]] and not smoothed
                small = self._kept(fine) if keeps else None
                rows += self._scored(place, smoothed, SaliencyMap(fine), small)
        return rows

    def of_references(self, ceiling: int, pixels: NDArray[np.uint8]) -> list[TrialRow]:
        """Scores of baselines and ceiling.

        Args:
            ceiling: largest number of observers that are left out, one after the other.
            pixels: the image as the model sees it.
        """
        from scipy import ndimage

        rows = self.of_model({(PIXELS, None): gradient_energy(pixels)})
        gaussian = SaliencyMap(_centre_gaussian(self._image.view))
        centres = {CENTRE_GAUSSIAN: gaussian, CENTRE_BIAS: self._target.centre}
        for probe, image_map in centres.items():
            if image_map is None:
                rows += self.without_map((probe, None), _NO_OTHERS)
                continue
            blurred = ndimage.gaussian_filter(image_map.values, self._observers.sigma, mode="nearest")
            rows += self._scored((probe, None), False, image_map)
            rows += self._scored((probe, None), True, SaliencyMap(blurred))
        return rows + self._of_humans(ceiling)

    def without_map(self, place: "Place", cause: str) -> list[TrialRow]:
        """Rows of a map that does not exist."""
        causes = dict.fromkeys(METRICS, cause)
        return [self._row(place, smoothed, "", {}, causes) for smoothed in (False, True)]

    def _of_humans(self, ceiling: int) -> list[TrialRow]:
        """The other observers' fixations, blurred by one degree, predict those of the observer left out.

        They are smooth already: the rows of raw and of smoothed maps have the same numbers.
        """
        place, target = (HUMAN, None), self._target
        subjects = self._observers.left_out(self._index)
        if not subjects:
            if any(other.known_subjects for other in self._observers.viewed):
                return []
            cause = _NO_OBSERVERS if self._observers.have_points else _NO_POINTS
            return self._with_people(self.without_map(place, cause))
        everyone = self._observers.blurred(self._index)
        values = []
        for subject in subjects[:ceiling]:
            others = without(everyone, self._observers.blurred(self._index, subject))
            points = self._image.points[self._image.subjects == subject]
            own = Target(points=points, centre=target.centre, negatives=target.negatives)
            values.append(self._scorer(own)(SaliencyMap(others)))
        means = {
            name: float(np.mean(known)) if (known := [one[name] for one in values if name in one]) else np.nan
            for name in _POINT_METRICS
        }
        others = without(everyone, self._observers.blurred(self._index, subjects[0]))
        shared = self._against_left_out(SaliencyMap(others))
        rows = [
            self._row(place, smoothed, subset, scores, {})
            for smoothed in (False, True)
            for subset, scores in (("", means), (LEFT_OUT, shared))
        ]
        return self._with_people(rows)

    def _with_people(self, rows: list[TrialRow]) -> list[TrialRow]:
        """The rows of people, the first with a small map of where all of them looked."""
        if self._target.density is not None:
            rows[0] |= {"map": self._kept(self._target.density)}
        return rows

    def _kept(self, fine: Floats) -> bytes | None:
        whole = self._image.whole
        return None if whole is None else kept_map(fine, self._image.view.first, whole)

    def _scored(
        self, place: "Place", smoothed: bool, image_map: SaliencyMap, small: bytes | None = None
    ) -> Iterator[TrialRow]:
        target = self._target
        causes = dict.fromkeys(_POINT_METRICS, _NO_POINTS)
        if len(target.points):
            causes = {} if target.centre is not None else dict.fromkeys(("sauc", "ig"), _NO_OTHERS)
        yield self._row(place, smoothed, "", self._against_everyone(image_map), causes) | {"map": small}
        if target.left_out is not None:
            yield self._row(place, smoothed, LEFT_OUT, self._against_left_out(image_map), {})

    def _row(
        self, place: "Place", smoothed: bool, subset: str, values: dict[str, float], causes: dict[str, str]
    ) -> TrialRow:
        # CC of a constant map is 0: only the density that it is compared with leaves it undefined.
        flat = _DENSITY_METRICS if np.isnan(values.get("cc", 0.0)) else ()
        known = {"auc_judd": "every pixel is fixated", **dict.fromkeys(flat, _FLAT_DENSITY)}
        degenerate = {
            name: known.get(name, "the map is constant") for name, value in values.items() if np.isnan(value)
        }
        return {
            "item": self._image.item,
            "image_id": self._image.image_id,
            "n_fixations": len(self._image.points),
            "probe": place[0],
            "layer": place[1],
            "smoothed": smoothed,
            "subset": subset,
            **dict.fromkeys(METRICS, np.nan),
            **values,
            "map": None,
            "causes": json.dumps(causes | degenerate) if causes or degenerate else "",
        }


def _scorer(shape: tuple[int, int], target: Target) -> Callable[[SaliencyMap], dict[str, float]]:
    """From a map of an image to the metrics that the target allows."""
    wanted: list[str] = []
    if len(target.points):
        wanted += ["nss", "auc", "auc_judd"]
        wanted += ["sauc"] if target.negatives is not None else []
        wanted += ["ig"] if target.centre is not None else []
    if target.density is not None:
        wanted += _DENSITY_METRICS
    scorer = ImageScorer(
        shape,
        target.points,
        density=target.density,
        other_fixations=target.negatives,
        baseline=target.centre,
    )

    def scores(image_map: SaliencyMap) -> dict[str, float]:
        scores = scorer.scores(image_map, wanted)
        return {name: scores[name] for name in wanted}

    return scores


def gradient_energy(pixels: NDArray[np.uint8]) -> Floats:
    """Squared gradient of the luma, averaged over 8 x 8 cells: what contrast alone predicts.

    Args:
        pixels: (H, W, 3).

    Returns:
        (8, 8), fewer cells if there are fewer pixels.
    """
    down, across = np.gradient(pixels @ np.array([0.299, 0.587, 0.114]))
    energy = down**2 + across**2
    for axis, length in enumerate(energy.shape):
        edges = np.linspace(0, length, min(_CELLS, length) + 1).astype(np.int64)
        sums = np.add.reduceat(energy, edges[:-1], axis=axis)
        energy = sums / np.expand_dims(np.diff(edges), 1 - axis)
    return np.asarray(energy)


def _centre_gaussian(view: SeenPart) -> Floats:
    """A Gaussian in the middle of the view, its standard deviations a quarter of the sides."""
    down, across = (np.exp(-0.5 * np.square(np.linspace(-2, 2, 2 * n + 1)[1::2])) for n in view.shape)
    return np.asarray(np.outer(down, across))
