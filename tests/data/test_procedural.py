"""The embedded world."""

import collections
import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.sets.procedural import Procedural
from hf_clipdyn.data.world import CLASSES, Shape, Texture, render, sample_scene


def _builder(tmp_path, name, **changes):
    return Procedural(config_name=name, cache_dir=tmp_path, **changes)


def _train_digest(tmp_path):
    rows = _builder(tmp_path, "captions_small", train_size=20).rows("train")
    return hashlib.sha256(b"".join(row["image"]["bytes"] for row in rows)).hexdigest()


def test_another_process_renders_the_same_bytes(tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path;"
        f"from test_procedural import _train_digest; print(_train_digest(Path({str(tmp_path)!r})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == _train_digest(tmp_path)


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path):
    few = list(_builder(tmp_path, "captions", train_size=5).rows("train"))
    more = list(_builder(tmp_path, "captions", train_size=9).rows("train"))
    assert few == more[:5]
    other = next(_builder(tmp_path, "captions", seed=1).rows("train"))
    assert other["image"] != few[0]["image"], "another seed gives other images"


def test_conflicts_cross_every_shape_with_every_other_texture(tmp_path):
    rows = list(_builder(tmp_path, "cue_conflict", conflicts_per_pair=6, exemplars=4).rows("test"))
    pairs = collections.Counter((row["shape"], row["texture"]) for row in rows)
    assert set(pairs) == {(a, b) for a in CLASSES for b in CLASSES if a != b}
    assert set(pairs.values()) == {6}
    for cue in ("shape", "texture"):
        uses = collections.Counter(row[f"{cue}_exemplar"] for row in rows)
        assert len(uses) == 4 * len(CLASSES)
        assert max(uses.values()) - min(uses.values()) <= 2
        assert all(row[f"{cue}_exemplar"].startswith(row[cue]) for row in rows)


def test_ladders_move_away_from_their_reference_level_by_level(tmp_path):
    dataset = load_dataset("procedural", "distortion", split="test", cache_dir=tmp_path)
    assert "score" not in dataset.column_names, "the order of severity is no human score"
    errors = collections.defaultdict(list)
    for row in dataset:
        difference = np.asarray(row["reference"], float) - np.asarray(row["distorted"], float)
        errors[row["distortion"], row["level"]].append(np.sqrt(np.mean(difference**2)))
    for distortion in ("noise", "blur", "jpeg", "contrast", "colour"):
        means = [np.mean(errors[distortion, level]) for level in range(1, 6)]
        assert means == sorted(means)
        assert means[0] > 0


def test_the_silhouette_decides_which_pixels_the_texture_fills():
    rng = np.random.default_rng(0)
    plain = Texture("plain", 4.0, (0.0, 0.0), 0.0, 0)
    striped = Texture("horizontal stripes", 4.0, (0.0, 0.0), 0.0, 0)
    scene = sample_scene(rng, Shape("house", 0.0, 0.0), plain, sensor_noise=0.0)
    other = type(scene)(**{**vars(scene), "texture": striped})
    changed = (render(scene, rng) != render(other, rng)).any(axis=2)
    assert 0.1 < changed.mean() < 0.8
    assert not changed[0].any(), "the background stays"


def test_a_configuration_with_another_parameter_has_a_table_of_its_own(tmp_path, monkeypatch):
    """The study's training set had its earlier size as long as the earlier table was kept."""
    before = _builder(tmp_path, "labels").cache_dir
    changed = [dataclasses.replace(one, test_size=7) for one in Procedural.BUILDER_CONFIGS]
    monkeypatch.setattr(Procedural, "BUILDER_CONFIGS", changed)
    assert _builder(tmp_path, "labels").cache_dir != before
