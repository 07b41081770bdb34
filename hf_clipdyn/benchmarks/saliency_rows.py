"""Where people looked on the images of a data set, and the scores of all maps of an image against that."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.metrics.fixation_maps import blurred_fixations, kept_map, rescaled, without
from hf_clipdyn.metrics.saliency import DENSITY_METRICS, METRICS, POINT_METRICS, Target
from hf_clipdyn.metrics.seen_maps import SeenPart, centre_gaussian, gradient_energy, upsample_map, whole_view
from hf_clipdyn.preprocess import input_edges

if TYPE_CHECKING:
    from hf_clipdyn.models.maps import Place

CENTRE_GAUSSIAN, CENTRE_BIAS, PIXELS, HUMAN = "centre_gaussian", "centre_bias", "pixels", "human"
"""What the column ``probe`` of the trials says of maps that come from no model."""

LEFT_OUT = "left_out_observer"
"""Subset of the rows whose model, baselines and humans are all compared with the same one observer."""

_NO_OBSERVERS = "the data set does not distinguish its observers"
_NEGATIVES = 200_000
_COARSE = 128

Floats = NDArray[np.float64]
TrialRow = dict[str, Any]


@dataclass(frozen=True)
class Viewed:
    """One image as it is scored.

    Attributes:
        item: row of the data set.
        image_id: as in the data set.
        view: the part that the model sees; model, baselines and observers are scored on this part only.
        points: fixations in pixels of the view, (n, 2).
        subjects: who looked there, (n,); "" if unknown.
        whole: width and height of the image if small maps of it are kept with the trials; None: none is kept.
    """

    item: int
    image_id: str
    view: SeenPart
    points: Floats
    subjects: NDArray[np.str_]
    whole: tuple[int, int] | None = None

    @cached_property
    def known_subjects(self) -> list[str]:
        """The observers with a fixation in the view; none if fewer than two can be distinguished."""
        names = [str(name) for name in np.unique(self.subjects)]
        return names if len(names) > 1 and "" not in names else []


def crop_view(image_processor: Any, width: int, height: int) -> SeenPart:
    """What remains of an image after the model's own processor has resized it and cut out its centre."""
    edges = input_edges(image_processor, width, height)
    # A pixel belongs to the view if its centre does; at least one pixel of each axis always belongs to it.
    ends = [
        min(length, int(np.ceil(end - 0.5))) for (_, end), length in zip(edges, (width, height), strict=True)
    ]
    firsts = [
        min(max(0, int(np.ceil(start - 0.5))), end - 1) for (start, _), end in zip(edges, ends, strict=True)
    ]
    (left, right), (top, bottom) = edges
    size = (ends[0] - firsts[0], ends[1] - firsts[1])
    return SeenPart(left, top, right, bottom, (firsts[0], firsts[1]), size)


class Observers:
    """The fixations on all images of a data set, and what is derived from them.

    Args:
        viewed: the images.
        sigma: pixels in one degree of visual angle.
        seed: draws the left-out observers, and 200,000 negatives if there are more fixations on other images.
        image_map: the data set's own fixation map of an image, cut to its view; None if it has none.
    """

    def __init__(
        self,
        viewed: Sequence[Viewed],
        sigma: float,
        seed: int,
        image_map: Callable[[int], Floats | None] = lambda _: None,
    ) -> None:
        self.viewed, self.sigma = viewed, sigma
        self._seed, self._image_map = seed, image_map
        counts = [len(image.points) for image in viewed]
        self._image_of = np.repeat(np.arange(len(viewed)), counts)
        self._points = np.concatenate([np.empty((0, 2)), *(image.points for image in viewed)])
        self._sizes = np.array([image.view.size for image in viewed], np.float64)[self._image_of]
        self._drawn = np.arange(len(self._points))
        if len(self._drawn) > _NEGATIVES:
            rng = np.random.default_rng(seed)
            self._drawn = np.sort(rng.choice(self._drawn, _NEGATIVES, replace=False))
        self._everyone = lru_cache(maxsize=8)(self._everyone_on)  # images of one size follow each other

    def target(self, index: int) -> Target:
        """What the maps of an image are scored against.

        The baseline is the density of the fixations on all other images, or of their maps where the data set has maps
        alone; None if there are none.
        """
        image = self.viewed[index]
        if not len(self._points):
            density, centre = self._image_map(index), self._centre_of_maps(index)
            return Target(image.view.shape, density=density, baseline=centre)
        density, centre, others = self.blurred(index), None, self._drawn[self._image_of[self._drawn] != index]
        if len(image.points) < len(self._points):
            centre = without(self._everyone(image.view.size), density)  # blurring is additive
        return Target(
            image.view.shape,
            image.points,
            density=density if len(image.points) else self._image_map(index),
            other_fixations=rescaled(self._points[others], self._sizes[others], image.view.size),
            baseline=centre,
        )

    def blurred(self, index: int, subject: str | None = None) -> Floats:
        """Fixations of all observers, or of one, blurred by one degree."""
        image = self.viewed[index]
        points = image.points if subject is None else image.points[image.subjects == subject]
        return blurred_fixations(points, image.view.shape, self.sigma)

    def left_out(self, index: int) -> list[str]:
        """The observers of an image in the order in which they are left out, drawn from the seed."""
        image = self.viewed[index]
        order = np.random.default_rng([self._seed, image.item]).permutation(len(image.known_subjects))
        return [image.known_subjects[at] for at in order]

    def _everyone_on(self, size: tuple[int, int]) -> Floats:
        """All fixations of the data set, rescaled to an image of this size and blurred."""
        points = rescaled(self._points, self._sizes, size)
        return blurred_fixations(points, (size[1], size[0]), self.sigma)

    @cached_property
    def _coarse_maps(self) -> Floats:
        """Every image's own map on one square grid, each with the sum 1: the maps are smooth, and the grid fine."""
        maps = np.zeros((len(self.viewed), _COARSE, _COARSE))
        for index, coarse in enumerate(maps):
            image_map = self._image_map(index)
            if image_map is not None:
                small = Image.fromarray(image_map.astype(np.float32))
                coarse[:] = np.asarray(small.resize((_COARSE, _COARSE), Image.Resampling.BOX))
                coarse /= max(coarse.sum(), np.finfo(float).tiny)
        return maps

    def _centre_of_maps(self, index: int) -> Floats | None:
        rest = without(self._sum_of_maps, self._coarse_maps[index])
        return upsample_map(rest, whole_view(*self.viewed[index].view.size)) if rest.any() else None

    @cached_property
    def _sum_of_maps(self) -> Floats:
        return np.asarray(self._coarse_maps.sum(axis=0))


class ImageRows:
    """Rows of the trials of `Saliency` for one image.

    Args:
        observers: what maps are scored against.
        index: of the image among theirs.
    """

    def __init__(self, observers: Observers, index: int) -> None:
        self._observers, self._index = observers, index
        self._image, self._target = observers.viewed[index], observers.target(index)
        self._subjects = observers.left_out(index)
        first = observers.blurred(index, self._subjects[0]) if self._subjects else None
        self._one_observer = Target(self._target.shape, density=first)

    def of_model(self, maps: Mapping["Place", Floats]) -> list[TrialRow]:
        """Scores of coarse maps."""
        rows: list[TrialRow] = []
        last = dict(sorted(maps, key=lambda place: place[1] or 0))  # the deepest layer of each probe
        for place, coarse in maps.items():
            if not np.isfinite(coarse).all():
                rows += self.without_map(place, "the model's map is not finite")
                continue
            for smoothed in (False, True):
                fine = upsample_map(coarse, self._image.view, self._observers.sigma if smoothed else None)
                scored = self._scored(place, smoothed, fine)
                if place[0] != PIXELS and place[1] == last[place[0]] and not smoothed:
                    scored[0] |= {"map": self._kept(fine)}
                rows += scored
        return rows

    def of_references(self, ceiling: int, pixels: NDArray[np.uint8]) -> list[TrialRow]:
        """Scores of baselines and ceiling.

        Args:
            ceiling: largest number of observers that are left out, one after the other.
            pixels: the image as the model sees it.
        """
        from scipy import ndimage

        rows = self.of_model({(PIXELS, None): gradient_energy(pixels)})
        centres = {CENTRE_GAUSSIAN: centre_gaussian(self._image.view), CENTRE_BIAS: self._target.baseline}
        for probe, centre in centres.items():
            if centre is None:
                rows += self.without_map((probe, None), self._target.cause("ig"))
                continue
            blurred = ndimage.gaussian_filter(np.asarray(centre), self._observers.sigma, mode="nearest")
            rows += self._scored((probe, None), False, np.asarray(centre))
            rows += self._scored((probe, None), True, blurred)
        return rows + self._of_humans(ceiling)

    def without_map(self, place: "Place", cause: str) -> list[TrialRow]:
        """Rows of a map that does not exist."""
        causes = dict.fromkeys(METRICS, cause)
        return [self._row(place, smoothed, "", {}, causes) for smoothed in (False, True)]

    def _of_humans(self, ceiling: int) -> list[TrialRow]:
        """The other observers' fixations, blurred by one degree, predict those of the observer left out.

        They are smooth already: the rows of raw and of smoothed maps have the same numbers. CC, SIM and KL depend on
        the number of fixations, so they are those of the one observer whom the model is compared with as well.
        """
        place, image = (HUMAN, None), self._image
        if not self._subjects and any(other.known_subjects for other in self._observers.viewed):
            return []
        if not self._subjects:
            missing = "" if len(image.points) else self._target.cause("nss")
            rows = self.without_map(place, missing or _NO_OBSERVERS)
        else:
            values = [self._predicted(subject) for subject in self._subjects[:ceiling]]
            means = {name: _mean([scores.get(name, np.nan) for scores in values]) for name in POINT_METRICS}
            shared = self._one_observer.scores(self._others(self._subjects[0]))
            rows = [
                self._row(place, smoothed, subset, scores, {})
                for smoothed in (False, True)
                for subset, scores in (("", means), (LEFT_OUT, shared))
            ]
        if self._target.density is not None:
            rows[0] |= {"map": self._kept(np.asarray(self._target.density))}
        return rows

    def _others(self, subject: str) -> Floats:
        everyone, own = (self._observers.blurred(self._index, name) for name in (None, subject))
        return without(everyone, own)

    def _predicted(self, subject: str) -> dict[str, float]:
        points = self._image.points[self._image.subjects == subject]
        about = {"other_fixations": self._target.other_fixations, "baseline": self._target.baseline}
        return Target(self._target.shape, points, **about).scores(self._others(subject))

    def _kept(self, fine: Floats) -> bytes | None:
        whole = self._image.whole
        return None if whole is None else kept_map(fine, self._image.view.first, whole)

    def _scored(self, place: "Place", smoothed: bool, fine: Floats) -> list[TrialRow]:
        asked = POINT_METRICS if self._target.density is None else METRICS
        rows = [self._against(self._target, asked, place, smoothed, "", fine)]
        if self._subjects:
            rows.append(self._against(self._one_observer, DENSITY_METRICS, place, smoothed, LEFT_OUT, fine))
        return rows

    def _against(
        self, target: Target, asked: Sequence[str], place: "Place", smoothed: bool, subset: str, fine: Floats
    ) -> TrialRow:
        scores = target.scores(fine)
        causes = {name: target.cause(name) for name in asked if np.isnan(scores.get(name, np.nan))}
        return self._row(place, smoothed, subset, scores, causes)

    def _row(
        self, place: "Place", smoothed: bool, subset: str, scores: dict[str, float], causes: dict[str, str]
    ) -> TrialRow:
        return {
            "item": self._image.item,
            "image_id": self._image.image_id,
            "n_fixations": len(self._image.points),
            "probe": place[0],
            "layer": place[1],
            "smoothed": smoothed,
            "subset": subset,
            **dict.fromkeys(METRICS, np.nan),
            **scores,
            "map": None,
            "causes": json.dumps(causes) if causes else "",
        }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
