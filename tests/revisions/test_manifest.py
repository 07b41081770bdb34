"""Names of revisions, and `revisions.json`: read by later and earlier versions, refused where it cannot be right."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.manifest import Manifest, Row
from hf_clipdyn.revisions.names import epoch_name, epoch_of, step_name, step_of, training_order

ROW = Row(name="epoch-001", epoch=1, step=10, sha256="ab" * 32, size=123, loss=0.5, versions={"torch": "2"})
MANIFEST = Manifest(
    run_id="f" * 32,
    repo_id="me/run",
    hub="private",
    scale="tiny",
    arm="noise",
    parents=(Parent("them/base", "v2", "a" * 40),),
    planned=("epoch-000", "epoch-001"),
    revisions=(ROW,),
)


def _read(**changes: Any) -> Manifest:
    return Manifest.loads(json.dumps(json.loads(MANIFEST.dumps()) | changes), "me/run")


def test_a_manifest_comes_back_from_its_text_and_a_loss_that_is_no_number_is_unknown() -> None:
    assert Manifest.loads(MANIFEST.dumps(), "me/run") == MANIFEST
    assert MANIFEST.dumps().startswith(b'{\n "format_version": 1,\n "run_id": "fff')
    assert (MANIFEST.row("epoch-001"), MANIFEST.row("epoch-002")) == (ROW, None)
    diverged = MANIFEST.with_rows(
        (Row(name="epoch-000", loss=math.nan), Row(name="epoch-001", loss=math.inf))
    )
    read = Manifest.loads(diverged.dumps(), "me/run")
    assert [(row.name, row.loss) for row in read.revisions] == [("epoch-000", None), ("epoch-001", None)]


def test_version_0_3_reads_what_this_version_writes_and_keys_of_a_later_one_are_passed_over() -> None:
    """The reader of 0.3 is not here: the same keys, of the same types, are what it asks for."""
    path = Path(__file__).parents[1] / "kept" / "hub" / "clip" / "epoch-002" / "revisions.json"
    theirs = json.loads(path.read_text())
    ours = json.loads(Manifest.loads(path.read_bytes(), path).dumps())
    for mine, other in zip(ours["revisions"], theirs.pop("revisions"), strict=True):
        assert {key: mine[key] for key in other} == other
    assert {key: ours[key] for key in theirs} == theirs
    assert _read(mood="good", revisions=[{"name": "epoch-001", "mood": "good"}]).revisions[0].epoch is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": "\x1b[31m"}, "scale"),
        ({"arm": "a b"}, "arm"),
        ({"parameters": -1}, "parameters"),
        ({"repo_id": "../x"}, "repo_id"),
        ({"planned": ["main"]}, "planned"),
        ({"format_version": 2}, "update hf-clipdyn"),
        ({"revisions": [{"name": "x"}, {"name": "x"}]}, "more than one row of x"),
    ],
)
def test_what_cannot_be_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(
        RevisionError, match=rf"revisions\.json of me/run cannot be read: [^\n]*{said}[^\n]*$"
    ):
        _read(**change)


def test_an_error_repeats_nothing_of_what_is_no_manifest() -> None:
    with pytest.raises(RevisionError, match=r"revisions\.json of me/run") as caught:
        Manifest.loads("hf_secret", "me/run")
    assert "hf_secret" not in str(caught.value)


def test_names_have_a_fixed_width() -> None:
    assert [epoch_name(0), epoch_name(12), epoch_name(1234)] == ["epoch-000", "epoch-012", "epoch-1234"]
    assert [step_name(0), step_name(512)] == ["step-00000000", "step-00000512"]


@pytest.mark.parametrize(
    ("name", "epoch", "step"),
    [
        ("epoch-003", 3, None),
        ("epoch_12", 12, None),
        ("Epoch4", 4, None),
        ("step1000", None, 1000),
        ("step1000-tokens4B", None, 1000),
        ("stage1-step5000-tokens21B", None, 5000),
        ("epoch-002-step-00000512", 2, 512),
        ("main", None, None),
        ("footstep3", None, None),
        ("step" + "9" * 19, None, None),
    ],
)
def test_the_names_of_other_suites_are_read(name: str, epoch: int | None, step: int | None) -> None:
    assert (epoch_of(name), step_of(name)) == (epoch, step)


def test_revisions_stand_by_step_then_by_the_numbers_in_their_names_and_main_is_last() -> None:
    ordered = [("epoch-000", 0), ("step2", None), ("b", 3), ("step10-a2", 10), ("step10-a10", 10)]
    ordered += [("epoch-002", None), ("epoch-010", None), ("x", None), ("main", 1)]
    backwards = ordered[::-1]
    assert sorted(backwards, key=lambda pair: training_order(*pair)) == ordered
