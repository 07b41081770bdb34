"""Hostile names in cards: the Markdown, the YAML head, the code and the figures stay what they are."""

import ast
import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hostile.harness import Write
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hf_clipdyn.cards import CardFacts, CardSource, dataset_card, merged, results_card, revision_card

NAMES = {
    "script": "<script>alert(1)</script>",
    "comment": "<!-- end of trajectories --> <!--",
    "mark": "a\n<!-- end of card -->\n<!-- card of hf-clipdyn -->\n",
    "pipe": "a|b||c",
    "backticks": "`a` ```` b ```",
    "fence": "a\n```\nimport os\n```\n",
    "head": "a\n---\nlicense: mit\n---\n",
    "picture": "![x](http://127.0.0.1:9/x.png)",
    "definition": "[a]: http://127.0.0.1:9",
    "emphasis": "**bold** _it_ __b__ ~~s~~ *",
    "entity": "&lt;b&gt; &#60;",
    "quotes": "a\"'''\"\"\"b'",
    "backslash": "a\\",
    "braces": "{{ 7 * 7 }} {% raw %} {0.__class__}",
    "yaml": "!!python/object:os.system {a: [b",
    "tabs": "a\tb\r\nc\x0bd",
    "invisible": "a\u202eb\u2028c\x85d",
}
PLAIN = "plain"


def _cards(name: str) -> dict[str, str]:
    facts = CardFacts(
        name,
        datasets=(name,),
        synthetic=True,
        licence=name,
        scale=name,
        recipe={name: name},
        tags=(name,),
        citation=f"@misc{{x, title={{{name}}}}}",
    )
    imported = CardFacts(name, source=CardSource(name, name, name, files={name: name}))
    numbers = {"epoch": 1, "step": 2, "samples_seen": 3, "loss": 0.5}
    return {
        "revision": revision_card(facts, name=name, **numbers),
        "imported": revision_card(imported, name=name, **numbers),
        "dataset": dataset_card(
            title=name,
            name=name,
            config=name,
            kind="labels",
            licence=name,
            licence_id="other",
            public=False,
            where=name,
            citation=name,
            rows={name: 3},
            official_rows={name: None},
            columns={name: name},
            source=f" --data_dir {name}",
        ),
        "results": results_card(
            repo_id=name,
            rows=3,
            runs=[{"repo_id": name, "revisions": 1, "first": name, "last": name}],
            benchmarks=[
                {"name": name, "synthetic": True, "revisions": 1, "rows": 3, "dtype": name, "trials": name}
            ],
            configs={"results": "results.parquet", name: name},
            left_out=[name],
            columns=[(name, name, name)],
        ),
    }


def _body(card: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", card, count=1, flags=re.DOTALL)


def _tokens(card: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(_body(card)):
        yield token
        yield from token.children or ()


def _shape(card: str) -> Counter[str]:
    """How often each element is there; a code span may be HTML, as `_code` writes it."""
    counts: Counter[str] = Counter()
    for token in _tokens(card):
        if token.type == "html_inline" and token.content in ("<code>", "</code>"):
            counts["code_inline"] += token.content == "<code>"
        elif token.type not in ("text", "softbreak", "text_special"):
            counts[token.type] += 1
    return counts


def _python(card: str) -> list[str]:
    """The Python code of a card, without its layout."""
    blocks = [token.content for token in _tokens(card) if token.type == "fence" and token.info == "python"]
    return [ast.dump(ast.parse(block)) for block in blocks]


def _words(text: str) -> list[str]:
    """YAML and Markdown turn some control characters into spaces."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028]", " ", text).split()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["revision", "imported", "dataset", "results"])
def test_a_name_adds_nothing_to_a_card_but_its_text(name: str, kind: str) -> None:
    card, plain = _cards(name)[kind], _cards(PLAIN)[kind]
    assert _shape(card) == _shape(plain)
    if kind == "dataset":
        tokens = list(_tokens(card))
        heading = tokens[[token.type for token in tokens].index("heading_open") + 1]
        assert _words(html.unescape(heading.content)) == _words(name), "it is shown as it is"
    assert not any(token.type == "image" for token in _tokens(card))
    html_there = [token.content.strip() for token in _tokens(card) if token.type == "html_block"]
    marks = ["<!-- card of hf-clipdyn -->", "<!-- end of card -->"]
    assert html_there == marks * (kind != "dataset")
    if html_there:
        later = merged(f"{card}Mine.\n", plain)
        assert _body(later or "") == f"{_body(plain)}Mine.\n", "a name is no mark"
    head = yaml.safe_load(re.match(r"\A---\n(.*?)\n---\n", card, re.DOTALL)[1])
    assert head.keys() == yaml.safe_load(re.match(r"\A---\n(.*?)\n---\n", plain, re.DOTALL)[1]).keys()
    if kind == "revision":
        assert _words(*head["datasets"]) == _words(name)
    assert _python(card) == [code.replace(repr(PLAIN), repr(name)) for code in _python(plain)]


@pytest.mark.parametrize("name", [NAMES["script"], NAMES["yaml"], "$\\frac{$ and $$x^2$$"])
def test_a_report_on_any_name_has_one_whole_page_card_and_figure(
    name: str, tmp_path: Path, write_table: Write
) -> None:
    from hf_clipdyn.report import write_cards, write_report
    from hf_clipdyn.report.cards import file_name

    columns = ("repo_id", "revision", "kind", "dataset", "metric", "variant", "condition", "dtype", "note")
    results = write_table(tmp_path / "results.parquet", **dict.fromkeys(columns, f"it/{name}"))
    page = write_report(results, tmp_path / "report").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert (tmp_path / "report" / "figures").is_dir()
    (card,) = write_cards(results, tmp_path / "report")
    assert card.name == f"card-{file_name(f'it/{name}')}.md"
    text = card.read_text(encoding="utf-8")
    html_there = {token.content for token in _tokens(text) if token.type == "html_inline"}
    assert html_there <= {"<code>", "</code>"}
    yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
