"""Cards as text: one key or one section changes, and every other byte stays."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_clipdyn.report.card_text import CardText, dumped, with_results

_BEGIN, _END = "<!-- begin -->", "<!-- end -->"
_SECTION = f"{_BEGIN}\n\nnew\n\n{_END}"
_HEADS = {
    "plain": "license: mit\ntags:\n- a\n- b\n",
    "comments": "# first\nlicense: mit  # mine\n\ntags:   # listed\n  - a\n  # last\n",
    "indented": "  license: mit\n  tags: [a, b]\n",
    "literal": "text: |\n  one\n\n  two\n\nlicense: mit\n",
    "anchors": "base: &b\n  x: 1\nother: *b\nlicense: mit\n",
    "dates": "date: 2024-01-01\nnumber: 1e3\nnothing:\n",
    "only comments": "# nothing yet\n",
    "duplicated": "license: mit\nlicense: apache-2.0\n",
    "quoted": "'license': \"mit\"\n? complex\n: value\n",
}


_FLOW = "{metrics: [{type: f1, value: 1}], task: {type: t}, dataset: {type: d, name: d}}"


def _card(head: str, body: str = "\n# Mine\n", newline: str = "\n") -> CardText:
    return CardText.parse(f"---\n{head}---\n{body}".replace("\n", newline))


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("head", _HEADS.values(), ids=_HEADS)
def test_a_new_key_is_added_and_all_other_lines_stay(head, newline):
    card = _card(head, newline=newline)
    added = card.with_key("models", ["me/run", "you/run"])
    assert added.data == {**card.data, "models": ["me/run", "you/run"]}
    kept = re.sub(r" *models:\r?\n *- me/run\r?\n *- you/run\r?\n", "", f"{added.head}{newline}")
    assert kept == f"{card.head}{newline}"
    assert (added.opening, added.closing, added.body) == (card.opening, card.closing, card.body)
    assert added.with_key("models", None).data == card.data
    assert added.with_key("models", ["me/run", "you/run"]) is added
    assert "\n" not in str(added).replace("\r\n", "") or newline == "\n"


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        ("[x]", "# after\nz: 1\n"),
        ("\n- x\n- y", "# after\n\nz: 1\n"),
        ("\n  deep:\n    - x: 1  # mine\n      y: 2", "z: 1\n"),
        ("|\n  literal\n", "z: 1\n"),
        ("", "z: 1\n"),
        ("'two\n  lines'", "z: 1\n"),
    ],
)
def test_only_the_lines_of_a_replaced_key_change(value, rest):
    card = _card(f"a: 1  # one\nmodels: {value}\n{rest}")
    replaced = card.with_key("models", ["new"])
    assert f"{replaced.head}\n" == f"a: 1  # one\nmodels:\n- new\n{rest}"
    assert f"{card.with_key('models', None).head}\n" == f"a: 1  # one\n{rest}"


def test_a_head_whose_lines_cannot_be_replaced_is_written_again():
    card = _card("{license: mit, tags: [a]}\n")
    assert card.with_key("models", ["x"]).data == {"license": "mit", "tags": ["a"], "models": ["x"]}
    aliased = _card("tags: &t [a]\nmodels:\n  x: *t\nz: 1\n").with_key("models", ["x"])
    assert aliased.data == {"tags": ["a"], "models": ["x"], "z": 1}


def test_an_empty_head_gets_the_first_key():
    assert str(_card("\n").with_key("license", "mit")) == "---\nlicense: mit\n---\n\n# Mine\n"


def test_a_text_without_a_head_gets_one_and_a_byte_order_mark_stays_first():
    card = CardText.parse("\ufeff# Mine\n").with_key("license", "mit")
    assert str(card) == "\ufeff---\nlicense: mit\n---\n\n# Mine\n"
    assert CardText.parse(str(card)).data == {"license": "mit"}


def test_the_head_ends_where_the_hub_ends_it():
    text = "---\nlicense: mit\n---\n\ntext\n---\nmore\n"
    card = CardText.parse(text)
    assert str(card) == text
    assert card.body == ModelCard(text).text


@pytest.mark.parametrize("head", ["a: [", "- a\n- list", "a: b: c", "? [1, 2]\n: x", "d: 2024-13-45"])
def test_a_head_that_is_no_mapping_is_an_error(head):
    with pytest.raises(ValueError, match="has a YAML head that"):
        CardText.parse(f"---\n{head}\n---\n")


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "{}\n"),
        ("Text.", "Text.\n\n{}\n"),
        ("Text.\n", "Text.\n\n{}\n"),
        ("Text.\n\n", "Text.\n\n{}\n"),
        (f"A\n{_BEGIN}\nold\n{_END}\nB\n", "A\n{}\nB\n"),
        (f"A\n{_BEGIN}\nmine, without an end\n", f"A\n{_BEGIN}\nmine, without an end\n\n{{}}\n"),
        (f"{_BEGIN}\nmine\n{_BEGIN}\nold\n{_END}\nB\n", f"{_BEGIN}\nmine\n{{}}\nB\n"),
        (f"{_END}\nA {_BEGIN} {_END}\n", f"{_END}\nA {_BEGIN} {_END}\n\n{{}}\n"),
    ],
)
def test_a_section_is_replaced_in_its_place_or_added_at_the_end(body, expected, newline):
    card = CardText.parse(f"---\na: 1\n---\n{body}".replace("\n", newline))
    marked = card.with_section(_SECTION, _BEGIN, _END)
    assert marked.body == expected.format(_SECTION).replace("\n", newline)
    assert marked.with_section(_SECTION, _BEGIN, _END) == marked


def _item(value: float, name: str = "accuracy, epoch-001", dataset: str = "x", mark: bool = True) -> dict:
    metric = {"type": "accuracy", "value": value, "name": name}
    return {
        "task": {"type": "t"},
        "dataset": {"name": "X", "type": dataset},
        "metrics": [{**metric, **({"args": {"measured_by": "hf-clipdyn"}} if mark else {})}],
    }


def test_results_stay_in_an_entry_that_a_person_renamed():
    card = with_results(_card("license: mit\n"), "run", [_item(0.5)])
    renamed = CardText.parse(str(card).replace("name: run", "name: My run  # mine"))
    again = with_results(renamed, "run", [_item(0.6)])
    assert again.data["model-index"] == [{"name": "My run", "results": [_item(0.6)]}]
    assert "name: My run  # mine" in again.head


def test_a_result_of_ours_that_another_tool_regrouped_is_replaced_within_its_group():
    foreign = {"type": "f1", "value": 1, "unknown": {"key": 1}}
    mixed = {**_item(0.5), "metrics": [*_item(0.5)["metrics"], foreign]}
    card = _card(dumped({"model-index": [{"name": "run", "results": [mixed], "more": 1}]}))
    (entry,) = with_results(card, "run", [_item(0.6)]).data["model-index"]
    assert entry == {"name": "run", "results": [_item(0.6), {**_item(0.5), "metrics": [foreign]}], "more": 1}


def test_a_result_without_a_mark_but_with_the_same_task_data_and_metric_is_replaced():
    card = _card(dumped({"model-index": [{"name": "run", "results": [_item(0.5, mark=False)]}]}))
    assert with_results(card, "run", [_item(0.6)]).data["model-index"][0]["results"] == [_item(0.6)]
    kept = with_results(card, "run", [_item(0.6, dataset="y")]).data["model-index"][0]["results"]
    assert kept == [_item(0.5, mark=False), _item(0.6, dataset="y")]


def test_results_of_another_model_name_stay_beside_ours():
    other = {"name": "other", "results": [_item(0.1, mark=False)]}
    card = _card(dumped({"model-index": [other]}))
    both = with_results(card, "run", [_item(0.6, dataset="y")])
    assert both.data["model-index"] == [other, {"name": "run", "results": [_item(0.6, dataset="y")]}]
    assert with_results(both, "run", []).data == card.data


@pytest.mark.parametrize(
    "index",
    [
        f"model-index: [{{name: run, results: [{_FLOW}]}}]\n",
        "model-index:\n-\n  name: run\n  results:\n  -\n    task: {type: t}\n    dataset: {type: d, name: d}\n"
        "    metrics: []\n",
        "model-index:\n- name: run\n  results: []\n",
        "model-index: []\n",
        "model-index:\n",
    ],
)
def test_an_index_in_any_style_gets_the_results(index):
    card = _card(f"license: mit  # mine\n{index}z: 1\n")
    merged = with_results(card, "run", [_item(0.5)])
    old = (card.data["model-index"] or [{"results": []}])[0]["results"]
    assert merged.data["model-index"] == [{"name": "run", "results": [*old, _item(0.5)]}]
    assert "license: mit  # mine" in merged.head
    assert with_results(merged, "run", [_item(0.5)]) == merged


@pytest.mark.parametrize(
    "name", ["a: b", "- x", "---", "line\nbreak", "\u2028", "'\"", "#", "{{7*7}}", "é 📈", "\x85", "no"]
)
def test_hostile_names_are_values_and_nothing_else(name):
    items = [_item(0.5, name=name, dataset=name)]
    card = with_results(_card("license: mit\n"), name, items)
    assert yaml.safe_load(card.head) == {"license": "mit", "model-index": [{"name": name, "results": items}]}
    assert CardText.parse(str(card)) == card
    again = with_results(card, name, [_item(0.6, name=name, dataset=name)])
    assert again.data["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.6
