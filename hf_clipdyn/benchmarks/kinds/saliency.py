"""Saliency: does the model look where people look?"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import datasets
import numpy as np
import pandas as pd
from accelerate import PartialState
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    PROBES,
    Benchmark,
    Measurement,
    Settings,
    chosen_preprocess,
    decode,
    digest,
)
from hf_clipdyn.benchmarks.captions import first_captions
from hf_clipdyn.benchmarks.observers import Observers, Viewed
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes
from hf_clipdyn.benchmarks.saliency_rows import Row, ScoredMaps
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.views import crop_view, whole_view
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.errors import ConfigError, DatasetError
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, mean_intervals
from hf_clipdyn.metrics.saliency_map_scores import METRICS
from hf_clipdyn.metrics.undefined import UndefinedMetricWarning
from hf_clipdyn.models.maps import GRADIENT_PROBES, saliency_maps

__all__ = ["NEUTRAL_TEXT", "Saliency"]

NEUTRAL_TEXT = "a photo."
_DEFAULT_PROBES = ("attention", "rollout")
_SCALES: dict[str, Scale] = {"auc": "share", "auc_judd": "share", "sauc": "share", "sim": "share"}
_CHUNK = 32
_FEW_IMAGES = 100
"""The centre bias is built from the fixations that are sAUC's negatives, without the image's own: with few images it is
high where the negatives are. Of OSIE's images it is .34 to .41 with 20, .49 with 700."""
_THREADS = 8
_CEILING_MAPS = 16_000

Floats = NDArray[np.float64]


class Saliency(Benchmark):
    """Eight metrics of the model's maps, raw and smoothed by one degree, beside baselines and human ceiling.

    Maps are laid over the image's own pixels (bilinear), where the fixations are. The probes
    ``centre_gaussian`` (a quarter of either side wide), ``centre_bias`` (the fixations on all other images),
    ``pixels`` (gradient energy of what the model sees) and ``human`` (the other observers predict the one
    left out, averaged over the observers) do not depend on the revision and stand beside each. CC, SIM and KL
    depend on the number of fixations: in the group
    ``observer=left_out`` model, baselines and humans are all compared with the same one observer of each image.

    Trials: item, image_id, n_fixations, probe, layer, smoothed, group, one column a metric, and ``causes``, JSON
    of metric to the reason why it is NaN.
    """

    kind: ClassVar[str] = "saliency"
    schemas = ("fixations",)
    settings = ("probes", "captions")
    suites: ClassVar = {"paper": ("mit1003",), "full": ("mit1003", "cat2000", "salicon", "osie")}
    needs_text: ClassVar[bool] = False
    preprocesses = ("squash", "crop")

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        if source.metadata.pixels_per_degree is None:
            raise DatasetError(
                f"It is not known how many pixels of {source.name} are one degree of visual angle: "
                "state pixels_per_degree in the facts of its loader."
            )
        self.preprocess = chosen_preprocess(type(self), settings)
        self._probes = [
            probe
            for probe in PROBES
            if probe in (_DEFAULT_PROBES if settings.probes is None else settings.probes)
        ]
        squash = self.preprocess == "squash"
        pixels = decode(source.dataset, image_processor, settings, squash=squash)
        self.left_out = int(pixels.broken.sum())
        self._array = pixels.array
        self._fixation_maps = source.dataset.select_columns(["fixation_map"]).cast_column(
            "fixation_map", datasets.Image(decode=False)
        )
        rows = source.dataset.select_columns(["image_id", "width", "height", "fixations"])
        viewed = [
            _viewed(item, row, None if squash else image_processor, source.metadata.drop_first)
            for item, row in enumerate(rows)
            if not pixels.broken[item]
        ]
        # Images of one size stand together, so that what is laid over them is prepared once.
        self._viewed = sorted(viewed, key=lambda one: (one.view.size, one.item))
        self._observers = Observers(
            self._viewed, source.metadata.pixels_per_degree, settings.seed, self._image_map
        )
        self._scored = ScoredMaps(self._observers)
        self._captions = self._texts(settings)
        self._reference: list[Row] | None = None
        self.fingerprint = digest(
            self.kind,
            pixels.fingerprint,
            self.preprocess,
            [NEUTRAL_TEXT if probe in GRADIENT_PROBES else "" for probe in self._probes],
            self._probes,
            self._captions,
            [source.metadata.pixels_per_degree, source.metadata.drop_first, settings.seed],
            [[one.image_id, _digest_of(one.points), one.subjects.tolist()] for one in viewed],
            [self._map_digest(one.item) for one in viewed if not len(one.points)],
        )

    def _texts(self, settings: Settings) -> list[str] | None:
        if settings.captions is None:
            return None
        if "gradient_input" not in self._probes:
            raise ConfigError(
                "captions are given, but only the probe gradient_input reads them: add it to the probes."
            )
        return first_captions(settings.captions, [one.image_id for one in self._viewed])

    def _map_digest(self, item: int) -> str:
        cell = self._fixation_maps[item]["fixation_map"]
        return "" if cell is None else _digest_of(np.asarray(decode_image(cell)))

    def _image_map(self, index: int) -> Floats | None:
        one = self._viewed[index]
        cell = self._fixation_maps[one.item]["fixation_map"]
        if cell is None:
            return None
        return one.view.cut(np.asarray(decode_image(cell).convert("L"), np.float64))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Scores of every map of every image, the baselines' and the observers' among them."""
        _keep_freed_memory()
        if self._reference is None:
            self._reference = self._reference_rows()
        _check_precision(readout, Stimuli(self._array, np.array([one.item for one in self._viewed[:64]])))
        text = captions = None
        if readout.encoder.reads_text and any(probe in GRADIENT_PROBES for probe in self._probes):
            text = readout.texts([NEUTRAL_TEXT])[0]
            captions = None if self._captions is None else readout.texts(self._captions)

        def work(part: Sequence[int]) -> list[Row]:
            items = [self._viewed[at].item for at in part]
            found = saliency_maps(
                readout.encoder,
                np.asarray(self._array[items]),
                self._probes,
                text=text,
                captions=None if captions is None else captions[list(part)],
            )
            rows = _threaded(
                lambda at: self._scored.model_rows(
                    at, {place: maps[at - part[0]] for place, maps in found.maps.items()}
                ),
                part,
            )
            for place, cause in found.unavailable.items():
                rows += [row for at in part for row in self._scored.rows_without(at, place, cause)]
            return rows

        found = map_over_processes(_parts(len(self._viewed), min(_CHUNK, readout.batch_size)), work)
        rows = [row for part in found for row in part] + self._reference
        trials = pd.DataFrame(rows).astype({"layer": "Int64"} | dict.fromkeys(METRICS, float))
        return trials.sort_values(["probe", "layer", "smoothed", "group", "item"], ignore_index=True)

    def _reference_rows(self) -> list[Row]:
        """What does not depend on the revision, found once."""
        ceiling = max(1, _CEILING_MAPS // len(self._viewed))

        def work(at: int) -> list[Row]:
            return self._scored.reference_rows(at, ceiling, np.asarray(self._array[self._viewed[at].item]))

        found = map_over_processes(_parts(len(self._viewed), _CHUNK), lambda part: _threaded(work, part))
        return [row for rows in found for row in rows]

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Means over the images, with intervals over them."""
        found: list[Measurement] = []
        keys = ["probe", "layer", "smoothed", "group"]
        for key, rows in trials.groupby(keys, sort=False, dropna=False):
            probe, layer, smoothed, group = cast("tuple[str, Any, bool, str]", key)
            values = rows[list(METRICS)].to_numpy(np.float64)
            codes = pd.factorize(rows["item"])[0].astype(np.int64)
            counts = (~np.isnan(values)).sum(axis=0)
            intervals = np.full((len(METRICS), 2), np.nan)
            if settings.n_resamples:
                scales = [_SCALES.get(name, "linear") for name in METRICS]
                intervals = mean_intervals(values, codes, scales, Resampling(**settings.resampling))
            for at, name in enumerate(METRICS):
                note = "" if counts[at] else _commonest_cause(rows["causes"], name)
                if not counts[at] and not note:
                    continue  # not asked of this probe
                if (probe, name) == ("centre_bias", "sauc") and 0 < counts[at] < _FEW_IMAGES:
                    note = f"biased below one half with fewer than {_FEW_IMAGES} images"
                found.append(
                    Measurement(
                        f"{name}/smoothed" if smoothed else name,
                        float(np.nanmean(values[:, at])) if counts[at] else float("nan"),
                        float(intervals[at, 0]),
                        float(intervals[at, 1]),
                        n=int(counts[at]),
                        n_groups=int(counts[at]),
                        group=group,
                        probe=probe,
                        layer=None if pd.isna(layer) else int(layer),
                        higher_is_better=name != "kl",
                        note=note,
                    )
                )
        return found


def _viewed(item: int, row: Row, image_processor: Any, drop_first: bool) -> Viewed:
    """A row of the data set, its fixations moved to the view and those beyond it left out."""
    if image_processor is None:
        view = whole_view(row["width"], row["height"])
    else:
        view = crop_view(image_processor, row["width"], row["height"])
    fixations = row["fixations"]
    points = np.array([(one["x"], one["y"]) for one in fixations], np.float64).reshape(-1, 2) - view.first
    subjects = np.array([one["subject"] for one in fixations], dtype=np.str_)
    kept: NDArray[np.bool_] = np.all((points >= 0) & (points < view.size), axis=1)
    if drop_first:
        kept[np.unique(subjects, return_index=True)[1]] = False
    return Viewed(item, str(row["image_id"]), view, points[kept], subjects[kept])


def _digest_of(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _commonest_cause(causes: pd.Series, metric: str) -> str:
    found = [cause for text in causes if text and (cause := json.loads(text).get(metric))]
    return max(sorted(set(found)), key=found.count) if found else ""


def _parts(n: int, chunk: int) -> list[list[int]]:
    return [list(range(start, min(start + chunk, n))) for start in range(0, n, chunk)]


def _threaded(work: Callable[[int], Sequence[Row]], part: Sequence[int]) -> list[Row]:
    """Rows of all images of a part; NumPy lets go of the interpreter in all that takes time here."""
    workers = max(1, min(_THREADS, (os.cpu_count() or 1) // PartialState().num_processes))
    with warnings.catch_warnings():
        # Undefined values are known by their NaN; the filters are one for all threads.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        if workers == 1:
            return [row for at in part for row in work(at)]
        with ThreadPoolExecutor(workers) as pool:
            return [row for rows in pool.map(work, part) for row in rows]


def _keep_freed_memory() -> None:
    """Have the C library keep the memory of freed maps, which triples the speed of scoring them.

    Freeing one block below 32 MiB tells glibc that such blocks are not to be handed back to the system; else
    each map of 4 MB, and there are dozens an image, is mapped and cleared anew. Elsewhere it does nothing.
    """
    block = np.empty(31 * 2**20, np.uint8)
    del block


def _check_precision(readout: Readout, stimuli: Stimuli) -> None:
    """Maps are read past the readout, so that its check of a lower precision is asked for here."""
    if str(getattr(readout.encoder, "dtype", "torch.float32")) != "torch.float32":
        readout.images(stimuli)
