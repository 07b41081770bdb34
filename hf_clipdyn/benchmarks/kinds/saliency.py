"""Saliency: does the model look where human observers look?"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import Field, field_validator

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, term, words
from hf_clipdyn.errors import DatasetError, EvaluationError
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.saliency_rows import TrialRow, Viewed
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

NEUTRAL_TEXT = "a photo."

Probe = Literal["attention", "attention_layers", "rollout", "gradient_input", "grad_cam"]
PROBES: tuple[Probe, ...] = get_args(Probe)
"""The maps that can be read out of a model, see `hf_clipdyn.models.maps`."""

_OF_ATTENTION, _WITHOUT_ATTENTION = PROBES[:3], PROBES[3:]
_CHUNK = 32
# The centre bias is built from the fixations that are sAUC's negatives, without the image's own: with few images it is
# high where the negatives are. On OSIE it has 0.34 to 0.41 with 20 images, 0.49 with 700.
_FEW_IMAGES = 100
_THREADS = 8
# The trials keep small maps of this number of images: 190 bytes each, for every probe.
_KEPT_MAPS = 48
_CEILING_MAPS = 16_000
_SMOOTHED = "smoothed"
_PLACE = ["probe", "layer", _SMOOTHED, "subset"]
_JOINS = ("metric", "variant", "subset")
_ABOVE_0: dict[str, Any] = {"better": "high", "neutral": 0.0, "neutral_title": "constant map"}
_ABOVE_HALF = _ABOVE_0 | {"neutral": 0.5}
_BASELINES = {
    "centre_gaussian": "centre Gaussian",
    "centre_bias": "centre bias",
    "pixels": "gradient energy",
}
_REFERENCES: Mapping[str, Mapping[str, Any]] = {
    **{name: {"probe": "", "role": "baseline", "reference": name} for name in _BASELINES},
    "human": {"probe": "", "role": "human", "reference": "observers"},
}
"""Columns of the numbers of maps that come from no model, by their name in the trials."""
_METRICS = ("nss", "auc", "sauc", "cc", "sim", "kl", "ig")
_TYPES = {
    "item": "int64",
    "image_id": "string",
    "n_fixations": "int64",
    "probe": "string",
    "layer": "Int64",
    "smoothed": "bool",
    "subset": "string",
    **dict.fromkeys(_METRICS, "float64"),
    "map": "object",
    "causes": "string",
}


class SaliencySettings(KindSettings):
    """Which maps to score, and how to show the images."""

    preprocess: Literal["squash", "crop"] = "squash"
    """squash (resize the whole image to the model's square) or crop (use only the part that the model's processor
    keeps)."""

    probes: tuple[Probe, ...] = Field(("attention", "rollout"), min_length=1)
    """Maps to read out."""

    @field_validator("probes")
    @classmethod
    def _in_order(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        return tuple(name for name in PROBES if name in probes)  # an order changes nothing: one cell

    def suited(self, model_config: Any) -> Self:
        """Maps by gradients where the default ones need attention that the model lacks."""
        if set(self.probes) - set(_OF_ATTENTION) or _has_attention(model_config):
            return self
        if self.probes == type(self)().probes:
            return self.but(probes=_WITHOUT_ATTENTION)
        vision = getattr(model_config, "vision_config", model_config)
        raise EvaluationError(
            f"{vision.model_type} models have no attention maps: choose other maps with --saliency_probes "
            f"{','.join(_WITHOUT_ATTENTION)}"
        )


class Saliency(Kind[SaliencySettings]):
    """Seven scores of the model's maps, raw and smoothed by one degree, with baselines and a human ceiling.

    Maps are resized (bilinear) to the image's own pixels, in which fixations are given. Four kinds of maps do not
    depend on the revision: the baselines ``centre_gaussian`` (its width is a quarter of each side), ``centre_bias``
    (the fixations on all other images) and ``pixels`` (gradient energy of the model's input), and ``human`` (the other
    observers predict the one left out, averaged over observers). CC, SIM and KL depend on the number of fixations.
    Therefore the subset ``left_out_observer`` compares model, baselines and observers with the same single observer of
    each image.

    Trials: item, image_id, n_fixations, probe (or the name of one of those four), layer, smoothed, subset, one column
    per score, ``map`` (a small map, `hf_clipdyn.metrics.fixation_maps.KEPT_MAP`; for 48 images: the raw map of each
    probe's deepest layer, and in the rows of ``human`` the map of all observers; null otherwise), and ``causes``, JSON
    of a score to the reason why it is NaN.
    """

    name = "saliency"
    settings = SaliencySettings
    schemas = ("fixations",)
    needs_text = False
    score_version = 2
    terms = words(
        "Saliency",
        90,
        term(
            "nss",
            "NSS",
            "Normalised scanpath saliency: mean of the standardised map at the fixations.",
            unit="standard deviations",
            **_ABOVE_0,
            overview=Overview(rank=90),
        ),
        term(
            "auc",
            "AUC",
            "Area under the ROC curve of the fixations against all pixels.",
            **_ABOVE_HALF,
        ),
        term(
            "sauc",
            "shuffled AUC",
            "Area under the ROC curve against the fixations on other images; a centre bias gains nothing.",
            **_ABOVE_HALF,
        ),
        term(
            "cc",
            "CC",
            "Pearson's correlation between the map and the density of the fixations.",
            **_ABOVE_0,
            overview=Overview(rank=90),
        ),
        term(
            "sim",
            "SIM",
            "Sum, over the pixels, of the smaller of map and density. Both are scaled to sum to 1.",
            limits=(0.0, 1.0),
            better="high",
        ),
        term(
            "kl",
            "KL divergence",
            "Kullback-Leibler divergence of the map from the density of the fixations.",
            unit="nats",
            better="low",
        ),
        term(
            "ig",
            "information gain",
            "Log-likelihood of the fixations under the map minus their log-likelihood under the centre bias.",
            unit="bits per fixation",
            better="high",
            neutral=0.0,
            neutral_title="centre bias",
        ),
        variants={_SMOOTHED: "smoothed by one degree"},
        subsets={"left_out_observer": "against one left-out observer"},
        probes={
            "attention": "attention",
            "rollout": "attention rollout",
            "gradient_input": "gradient x input",
            "grad_cam": "Grad-CAM",
        },
        references=(
            *(
                Reference(role="baseline", name=name, title=title, joins=_JOINS)
                for name, title in _BASELINES.items()
            ),
            Reference(role="human", name="observers", title="human observers", joins=_JOINS),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: SaliencySettings, common: Common
    ) -> None:
        import datasets
        import numpy as np

        from hf_clipdyn.benchmarks.kept_tables import KeptTable
        from hf_clipdyn.benchmarks.readout import decode
        from hf_clipdyn.benchmarks.saliency_rows import Observers

        degree, drop_first = source.metadata.pixels_per_degree, source.metadata.drop_first
        if degree is None:
            raise DatasetError(
                f"{source.name} has no number of pixels per degree of visual angle: set "
                "pixels_per_degree in its metadata."
            )
        self.preprocess = settings.preprocess
        self._probes = list(settings.probes)
        squash = self.preprocess == "squash"
        pixels = decode(source.dataset, image_processor, common, squash=squash)
        self.left_out = int(pixels.broken.sum())
        self._array = pixels.array
        self._fixation_maps = source.dataset.select_columns(["fixation_map"]).cast_column(
            "fixation_map", datasets.Image(decode=False)
        )
        rows = source.dataset.select_columns(["image_id", "width", "height", "fixations"])
        viewed = [
            _viewed(item, row, None if squash else image_processor, drop_first)
            for item, row in enumerate(rows)
            if not pixels.broken[item]
        ]
        kept = set(np.linspace(0, len(viewed) - 1, min(_KEPT_MAPS, len(viewed))).astype(np.int64).tolist())
        viewed = [image if at in kept else replace(image, whole=None) for at, image in enumerate(viewed)]
        # Images of one size follow each other, so that what is laid over them is prepared once.
        self._viewed = sorted(viewed, key=lambda image: (image.view.size, image.item))
        self._observers = Observers(self._viewed, degree, common.seed, self._image_map)
        gaze = [
            [degree, drop_first, common.seed],
            [[image.image_id, _digest_of(image.points), image.subjects.tolist()] for image in viewed],
            [self._map_digest(image.item) for image in viewed if not len(image.points)],
        ]
        texts = [NEUTRAL_TEXT if probe in _WITHOUT_ATTENTION else "" for probe in self._probes]
        shown = [pixels.fingerprint, self.preprocess]
        # None: captions, which left in 0.4.
        self.fingerprint = digest(self.name, *shown, texts, self._probes, None, *gaze)
        views = [asdict(image.view) for image in viewed]
        self._kept_references = KeptTable(
            f"{self.name} {source.name}",
            [self.observe_version, *shown, *gaze, _CEILING_MAPS, views],
            _TYPES,
            [image.item for image in viewed],
            common,
        )

    def _map_digest(self, item: int) -> str:
        image_map = self._own_map(item)
        return "" if image_map is None else _digest_of(image_map)

    def _image_map(self, index: int) -> "NDArray[np.float64] | None":
        image = self._viewed[index]
        image_map = self._own_map(image.item, "L")
        return None if image_map is None else image.view.cut(image_map.astype("float64"))

    def _own_map(self, item: int, mode: str | None = None) -> "NDArray[Any] | None":
        """The data set's own fixation map of an image."""
        import numpy as np

        from hf_clipdyn.data.images import decode_image

        cell = self._fixation_maps[item]["fixation_map"]
        if cell is None:
            return None
        image = decode_image(cell)
        return np.asarray(image if mode is None else image.convert(mode))

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Scores of every map of every image, the baselines' and the observers' among them."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.readout import Stimuli, map_over_processes
        from hf_clipdyn.benchmarks.saliency_rows import ImageRows
        from hf_clipdyn.machine import keep_freed_blocks
        from hf_clipdyn.models.maps import saliency_maps

        keep_freed_blocks()
        if str(getattr(readout.encoder, "dtype", "torch.float32")) != "torch.float32":
            # The readout checks a lower precision, and maps bypass it.
            readout.images(Stimuli(self._array, np.array([image.item for image in self._viewed[:64]])))
        text = None
        if readout.encoder.reads_text and set(self._probes) & set(_WITHOUT_ATTENTION):
            text = readout.texts([NEUTRAL_TEXT])[0]

        def work(part: Sequence[int]) -> "list[TrialRow]":
            pixels = np.asarray(self._array[[self._viewed[at].item for at in part]])
            found = saliency_maps(readout.encoder, pixels, self._probes, text=text)

            def rows_of(at: int) -> "list[TrialRow]":
                image = ImageRows(self._observers, at)
                rows = image.of_model({place: maps[at - part[0]] for place, maps in found.maps.items()})
                for place, cause in found.unavailable.items():
                    rows += image.without_map(place, cause)
                return rows

            return _threaded(rows_of, part)

        of_parts = map_over_processes(_parts(len(self._viewed), min(_CHUNK, readout.batch_size)), work)
        trials = pd.concat([_trials(of_parts), self._references])
        return trials.sort_values([*_PLACE, "item"], ignore_index=True)

    @cached_property
    def _references(self) -> "pd.DataFrame":
        """Trials of baselines and observers, which do not depend on the revision, from the cache or computed now."""
        import numpy as np

        from hf_clipdyn.benchmarks.kept_tables import KeptTable
        from hf_clipdyn.benchmarks.readout import map_over_processes
        from hf_clipdyn.benchmarks.saliency_rows import ImageRows

        # One process reads the file, so that all agree whether it must be computed.
        [kept] = map_over_processes([self._kept_references], KeptTable.read)
        if kept is not None:
            return kept
        ceiling = max(1, _CEILING_MAPS // len(self._viewed))

        def work(at: int) -> "list[TrialRow]":
            pixels = np.asarray(self._array[self._viewed[at].item])
            return ImageRows(self._observers, at).of_references(ceiling, pixels)

        parts = _parts(len(self._viewed), _CHUNK)
        computed = _trials(map_over_processes(parts, lambda part: _threaded(work, part)))
        map_over_processes([computed], self._kept_references.write)
        return computed

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Means over the images."""
        import pandas as pd

        from hf_clipdyn.metrics.saliency import SCALES
        from hf_clipdyn.metrics.scores import mean

        key: Any
        for key, rows in trials.groupby(_PLACE, sort=False, dropna=False):
            probe, layer, smoothed, subset = key
            place = {
                "layer": None if pd.isna(layer) else int(layer),
                "variant": _SMOOTHED if smoothed else "",
                "subset": subset,
                **_REFERENCES.get(str(probe), {"probe": probe}),
            }
            for name in cls.terms.terms:
                score = mean(rows[name], SCALES.get(name, "linear"), _commonest_cause(rows["causes"], name))
                if not score.n and not score.cause:
                    continue  # not asked of this probe
                if (probe, name) == ("centre_bias", "sauc") and 0 < score.n < _FEW_IMAGES:
                    score = replace(score, cause=f"biased below 0.5 with fewer than {_FEW_IMAGES} images")
                yield number(name, score, rows["item"], n_clusters=score.n, **place)


def _has_attention(model_config: Any) -> bool:
    """Whether the image encoder is a vision transformer, by the sizes that it declares."""
    vision = getattr(model_config, "vision_config", model_config)
    sizes = (getattr(vision, name, None) for name in ("patch_size", "num_attention_heads"))
    return None not in sizes


def _viewed(item: int, row: Mapping[str, Any], image_processor: Any, drop_first: bool) -> "Viewed":
    """A row of the data set with its fixations in pixels of the view; those outside of it are left out."""
    import numpy as np

    from hf_clipdyn.benchmarks.saliency_rows import Viewed, crop_view
    from hf_clipdyn.metrics.seen_maps import whole_view

    whole = row["width"], row["height"]
    view = whole_view(*whole) if image_processor is None else crop_view(image_processor, *whole)
    fixations = row["fixations"]
    points = np.array([(at["x"], at["y"]) for at in fixations], np.float64).reshape(-1, 2) - view.first
    subjects = np.array([at["subject"] for at in fixations], dtype=np.str_)
    kept = np.all((points >= 0) & (points < view.size), axis=1)
    if drop_first:  # of each known subject
        names, first = np.unique(subjects, return_index=True)
        kept[first[names != ""]] = False
    return Viewed(item, str(row["image_id"]), view, points[kept], subjects[kept], whole)


def _digest_of(array: "NDArray[Any]") -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _commonest_cause(causes: "pd.Series", score: str) -> str:
    named = [cause for text in causes if text and (cause := json.loads(text).get(score))]
    return max(sorted(set(named)), key=named.count) if named else ""


def _trials(parts: "Sequence[Sequence[TrialRow]]") -> "pd.DataFrame":
    import pandas as pd

    rows = [row for part in parts for row in part]
    return pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)


def _parts(n: int, chunk: int) -> list[list[int]]:
    return [list(range(start, min(start + chunk, n))) for start in range(0, n, chunk)]


def _threaded(work: "Callable[[int], Sequence[TrialRow]]", part: Sequence[int]) -> "list[TrialRow]":
    """Rows of all images of a part; NumPy releases the interpreter's lock in everything that takes time here."""
    from concurrent.futures import ThreadPoolExecutor

    from accelerate import PartialState

    from hf_clipdyn.machine import usable_cores

    workers = max(1, min(_THREADS, usable_cores() // PartialState().num_processes))
    with ThreadPoolExecutor(workers) as pool:
        return [row for rows in pool.map(work, part) for row in rows]
