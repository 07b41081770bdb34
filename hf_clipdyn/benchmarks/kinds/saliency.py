"""Saliency: does the model look where people look?"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Common, Kind, by_item, decode, digest
from hf_clipdyn.benchmarks.captions import first_captions
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView
from hf_clipdyn.benchmarks.kept_tables import KeptTable
from hf_clipdyn.benchmarks.observers import Observers, Viewed
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes
from hf_clipdyn.benchmarks.saliency_rows import (
    CENTRE_BIAS,
    CENTRE_GAUSSIAN,
    HUMAN,
    LEFT_OUT,
    PIXELS,
    ImageRows,
    TrialRow,
)
from hf_clipdyn.benchmarks.settings import PROBES, SaliencySettings
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.views import crop_view, whole_view
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.machine import keep_freed_blocks, usable_cores
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, mean_intervals
from hf_clipdyn.metrics.influence import mean_influence
from hf_clipdyn.metrics.saliency_map_scores import METRICS
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

__all__ = ["NEUTRAL_TEXT", "PROBES", "Saliency", "SaliencySettings"]

NEUTRAL_TEXT = "a photo."
_CHUNK = 32
# The centre bias is built from the fixations that are sAUC's negatives, without the image's own: with few images it is
# high where the negatives are. On OSIE it has 0.34 to 0.41 with 20 images, 0.49 with 700.
_FEW_IMAGES = 100
_THREADS = 8
# The trials keep small maps of this number of images: 190 bytes each, for every probe.
_KEPT_MAPS = 48
_CEILING_MAPS = 16_000
_SMOOTHED = "smoothed"
_WITHOUT_ATTENTION = ("gradient_input", "grad_cam")
_PLACE = ["probe", "layer", _SMOOTHED, "subset"]
_JOINS = ("metric", "variant", "subset")
_BASELINES = {
    CENTRE_GAUSSIAN: "centre Gaussian",
    CENTRE_BIAS: "centre bias",
    PIXELS: "gradient energy",
}
_OBSERVERS = "observers"
_REFERENCES = {
    **{name: {"probe": "", "role": "baseline", "reference": name} for name in _BASELINES},
    HUMAN: {"probe": "", "role": "human", "reference": _OBSERVERS},
}
"""Columns of the numbers of maps that come from no model, by their name in the trials."""
_CONSTANT: dict[str, Any] = {"better": "high", "neutral_title": "constant map"}
_AUCS = {
    "auc": ("AUC", "of the fixations against all pixels"),
    "auc_judd": ("AUC-Judd", "with Judd's thresholds, against pixels without fixations"),
    "sauc": ("shuffled AUC", "against the fixations on other images; a centre bias gains nothing"),
}
_SCALES: dict[str, Scale] = dict.fromkeys([*_AUCS, "sim"], "share")

Floats = NDArray[np.float64]


class Saliency(Kind[SaliencySettings]):
    """Eight metrics of the model's maps, raw and smoothed by one degree, with baselines and a human ceiling.

    Maps are resized (bilinear) to the image's own pixels, in which fixations are given. Four kinds of maps do not
    depend on the revision: the baselines ``centre_gaussian`` (its width is a quarter of each side), ``centre_bias``
    (the fixations on all other images) and ``pixels`` (gradient energy of the model's input), and ``human`` (the other
    observers predict the one left out, averaged over observers). CC, SIM and KL depend on the number of fixations.
    Therefore the subset ``left_out_observer`` compares model, baselines and people with the same single observer of
    each image.

    Trials: item, image_id, n_fixations, probe (or the name of one of those four), layer, smoothed, subset, one column
    per metric, ``map`` (a small map, `hf_clipdyn.benchmarks.gallery.KEPT_MAP`; for 48 images: the raw map of each
    probe's deepest layer, and in the rows of ``human`` the map of all people; null otherwise), and ``causes``, JSON of
    metric to the reason why it is NaN.
    """

    name = "saliency"
    settings = SaliencySettings
    schemas = ("fixations",)
    terms = KindTerms(
        title="Saliency",
        rank=90,
        terms={
            "nss": Term(
                title="NSS",
                meaning="Normalised scanpath saliency: mean of the standardised map at the fixations.",
                unit="standard deviations",
                neutral=0.0,
                overview=Overview(rank=90),
                **_CONSTANT,
            ),
            **{
                name: Term(title=title, meaning=f"Area under the ROC curve {rest}.", neutral=0.5, **_CONSTANT)
                for name, (title, rest) in _AUCS.items()
            },
            "cc": Term(
                title="CC",
                meaning="Pearson's correlation between the map and the density of the fixations.",
                neutral=0.0,
                overview=Overview(rank=90),
                **_CONSTANT,
            ),
            "sim": Term(
                title="SIM",
                meaning="Sum, over the pixels, of the smaller of map and density. Both are scaled to sum "
                "to 1.",
                limits=(0.0, 1.0),
                better="high",
            ),
            "kl": Term(
                title="KL divergence",
                meaning="Kullback-Leibler divergence of the map from the density of the fixations.",
                unit="nats",
                better="low",
            ),
            "ig": Term(
                title="information gain",
                meaning="Log-likelihood of the fixations under the map, minus that under the centre bias.",
                unit="bits per fixation",
                better="high",
                neutral=0.0,
                neutral_title="centre bias",
            ),
        },
        variants={_SMOOTHED: "smoothed by one degree"},
        subsets={LEFT_OUT: "against one left-out observer"},
        probes={
            "attention": "attention",
            "rollout": "attention rollout",
            "gradient_input": "gradient x input",
            "gradient_input_caption": "gradient x input, own caption",
            "grad_cam": "Grad-CAM",
        },
        references=(
            *(
                Reference(role="baseline", name=name, title=title, joins=_JOINS)
                for name, title in _BASELINES.items()
            ),
            Reference(role="human", name=_OBSERVERS, title="people", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "image_id": "string",
        "n_fixations": "int64",
        "probe": "string",
        "layer": "Int64",
        "smoothed": "bool",
        "subset": "string",
        **dict.fromkeys(METRICS, "float64"),
        "map": "object",
        "causes": "string",
    }
    later_columns = ("map",)
    needs_text = False

    @classmethod
    def fitted(cls, settings: SaliencySettings, model_config: Any) -> SaliencySettings:
        """Maps by gradients where the default ones need attention that the model lacks."""
        if settings.probes != SaliencySettings().probes or _has_attention(model_config):
            return settings
        return settings.but(probes=_WITHOUT_ATTENTION)

    @classmethod
    def unfit(cls, settings: SaliencySettings, model_config: Any) -> tuple[str, str] | None:
        """Nothing but attention is read, and the image encoder is not a vision transformer."""
        if set(settings.probes) - {"attention", "attention_layers", "rollout"} or _has_attention(
            model_config
        ):
            return None
        vision = getattr(model_config, "vision_config", model_config)
        cause = f"{vision.model_type} models have no attention maps"
        return cause, f"choose other maps with --saliency-probes {','.join(_WITHOUT_ATTENTION)}"

    def __init__(
        self, source: Source, image_processor: Any, settings: SaliencySettings, common: Common
    ) -> None:
        from hf_clipdyn.models.maps import GRADIENT_PROBES

        if source.metadata.pixels_per_degree is None:
            raise DatasetError(
                f"{source.name} does not say how many pixels are one degree of visual angle: "
                "set pixels_per_degree in its metadata."
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
            _viewed(item, row, None if squash else image_processor, source.metadata.drop_first)
            for item, row in enumerate(rows)
            if not pixels.broken[item]
        ]
        kept = set(np.linspace(0, len(viewed) - 1, min(_KEPT_MAPS, len(viewed))).astype(np.int64).tolist())
        viewed = [one if at in kept else replace(one, whole=None) for at, one in enumerate(viewed)]
        # Images of one size follow each other, so that what is laid over them is prepared once.
        self._viewed = sorted(viewed, key=lambda one: (one.view.size, one.item))
        self._observers = Observers(
            self._viewed, source.metadata.pixels_per_degree, common.seed, self._image_map
        )
        self._captions: list[str] | None = None
        if settings.captions is not None:
            self._captions = first_captions(settings.captions, [one.image_id for one in self._viewed])
        gaze = [
            [source.metadata.pixels_per_degree, source.metadata.drop_first, common.seed],
            [[one.image_id, _digest_of(one.points), one.subjects.tolist()] for one in viewed],
            [self._map_digest(one.item) for one in viewed if not len(one.points)],
        ]
        self.fingerprint = digest(
            self.name,
            pixels.fingerprint,
            self.preprocess,
            [NEUTRAL_TEXT if probe in GRADIENT_PROBES else "" for probe in self._probes],
            self._probes,
            self._captions,
            *gaze,
        )
        self._kept_references = KeptTable(
            f"{self.name} {source.name}",
            [
                self.observe_version,
                pixels.fingerprint,
                self.preprocess,
                *gaze,
                _CEILING_MAPS,
                [asdict(one.view) for one in viewed],
            ],
            self.trial_columns,
            [one.item for one in viewed],
            common,
        )

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
        from hf_clipdyn.models.maps import GRADIENT_PROBES, saliency_maps

        keep_freed_blocks()
        references = self._references
        _check_precision(readout, Stimuli(self._array, np.array([one.item for one in self._viewed[:64]])))
        text = captions = None
        if readout.encoder.reads_text and any(probe in GRADIENT_PROBES for probe in self._probes):
            text = readout.texts([NEUTRAL_TEXT])[0]
            captions = None if self._captions is None else readout.texts(self._captions)

        def work(part: Sequence[int]) -> list[TrialRow]:
            items = [self._viewed[at].item for at in part]
            model_maps = saliency_maps(
                readout.encoder,
                np.asarray(self._array[items]),
                self._probes,
                text=text,
                captions=None if captions is None else captions[list(part)],
            )

            def rows_of(at: int) -> list[TrialRow]:
                image = ImageRows(self._observers, at)
                rows = image.of_model({place: maps[at - part[0]] for place, maps in model_maps.maps.items()})
                for place, cause in model_maps.unavailable.items():
                    rows += image.without_map(place, cause)
                return rows

            return _threaded(rows_of, part)

        of_parts = map_over_processes(_parts(len(self._viewed), min(_CHUNK, readout.batch_size)), work)
        trials = pd.concat([self._trials(of_parts), references])
        return trials.sort_values([*_PLACE, "item"], ignore_index=True)

    @cached_property
    def _references(self) -> pd.DataFrame:
        """Trials of baselines and observers, which do not depend on the revision, from the cache or computed now."""
        # One process reads the file, so that all agree whether it must be computed.
        [kept] = map_over_processes([self._kept_references], KeptTable.read)
        if kept is None:
            kept = self._computed_references()
            map_over_processes([kept], self._kept_references.write)
        return kept

    def _computed_references(self) -> pd.DataFrame:
        ceiling = max(1, _CEILING_MAPS // len(self._viewed))

        def work(at: int) -> list[TrialRow]:
            pixels = np.asarray(self._array[self._viewed[at].item])
            return ImageRows(self._observers, at).of_references(ceiling, pixels)

        parts = _parts(len(self._viewed), _CHUNK)
        return self._trials(map_over_processes(parts, lambda part: _threaded(work, part)))

    def _trials(self, parts: Sequence[Sequence[TrialRow]]) -> pd.DataFrame:
        rows = [row for part in parts for row in part]
        return pd.DataFrame(rows, columns=list(self.trial_columns)).astype(self.trial_columns)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery | None:
        """Images with the score of each probe's map, and the maps beside people's; of the deepest layer."""
        whole = trials[~trials["smoothed"] & (trials["subset"] == "")]
        by_probe = {
            str(name): rows[rows["layer"].fillna(-1) == rows["layer"].fillna(-1).max()].set_index("item")
            for name, rows in whole.groupby("probe", sort=False)
        }
        models = {
            Saliency.terms.probes.get(name, name): rows
            for name, rows in by_probe.items()
            if name not in _REFERENCES
        }
        if not models:
            return None
        shown = next(iter(models.values()))
        metric = "nss" if shown["nss"].notna().any() else "cc"
        people = by_probe.get(HUMAN)
        return Gallery(
            answer="value",
            answers={title: rows[metric] for title, rows in models.items()},
            value_title=f"{Saliency.terms.terms[metric].title} of the model's map",
            people=None if people is None else people[metric],
            people_title=f"{Saliency.terms.terms[metric].title} of the other people's map",
            check=shown[["image_id"]],
            maps={title: rows["map"] for title, rows in models.items() if "map" in rows},
            people_map=None if people is None or "map" not in people else people["map"],
        )

    views = (GalleryView(("item", *_PLACE, "image_id", "nss", "cc", "map"), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Means over the images, with intervals over them."""
        numbers: list[Number] = []
        for probe, columns, rows in _places(trials):
            values = rows[list(METRICS)].to_numpy(np.float64)
            influences = mean_influence(values)
            codes = pd.factorize(rows["item"])[0].astype(np.int64)
            counts = (~np.isnan(values)).sum(axis=0)
            intervals = np.full((len(METRICS), 2), np.nan)
            if common.n_resamples:
                scales = [_SCALES.get(name, "linear") for name in METRICS]
                intervals = mean_intervals(values, codes, scales, Resampling(**common.resampling))
            for at, name in enumerate(METRICS):
                note = "" if counts[at] else _commonest_cause(rows["causes"], name)
                if not counts[at] and not note:
                    continue  # not asked of this probe
                if (probe, name) == (CENTRE_BIAS, "sauc") and 0 < counts[at] < _FEW_IMAGES:
                    note = f"biased below 0.5 with fewer than {_FEW_IMAGES} images"
                n, (low, high) = int(counts[at]), intervals[at].tolist()
                value = float(np.nanmean(values[:, at])) if n else float("nan")
                counted: dict[str, Any] = {"n": n, "n_clusters": n, "note": note}
                counted["influence"] = by_item(influences[:, at], rows["item"])
                numbers.append(
                    Number(metric=name, value=value, ci_low=low, ci_high=high, **counted, **columns)
                )
        return numbers


def _has_attention(model_config: Any) -> bool:
    """Whether the image encoder is a vision transformer, by the sizes that it declares."""
    vision = getattr(model_config, "vision_config", model_config)
    sizes = (getattr(vision, name, None) for name in ("patch_size", "num_attention_heads"))
    return None not in sizes


def _places(trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """The name of a map in the trials, the columns of its numbers, and its trials."""
    for key, rows in trials.groupby(_PLACE, sort=False, dropna=False):
        probe, layer, smoothed, subset = cast("tuple[str, Any, bool, str]", key)
        columns = {
            "layer": None if pd.isna(layer) else int(layer),
            "variant": _SMOOTHED if smoothed else "",
            "subset": subset,
            **_REFERENCES.get(probe, {"probe": probe}),
        }
        yield probe, columns, rows


def _viewed(item: int, row: Mapping[str, Any], image_processor: Any, drop_first: bool) -> Viewed:
    """A row of the data set with its fixations in pixels of the view; those outside of it are left out."""
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
    whole = row["width"], row["height"]
    return Viewed(item, str(row["image_id"]), view, points[kept], subjects[kept], whole)


def _digest_of(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _commonest_cause(causes: pd.Series, metric: str) -> str:
    named = [cause for text in causes if text and (cause := json.loads(text).get(metric))]
    return max(sorted(set(named)), key=named.count) if named else ""


def _parts(n: int, chunk: int) -> list[list[int]]:
    return [list(range(start, min(start + chunk, n))) for start in range(0, n, chunk)]


def _threaded(work: Callable[[int], Sequence[TrialRow]], part: Sequence[int]) -> list[TrialRow]:
    """Rows of all images of a part; NumPy releases the interpreter's lock in everything that takes time here."""
    from accelerate import PartialState

    workers = max(1, min(_THREADS, usable_cores() // PartialState().num_processes))
    with ThreadPoolExecutor(workers) as pool:
        return [row for rows in pool.map(work, part) for row in rows]


def _check_precision(readout: Readout, stimuli: Stimuli) -> None:
    """Run the readout's check of a lower precision, which maps bypass."""
    if str(getattr(readout.encoder, "dtype", "torch.float32")) != "torch.float32":
        readout.images(stimuli)
