"""A name in a run's journal becomes a path; it must not lead out of the run's folder."""

import json
from pathlib import Path

import pytest

from hf_clipdyn.errors import EvaluationError, RevisionError
from hf_clipdyn.evaluation.selection import choose_revisions
from hf_clipdyn.revisions.journal import Journal
from hf_clipdyn.revisions.names import natural_key

_ROW = {
    "epoch": 0,
    "step": 0,
    "samples_seen": 0,
    "sha256": "",
    "size": 0,
    "loss": None,
    "time": "",
    "recipe_hash": "",
}


@pytest.mark.parametrize(
    "name",
    ["../../../victim", "/etc", "", ".", "..", "a/b", "epoch-001", "a\nb", "x" * 5000, 7, None, "epoch-٣"],
)
def test_an_entry_whose_name_is_a_path_or_of_another_is_refused(tmp_path: Path, name: object) -> None:
    entries = tmp_path / "entries"
    entries.mkdir()
    content = {"row": {**_ROW, "name": name}, "published": {}, "refused": {}}
    (entries / "epoch-000.json").write_text(json.dumps(content))
    with pytest.raises(RevisionError, match=r"epoch-000\.json"):
        Journal(tmp_path).entries()


def test_a_repository_without_revisions_is_one_sentence() -> None:
    with pytest.raises(EvaluationError, match="no revisions"):
        choose_revisions([], None, print)


def test_a_superscript_in_a_name_is_no_number() -> None:
    assert natural_key("epoch-٣²") == ((0, 0, "epoch-"), (1, 3, ""), (0, 0, "²"))
