"""How zero-shot classification and the embedding stand noise on the pixels."""

from typing import Any, ClassVar

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
from hf_clipdyn.benchmarks.prompts import default_templates
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.zero_shot import labels_of, rank_classes
from hf_clipdyn.metrics.bootstrap import wilson_interval
from hf_clipdyn.metrics.noise_robustness import noise_robustness
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["GaussianNoise", "Noise", "spread"]

# Equal float32 embeddings give 1e-32 by the rounding of their mean, the smallest difference 1e-15.
_NO_SPREAD = 1e-20


class GaussianNoise:
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8.

    n is drawn from (seed, row), so that every revision and every sigma sees the same draw.
    """

    def __init__(self, sigma: float, seed: int) -> None:
        self.sigma, self.seed = sigma, seed

    @property
    def key(self) -> str:
        """Names the noise in a cache."""
        return f"gaussian,sigma={self.sigma!r},seed={self.seed}"

    def __call__(self, pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        noise = np.random.default_rng([self.seed, row]).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + 255 * np.float32(self.sigma) * noise), 0, 255).astype(np.uint8)


def spread(images: NDArray[np.floating[Any]]) -> float:
    """Mean cosine distance between two different images of (n, d) embeddings, without cancellation."""
    rows = unit(images)
    if len(rows) < 2:
        return float("nan")
    return float(np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1))


class Noise(Benchmark):
    """Accuracy, its drop, and the displacement of the embedding, by the sigma of Gaussian noise.

    Trials: item, label, sigma, noise_stage, decision (class id), distance (cosine, of the noisy to the
    clean embedding), spread (mean distance between clean images), n_classes.
    """

    kind: ClassVar[str] = "noise"
    schemas = ("labels",)
    suites: ClassVar = {
        "embedded": ("procedural",),
        "paper": ("cifar100",),
        "full": ("cifar10", "cifar100", "tiny_imagenet", "imagenet"),
    }

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self._names, self._labels = labels_of(source)
        self._templates = default_templates(source.facts)
        self._stage = settings.noise_stage
        clean = decode(source.dataset, image_processor, settings)
        self._rows = np.flatnonzero(~clean.broken)
        self._stimuli = {0.0: Stimuli(clean.array, self._rows)}
        for sigma in sorted({*settings.sigmas} - {0.0}):
            noise = GaussianNoise(sigma, settings.seed)
            if self._stage == "native":
                noisy = decode(
                    source.dataset, image_processor, settings, distort=noise, distort_key=noise.key
                )
                self._stimuli[sigma] = Stimuli(noisy.array, self._rows)
            else:
                self._stimuli[sigma] = Stimuli(clean.array, self._rows, change=noise, change_key=noise.key)
        self.left_out = int(clean.broken.sum())
        self.fingerprint = digest(
            self.kind,
            clean.fingerprint,
            self._names,
            self._labels.tolist(),
            self._templates,
            list(self._stimuli),
            self._stage,
            settings.seed,
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Decide for a class at every sigma."""
        clean = readout.images(self._stimuli[0.0])
        blocks = []
        for sigma, stimuli in self._stimuli.items():
            noisy = readout.images(stimuli)
            blocks.append(
                pd.DataFrame(
                    {
                        "item": self._rows,
                        "label": self._labels[self._rows],
                        "sigma": sigma,
                        "noise_stage": self._stage,
                        "decision": rank_classes(readout, noisy, self._names, self._templates)[:, 0],
                        "distance": cosine_distance(clean, noisy),
                        "spread": spread(clean),
                        "n_classes": len(self._names),
                    }
                )
            )
        return pd.concat(blocks, ignore_index=True)

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Accuracy, drops and displacement by sigma, and the area under the accuracy."""
        n_classes = int(trials["n_classes"].iloc[0])
        n = trials["item"].nunique()
        with undefined_causes() as causes:
            result = noise_robustness(
                trials["decision"],
                trials["label"],
                trials["sigma"],
                n_classes=n_classes,
                groups=trials["item"],
                **settings.resampling,
            )
        measurements = [
            measurement(result, "clean_accuracy", causes, n=n, n_groups=n, higher_is_better=True),
            Measurement("chance", 1 / n_classes, n=n, n_groups=n),
            measurement(result, "area", causes, n=n, n_groups=n, higher_is_better=True),
        ]
        stage = trials["noise_stage"].iloc[0]
        right = set(trials["item"][(trials["sigma"] == 0) & (trials["decision"] == trials["label"])])
        by_sigma = dict(iter(trials.groupby("sigma")))
        for level, sigma in enumerate(result["sigmas"]):
            group = f"sigma={sigma:.2f}" + ("" if stage == "native" else f",noise_stage={stage}")
            for key, better in (
                ("accuracy", True),
                ("relative_drop", False),
                ("chance_corrected_drop", False),
            ):
                if sigma > 0 or key == "accuracy":
                    measurements.append(
                        measurement(
                            _at_level(result, key, level),
                            key,
                            causes,
                            n=n,
                            n_groups=n,
                            group=group,
                            higher_is_better=better,
                        )
                    )
            if sigma > 0:
                rows = by_sigma[sigma]
                measurements.append(_displacement(rows, group, settings))
                measurements.append(_lost(rows[rows["item"].isin(right)], group, settings))
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
        return Measurement(
            "displacement", float("nan"), n=n, n_groups=n, group=group, note="all clean images embed alike"
        )
    values = rows["distance"].to_numpy() / scale
    low, high = float("nan"), float("nan")
    if settings.n_resamples and n > 1:
        half = stats.t.ppf((1 + settings.confidence_level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
        low, high = values.mean() - half, values.mean() + half
    return Measurement(
        "displacement", float(values.mean()), low, high, n, n, group=group, higher_is_better=False
    )


def _lost(rows: pd.DataFrame, group: str, settings: Settings) -> Measurement:
    """Of the images that are right when clean, the share that noise makes wrong; Wilson's interval."""
    n = len(rows)
    if n == 0:
        note = "no clean image is classified correctly"
        return Measurement("drop_when_right", float("nan"), group=group, note=note)
    share = float((rows["decision"] != rows["label"]).mean())
    low, high = float("nan"), float("nan")
    if settings.n_resamples:
        low, high = wilson_interval(share, n, settings.confidence_level)
    return Measurement("drop_when_right", share, low, high, n, n, group=group, higher_is_better=False)
