"""The app over HTTP, as its page uses it, and what it draws; nothing of Gradio is needed for the latter."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_clipdyn import app
from hf_clipdyn.app import Stimuli, compared, drawn, opened, summary, veiled
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.answers import Answer, scored

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")
HOSTILE = "<b onload=x>%{y}[a](b)"


def answered() -> list[Answer]:
    first, last = (scored(f"epoch-00{epoch}", np.array([0.3, 0.1 + 0.4 * epoch]), 10.0) for epoch in (0, 1))
    nothing = np.full(2, np.nan)
    return [
        first,
        last,
        Answer("epoch-002", nothing, nothing, np.zeros(2, np.int64), "The weights are broken."),
    ]


def test_a_run_is_opened_with_the_stimuli_that_need_no_download(store: Path) -> None:
    models, stimuli = opened(store.parent, revisions=["epoch-002", "epoch-000"])
    assert models["me/run"].names == ["epoch-000", "epoch-002"], "in the order of training"
    assert "shape_bias/procedural" in stimuli.names
    assert "psychophysics/procedural" not in stimuli.names, "it draws what it shows"
    with pytest.raises(ConfigError, match="me/run has none of the revisions epoch-9"):
        opened("me/run", store=store, revisions=["epoch-9"])


def test_a_table_is_opened_at_the_commits_that_were_measured(
    store: Path, tmp_path: Path, evaluate: Callable[..., Any], data: dict[str, Path]
) -> None:
    table = tmp_path / "results.parquet"
    evaluate("zero_shot/cifar10", revisions=["epoch-000", "epoch-001"], output=table)
    models, stimuli = opened(table, store=store, data_dirs={"cifar10": data["cifar10"]})
    assert models["me/run"].names == ["epoch-000", "epoch-001"]
    image, words, classes = stimuli.stimulus("zero_shot/cifar10", 3)
    assert image.size == (32, 32)
    assert words == "zero_shot/cifar10, row 3, label automobile"
    assert classes[:2] == ["airplane", "automobile"]
    assert Stimuli(["zero_shot/cifar10"]).names == []
    with pytest.raises(ConfigError, match="has 20 rows: give a number from 0 to 19"):
        stimuli.stimulus("zero_shot/cifar10", 20)
    with pytest.raises(ConfigError, match="not on this machine"):
        stimuli.stimulus("zero_shot/imagenet", 0)


def test_what_is_attended_less_is_darker() -> None:
    image = np.full((4, 4, 3), 200, np.uint8)
    shown = veiled(image, np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert shown.shape == (320, 320, 3)
    assert shown[0, 0, 0] == 200
    assert shown[-1, -1, 0] == 32


def test_texts_of_a_user_have_no_meaning_where_they_are_shown(store: Path) -> None:
    models, _ = opened(store.parent)
    known, classes = answered(), [HOSTILE, "dog"]
    figure = drawn(models["me/run"], classes, known)
    assert len(figure["data"]) == 4, "a line a class in each panel"
    assert not set(figure["data"][0]["name"]) & set("<>%{}")
    assert figure["data"][0]["y"][-1] is None, "a gap"
    words = summary(classes, known, 3, "own")
    assert "at epoch-000, **dog** at epoch-001; it changed 1 time." in words
    assert "epoch-002 has no answer: The weights are broken." in words
    assert "<b" not in words
    table = compared(classes, known[:2])
    assert table["rank"].tolist() == ["1 → 2", "2 → 1"]
    assert table["margin"].tolist() == ["0.200 → -0.200", "-0.200 → 0.200"]


def test_without_gradio_the_command_names_the_extra(
    store: Path, monkeypatch: pytest.MonkeyPatch, clipdyn: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, _, error = clipdyn("app", store.parent)
    assert code == 2
    assert error.endswith("error: `clipdyn app` needs Gradio: pip install 'hf-clipdyn[app]'.\n")


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[Any]:
    """The running app of `me/run`, as another program uses it."""
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'hf-clipdyn[app]'")
    from gradio_client import Client

    models, stimuli = opened(store.parent, device="cpu")
    with app.launched(models, stimuli) as url:
        yield Client(url, verbose=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_running_app_answers_and_says_what_is_wrong(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    image, facts, classes = client.predict("shape_bias/procedural", 3, "", api_name="/stimulus")
    assert facts == "shape_bias/procedural, row 3, shape cat, texture car"
    assert classes.startswith("boat, bottle, car, cat")
    words, chart = client.predict(
        "me/run", handle_file(image), classes, "a photo of a {}", "last", api_name="/ask"
    )
    assert "3 of 3 revisions asked, with texts of the last revision" in words
    assert chart["type"] == "plotly"
    maps = client.predict(
        "me/run", handle_file(image), "rollout", "epoch-000", "epoch-002", api_name="/attend"
    )
    assert all(Path(path).stat().st_size for path in maps[:2])
    other = tmp_path / "image.png"
    other.write_text("no image")
    for given, says in (
        ((other, "cat, dog", "a {}"), "The image cannot be read"),
        ((image, "cat", "a {}"), "Only one class is given"),
        ((image, "cat, dog", "a cat"), "with {} once"),
    ):
        file, *texts = given
        with pytest.raises(AppError, match=re.escape(says)):
            client.predict("me/run", handle_file(file), *texts, "own", api_name="/ask")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_uploaded_is_kept_and_nothing_is_reported(store: Path, tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'hf-clipdyn[app]'")
    from gradio_client import Client, handle_file

    models, stimuli = opened(store.parent, device="cpu")
    with app.launched(models, stimuli) as url:
        client = Client(url, verbose=False)
        image, *_ = client.predict("shape_bias/procedural", 0, "", api_name="/stimulus")
        client.predict("me/run", handle_file(image), "cat, dog", "a {}", "own", api_name="/ask")
        uploads = Path(os.environ["GRADIO_TEMP_DIR"])
        assert any(uploads.rglob("*.png"))
        assert not gradio.analytics.analytics_enabled()
    assert not uploads.exists()
