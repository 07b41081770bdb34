"""The browser of stimuli in a real browser: made-up answers of two runs to nine images."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_browser import choose, until
from official_trees.trees import TREES
from PIL import Image
from result_rows import cell

from hf_clipdyn.benchmarks.kinds.retrieval import Retrieval
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.report import read_study, write_report
from hf_clipdyn.report.page import pictures
from hf_clipdyn.report.page.stimuli import payload
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.terms import DatasetTerms, Vocabulary

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")

HOSTILE = "<img src=x onerror=alert(1)>"
CLASSES = ("airplane", "bird", "truck")
PAIRS = [(shape, texture) for shape in CLASSES for texture in CLASSES if shape != texture]
VIEW = "#stimuli [data-view=stimuli]"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of cue_conflict: for each pair of classes one image in a colour of its own."""
    root = tmp_path_factory.mktemp("data") / "cue-conflict"
    for place, (shape, texture) in enumerate(PAIRS):
        (root / shape).mkdir(parents=True, exist_ok=True)
        pixels = np.full((120, 160, 3), (40 * place, 250 - 40 * place, 90), np.uint8)
        Image.fromarray(pixels).save(root / shape / f"{shape}1-{texture}1.png")
    return root


def _trials(decisions):
    """Decisions in the order of the rows; people name the shape of every image but the first."""
    images = pd.DataFrame(sorted(PAIRS), columns=["shape", "texture"])
    images = images.assign(item=range(len(images)), image_id=images["shape"] + "1-" + images["texture"] + "1")
    images = images.assign(**{f"{cue}_exemplar": images[cue] + "1" for cue in ("shape", "texture")})
    people = images["shape"].where(images["item"] > 0, images["texture"])
    blocks = [images.assign(protocol="", decision=decisions)]
    blocks += [images.assign(protocol="human", observer=name, decision=people) for name in ("ann", "ben")]
    return pd.concat(blocks).assign(cue=None, condition=None)


def _decided(words):
    """`STO`: shape, texture, something else, for the rows in turn."""
    return [
        {"S": shape, "T": texture, "O": HOSTILE}[word]
        for word, (shape, texture) in zip(words, sorted(PAIRS), strict=True)
    ]


RUNS = {"me/run": ("OOOOOO", "TTTTSS", "SSTTST"), "me/other": ("TTTTTT", "TTTTTT", "SSSSSS")}


def _table(folder, trials):
    """A table of cells with these trials, by run and epoch."""
    store = CellStore(folder / "results.parquet")
    words = Vocabulary(
        kinds={"shape_bias": ShapeBias.terms}, datasets={"cue_conflict": DatasetTerms(title="Cue conflict")}
    )
    for (run, epoch), shown in trials.items():
        one = cell(f"epoch-00{epoch}", "shape_bias/cue_conflict", repo_id=run, epoch=epoch)
        store.write(one, [Row(**vars(one), metric="shape_bias", value=0.5)], shown, words)
    store.rebuild()
    return folder / "results.parquet"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A table of two runs of three revisions, with its trials; not to be changed."""
    answered = {(run, epoch): words for run, answers in RUNS.items() for epoch, words in enumerate(answers)}
    trials = {key: _trials(_decided(words)) for key, words in answered.items()}
    return _table(tmp_path_factory.mktemp("table"), trials)


@pytest.fixture(scope="module")
def site(output, images, tmp_path_factory):
    """Folder of the report with thumbnails."""
    folder = tmp_path_factory.mktemp("site")
    return write_report(output, folder, data_dirs={"cue_conflict": images}, figures=False).parent


@pytest.fixture
def opened(browse, site):
    """`opened(fragment="…")`: the page, scrolled to the stimuli."""

    def show(**options):
        page = browse(site, **options)
        page.locator(VIEW).scroll_into_view_if_needed()
        until(page, f"""document.querySelector("{VIEW} [aria-live]")?.textContent""")
        return page

    return show


def _wait(page, ids):
    wanted = str(ids).replace(" ", "")
    until(
        page,
        f"""JSON.stringify([...document.querySelectorAll("{VIEW} .strip")]
            .map(one => Number(one.ariaLabel.split(" ")[3])).sort()) === "{wanted}" """,
    )


def _signs(page, item):
    strip = page.locator(
        f"{VIEW} .strip[aria-label='Answers to stimulus {item} by revision'] li > span[aria-hidden]"
    )
    return "".join(strip.all_inner_texts())


def test_each_stimulus_has_its_decisions_in_order_with_signs_and_words(opened):
    page = opened()
    _wait(page, [0, 1, 2, 3, 4, 5])
    assert _signs(page, 0) == "·TS"
    assert _signs(page, 5) == "·ST"
    words = page.locator(
        f"{VIEW} .strip[aria-label='Answers to stimulus 0 by revision'] .unseen"
    ).all_inner_texts()
    assert words == [
        f"epoch-000: {HOSTILE} (neither)",
        "epoch-001: bird (texture)",
        "epoch-002: airplane (shape), at the slider",
    ]


@pytest.mark.slow
def test_pictures_are_drawn_in_their_own_colours(opened):
    page = opened()
    shown = page.locator(f"{VIEW} .picture").all()
    assert len(shown) == len(PAIRS)
    page.wait_for_timeout(300)  # decoded
    for picture in shown:
        label = picture.get_attribute("aria-label")
        named = (f"shape {shape}, texture {texture}" in label for shape, texture in PAIRS)
        place = list(named).index(True)
        red, green, _ = Image.open(io.BytesIO(picture.screenshot())).convert("RGB").getpixel((20, 20))
        assert abs(red - 40 * place) < 12
        assert abs(green - (250 - 40 * place)) < 12


def test_filters_run_and_class_change_what_is_shown_and_the_fragment_keeps_them(opened):
    page = opened()
    choose(page, VIEW, Show="to-truth")
    _wait(page, [0, 1])
    until(page, "location.hash.includes('stimuli-filter=to-truth')")
    again = opened(fragment=page.evaluate("location.hash.slice(1)"))
    _wait(again, [0, 1])
    assert again.locator(VIEW).get_by_label("Show", exact=True).input_value() == "to-truth"
    choose(again, VIEW, Run="me/other")
    _wait(again, [0, 1, 2, 3, 4, 5])
    choose(again, VIEW, Shape="bird")
    _wait(again, [2, 3])


def test_people_right_and_model_wrong_leaves_out_where_people_err(opened):
    page = opened(width=390)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "nothing is wider than a phone"
    )
    choose(page, VIEW, Show="people")
    _wait(page, [2, 3, 5])
    assert "3 that pass the filter, of 6" in page.locator(f"{VIEW} [aria-live]").inner_text()


@pytest.mark.slow
def test_the_slider_moves_the_mark_and_the_filter_also_by_arrow_keys_on_a_strip(opened):
    page = opened(fragment="shape_bias/cue_conflict.stimuli-filter=right&t=1")
    _wait(page, [4, 5])
    assert page.locator(f"{VIEW} .answer.now .unseen").first.inner_text().startswith("epoch-001")
    page.locator(f"{VIEW} .strip[aria-label*='stimulus 4']").focus()
    page.keyboard.press("ArrowRight")
    _wait(page, [0, 1, 4])
    assert page.locator(f"{VIEW} .answer.now .unseen").first.inner_text().startswith("epoch-002")
    assert page.evaluate("document.activeElement.classList.contains('strip')")


def test_the_first_screen_has_the_images_whose_answer_changed_most_with_their_strips(browse, site):
    page = browse(site)
    page.wait_for_selector("#changed .strip")
    words = page.locator("#changed .facts").all_inner_texts()
    assert len(words) == 6
    assert page.locator("#changed .strip").first.get_attribute("aria-label").endswith("by revision")
    assert page.locator("#changed .answer.now").count() == 6
    first = "document.querySelector('#changed .answer.now .unseen').textContent"
    assert page.evaluate(first).startswith("epoch-002")
    said = page.locator("#changed > p").inner_text()
    where = "Texture-shape bias: Cue conflict, me/run"
    assert said.startswith(
        f"Images whose answer changed most ({where}), each with its answer at every revision."
    )
    strip = page.locator("#changed .strip").first.element_handle()
    page.locator("#training").fill("0")
    until(page, f"{first}.startsWith('epoch-000')")
    assert strip.evaluate("one => one.isConnected"), "the mark moves in the strip that is there"
    page.locator("#changed a").click()
    until(page, "location.hash.includes('at=stimuli')")


def test_the_page_names_a_run_that_saw_other_stimuli_and_says_why_there_are_no_pictures(tmp_path):
    trials = _trials(_decided("SSSSSS"))
    other = trials.assign(image_id=trials["image_id"] + "-other")
    table = _table(tmp_path, {("me/run", 0): trials, ("me/strange", 0): other})
    part = payload(read_study(table))["shape_bias/cue_conflict"]
    assert list(part["runs"]) == ["me/run"]
    assert part["strangers"] == ["me/strange"]
    page = write_report(table, tmp_path / "report", stimuli="none", figures=False).read_text()
    assert "The report was written without pictures (--stimuli none)." in page
    assert "Not shown here, since they saw other stimuli: me/strange." in page


def test_a_revision_that_was_not_asked_in_some_way_has_no_answers_there(tmp_path):
    whole = _trials(_decided("STOSTO"))
    by_name = whole[whole["protocol"] == ""].assign(protocol="name")
    table = _table(tmp_path, {("me/run", 0): pd.concat([whole, by_name]), ("me/run", 1): whole})
    part = payload(read_study(table))["shape_bias/cue_conflict"]
    _, answers = part["runs"]["me/run"]["answers"]
    said = [part["said"][ord(letter) - ord("0")]["words"] for letter in answers]
    assert set(said[1::2]) == {"no answer"}
    assert "no answer" not in said[::2]


@pytest.mark.parametrize("version", [1, 2])
def test_the_pictures_of_held_out_images_are_those_that_the_trials_name(tmp_path, monkeypatch, version):
    """Version 1 of the observation named the first rows of the data set for its last images."""
    TREES["flickr8k"](tmp_path / "data", images=6)
    embeddings = [*np.eye(3), *np.eye(3)]
    trials = pd.DataFrame(
        {
            "row": [3, 4, 5] * 2,
            "modality": ["image"] * 3 + ["text"] * 3,
            "item": [0, 1, 2] * 2,
            "embedding": embeddings,
        }
    )
    asked = {"split": "train", "settings": '{"held_out": 3}', "observe_version": version}
    one = cell("epoch-001", "retrieval/flickr8k", epoch=1, **asked)
    row = Row(**vars(one), metric="image_to_text_recall_at_10", value=1.0)
    store = CellStore(tmp_path / "results.parquet")
    store.write(one, [row], trials, Vocabulary(kinds={"retrieval": Retrieval.terms}))
    store.rebuild()
    files = []
    monkeypatch.setattr(pictures, "forbidden", lambda *_: "")  # as if the licence allowed it
    monkeypatch.setattr(pictures, "thumbnail", lambda file: files.append(Path(file["path"]).name))
    parts = payload(read_study(tmp_path / "results.parquet"), data_dirs={"flickr8k": tmp_path / "data"})
    if version == 1:
        assert parts is None
        return
    assert parts["retrieval/flickr8k"]["why"] == ""
    assert sorted(parts["retrieval/flickr8k"]["items"]["id"]) == [0, 1, 2]
    assert sorted(set(files)) == ["3_ab.jpg", "4_ab.jpg", "5_ab.jpg"]
