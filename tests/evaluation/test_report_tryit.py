"""The page's own model: its JavaScript computes what torch computes, and the part says what it leaves out."""

import base64
import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image
from result_rows import row, write_rows

from hf_clipdyn.benchmarks.vectors import unit
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.answers import LoadedRevisions
from hf_clipdyn.models.maps import saliency_maps
from hf_clipdyn.preprocess import resize_and_crop
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.tryit import part as tryit
from hf_clipdyn.report.tryit.part import aligned, payload
from hf_clipdyn.report.tryit.tower import Tower
from hf_clipdyn.revisions import open_series

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")
PROGRAM = """
const program = require('fs').readFileSync(process.argv[1], 'utf8');
const found = new Function(program + '; return { readTower, prepared, embed };')();
const { part, images } = JSON.parse(require('fs').readFileSync(0));
const towers = part.codes.map((_, at) => found.readTower(part, at));
console.log(JSON.stringify(images.map(({ width, height, data }) => {
  const levels = found.prepared({ width, height, data: Buffer.from(data, 'base64') }, part.size.image);
  const answers = towers.map((tower) => found.embed(tower, part, levels));
  return { levels: [...levels], answers: answers.map((one) => [[...one.vector], [...one.attention]]) };
})));
"""


@pytest.fixture(scope="module")
def images():
    """Fifty images: ten of the model's size, the others larger or smaller, upright and wide."""
    rng = np.random.default_rng(0)
    sizes = [(24, 24)] * 10 + [tuple(rng.integers(12, 200, 2)) for _ in range(39)] + [(700, 25)]
    found = []
    for width, height in sizes:
        blocks = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
        coarse = np.kron(blocks, np.ones((6, 6, 1)))[:height, :width]
        noisy = np.clip(coarse + rng.normal(0, 15, coarse.shape), 0, 255)
        found.append(Image.fromarray(noisy.astype(np.uint8)))
    return found


@pytest.fixture(scope="module")
def revisions(store):
    return LoadedRevisions(open_series(store), device="cpu")


@pytest.fixture(scope="module")
def table(tmp_path_factory, revisions, data):
    """A table of two benchmarks of `me/run`, and the folders of their data sets."""
    rows = [
        row(benchmark, metric, 0.5, repo_id="me/run", epoch=revision.epoch, commit=revision.commit)
        for benchmark, metric in (("zero_shot/cifar10", "top1"), ("shape_bias/cue_conflict", "shape_bias"))
        for revision in revisions.by_name.values()
    ]
    output = write_rows(rows, tmp_path_factory.mktemp("table") / "results.parquet")
    return output, {name: data[name] for name in ("cue_conflict", "cifar10")}


def test_javascript_computes_what_torch_computes(revisions, images):
    """Grey levels differ by one at most, and only in resized images; the first choices are the same.

    In images of the model's size, logits differ by 1e-4 at most. In resized ones a level of grey moves those of these
    random models by 0.05 at most; the scale of the logits is 14.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js on the PATH, which runs the page's program here")
    names, texts = revisions.names, [f"a photo of a {name}" for name in ("cat", "dog", "truck", "boat")]
    part = tryit._read(revisions, names, images, texts)
    program = files(tryit.__package__) / "model.js"
    given = [
        {
            "width": one.width,
            "height": one.height,
            "data": base64.b64encode(one.convert("RGBA").tobytes()).decode(),
        }
        for one in images
    ]
    asked = json.dumps({"part": {**part, "embeddings": None}, "images": given})
    done = subprocess.run([node, "-e", PROGRAM, str(program)], input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    levels = np.array([one["levels"] for one in found], np.int64).reshape(len(images), 24, 24, 3)
    for at, name in enumerate(names):
        with revisions.encoder(name) as encoder:
            pixels = np.concatenate([resize_and_crop(encoder.image_processor, [image]) for image in images])
            with Tower.of(encoder).in_place_of(encoder):
                vectors = unit(encoder.embed_images(pixels).projection)
                maps = (
                    saliency_maps(encoder, pixels, ["rollout"]).maps["rollout", None].reshape(len(images), -1)
                )
            of_texts = unit(encoder.embed_texts(texts))
            scale = encoder.logit_scale
        difference = np.abs(levels - pixels)
        assert difference.max() <= 1
        assert difference[:10].max() == 0, "images of the model's size are not resized"
        assert difference.mean() < 0.01
        ours = np.array([one["answers"][at][0] for one in found])
        np.testing.assert_allclose(ours[:10], vectors[:10], atol=1e-5)
        np.testing.assert_allclose(ours, vectors, atol=5e-3)
        np.testing.assert_allclose([one["answers"][at][1] for one in found], maps, atol=2e-3)
        logits, expected = scale * ours @ of_texts.T, scale * vectors @ of_texts.T
        np.testing.assert_allclose(logits[:10], expected[:10], atol=1e-4)
        np.testing.assert_allclose(logits, expected, atol=0.05)
        assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_rounded_weights_are_close_and_the_model_gets_its_own_back(revisions, images):
    with revisions.encoder("epoch-001") as encoder:
        pixels = resize_and_crop(encoder.image_processor, images[:10])
        exact = unit(encoder.embed_images(pixels).projection)
        with Tower.of(encoder).in_place_of(encoder):
            rounded = unit(encoder.embed_images(pixels).projection)
        again = unit(encoder.embed_images(pixels).projection)
    assert np.abs(rounded - exact).max() < 0.05
    assert np.abs(rounded - exact).max() > 0
    assert (again == exact).all()


def test_the_part_has_the_classes_of_the_benchmark_with_two_cues(table, store):
    output, folders = table
    part = payload(read_study(output), data_dirs=folders, store=store)
    json.dumps(part, allow_nan=False)
    assert part["stops"] == [0, 1, 2]
    assert part["revisions"] == ["epoch-000", "epoch-001", "epoch-002"]
    assert (part["axis"], part["places"]) == ("epoch", [0.0, 1.0, 2.0])
    assert set(part["map"]["cues"]) == {"shape", "texture"}
    assert {"name": "truck", "text": "a photo of a truck."} in part["classes"]
    assert 0 <= part["agreement"] <= part["asked"] == 3 * 36
    assert len(part["examples"]) == 8
    assert part["examples"][0]["uri"].startswith("data:image/png;base64,")
    assert payload(read_study(output), stimuli="none", data_dirs=folders, store=store)["examples"] == []
    points = np.frombuffer(base64.b64decode(part["map"]["points"]), np.int8).reshape(3, 36, 2)
    assert np.abs(points).max() == 127
    assert all(0 < share <= 1 for share in part["map"]["shares"])


def test_revisions_that_do_not_fit_are_left_out_evenly(revisions, monkeypatch, caplog):
    with revisions.encoder("epoch-002") as encoder:
        tower = Tower.of(encoder)
    size = len(tower.codes) + len(tower.factors)
    monkeypatch.setattr(tryit, "MOST_BYTES", int(2.5 * size / 0.95))
    assert tryit._affordable(revisions) == ["epoch-000", "epoch-002"]
    monkeypatch.setattr(tryit, "MOST_BYTES", int(1.5 * size))
    assert tryit._affordable(revisions) == []
    assert "Use `clipdyn app` for a model of this size" in caplog.text


def test_what_cannot_be_tried_is_one_sentence(table, store, tmp_path, clipdyn, monkeypatch):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    output, folders = table
    study = read_study(output)
    with pytest.raises(ConfigError, match="--data_dir"):
        payload(study, store=store)
    with pytest.raises(ConfigError, match="me/run"):
        payload(read_study(study.results.rows.assign(commit="0" * 40)), data_dirs=folders, store=store)
    code, _, error = clipdyn("report", output, "-o", tmp_path / "page", "--store", store)
    assert (code, "store requires --try_it" in error) == (2, True)
    with pytest.raises(ConfigError):
        write_report(output, tmp_path / "page", try_it=True, store=store)
    assert not (tmp_path / "page" / "index.html").exists(), "it stops before anything is drawn"


def test_a_space_that_was_only_turned_does_not_move():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6))
    turns = [np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(3)]
    turned, rotations = aligned([rows @ turn for turn in turns])
    for one, rotation in zip(turned, rotations, strict=True):
        np.testing.assert_allclose(one, turned[-1], atol=1e-12)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
