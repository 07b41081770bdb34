"""No number and no public name goes missing unseen: `goldens/write_lists.py` wrote the lists that this compares."""

from collections.abc import Sequence
from pathlib import Path

from goldens import write_lists as lists

HERE = Path(__file__).resolve().parent / "goldens"
REMEDY = "if it is meant, run tests/goldens/write_lists.py, and name the lines of its diff in CHANGELOG.md"


def _kept(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def _assert_same(found: Sequence[str], kept: Sequence[str]) -> None:
    missing = [line for line in kept if line not in set(found)]
    added = [line for line in found if line not in set(kept)]
    assert not missing, "\n".join(["missing:", *missing, REMEDY])
    assert not added, "\n".join(["new:", *added, REMEDY])


def test_each_number_that_stays_is_in_the_goldens() -> None:
    found, kept = lists.numbers(), _kept("numbers.tsv")
    assert kept[0] == found[0]
    # What goes may go.
    _assert_same(found, [line for line in kept if not line.endswith("\tgoes") or line in set(found)])


def test_the_public_names_and_their_signatures_are_those_that_are_listed() -> None:
    _assert_same(lists.public_names(), _kept("public_names.txt"))
