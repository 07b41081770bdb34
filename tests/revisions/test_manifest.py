import json
from dataclasses import replace

import pytest

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.manifest import Manifest, ManifestRow

ROW = ManifestRow(
    "epoch-001", 1, 10, 40, "ab" * 32, 123, 0.5, "2026-01-01T00:00:00+00:00", "r1", {"torch": "2.13.0"}
)


def _row(name: str, epoch: int | None, step: int | None) -> ManifestRow:
    return replace(ROW, name=name, epoch=epoch, step=step)


def test_a_manifest_comes_back_from_its_text_and_the_same_rows_give_the_same_text() -> None:
    manifest = Manifest("f" * 32, (ROW,))
    assert Manifest.loads(manifest.dumps()) == manifest
    assert Manifest.loads(manifest.dumps()).dumps() == manifest.dumps()
    assert set(json.loads(manifest.dumps())["revisions"][0]) == {
        *(
            "name",
            "epoch",
            "step",
            "samples_seen",
            "sha256",
            "size",
            "loss",
            "time",
            "recipe_hash",
            "versions",
        )
    }


def test_rows_are_kept_in_training_order_whatever_order_they_come_in() -> None:
    manifest = Manifest("f" * 32, ())
    for row in (_row("epoch-001", 1, 64), _row("step-00000008", None, 8), _row("epoch-000", 0, 0)):
        manifest = manifest.with_row(row)
    assert [row.name for row in manifest.revisions] == ["epoch-000", "step-00000008", "epoch-001"]
    assert manifest.newest is not None
    assert manifest.newest.name == "epoch-001"
    assert len(manifest.with_row(_row("epoch-001", 1, 65)).revisions) == 3


def test_without_steps_the_numbers_in_the_names_give_the_order() -> None:
    manifest = Manifest("f" * 32, ())
    for name in ("epoch-010", "epoch-002", "epoch-1000"):
        manifest = manifest.with_row(_row(name, None, None))
    assert [row.name for row in manifest.revisions] == ["epoch-002", "epoch-010", "epoch-1000"]


def test_parents_and_plan_come_back_and_are_written_only_if_there_are_any() -> None:
    manifest = Manifest(
        "f" * 32, (ROW,), parents=(Parent("them/base", "v2", "a" * 40),), planned=("epoch-000", "epoch-001")
    )
    assert Manifest.loads(manifest.dumps()) == manifest
    assert set(json.loads(Manifest("f" * 32, (ROW,)).dumps())) == {"format_version", "run_id", "revisions"}
    with pytest.raises(RevisionError, match="planned"):
        Manifest.loads(manifest.dumps().replace('"epoch-000"', '"../x"'))


def test_keys_of_a_later_version_are_passed_over() -> None:
    content = json.loads(Manifest("f" * 32, (ROW,)).dumps())
    content["revisions"][0]["mood"] = "good"
    assert Manifest.loads(json.dumps(content)).revisions == (ROW,)


def test_facts_of_the_run_come_back_and_are_unknown_in_earlier_manifests() -> None:
    manifest = Manifest("f" * 32, (ROW,), scale="tiny", seed=0, arm="noise", parameters=1234)
    assert Manifest.loads(manifest.dumps()) == manifest
    assert Manifest.loads(manifest.with_row(_row("epoch-002", 2, 20)).dumps()).seed == 0
    content = json.loads(manifest.dumps())
    for name in ("scale", "seed", "arm", "parameters"):
        del content[name]
    assert Manifest.loads(json.dumps(content)) == Manifest("f" * 32, (ROW,))
    assert Manifest("f" * 32, (ROW,)).dumps() == json.dumps(content, indent=1) + "\n"


@pytest.mark.parametrize(
    "fact",
    [{"scale": 3}, {"scale": "\x1b[31m"}, {"scale": ""}, {"seed": 0.5}, {"arm": "a b"}, {"parameters": -1}],
)
def test_facts_of_the_run_that_cannot_be_are_one_clear_error(fact: dict[str, object]) -> None:
    content = json.loads(Manifest("f" * 32, (ROW,)).dumps()) | fact
    with pytest.raises(
        RevisionError, match=rf"revisions\.json of me/run cannot be read: {next(iter(fact))} is"
    ):
        Manifest.loads(json.dumps(content), where="me/run")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format_version": 1, "run_id": "x", "revisions": [{}]}',
        '{"format_version": 2, "run_id": "x", "revisions": []}',
        '{"format_version": 1, "revisions": []}',
    ],
)
def test_what_is_no_manifest_is_one_clear_error(text: str) -> None:
    with pytest.raises(RevisionError, match=r"revisions\.json of me/run"):
        Manifest.loads(text, where="me/run")


def test_one_row_is_read_without_the_others() -> None:
    rows = tuple(_row(f"epoch-00{n}", n, 10 * n) for n in range(3))
    text = Manifest("run", rows).dumps().replace('"epoch": 2', '"epoch": "two"')
    assert Manifest.loads(text, only="epoch-001").revisions == (rows[1],)
    assert Manifest.loads(text, only="epoch-009").revisions == ()
    with pytest.raises(RevisionError, match="'two', not a whole number"):
        Manifest.loads(text)


def test_the_last_row_of_a_long_manifest_is_read_from_its_ends() -> None:
    manifest = Manifest("f" * 32, tuple(_row(f"epoch-{epoch:03d}", epoch, epoch) for epoch in range(40)))
    text = manifest.dumps().encode()
    head, tail = text[:500], text[-2000:]
    own = Manifest.from_ends(head, tail, "epoch-039")
    assert own is not None
    assert (own.run_id, own.revisions) == (manifest.run_id, manifest.revisions[39:])
    before = Manifest.from_ends(head, tail, "epoch-038")
    assert before is not None
    assert before.row("epoch-038") == manifest.row("epoch-038")


@pytest.mark.parametrize(
    ("head", "tail", "name"),
    [
        (b'{"run_id": 1}', None, "epoch-039"),
        (None, b"\n ]\n}\n", "epoch-039"),
        (None, None, "epoch-001"),
        (None, b'\n  {\n   "name": "epoch-039",\n   "epoch": 1}]}', "epoch-039"),
        (None, b'\n  {\n   "name": "epoch-039",\n', "epoch-039"),
        (b'{\n "format_version": 9,\n "run_id": "f",\n', None, "epoch-039"),
    ],
)
def test_ends_that_are_not_as_written_tell_nothing(head: bytes | None, tail: bytes | None, name: str) -> None:
    rows = tuple(_row(f"epoch-{epoch:03d}", epoch, epoch) for epoch in range(40))
    text = Manifest("f" * 32, rows).dumps().encode()
    assert Manifest.from_ends(head or text[:500], tail or text[-2000:], name) is None
