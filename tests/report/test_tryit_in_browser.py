"""The part "Try it" in a real browser: an image is dropped or drawn, classes are picked, the slider moves."""

import io
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from planted_study import EPOCHS, write_study
from transformers import CLIPModel

from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.study import read_study
from hf_clipdyn.report.tryit import part as tryit
from hf_clipdyn.report.tryit.tower import encoded

NAMES = ["cat", "<img src=x onerror=throw>", "boat"]
SIZE = ModelSize(16, 8, Tower(16, 1, 2), Tower(16, 1, 2), 8, context_length=16, vocab_size=600)


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(file, "PNG")
    return file.getvalue()


class RandomModels:
    """Stands in for `LoadedRevisions`: a random model of 16 pixels for each epoch."""

    tokenizer = stand_in_tokenizer(vocab_size=600, context_length=16)
    names = tuple(f"epoch-00{epoch}" for epoch in range(EPOCHS))

    @contextmanager
    def encoder(self, name):
        with torch.random.fork_rng():
            torch.manual_seed(self.names.index(name))
            model = CLIPModel(clip_config(SIZE, self.tokenizer))
        how = {"device": torch.device("cpu"), "dtype": torch.float32}
        yield Encoder(model, clip_image_processor(SIZE), self.tokenizer, **how)


def random_part():
    """A part as `tryit.payload` would give it."""
    models, texts = RandomModels(), [f"a photo of a {name}" for name in NAMES]
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    stimuli = [Image.fromarray(image) for image in pixels]
    part = tryit._read(models, models.names, stimuli, texts)
    cues = {"shape": [0, 1, 2] * 4, "texture": [2, 1, 0] * 4}
    return part | {
        "revisions": list(models.names),
        "stops": list(range(EPOCHS)),
        "axis": "epoch",
        "places": list(range(EPOCHS)),
        "leftOut": 0,
        "classes": [{"name": name, "text": text} for name, text in zip(NAMES, texts, strict=True)],
        "examples": [{"title": "shape cat", "uri": f"data:image/png;base64,{encoded(png('red'))}"}],
        "map": tryit._map(part.pop("embeddings")) | {"cues": cues},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    table = write_study(tmp_path_factory.mktemp("tryit"))
    return render(read_study(table), stimuli="none", try_it=random_part())


@pytest.fixture
def tried(browse, site):
    """`tried(width=390)`: the page, scrolled to the part, once the example is answered."""

    def open_page(**options):
        page = browse(site, **options)
        page.locator("#tryit").scroll_into_view_if_needed()
        answered(page, 1)
        return page

    return open_page


def answered(page, question):
    """Wait for the answer to the n-th question."""
    for _ in range(200):
        if page.evaluate("Number(document.querySelector('.tryit-holder').dataset.answered ?? 0)") >= question:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"question {question} has no answer after ten seconds")


def status(page):
    return page.locator(".tryit-status").text_content()


def test_an_example_is_answered_at_every_epoch_and_the_slider_moves_all(tried):
    page = tried()
    last = status(page)
    assert last.startswith(f"epoch-00{EPOCHS - 1}: ")
    assert page.locator(".tryit-charts .scatterlayer .js-line").count() == 2 * len(NAMES)
    moved = "document.querySelector('.tryit-map path').style.transform"
    before = page.evaluate(moved)
    page.locator("#training").fill("0")
    page.wait_for_timeout(100)
    assert status(page).startswith("epoch-000: ")
    assert page.evaluate(moved) != before
    assert "the star is your image" in page.locator(".tryit-map").get_attribute("aria-label")
    assert "epoch-000" in page.locator(".tryit-seen").get_attribute("aria-label")


def test_an_image_is_dropped_or_drawn_and_what_is_no_image_is_said(tried):
    page = tried()
    first = status(page)
    page.locator(".tryit input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": png("blue")}
    )
    answered(page, 2)
    dropped = status(page)
    assert dropped != first
    board = page.locator(".tryit-board")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    page.mouse.up()
    answered(page, 3)
    assert status(page) != dropped
    page.locator(".tryit input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"}
    )
    page.get_by_text("This file is not an image that the browser can read").wait_for()


def test_classes_are_picked_or_typed_among_those_that_the_page_knows(tried):
    page = tried(width=390)
    boxes = page.locator(".tryit-classes input")
    boxes.nth(0).uncheck()
    assert page.locator(".tryit-charts .scatterlayer .js-line").count() == 2 * (len(NAMES) - 1)
    boxes.nth(1).click()
    page.get_by_text("at least two classes stay").wait_for()
    assert boxes.nth(1).is_checked()
    field = page.get_by_label("Add a class")
    field.fill("dragon")
    field.press("Enter")
    page.get_by_text("This page has no text vector of “dragon”").wait_for()
    field.fill(" Cat ")
    page.get_by_role("button", name="Add").click()
    assert boxes.nth(0).is_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "nothing is wider than a phone"
    )


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(tried, violations, dark):
    assert violations(tried(dark=dark)) == []
