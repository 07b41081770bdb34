"""The embedded world as a data set, rendered from a seed; nothing is downloaded.

``captions`` (train, test) is for training; ``captions_small`` has only its first 3,000 training images. ``demo`` is the
training data of `clipdyn demo`: its texture is less reliable, so that shape is learned from fewer images. ``study``
(train, test) is for the main arm of `clipdyn study`, ``study_…`` for its control and ablation arms. ``labels`` (test)
has the images of its test split, which are *congruent*: each class in its usual texture. ``cue_conflict`` (test) shows
each class in the usual textures of the others. ``distortion`` (test) has distortions in five levels, whose order is
synthetic and not a human score.
`hf_clipdyn.data.world` explains what is drawn and why.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import datasets
import numpy as np

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.synthetic_distortions import distortion_ladder, png
from hf_clipdyn.data.world import (
    CLASSES,
    USUAL_TEXTURE,
    Scene,
    captions,
    render,
    sample_scene,
    sample_shape,
    sample_texture,
)

_TRAIN, _TEST, _EXEMPLARS, _CONFLICT, _LADDER = range(5)  # streams of random numbers, one for each purpose
_TEST_NOISE = 0.02


@dataclass
class ProceduralConfig(datasets.BuilderConfig):  # type: ignore[misc]  # datasets has no types
    """Parameters of the world, for controls: ``Procedural(config_name="captions", texture_reliability=1)``.

    Attributes:
        seed: of all random numbers.
        items: another number gives other test images; training images do not depend on it. The tuning of the study saw
            those of 0.
        texture_reliability: probability of the class's usual texture in training images; 1/8 makes it uninformative.
        shape_reliability: probability of the class's silhouette in training images.
        extra_noise: the sensor noise of each training image has a standard deviation of 0.02, as that of the test
            images, plus a uniform random number up to this, in brightness [0, 1].
        naming: what captions name. ``class``: the class, and in some the colour, the size or the place. ``texture``:
            half of them name the texture too. ``class alone``: "a photo of a …" and nothing else.
        train_size: number of training images.
        test_size: number of congruent images.
        conflicts_per_pair: cue-conflict images for each of the 56 pairs of a shape and another class's texture.
        exemplars: number of exemplars of each silhouette and each texture, which cue-conflict images cross.
        references: number of images that are distorted.
    """

    seed: int = 0
    items: int = 1
    texture_reliability: float = 0.8
    shape_reliability: float = 1.0
    extra_noise: float = 0.1
    naming: Literal["class", "texture", "class alone"] = "class"
    train_size: int = 24_000
    test_size: int = 1_000
    conflicts_per_pair: int = 18
    exemplars: int = 12
    references: int = 40


def _arm(name: str, **changes: Any) -> ProceduralConfig:
    """The main arm of the study, or one that differs from it in a single setting."""
    return ProceduralConfig(name=name, **{"train_size": 12_800, "extra_noise": 0.0} | changes)


def _cue(name: str, reliability: float, rng: np.random.Generator) -> str:
    """The class that a cue points to: ``name`` with this probability, else one of the others."""
    if rng.random() < reliability:
        return name
    return str(rng.choice([other for other in CLASSES if other != name]))


class Procedural(DataBuilder):
    """Eight classes of coloured objects, 40 x 40 pixels; synthetic, not human data."""

    BUILDER_CONFIG_CLASS = ProceduralConfig
    BUILDER_CONFIGS = [  # noqa: RUF012  (the name that datasets reads)
        ProceduralConfig(name="captions"),
        ProceduralConfig(name="captions_small", train_size=3_000),
        ProceduralConfig(name="demo", texture_reliability=0.75, train_size=19_200),
        _arm("study"),
        _arm("study_texture_eighth", texture_reliability=1 / 8),
        _arm("study_texture_half", texture_reliability=0.5),
        _arm("study_texture_always", texture_reliability=1.0),
        _arm("study_swapped_roles", texture_reliability=1.0, shape_reliability=0.8),
        _arm("study_named_textures", naming="texture"),
        _arm("study_noise", extra_noise=0.1),
        _arm("study_fresh", train_size=128_000),
        _arm("study_classes", naming="class alone"),
        ProceduralConfig(name="labels"),
        ProceduralConfig(name="cue_conflict"),
        ProceduralConfig(name="distortion"),
    ]
    DEFAULT_CONFIG_NAME = "captions"

    metadata = DatasetMetadata(
        kind="captions",
        title="Embedded world",
        synthetic=True,
        caution="Its images are rendered so that texture is the easy cue and shape the reliable one. Part of a "
        "shift from texture to shape is built into them: it shows a mechanism and replicates no study.",
        licence="Apache-2.0",
        licence_id="apache-2.0",
        may_redistribute=True,
        where="this package, which renders it",
        templates=("a photo of a {}",),
        config_kinds={
            "labels": "labels",
            "cue_conflict": "cue_conflict",
            "distortion": "distortion_ladder",
        },
    )

    def splits(self) -> list[str]:
        return ["test"] if self.config.name in self.metadata.config_kinds else ["train", "test"]

    def class_names(self) -> Sequence[str]:
        return CLASSES

    def rows(self, split: str) -> Rows:
        if self.config.name == "cue_conflict":
            return self._conflicts()
        if self.config.name == "distortion":
            return self._ladders()
        if split == "train":
            return self._training_images()
        return self._congruent_images()

    def _rng(self, stream: int, index: int) -> np.random.Generator:
        """Independent random numbers for each image, so that it does not depend on the number of images before it."""
        drawn = 0 if stream == _TRAIN else self.config.items
        return np.random.default_rng([self.config.seed, stream, index, drawn])

    def _training_images(self) -> Rows:
        for index in range(self.config.train_size):
            rng = self._rng(_TRAIN, index)
            name = str(rng.choice(CLASSES))
            texture = _cue(name, self.config.texture_reliability, rng)
            is_sure = self.config.shape_reliability == 1
            shape = name if is_sure else _cue(name, self.config.shape_reliability, rng)
            scene = sample_scene(
                rng,
                sample_shape(rng, shape),
                sample_texture(rng, USUAL_TEXTURE[texture]),
                sensor_noise=_TEST_NOISE + rng.uniform(0, self.config.extra_noise),
            )
            image = png(render(scene, rng))
            texts = captions(scene, rng, name=name)
            if self.config.naming == "texture":
                texts = [f"{text}, {scene.texture.name}" if rng.random() < 0.5 else text for text in texts]
            elif self.config.naming == "class alone":
                texts = [f"a photo of a {name}"]
            yield {"image": image, "image_id": f"train-{index:06d}", "captions": texts}

    def _congruent_scene(self, stream: int, index: int) -> tuple[Scene, np.random.Generator]:
        rng = self._rng(stream, index)
        name = CLASSES[index % len(CLASSES)]
        texture = sample_texture(rng, USUAL_TEXTURE[name])
        return sample_scene(rng, sample_shape(rng, name), texture, sensor_noise=_TEST_NOISE), rng

    def _congruent_images(self) -> Rows:
        for index in range(self.config.test_size):
            scene, rng = self._congruent_scene(_TEST, index)
            image = png(render(scene, rng))
            if self.config.name == "labels":
                yield {"image": image, "label": scene.shape.name}
            else:
                yield {"image": image, "image_id": f"test-{index:06d}", "captions": captions(scene, rng)}

    def _conflicts(self) -> Rows:
        """Shape exemplars crossed with texture exemplars, as in Geirhos' images, so that each occurs several times."""
        n = self.config.exemplars
        rng = self._rng(_EXEMPLARS, 0)
        shapes = {name: [sample_shape(rng, name) for _ in range(n)] for name in CLASSES}
        textures = {name: [sample_texture(rng, USUAL_TEXTURE[name]) for _ in range(n)] for name in CLASSES}
        count = self.config.conflicts_per_pair
        index = itertools.count()
        for (i, shape), (j, texture) in itertools.permutations(enumerate(CLASSES), 2):
            for k in range(count):
                # Consecutive pairs start at other exemplars, so that all are used equally often.
                s, t = (k + j * count) % n, (k + k // n + i * count) % n
                rng = self._rng(_CONFLICT, next(index))
                scene = sample_scene(rng, shapes[shape][s], textures[texture][t], sensor_noise=_TEST_NOISE)
                yield {
                    "image": png(render(scene, rng)),
                    "image_id": f"{shape}{s + 1}-{texture}{t + 1}-{k + 1}",
                    "shape": shape,
                    "texture": texture,
                    "shape_exemplar": f"{shape}{s + 1}",
                    "texture_exemplar": f"{texture}{t + 1}",
                    "human_responses": [],
                }

    def _ladders(self) -> Rows:
        for index in range(self.config.references):
            scene, rng = self._congruent_scene(_LADDER, index)
            reference = render(replace(scene, noise=0.0), rng)
            yield from distortion_ladder(reference, f"reference-{index:03d}", rng)
