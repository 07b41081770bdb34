"""Planted studies: simulated runs whose truth is known, as trials and tables, or as values in memory.

Nothing here was measured. Every value of a run is its truth plus the noise of its seed and of its checkpoints; all
revisions of all seeds are shown the same items, so what is hard about an item is common to them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_cells import keep
from made_trials import gratings
from numpy.typing import NDArray
from result_rows import cell
from scipy import stats

from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell

Curve = Callable[[float], float]
"""A truth over the share of training, 0 to 1."""
Floats = NDArray[np.float64]

_CLASSES = 8
_ITEMS = 240
_SIGMAS = (0.1, 0.2, 0.3, 0.4)
_EXEMPLARS = 10  # of shapes, and of textures
_COMMON = 0.5  # share of the latent variance that an item has in all revisions


def constant(value: float) -> Curve:
    """The same value at all times."""
    return lambda share: value


def ramp(start: float, end: float) -> Curve:
    """A straight line."""
    return lambda share: start + (end - start) * share


def turn(start: float, end: float, at: float = 0.5, width: float = 0.08) -> Curve:
    """From one level to another, around one time."""
    return lambda share: start + (end - start) / (1 + float(np.exp(-(share - at) / width)))


def peak(start: float, top: float, end: float, at: float = 0.15) -> Curve:
    """Up (or down) to an extreme, then on to the end, in straight lines."""
    return lambda share: float(np.interp(share, [0, at, 0.6, 1], [start, top, end, end]))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is random about a run.

    Attributes:
        seed: sd of the level of a seed.
        drift: sd of a seed's own slope over training; its mean over seeds is 0.
        checkpoint: sd of each revision, common to all its items.
    """

    seed: float = 0.01
    drift: float = 0.0
    checkpoint: float = 0.02

    def draw(self, rng: np.random.Generator, shares: Sequence[float]) -> Floats:
        """One run's deviations from the truth, by revision."""
        noise = rng.normal(size=len(shares))
        level, slope = rng.normal(0, self.seed), rng.normal(0, self.drift)
        return np.asarray(level + slope * np.asarray(shares) + self.checkpoint * noise)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What is true of the runs of one scale and arm.

    Attributes:
        accuracy, drop, bias, error: clean accuracy, chance-corrected drop, shape bias, error of the contrasts.
    """

    accuracy: Curve = field(default_factory=lambda: turn(0.3, 0.9, 0.1))
    drop: Curve = field(default_factory=lambda: constant(0.3))
    bias: Curve = field(default_factory=lambda: constant(0.5))
    error: Curve = field(default_factory=lambda: constant(0.2))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: its name follows from scale, seed and arm."""

    scale: str
    seed: int
    planted: Planted
    arm: str = ""

    @property
    def repo_id(self) -> str:
        return "me/" + "-".join(filter(None, (self.arm, self.scale, f"seed{self.seed}")))


def write_study(
    output: Path,
    runs: Sequence[Run],
    *,
    shares: Sequence[float],
    noise: Noise | None = None,
) -> Path:
    """Write the table of a study with its trials, as `clipdyn evaluate` would leave them.

    Args:
        output: the table.
        runs: all shown the same items.
        shares: of training, of the revisions.
        noise: of the runs.
    """
    rng = np.random.default_rng(0)
    items = _Items.drawn(rng)
    store = CellStore(output)
    for run in runs:
        drawn = {
            name: np.array([getattr(run.planted, name)(share) for share in shares])
            + (noise or Noise()).draw(rng, shares)
            for name in ("accuracy", "drop", "bias", "error")
        }
        for at, share in enumerate(shares):
            values = {name: float(column[at]) for name, column in drawn.items()}
            for kind, trials in items.trials(values, rng).items():
                keep(store, _cell(run, at, share, kind), trials)
    store.rebuild()
    return output


def _cell(run: Run, at: int, share: float, kind: str) -> Cell:
    return cell(
        f"epoch-{at:03d}",
        f"{kind}/procedural",
        repo_id=run.repo_id,
        commit=f"{run.repo_id}@{at}".encode().hex()[:40].ljust(40, "0"),
        epoch=at,
        step=round(1000 * share),
        samples_seen=round(64000 * share),
        scale=run.scale,
        seed=run.seed,
        arm=run.arm,
        data_fingerprint="planted",
        seconds=math.nan,
    )


@dataclass(frozen=True, eq=False)
class _Items:
    """What is hard about each item, in all revisions: standard normal.

    Attributes:
        photographs: (items,), of the noise benchmark and of the zero-shot one.
        conflicts: (items,), of the cue-conflict images, whose exemplars share a part.
        exemplars: (4,), of the gratings.
    """

    labels: NDArray[np.int64]
    photographs: Floats
    conflicts: Floats
    exemplars: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "_Items":
        shape, texture = rng.normal(size=(2, _EXEMPLARS))
        own = rng.normal(size=(_EXEMPLARS, _EXEMPLARS))
        conflicts = np.sqrt(0.1) * (shape[:, None] + texture[None]) + np.sqrt(0.8) * own
        return cls(
            labels=np.arange(_ITEMS) % _CLASSES,
            photographs=rng.normal(size=_ITEMS),
            conflicts=conflicts.reshape(-1),
            exemplars=rng.normal(0, 0.05, size=4),
        )

    def trials(self, values: Mapping[str, float], rng: np.random.Generator) -> dict[str, pd.DataFrame]:
        """The trials of one revision with these values, by kind."""
        return {
            "noise": self._noise(values["accuracy"], values["drop"], rng),
            "psychophysics": self._gratings(values["error"]),
            "shape_bias": self._conflicts(values["bias"], rng),
            "zero_shot": self._zero_shot(values["accuracy"], rng),
        }

    def _noise(self, accuracy: float, drop: float, rng: np.random.Generator) -> pd.DataFrame:
        blocks = []
        for level in (0.0, *_SIGMAS):
            noisy = 1 / _CLASSES + (accuracy - 1 / _CLASSES) * (1 - drop * level / np.mean(_SIGMAS))
            right = _answers(self.photographs, noisy, rng)
            blocks.append(
                pd.DataFrame(
                    {
                        "item": np.arange(_ITEMS),
                        "label": self.labels,
                        "condition": "gaussian" if level else "none",
                        "level": level,
                        "decision": np.where(right, self.labels, (self.labels + 1) % _CLASSES),
                        "probe_decision": pd.NA,
                        "n_classes": _CLASSES,
                        "human_accuracy": np.nan,
                        "protocol": "",
                    }
                ).astype({"probe_decision": "Int64"})
            )
        return pd.concat(blocks, ignore_index=True)

    def _zero_shot(self, accuracy: float, rng: np.random.Generator) -> pd.DataFrame:
        right = _answers(self.photographs, accuracy, rng)
        best = np.where(right, self.labels, (self.labels + 1) % _CLASSES)
        ranking = (best[:, None] + np.arange(5)) % _CLASSES
        return pd.DataFrame(
            {
                "item": np.arange(_ITEMS),
                "label": self.labels,
                "ranking": ranking.tolist(),
                "n_classes": _CLASSES,
            }
        )

    def _conflicts(self, bias: float, rng: np.random.Generator) -> pd.DataFrame:
        shape, texture = np.divmod(np.arange(_EXEMPLARS**2), _EXEMPLARS)
        names = np.array([f"class{number}" for number in range(_EXEMPLARS)])
        apart = shape != texture
        shape, texture, latent = shape[apart], texture[apart], self.conflicts[apart]
        says_shape = _answers(latent, bias, rng)
        neither = rng.random(len(shape)) < 0.1
        decided = np.where(says_shape, shape, texture)
        return pd.DataFrame(
            {
                "item": np.arange(len(shape)),
                "image_id": [f"{one}-{other}" for one, other in zip(shape, texture, strict=True)],
                "shape": names[shape],
                "texture": names[texture],
                "shape_exemplar": names[shape],
                "texture_exemplar": names[texture],
                "protocol": "",
                "decision": names[np.where(neither, (decided + 1) % _EXEMPLARS, decided)],
                **dict.fromkeys(("cue", "observer", "condition")),
            }
        )

    def _gratings(self, error: float) -> pd.DataFrame:
        shown = gratings(len(self.exemplars))
        sign = 1.0 - 2.0 * (pd.factorize(shown["item"])[0] % 2)
        wrong = shown["human"] * 10 ** (sign * error)
        threshold = np.where(shown["is_criterion"], shown["criterion"], wrong)
        value = shown["contrast"] / threshold * 10 ** (sign * self.exemplars[shown["exemplar"]])
        place = {"probe": "projection", "distance": "cosine", "highest_frequency": 20.0}
        return shown.assign(value=value, layer=pd.Series(pd.NA, shown.index, "Int64"), **place)


def _answers(latent: Floats, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which items are answered in one way, as often as ``share`` in the mean over all items that could be drawn."""
    own = np.sqrt(_COMMON) * latent + np.sqrt(1 - _COMMON) * rng.normal(size=len(latent))
    return np.asarray(own < stats.norm.ppf(np.clip(share, 0.001, 0.999)))


_TRUE = Planted(drop=turn(0.6, 0.35), bias=turn(0.2, 0.85), accuracy=turn(0.5, 0.9, 0.1))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scales of three seeds, a tuning seed and an arm. The claims by prompts are true. Tests only read it."""
    without_drop = replace(_TRUE, drop=constant(0.0))
    runs = [Run(scale="tiny", seed=seed, planted=_TRUE) for seed in (0, 10, 11, 12)]
    runs += [Run(scale="small", seed=seed, planted=_TRUE) for seed in (10, 11, 12)]
    runs += [Run(scale="tiny", seed=seed, planted=without_drop, arm="noise") for seed in (10, 11, 12)]
    path = tmp_path_factory.mktemp("study") / "results.parquet"
    return write_study(path, runs, shares=(0.0, 0.15, 1.0), noise=Noise(seed=0.003, checkpoint=0.003))
