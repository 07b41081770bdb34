"""What revisions answer to one image is what an evaluation reads out of them, and no third one is in memory."""

import io

import numpy as np
import pytest
from PIL import Image
from slow_evaluator import Slow

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation import answers as module
from hf_clipdyn.evaluation.answers import (
    LoadedRevisions,
    answers,
    attention,
    class_list,
    picture,
    prompts,
)
from hf_clipdyn.revisions.open import open_series

TEXTS = ["a photo of a cat.", "a photo of a dog.", "a photo of a truck."]


@pytest.fixture
def revisions(store):
    return LoadedRevisions(open_series(store), device="cpu")


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return picture(png(Image.fromarray(rng.integers(0, 256, (31, 40, 4), dtype=np.uint8))))


@pytest.mark.parametrize("whose", ["own", "last"])
def test_the_numbers_are_those_of_a_model_that_is_loaded_by_itself(store, revisions, image, whose):
    found = list(answers(revisions, image, TEXTS, whose=whose))
    assert [answer.revision for answer in found] == revisions.names == ["epoch-000", "epoch-001", "epoch-002"]
    for answer in found:
        slow = Slow(store, answer.revision)
        of_texts = Slow(store, "epoch-002") if whose == "last" else slow
        cosines = np.array([of_texts.text(text) for text in TEXTS]) @ slow.image(image)
        weights = np.exp(slow.model.logit_scale.exp().item() * cosines)
        np.testing.assert_allclose(answer.probability, weights / weights.sum(), atol=1e-6)
        margins = [cosine - np.delete(cosines, at).max() for at, cosine in enumerate(cosines)]
        np.testing.assert_allclose(answer.margin, margins, atol=1e-6)
        assert answer.rank.tolist() == (1 + np.argsort(np.argsort(-cosines))).tolist()


def test_at_most_two_revisions_are_in_memory_and_the_one_used_longest_ago_goes(revisions, image):
    for _ in answers(revisions, image, TEXTS):
        assert len(revisions._encoders) <= 2
    with revisions.encoder("epoch-002") as newest:
        pass
    with revisions.encoder("epoch-000"):
        assert set(revisions._encoders) == {"epoch-002", "epoch-000"}
    with revisions.encoder("epoch-002") as again:
        assert again is newest


def test_a_revision_that_cannot_be_read_is_named_and_the_others_answer(tmp_path, publish, image):
    weights = publish(tmp_path, [0, 1, 2]) / "revisions" / "epoch-001" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-5])
    first, broken, last = answers(LoadedRevisions(open_series(tmp_path), device="cpu"), image, TEXTS)
    assert "revisions/epoch-001" in broken.problem
    assert np.isnan(broken.probability).all()
    assert [one.problem for one in (first, last)] == ["", ""]


def test_an_attention_map_lies_on_the_models_input(revisions, image):
    for probe in module.PROBES:
        seen, attended = attention(revisions, "epoch-001", image, probe)
        assert (seen.shape, seen.dtype) == ((24, 24, 3), np.uint8)
        assert attended.shape == (3, 3)
        assert attended.min() >= 0
        assert attended.max() == 1


WRONG = {
    "no image": lambda: picture(b"no image"),
    "an image that is cut off": lambda: picture(png(Image.new("RGB", (300, 200)))[:90]),
    "a format that starts programs": lambda: picture(b"%!PS-Adobe-3.0 EPSF-3.0"),
    "no class": lambda: class_list(" , \n"),
    "one class twice": lambda: class_list("cat, cat"),
    "a template without a place": lambda: prompts(["cat"], "a photo"),
    "a template with two places": lambda: prompts(["cat"], "{} and {}"),
    "a template that asks for more": lambda: prompts(["cat"], "{name}"),
}


@pytest.mark.parametrize("ask", WRONG.values(), ids=WRONG)
def test_what_a_user_gives_wrongly_is_refused(ask):
    with pytest.raises(ConfigError):
        ask()


def test_class_names_are_separated_by_commas_and_lines_and_a_hostile_one_is_only_a_text(revisions, image):
    assert class_list(" cat,dog\n a  big   cat ,, cat") == ["cat", "dog", "a big cat"]
    names = class_list("{0.__class__}, <script>alert(1)</script>, \\x00\x07, 猫" + "猫" * 150)
    texts = prompts(names, "a photo of a {}.")
    assert texts[0] == "a photo of a {0.__class__}."
    assert all(np.isfinite(answer.probability).all() for answer in answers(revisions, image, texts))
