"""The app over HTTP, as its page uses it, and what it draws; nothing of Gradio is needed for the latter."""

import io
import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image

from hf_clipdyn.app import answer_table, summary, veiled
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.answers import Answer, open_models, scored

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.metadata.SubsetWarning")
HOSTILE = "<b onload=x>%{y}[a](b)"


def test_a_table_is_opened_at_the_commits_that_were_measured(store, tmp_path, evaluate, data, monkeypatch):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    table = tmp_path / "results.parquet"
    evaluate("zero_shot/cifar10", revisions=["epoch-000", "epoch-001"], output=table)
    opened = open_models(table, store=store, data_dirs={"cifar10": data["cifar10"]})
    assert opened.models["me/run"].names == ["epoch-000", "epoch-001"]
    image, words, classes, template = opened.stimulus("zero_shot/cifar10", 3)
    assert (image.size, words) == ((32, 32), "zero_shot/cifar10, row 3, label automobile")
    assert classes[:2] == ["airplane", "automobile"]
    assert template.count("{}") == 1
    for absent in (("zero_shot/cifar10", 20), ("zero_shot/imagenet", 0)):
        with pytest.raises(ConfigError, match=absent[0]):
            opened.stimulus(*absent)


def test_what_is_attended_less_is_darker():
    image = np.full((4, 4, 3), 200, np.uint8)
    shown = veiled(image, np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert shown.shape == (320, 320, 3)
    assert (shown[0, 0, 0], shown[-1, -1, 0]) == (200, 32)


def test_texts_of_a_user_have_no_meaning_where_they_are_shown(store):
    known = [scored(f"epoch-00{epoch}", np.array([0.3, 0.1 + 0.4 * epoch]), 10.0) for epoch in (0, 1)]
    nothing = np.full(2, np.nan)
    known.append(Answer("epoch-002", nothing, nothing, np.zeros(2, np.int64), "The weights are broken."))
    classes = [HOSTILE, "dog"]
    words = summary(classes, known, 3, "own")
    assert "at epoch-000, **dog** at epoch-001; it changed 1 time." in words
    assert "The weights are broken." in words
    assert "<b" not in words
    table = answer_table(open_models(store).models["me/run"], classes, known)
    assert table["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["rank"].tolist() == [1, 2, 2, 1, 0, 0]
    assert table["margin"].tolist()[:4] == [0.2, -0.2, -0.2, 0.2]
    assert table["probability"].isna().tolist() == [False] * 4 + [True] * 2


def test_without_gradio_the_command_names_the_extra(store, monkeypatch, clipdyn):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, _, error = clipdyn("app", store)
    assert (code, "hf-clipdyn[app]" in error) == (2, True)


class Running:
    """The app in a process of its own, asked over HTTP as its page asks."""

    def __init__(self, url):
        self.url, self.api = url, f"{url}gradio_api"

    def upload(self, content):
        """A file that was dropped, as a value of the image."""
        with httpx.Client(timeout=60) as client:
            (path,) = client.post(f"{self.api}/upload", files={"files": ("image.png", content)}).json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def ask(self, name, *data):
        """The last event of a call, ``complete`` or ``error``, and its data."""
        with httpx.Client(timeout=120) as client:
            event = client.post(f"{self.api}/call/{name}", json={"data": data}).json()["event_id"]
            lines = client.get(f"{self.api}/call/{name}/{event}").text.splitlines()
        kind, value = [line.partition(": ")[2] for line in lines if line][-2:]
        return kind, json.loads(value)


@pytest.fixture(scope="module")
def running(store, tmp_path_factory):
    """`clipdyn app` on a free port; at the end Ctrl-C leaves nothing of what was uploaded."""
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'hf-clipdyn[app]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "hf_clipdyn", "app", store, "--port", port, "--device", "cpu"]
    temporary = tmp_path_factory.mktemp("temporary")
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line == f"The app runs at http://127.0.0.1:{port}/ until you press Ctrl-C.\n"
            yield Running(f"http://127.0.0.1:{port}/")
            assert list(temporary.glob("clipdyn-app-*/*/*.png")), "an upload is there as long as the app runs"
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert not list(temporary.glob("clipdyn-app-*"))


@pytest.mark.slow
def test_the_running_app_answers(running):
    kind, (image, facts, classes, _) = running.ask("stimulus", "shape_bias/procedural", 3, "")
    assert (kind, facts) == ("complete", "shape_bias/procedural, row 3, shape cat, texture car")
    assert classes.startswith("boat, bottle, car, cat")
    kind, (words, chart, _, *_) = running.ask("ask", "me/run", image, classes, "a photo of a {}", "last")
    assert kind == "complete"
    assert "3 of 3 revisions asked, with texts of the last revision" in words
    assert len(chart["value"]["data"]) == 3 * 8
    kind, (maps, _) = running.ask("attend", "me/run", image, "rollout", "epoch-000", "epoch-002")
    assert kind == "complete"
    assert [one["caption"] for one in maps] == ["epoch-000", "epoch-002"]
    assert maps[0]["image"]["path"] != maps[1]["image"]["path"]


@pytest.mark.slow
def test_the_running_app_refuses_what_is_wrong_and_reports_nothing(running):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(file, "PNG")
    image = running.upload(file.getvalue())
    for given in (
        (running.upload(b"no image"), "cat, dog", "a {}"),
        (image, "cat", "a {}"),
        (image, "cat, dog", "a cat"),
    ):
        assert running.ask("ask", "me/run", *given, "own")[0] == "error"
    assert running.ask("ask", "me/run", image, HOSTILE + ", dog", "a {}", "own")[0] == "complete"
    with httpx.Client(timeout=60) as client:
        assert client.get(running.api.replace("gradio_api", "config")).json()["analytics_enabled"] is False
