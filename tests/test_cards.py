"""What a person wrote on a card stays when the package writes on it again."""

from dataclasses import replace
from difflib import ndiff

import pytest
import yaml
from hypothesis import given, settings
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


@settings(max_examples=20, deadline=None, derandomize=True)
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
        keys = [] if what == "card" else ["model-index"]
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


# --- what is left alone, and what is ours -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "there",
    {
        "a card of somebody else": "---\nlicense: mit\n---\n\n# Mine\n\nText.\n",
        "no head and no marks": "# Mine\n",
        "marks in fenced code": f"# Mine\n\n```md\n{_FIRST}\n{_LAST}\n```\n",
        "marks in an open fence": f"~~~\n{_FIRST}\n{_LAST}\n",
        "not UTF-8": _made(1).encode() + b"\xff",
        "marks in a line": f"Put {_FIRST} and {_LAST}.\n",
        "no last mark": _made(1).replace(_LAST, ""),
        "no first mark": _made(1).replace(_FIRST, ""),
        "a first mark twice": _made(1).replace(_FIRST, f"{_FIRST}\n{_FIRST}"),
        "the part twice": _made(1) + _section(_made(1)),
        "marks in the other order": f"{_LAST}\n{_FIRST}\n",
        "a broken head": _made(1).replace("license: mit", "license: [mit"),
        "a head that is no mapping": _made(1).replace("license: mit", "- mit").replace(": ", " "),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_card_of_somebody_else_and_one_with_broken_marks_or_head_are_left_alone(there):
    assert merged(there[1], _made(2)) is None
    assert merged(there[1], _made(2), _made(1)) is None


def test_marks_that_a_person_removed_do_not_come_back():
    there = _of_0_4_0(1) + "\nMine.\n"
    assert merged(there, _made(2), _made(1)) is None, "what was generated had marks"
    assert merged(there, _made(2), _of_0_4_0(1)) is not None, "what was generated had none"


@pytest.mark.parametrize("there", [None, "", "\n\n", "---\nlicense: mit\n---\n", "---\nlicense: mit\n---"])
def test_a_card_without_text_is_filled(there):
    card = merged(there, _made(1))
    assert _split(card)[1] == _split(_made(1))[1]
    assert yaml.safe_load(_split(card)[0].strip("-")) == yaml.safe_load(_split(_made(1))[0].strip("-"))


# --- the head ---------------------------------------------------------------------------------------------------


def test_keys_and_tags_of_a_person_stay_ours_are_replaced_and_an_unchanged_head_keeps_its_comments():
    head, text = _split(_made(1))
    edited = head.replace("tags:", "x-lab: {room: 3} # mine\ntags:\n- mine").replace(
        "license: mit", "license: gpl"
    )
    first = merged(f"{edited}\n---\n{text}", _made(2))
    data, ours = (yaml.safe_load(_split(card)[0].strip("-")) for card in (first, _made(2)))
    assert data == ours | {"x-lab": {"room": 3}, "tags": ["mine", *ours["tags"]]}
    commented = first.replace("license: mit", 'license:   "mit" # as it is')
    assert _split(merged(commented, _made(3)))[0] == _split(commented)[0]


def test_a_head_that_a_person_removed_comes_back_with_our_keys():
    assert merged(_split(_made(1))[1], _made(2)) == _made(2)


# --- cards of version 0.4.0 -------------------------------------------------------------------------------------


def test_a_card_of_0_4_0_as_it_was_generated_becomes_the_new_one():
    assert merged(_of_0_4_0(1), _made(2), _of_0_4_0(1)) == _made(2)
    assert _section(merged(None, _of_0_4_0(1))).strip() in merged(None, _of_0_4_0(1)), "it gets marks"
    later = merged(_made(1), _of_0_4_0(2))
    assert (later.count(_FIRST), "epoch-002" in later, "epoch-001" in later) == (1, True, False)


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_a_card_of_0_4_0_gets_marks_around_what_was_generated_and_the_rest_stays(line):
    head, text = _split(_of_0_4_0(1))
    edited = text.replace("# run", "Above.\n\n# run", 1).replace("## Limits", "Between.\n\n## Limits")
    edited = edited.replace("never", "NEVER").replace("not examined", "examined by me") + "\nBelow.\n"
    there = f"{head}\n---\n{edited}".replace("\n", line)
    mine = [
        one[2:] for one in ndiff(text.splitlines(), edited.splitlines()) if one.startswith("+ ") and one[2:]
    ]
    assert len(mine) == 4
    for epoch in (2, 3):
        there = merged(there, _made(epoch), _of_0_4_0(1))
        assert _section(there) == _section(_made(epoch)).replace("\n", line)
        outside = there.replace(_section(there), "")
        assert [one for one in _split(outside)[1].splitlines() if one] == mine
        assert "epoch-001" not in there


def test_a_parent_that_0_4_0_named_and_the_new_card_does_not_name_leaves_the_head():
    named = _of_0_4_0(1, replace(_FACTS, parents=(Parent("me/secret"),)))
    assert "me/secret" not in merged(f"{named}\nMine.\n", _made(2), named)
