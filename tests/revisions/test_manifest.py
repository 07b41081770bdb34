import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.manifest import Manifest, Row

ROW = Row(
    name="epoch-001",
    epoch=1,
    step=10,
    samples_seen=40,
    sha256="ab" * 32,
    size=123,
    loss=0.5,
    time="2026-01-01T00:00:00+00:00",
    recipe_hash="r1",
    versions={"torch": "2.13.0"},
)


def _row(name: str, epoch: int | None, step: int | None) -> Row:
    return ROW.model_copy(update={"name": name, "epoch": epoch, "step": step})


def _manifest(*rows: Row, **facts: Any) -> Manifest:
    return Manifest(run_id="f" * 32, revisions=rows, **facts)


def _read(content: dict[str, Any]) -> Manifest:
    return Manifest.loads(json.dumps(content), "me/run")


def test_a_manifest_comes_back_from_its_text_and_the_same_rows_give_the_same_text() -> None:
    facts = {
        "scale": "tiny",
        "seed": 0,
        "arm": "noise",
        "parameters": 12,
        "repo_id": "me/run",
        "hub": "private",
    }
    parents = (Parent("them/base", "v2", "a" * 40),)
    manifest = _manifest(ROW, parents=parents, planned=("epoch-000", "epoch-001"), **facts)
    assert Manifest.loads(manifest.dumps(), "me/run") == manifest
    assert Manifest.loads(manifest.dumps(), "me/run").dumps() == manifest.dumps()
    assert manifest.dumps().startswith(b'{\n "format_version": 1,\n "run_id": "fff')
    assert manifest.dumps().endswith(b"]\n}\n")
    assert (manifest.row("epoch-001"), manifest.row("epoch-002")) == (ROW, None)


def test_rows_are_kept_in_training_order_whatever_order_they_come_in() -> None:
    manifest = _manifest()
    for row in (_row("epoch-001", 1, 64), _row("step-00000008", None, 8), _row("epoch-000", 0, 0)):
        manifest = manifest.with_rows((row,))
    assert [row.name for row in manifest.revisions] == ["epoch-000", "step-00000008", "epoch-001"]
    assert len(manifest.with_rows((_row("epoch-001", 1, 65),)).revisions) == 3


def test_keys_of_a_later_version_are_passed_over_and_those_of_an_earlier_one_are_unknown() -> None:
    content = json.loads(_manifest(ROW).dumps())
    content["revisions"][0]["mood"] = "good"
    assert _read(content).revisions == (ROW,)
    old = {"format_version": 1, "run_id": "f" * 32, "revisions": content["revisions"]}
    assert _read(old) == _manifest(ROW)


def test_version_0_3_reads_what_this_version_writes_and_this_version_what_that_wrote() -> None:
    """The reader of 0.3 is not here: the same keys, of the same types, are what it asks for."""
    path = Path(__file__).parents[1] / "kept" / "hub" / "clip" / "epoch-002" / "revisions.json"
    theirs = json.loads(path.read_text())
    ours = json.loads(Manifest.loads(path.read_bytes(), path).dumps())
    assert {key: ours[key] for key in theirs if key != "revisions"} == {
        key: value for key, value in theirs.items() if key != "revisions"
    }
    for mine, other in zip(ours["revisions"], theirs["revisions"], strict=True):
        assert {key: mine[key] for key in other} == other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": "\x1b[31m"}, "scale"),
        ({"seed": 0.5}, "seed"),
        ({"arm": "a b"}, "arm"),
        ({"parameters": -1}, "parameters"),
        ({"repo_id": "../x"}, "repo_id"),
        ({"planned": ["main"]}, "planned"),
        ({"format_version": 2}, "update hf-clipdyn"),
        ({"revisions": [{"name": "x"}, {"name": "x"}]}, "more than one row of x"),
        ({"run_id": None}, "run_id"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], said: str) -> None:
    content = json.loads(_manifest(ROW).dumps()) | change
    with pytest.raises(RevisionError, match=rf"revisions\.json of me/run cannot be read: .*{said}") as caught:
        _read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "hf_secret"])
def test_an_error_repeats_nothing_of_what_is_no_manifest(text: str) -> None:
    with pytest.raises(RevisionError, match=r"revisions\.json of me/run") as caught:
        Manifest.loads(text, "me/run")
    assert "hf_secret" not in str(caught.value)


@given(st.floats())
def test_any_loss_can_be_written_and_read(loss: float) -> None:
    row = Row(name="epoch-001", loss=loss)
    (read,) = Manifest.loads(_manifest(row).dumps(), "me/run").revisions
    assert read.loss == (loss if math.isfinite(loss) else None)
