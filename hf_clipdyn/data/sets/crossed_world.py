"""The worlds of the second study: ease and reliability of texture crossed, with training images of each seed's own.

``<ease>_<reliability>_seed<seed>`` (train) has the training images of one run: texture is easy or hard to see, and it
is the usual one of its class in 80 or in 100 % of the images. ``easy_80_noise_seed<seed>`` has the noise arm.
``texture_alone_<contrast>_seed<seed>`` and ``shape_alone_<contrast>_seed<seed>`` have one informative cue; the tuning
seeds measure with them how easy each cue is. ``labels`` and ``cue_conflict`` (test) are the same images for all worlds,
with the texture of the easy ones: what differs between two worlds is then what was learned, not what is shown.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from hf_clipdyn.data.sets.procedural import Procedural, ProceduralConfig

__all__ = ["EASY", "HARD", "SEEDS", "TUNING_SEEDS", "CrossedWorld"]

EASY, HARD = 0.7, 0.25
"""Contrast of the texture in training images, chosen on the tuning seeds (recipe `world-tuning`)."""
TUNING_SEEDS = (0, 1)
SEEDS = range(30, 46)
"""The confirmatory seeds."""

_CONTRASTS = (0.7, 0.35, 0.25, 0.15)  # that the tuning seeds tried
_UNINFORMATIVE = 1 / 8


def _world(name: str, seed: int, **changes: Any) -> ProceduralConfig:
    return ProceduralConfig(
        name=f"{name}_seed{seed}", images=seed, train_size=12_800, **{"extra_noise": 0.0} | changes
    )


def _worlds() -> Iterator[ProceduralConfig]:
    for seed in (*TUNING_SEEDS, *SEEDS):
        for (ease, contrast), percent in product((("easy", EASY), ("hard", HARD)), (80, 100)):
            named = {"texture_contrast": contrast, "texture_reliability": percent / 100}
            yield _world(f"{ease}_{percent}", seed, **named)
        yield _world("easy_80_noise", seed, texture_contrast=EASY, extra_noise=0.1)
    for seed, contrast in product(TUNING_SEEDS, _CONTRASTS):
        texture = {"texture_reliability": 1.0, "shape_reliability": _UNINFORMATIVE}
        yield _world(f"texture_alone_{100 * contrast:.0f}", seed, texture_contrast=contrast, **texture)
        shape = {"texture_reliability": _UNINFORMATIVE}
        yield _world(f"shape_alone_{100 * contrast:.0f}", seed, texture_contrast=contrast, **shape)


def _shown(name: str) -> ProceduralConfig:
    """About 2,000 test images that nobody has seen: not those of the first study, nor of its tuning."""
    return ProceduralConfig(name=name, items=2, test_size=2_000, conflicts_per_pair=36)


class CrossedWorld(Procedural):
    """The embedded world with textures that are easy or hard to see; synthetic, not human data."""

    BUILDER_CONFIGS = [*_worlds(), _shown("labels"), _shown("cue_conflict")]  # noqa: RUF012  (the name that datasets reads)
    DEFAULT_CONFIG_NAME = "easy_80_seed0"

    metadata = replace(
        Procedural.metadata,
        title="Embedded worlds of the second study",
        config_kinds={"labels": "labels", "cue_conflict": "cue_conflict"},
    )

    def splits(self) -> list[str]:
        return ["test" if self.config.name in self.metadata.config_kinds else "train"]
