"""What a person wrote on a card stays when the package writes on it again."""

from dataclasses import replace
from difflib import ndiff

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.cards import CardFacts, Parent, merged, revision_card

_FIRST, _LAST = "<!-- card of hf-clipdyn -->", "<!-- end of card -->"
_FACTS = CardFacts("me/run", licence="mit", citation="@misc{x,\n  title={A}\n}", recipe={"lr": 0.1})


def _made(epoch: int, facts: CardFacts = _FACTS) -> str:
    """The card of a revision."""
    return revision_card(
        facts, name=f"epoch-{epoch:03d}", epoch=epoch, step=9 * epoch, samples_seen=epoch, loss=0.5
    )


def _shared(number: int) -> str:
    """A card that `clipdyn share` writes where there is none."""
    body = f"## Trajectories\n\n```text\n{number}\n```"
    return (
        f"---\nmodel-index:\n- name: run\n  results: [{number}]\n---\n\n{_FIRST}\n\n# run\n\n{_LAST}\n\n"
        f"<!-- trajectories of hf-clipdyn -->\n\n{body}\n\n<!-- end of trajectories -->\n"
    )


def _of_0_4_0(epoch: int, facts: CardFacts = _FACTS) -> str:
    """The card of a revision as version 0.4.0 wrote it, without marks."""
    return _made(epoch, facts).replace(f"{_FIRST}\n\n", "").replace(f"\n\n{_LAST}\n", "\n")


def _split(card: str) -> tuple[str, str]:
    """The YAML head with its lines, and the text."""
    head, text = card.replace("\r\n---\r\n", "\n---\n").split("\n---\n", 1)
    return head, text


def _section(card: str, part: str = "card") -> str:
    """A part with its marks."""
    first, last = f"<!-- {part} of hf-clipdyn -->", f"<!-- end of {part} -->"
    return card[card.index(first) : card.index(last) + len(last)]


# A line of a person has no fence and no mark; a block in a fence may have marks.
_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="`~\r\n"), max_size=20)
_FENCED = st.sampled_from(["```", "````", "~~~"]).map(
    lambda fence: f"{fence} md\n{_FIRST}\n{_LAST}\n<!-- trajectories of hf-clipdyn -->\n{fence}"
)
_WRITTEN = st.lists(_LINE | _FENCED, min_size=1, max_size=4).map(lambda lines: "\n".join([*lines, ""]))
_STEPS = st.lists(
    st.tuples(st.sampled_from(["above", "below"]), _WRITTEN)
    | st.tuples(st.sampled_from(["card", "trajectories"]), st.integers(1, 9)),
    min_size=2,
    max_size=8,
)


@given(steps=_STEPS, line=st.sampled_from(["\n", "\r\n"]), bom=st.sampled_from(["", "\ufeff"]))
def test_whatever_a_person_writes_around_stays_and_each_part_is_the_newest(steps, line, bom):
    """The model: the text with a placeholder for each part."""
    card = bom + _made(0).replace("\n", line)
    text, newest = f"\n{{card}}{line}", {"card": _made(0)}
    text = text.replace("\n", line) if line == "\n" else text.replace("\n", line, 1)
    for what, value in steps:
        head, body = card[: card.index(f"{line}---{line}") + 3 + 2 * len(line)], ""
        body = card[len(head) :]
        if what in ("above", "below"):
            written = value.replace("\n", line)
            card = head + (written + body if what == "above" else body + written)
            written = written.replace("{", "{{").replace("}", "}}")
            text = written + text if what == "above" else text + written
            continue
        newest[what] = _made(value) if what == "card" else _shared(value)
        keys = None if what == "card" else ["model-index"]
        if f"{{{what}}}" not in text:
            text += f"{'' if text.endswith(line) else line}{line}{{{what}}}{line}"
        again = merged(card, newest[what], part=what, keys=keys)
        assert again is not None
        assert merged(again, newest[what], part=what, keys=keys) == again
        card = again
    parts = {part: _section(made, part).replace("\n", line) for part, made in newest.items()}
    assert card.startswith(f"{bom}---{line}")
    assert card[card.index(f"{line}---{line}") + 3 + 2 * len(line) :] == text.format(**parts)
    assert yaml.safe_load(_split(card.removeprefix(bom))[0])["license"] == "mit"
