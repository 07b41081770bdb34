"""Where people looked: what a saliency map is scored against, image by image."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.views import SeenPart, upsample_map, whole_view
from hf_clipdyn.metrics.fixation_maps import blurred_fixations, rescaled
from hf_clipdyn.metrics.saliency_map_scores import SaliencyMap

Floats = NDArray[np.float64]

_NEGATIVES = 200_000
_TOTALS = 8
_COARSE = 128
# Subtracting all parts from a sum leaves 1e-16 of it, far below the edge of any Gaussian.
_RESIDUE = 1e-13


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


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the maps of one image are scored against.

    Attributes:
        points: fixations, (n, 2).
        density: fixations blurred by one degree, or the data set's own map if it has no fixations.
        centre: density of the fixations on all other images, rescaled to this one; None if there are none. Several
            observers of an image share it.
        negatives: these fixations themselves, (m, 2).
        left_out: density of the one observer with whom models and humans are both compared.
    """

    points: Floats = field(default_factory=lambda: np.empty((0, 2)))
    density: Floats | None = None
    centre: SaliencyMap | None = None
    negatives: Floats | None = None
    left_out: Floats | None = None


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
        counts = [len(one.points) for one in viewed]
        self._ends = np.cumsum([0, *counts])
        self._points = np.concatenate([np.empty((0, 2)), *(one.points for one in viewed)])
        self._sizes = np.repeat(np.array([one.view.size for one in viewed], np.float64), counts, axis=0)
        self._drawn = np.arange(len(self._points))
        if len(self._drawn) > _NEGATIVES:
            rng = np.random.default_rng(seed)
            self._drawn = np.sort(rng.choice(self._drawn, _NEGATIVES, replace=False))
        self._totals: OrderedDict[tuple[int, int], Floats] = OrderedDict()
        self._lock = Lock()

    @property
    def have_points(self) -> bool:
        """Whether there is any fixation; otherwise there are only maps."""
        return bool(len(self._points))

    def target(self, index: int) -> Target:
        """What the maps of an image are scored against."""
        one = self.viewed[index]
        if not self.have_points:
            return Target(density=self._image_map(index), centre=self._centre_of_maps(index))
        blurred, left_out = self.blurred(index), self.left_out(index)
        return Target(
            points=one.points,
            density=blurred if len(one.points) else self._image_map(index),
            centre=self._centre(index, blurred),
            negatives=self._negatives(index),
            left_out=self.blurred(index, left_out[0]) if left_out else None,
        )

    def blurred(self, index: int, subject: str | None = None) -> Floats:
        """Fixations of all observers, or of one, blurred by one degree."""
        one = self.viewed[index]
        points = one.points if subject is None else one.points[one.subjects == subject]
        return blurred_fixations(points, one.view.shape, self.sigma)

    def left_out(self, index: int) -> list[str]:
        """The observers of an image in the order in which they are left out, drawn from the seed."""
        one = self.viewed[index]
        order = np.random.default_rng([self._seed, one.item]).permutation(len(one.known_subjects))
        return [one.known_subjects[at] for at in order]

    def _negatives(self, index: int) -> Floats | None:
        own = (self._drawn >= self._ends[index]) & (self._drawn < self._ends[index + 1])
        chosen = self._drawn[~own]
        if not len(chosen):
            return None
        return rescaled(self._points[chosen], self._sizes[chosen], self.viewed[index].view.size)

    def _centre(self, index: int, own: Floats) -> SaliencyMap | None:
        """The density of all fixations minus that of this image's own: blurring is additive."""
        if self._ends[index + 1] - self._ends[index] == len(self._points):
            return None
        return SaliencyMap(without(self._total(self.viewed[index].view.size), own))

    def _total(self, size: tuple[int, int]) -> Floats:
        """All fixations of the data set, rescaled to an image of this size and blurred; the last sizes are kept."""
        with self._lock:
            if size not in self._totals:
                points = rescaled(self._points, self._sizes, size)
                self._totals[size] = blurred_fixations(points, (size[1], size[0]), self.sigma)
            self._totals.move_to_end(size)
            while len(self._totals) > _TOTALS:
                self._totals.popitem(last=False)
            return self._totals[size]

    # --- data sets that provide maps but no fixations ---------------------------------------------------

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

    @cached_property
    def _coarse_sum(self) -> Floats:
        return np.asarray(self._coarse_maps.sum(axis=0))

    def _centre_of_maps(self, index: int) -> SaliencyMap | None:
        with self._lock:
            rest = without(self._coarse_sum, self._coarse_maps[index])
        if not rest.any():
            return None
        return SaliencyMap(upsample_map(rest, whole_view(*self.viewed[index].view.size)))


def without(total: Floats, part: Floats) -> Floats:
    """A sum of densities without one of its parts; residues of rounding become 0."""
    rest = total - part
    rest[rest < _RESIDUE * total.max()] = 0.0
    return rest
