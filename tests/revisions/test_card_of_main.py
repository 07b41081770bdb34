"""The card of `main`: what the package generates is the newest, and what a person wrote stays, byte for byte."""

import logging
from pathlib import Path

import pytest
from hub_server.server import HubServer
from hub_server.state import File

from hf_clipdyn.revisions.verify import verify

_FIRST, _LAST = "<!-- card of hf-clipdyn -->", "<!-- end of card -->"
_ABOVE = "\nRead this first.  \n\n"
_BELOW = """
## Mine

```python
model = CLIPModel.from_pretrained("me/run", revision="epoch-003")
```

<!-- trajectories of hf-clipdyn -->

| epoch | 3 |

<!-- end of trajectories -->
"""


def _bytes(hub: HubServer) -> bytes:
    return hub.state.content(hub.repo("me/run").resolve("main").tree["README.md"])


def _card(hub: HubServer) -> str:
    return _bytes(hub).decode()


def _write(hub: HubServer, text: str | bytes) -> None:
    """What a person commits with git, also what the Hub's client would not send."""
    repo, content = hub.repo("me/run"), text if isinstance(text, bytes) else text.encode()
    repo.commit("main", "by git", {**repo.resolve("main").tree, "README.md": File.small(content)})


def _edited(card: str, line: str = "\n") -> str:
    """A card with a key, a tag and texts of a person."""
    head, text = card.split("\n---\n", 1)
    head = head.replace("tags:\n", "x-lab: 3\ntags:\n- mine\n")
    return f"{head}\n---\n{_ABOVE}{text}{_BELOW}".replace("\n", line)


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_an_example_of_a_person_that_names_a_revision_stays_when_the_next_one_is_published(
    suite: HubServer, tmp_path: Path, publish, line
) -> None:
    _write(suite, _edited(_card(suite), line))
    publish([4, 5], push_to_hub=True)
    made = (tmp_path / "revisions" / "epoch-005" / "README.md").read_text()
    assert _card(suite) == _edited(made, line)
    assert verify("me/run", deep=True).findings == ()


def test_a_line_that_the_first_card_lacks_is_in_the_next_one_beside_what_a_person_wrote(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish([0], push_to_hub=True)
    assert "| training loss |" not in _card(hub)
    _write(hub, _edited(_card(hub)))
    publish([0, 1], push_to_hub=True)
    assert "| training loss | 4.0000 |" in _card(hub)
    assert _card(hub) == _edited((tmp_path / "revisions" / "epoch-001" / "README.md").read_text())


@pytest.mark.parametrize(
    "mine",
    [b"# Mine\n\nText.\n", f"```\n{_FIRST}\n{_LAST}\n```\n".encode(), b"\xff", b"---\nlicense: [\n---\nx"],
)
def test_a_card_of_somebody_else_is_left_alone_and_the_command_says_so_once(
    suite: HubServer, publish, caplog, mine
) -> None:
    _write(suite, mine)
    with caplog.at_level(logging.WARNING):
        publish([4, 5], push_to_hub=True)
    assert _bytes(suite) == mine
    assert caplog.text.count("The card of me/run is left as it is") == 1


def test_marks_that_a_person_removed_stay_away(suite: HubServer, publish) -> None:
    without = _card(suite).replace(f"{_FIRST}\n", "").replace(f"{_LAST}\n", "")
    _write(suite, without)
    publish([4], push_to_hub=True)
    assert _card(suite) == without


def test_a_card_of_0_4_0_gets_its_marks_around_what_was_generated(
    suite: HubServer, tmp_path: Path, publish
) -> None:
    """Version 0.4.0 wrote the same card without marks, into the folder and on the Hub."""
    folder = tmp_path / "revisions" / "epoch-003"
    old = (folder / "README.md").read_text().replace(f"{_FIRST}\n\n", "").replace(f"\n\n{_LAST}\n", "\n")
    (folder / "README.md").write_text(old)
    _write(suite, _edited(old))
    publish([4], push_to_hub=True)
    made = (tmp_path / "revisions" / "epoch-004" / "README.md").read_text()
    card = _card(suite)
    assert (card.count(_FIRST), card.count(_LAST)) == (1, 1)
    section = card[card.index(_FIRST) : card.index(_LAST)]
    assert section == made[made.index(_FIRST) : made.index(_LAST)]
    assert card.replace(section + _LAST, "").split("\n---\n", 1)[1].strip() == f"{_ABOVE}\n{_BELOW}".strip()
