"""How zero-shot classification and the embedding stand noise on the pixels."""

from functools import cached_property
from typing import Any, ClassVar

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    cosine_distance,
    decode,
    digest,
    measurement,
    unit,
)
from hf_clipdyn.benchmarks.kinds.zero_shot import labels_of, rank
from hf_clipdyn.benchmarks.linear_probe import LinearProbe, probe_folds
from hf_clipdyn.benchmarks.noises import PixelNoise, noise_group, noises
from hf_clipdyn.benchmarks.prompts import class_embeddings, default_templates
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.metrics.bootstrap import wilson_interval
from hf_clipdyn.metrics.noise_robustness import clear_of_chance, noise_robustness
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Noise", "spread"]

_FEWEST_IN_COMMON = 10  # images; a share of fewer says nothing
# Equal float32 embeddings give 1e-32 by the rounding of their mean, the smallest difference 1e-15.
_NO_SPREAD = 1e-20
_VALUES_FOR_RMS = 2**23  # 2,700 images of 32 pixels a side, 55 of 224: the RMS is then known to about .003
_BETTER = {"accuracy": True, "relative_drop": False, "chance_corrected_drop": False}


def spread(images: NDArray[np.floating[Any]]) -> float:
    """Mean cosine distance between two different images of (n, d) embeddings, without cancellation."""
    rows = unit(images)
    if len(rows) < 2:
        return float("nan")
    return float(np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1))


class Noise(Benchmark):
    """Accuracy, its drop, and the displacement of the embedding, by the strength of noise on the pixels.

    Trials: item, label, noise_kind ("" for the clean images), sigma (the level, on the scale of that kind; 0 for
    the clean ones), noise_stage, decision (class id), probe_decision (that of a linear probe which has not seen
    the item; -1 where its class has no other), distance (cosine, of the noisy to the clean embedding), spread (mean
    distance between clean images), n_classes, rms (of the change of the pixels at that level, in [0, 1]). With another
    revision's texts the four that hang on no text are null.
    """

    kind: ClassVar[str] = "noise"
    schemas = ("labels",)
    settings = ("sigmas", "noise_stage", "noise_kinds")
    suites: ClassVar = {
        "embedded": ("procedural",),
        "paper": ("cifar100",),
        "full": ("cifar10", "cifar100", "tiny_imagenet", "imagenet"),
    }
    text_drift: ClassVar[bool] = True

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self._names, self._labels = labels_of(source)
        self._templates = default_templates(source.metadata)
        self._stage = settings.noise_stage
        self._dataset = source.dataset
        clean = decode(source.dataset, image_processor, settings)
        self._rows = np.flatnonzero(~clean.broken)
        self._inputs = clean.array
        self._clean = Stimuli(clean.array, self._rows)
        self._noisy: list[tuple[PixelNoise, Stimuli]] = []
        for noise in noises(settings):
            if self._stage == "native":
                noisy = decode(
                    source.dataset, image_processor, settings, distort=noise, distort_key=noise.key
                )
                stimuli = Stimuli(noisy.array, self._rows)
            else:
                stimuli = Stimuli(clean.array, self._rows, change=noise, change_key=noise.key)
            self._noisy.append((noise, stimuli))
        self.left_out = int(clean.broken.sum())
        self.fingerprint = digest(
            self.kind,
            clean.fingerprint,
            self._names,
            self._labels.tolist(),
            self._templates,
            [noise.key for noise, _ in self._noisy],
            self._stage,
        )

    @cached_property
    def _effective(self) -> list[float]:
        """Root mean square of the change of the pixels, in [0, 1], of each noise: clipping shrinks what is nominal.

        Measured where the noise is added, over images that are drawn once.
        """
        native = self._dataset.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
        squares, count = np.zeros(len(self._noisy)), 0
        for row in map(int, np.random.default_rng(0).permutation(self._rows)):
            on_file = self._stage == "native"
            pixels = np.asarray(decode_image(native[row]["image"]) if on_file else self._inputs[row])
            changed = (noise(pixels, row) for noise, _ in self._noisy)
            squares += [np.square((one - pixels.astype(np.float64)) / 255).sum() for one in changed]
            count += pixels.size
            if count >= _VALUES_FOR_RMS:
                break
        return [float(value) for value in np.sqrt(squares / count)]

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Decide for a class at every level, by prompts and by a linear probe of the clean images."""
        clean = readout.images(self._clean)
        labels = self._labels[self._rows]
        classes = class_embeddings(readout, self._names, self._templates)
        probe = None if readout.only_text else LinearProbe(unit(clean), labels, probe_folds(labels))
        scale = float("nan") if readout.only_text else spread(clean)
        blocks = []
        effective = [np.nan] * len(self._noisy) if readout.only_text else self._effective
        for kind, level, stimuli, rms in (
            ("", 0.0, self._clean, 0.0),
            *(
                (noise.kind, noise.level, stimuli, rms)
                for (noise, stimuli), rms in zip(self._noisy, effective, strict=True)
            ),
        ):
            images = readout.images(stimuli)
            columns = {
                "item": self._rows,
                "label": labels,
                "noise_kind": kind,
                "sigma": level,
                "noise_stage": self._stage,
                "decision": rank(images, classes)[:, 0],
                "probe_decision": probe.decide(unit(images)) if probe is not None else pd.NA,
                "distance": cosine_distance(clean, images) if probe is not None else np.nan,
                "spread": scale,
                "n_classes": len(self._names),
                "rms": rms,
            }
            blocks.append(pd.DataFrame(columns).astype({"probe_decision": "Int64", "distance": "float64"}))
        return pd.concat(blocks, ignore_index=True)

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Accuracies and drops by kind and level, of prompts and probe; displacement; RMS of the noise."""
        measurements = _score_reader(trials, settings, "projection")
        if "probe_decision" in trials and trials["probe_decision"].notna().any():
            probed = trials.assign(decision=trials["probe_decision"])
            measurements += _score_reader(probed[probed["decision"] >= 0], settings, "linear_probe")
        if trials["distance"].notna().any():
            noisy = trials[trials["sigma"] > 0]
            for _, rows in noisy.groupby(["noise_kind", "sigma"], sort=False):
                kind, level, stage = rows[["noise_kind", "sigma", "noise_stage"]].iloc[0]
                group = noise_group(kind, level, stage)
                measurements.append(_displacement(rows, group, settings))
                rms = float(rows["rms"].iloc[0]) if "rms" in rows else float("nan")
                if np.isfinite(rms):  # earlier trials have none
                    measurements.append(Measurement("noise_rms", rms, group=group, probe="pixels"))
        return measurements

    @staticmethod
    def score_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Measurement], list[Measurement]]:
        """Of the images that both classify correctly when clean, the share that each noise makes wrong.

        NaN where the clean accuracy of either is not clear of chance: what is right is then lucky on one side.
        `drop_when_right` is over each revision's own images, of which a better one has more and harder ones.
        """
        right = [_right_when_clean(side) for side in (a, b)]
        common = right[0] & right[1]
        clear = all(
            clear_of_chance(len(one) / n, n, int(side["n_classes"].iloc[0]))
            for one, side in zip(right, (a, b), strict=True)
            if (n := side["item"].nunique())
        )
        return _drops(a, common, clear), _drops(b, common, clear)


def _score_reader(trials: pd.DataFrame, settings: Settings, probe: str) -> list[Measurement]:
    """All that follows from decisions, however they were read out of the embedding."""
    if trials.empty:
        note = "no class has two images, of which one could be held out"
        return [Measurement("clean_accuracy", float("nan"), probe=probe, note=note)]
    n, n_classes = trials["item"].nunique(), int(trials["n_classes"].iloc[0])
    clean = trials[trials["sigma"] == 0]
    right = set(clean["item"][clean["decision"] == clean["label"]])
    noisy = trials[trials["sigma"] > 0]
    kinds = list(noisy["noise_kind"].unique()) or ["gaussian"]
    rows: dict[str, Any] = {"probe": probe, "n": n, "n_groups": n}
    measurements: list[Measurement] = []
    for kind in kinds:
        shown = pd.concat([clean, noisy[noisy["noise_kind"] == kind]])
        stage = str(shown["noise_stage"].iloc[0])
        with undefined_causes() as causes:
            result = noise_robustness(
                shown["decision"].to_numpy(np.int64),
                shown["label"],
                shown["sigma"],
                n_classes=n_classes,
                groups=shown["item"],
                **settings.resampling,
            )
        if not measurements:
            measurements += [
                measurement(result, "clean_accuracy", causes, higher_is_better=True, **rows),
                Measurement("chance", 1 / n_classes, **rows),
            ]
        area = noise_group(kind, None, stage)
        measurements.append(measurement(result, "area", causes, group=area, higher_is_better=True, **rows))
        for position, level in enumerate(result["sigmas"]):
            group = noise_group(kind, level, stage)
            keys = _BETTER if level > 0 else {"accuracy": True} if kind == "gaussian" else {}
            measurements += [
                measurement(
                    _at_level(result, key, position),
                    key,
                    causes,
                    group=group,
                    higher_is_better=better,
                    **rows,
                )
                for key, better in keys.items()
            ]
            if level > 0:
                lost = shown[(shown["sigma"] == level) & shown["item"].isin(right)]
                measurements.append(_lost(lost, group, probe, causes.get("relative_drop", ""), settings))
    return measurements


def _at_level(result: dict[str, Any], key: str, level: int) -> dict[str, Any]:
    one = {"n": result["n"], key: result[key][level]}
    if f"{key}_ci" in result:
        one[f"{key}_ci"] = result[f"{key}_ci"][level]
    return one


def _displacement(rows: pd.DataFrame, group: str, settings: Settings) -> Measurement:
    """Mean distance to the clean embedding, in units of the mean distance between clean images.

    Student's interval over the images; the spread is held fixed.
    """
    n, scale = len(rows), float(rows["spread"].iloc[0])
    if not scale > _NO_SPREAD:
        note = "all clean images embed alike" if n > 1 else "there is only one image"
        return Measurement("displacement", float("nan"), n=n, n_groups=n, group=group, note=note)
    values = rows["distance"].to_numpy() / scale
    low, high = float("nan"), float("nan")
    if settings.n_resamples and n > 1:
        half = stats.t.ppf((1 + settings.confidence_level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
        low, high = values.mean() - half, values.mean() + half
    return Measurement(
        "displacement", float(values.mean()), low, high, n, n, group=group, higher_is_better=False
    )


def _lost(rows: pd.DataFrame, group: str, probe: str, cause: str, settings: Settings) -> Measurement:
    """Of the images that are right when clean, the share that noise makes wrong; Wilson's interval.

    Near chance these images are lucky guesses: almost any change of the decisions makes them wrong. The number is
    then undefined, for the same cause as the drops.
    """
    n = len(rows)
    if cause:
        return Measurement("drop_when_right", float("nan"), n=n, group=group, probe=probe, note=cause)
    share = float((rows["decision"] != rows["label"]).mean())
    low, high = float("nan"), float("nan")
    if settings.n_resamples:
        low, high = wilson_interval(share, n, settings.confidence_level)
    return Measurement(
        *("drop_when_right", share, low, high, n, n), group=group, probe=probe, higher_is_better=False
    )


def _right_when_clean(trials: pd.DataFrame) -> set[Any]:
    right = (trials["sigma"] == 0) & (trials["decision"] == trials["label"])
    return set(trials.loc[right, "item"])


def _drops(trials: pd.DataFrame, items: set[Any], clear: bool) -> list[Measurement]:
    if len(items) < _FEWEST_IN_COMMON:
        return []
    shown = trials[(trials["sigma"] > 0) & trials["item"].isin(items)]
    conditions = ["noise_kind", "sigma", "noise_stage"]
    wrong = shown.assign(wrong=shown["decision"] != shown["label"]).groupby(conditions)["wrong"].mean()
    note = "" if clear else "a clean accuracy is not clear of chance"
    return [
        Measurement(
            "drop_when_both_right",
            float(share) if clear else float("nan"),
            n=len(items),
            group=noise_group(kind, level, stage),
            note=note,
        )
        for kind, level, stage, share in wrong.reset_index().itertuples(index=False)
    ]
