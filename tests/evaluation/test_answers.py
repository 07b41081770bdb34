"""What revisions answer to one image is what an evaluation reads out of them, and no third one is in memory."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_clipdyn.benchmarks.vectors import unit
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.evaluation import answers as module
from hf_clipdyn.evaluation.answers import (
    LoadedRevisions,
    answers,
    attention,
    class_list,
    picture,
    prompts,
    scored,
)
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.preprocess import resize_and_crop
from hf_clipdyn.revisions.open import open_measured, open_series

TEXTS = ["a photo of a cat.", "a photo of a dog.", "a photo of a truck."]


@pytest.fixture
def revisions(store: Path) -> LoadedRevisions:
    return LoadedRevisions(open_series(store), device="cpu")


@pytest.fixture
def image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (31, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize("whose", ["own", "last"])
def test_the_numbers_are_those_of_a_model_that_is_loaded_by_itself(
    store: Path, revisions: LoadedRevisions, image: Image.Image, whose: module.Texts
) -> None:
    of_last = Encoder.from_folder(store / "revisions" / "epoch-002", device="cpu").embed_texts(TEXTS)
    found = list(answers(revisions, image, TEXTS, whose=whose))
    assert [answer.revision for answer in found] == revisions.names == ["epoch-000", "epoch-001", "epoch-002"]
    for answer in found:
        encoder = Encoder.from_folder(store / "revisions" / answer.revision, device="cpu")
        seen = encoder.embed_images(resize_and_crop(encoder.image_processor, [image])).projection
        texts = of_last if whose == "last" else encoder.embed_texts(TEXTS)
        cosines = (unit(seen) @ unit(texts).T)[0]
        weights = np.exp(encoder.logit_scale * cosines)
        np.testing.assert_allclose(answer.probability, weights / weights.sum(), atol=1e-6)
        np.testing.assert_allclose(
            answer.margin,
            [cosine - np.delete(cosines, at).max() for at, cosine in enumerate(cosines)],
            atol=1e-6,
        )
        assert answer.rank.tolist() == (1 + np.argsort(np.argsort(-cosines))).tolist()


def test_equal_classes_share_the_probability_and_the_first_has_the_better_rank() -> None:
    answer = scored("epoch-000", np.array([0.1, 0.3, 0.3]), 50.0)
    assert answer.rank.tolist() == [3, 1, 2]
    assert answer.margin.tolist() == pytest.approx([-0.2, 0.0, 0.0])
    assert answer.probability[1] == answer.probability[2]
    assert answer.probability.sum() == pytest.approx(1)


def test_at_most_two_revisions_are_in_memory(revisions: LoadedRevisions, image: Image.Image) -> None:
    for _ in answers(revisions, image, TEXTS):
        assert len(revisions._encoders) <= 2
    with revisions.encoder("epoch-002") as newest:
        assert revisions._encoders["epoch-002"] is newest
    with revisions.encoder("epoch-000"):
        assert set(revisions._encoders) == {"epoch-002", "epoch-000"}
    with revisions.encoder("epoch-002") as again:
        assert again is newest, "it was used more recently, hence it stayed"


def test_a_revision_that_cannot_be_read_is_named_and_the_others_answer(
    tmp_path: Path, publish: Callable[..., Path], image: Image.Image
) -> None:
    store = publish(tmp_path, [0, 1, 2])
    revisions = LoadedRevisions(open_series(store), device="cpu")
    folder = revisions._series.fetch(revisions.by_name["epoch-001"])
    weights = (folder / "model.safetensors").resolve()
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-5])
    first, broken, last = answers(revisions, image, TEXTS)
    assert "cannot" in broken.problem
    assert np.isnan(broken.probability).all()
    for answer in (first, last):
        assert answer.problem == ""
        assert answer.probability.sum() == pytest.approx(1)


def test_an_attention_map_lies_on_the_models_input(revisions: LoadedRevisions, image: Image.Image) -> None:
    for probe in module.PROBES:
        seen, attended = attention(revisions, "epoch-001", image, probe)
        assert (seen.shape, seen.dtype) == ((24, 24, 3), np.uint8)
        assert attended.shape == (3, 3)
        assert attended.min() >= 0
        assert attended.max() == 1
    with pytest.raises(UnknownNameError, match="epoch-001"):
        attention(revisions, "epoch-01", image, "rollout")
    with pytest.raises(UnknownNameError, match="rollout"):
        attention(revisions, "epoch-001", image, "roll")


def test_revisions_have_places_on_the_axis_of_training(store: Path) -> None:
    series = open_series(store)
    listed = series.revisions()
    assert LoadedRevisions(series).places == ("epoch", [0.0, 1.0, 2.0])
    unknown = [replace(revision, epoch=None) for revision in listed]
    assert LoadedRevisions(series, unknown).places == ("step", [0.0, 10.0, 20.0])
    nameless = [replace(revision, epoch=1, step=None) for revision in listed]
    assert LoadedRevisions(series, nameless).places == ("revision", [0.0, 1.0, 2.0])
    with pytest.raises(ConfigError, match="me/run has no revision that was measured"):
        LoadedRevisions(series, [])


def test_the_models_of_a_table_are_those_of_the_run_beside_it(store: Path, tmp_path: Path) -> None:
    assert open_measured("me/run", [store / "results.parquet"]).revisions()[0].name == "epoch-000"
    assert open_measured("me/run", [tmp_path / "results.parquet"], store).revisions()[0].name == "epoch-000"


def png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def test_an_image_of_a_user_is_rgb() -> None:
    assert picture(png((3, 2), "RGBA")).mode == "RGB"
    assert picture(png((3, 2), "L")).size == (3, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no image", "cannot identify"),
        (png((300, 200))[:90], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "cannot identify"),
    ],
    ids=["no image", "cut off", "a format that starts programs"],
)
def test_what_cannot_be_shown_is_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^The image: .*{says}"):
        picture(content)


def test_class_names_are_separated_by_commas_and_lines() -> None:
    assert class_list(" cat,dog\n a  big   cat ,, cat") == ["cat", "dog", "a big cat"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No classes are given"),
        (" , \n", "No classes are given"),
        ("cat, cat", "Only one class is given"),
    ],
)
def test_classes_that_are_no_choice_are_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        class_list(text)


def test_a_hostile_name_is_only_a_text(revisions: LoadedRevisions, image: Image.Image) -> None:
    names = class_list("{0.__class__}, <script>alert(1)</script>, \\x00\x07, 猫" + "猫" * 150)
    texts = prompts(names, "a photo of a {}.")
    assert texts[0] == "a photo of a {0.__class__}."
    assert all(np.isfinite(answer.probability).all() for answer in answers(revisions, image, texts))


@pytest.mark.parametrize("template", ["", "a photo", "{} and {}", "{name}"])
def test_a_template_has_one_place_for_the_name(template: str) -> None:
    with pytest.raises(ConfigError, match=r"write \{\} once"):
        prompts(["cat"], template)
