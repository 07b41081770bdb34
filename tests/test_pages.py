"""The pages of docs/ and the README: links, anchors, length, and whether the written reference is current."""

import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from hf_clipdyn.data.registry import dataset_names

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted(CHECKOUT.glob("notebooks/*.ipynb"))
PROSE = [page for page in PAGES if DOCS / "reference" not in page.parents]
MOST_WORDS = 900


def place(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


@cache
def text_of(page: Path) -> str:
    """A page, or the text cells of a notebook, without blocks of code and comments."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, by GitHub's rule, which is the site's too; and those of docstrings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings]
    slugs = {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in named}
    return slugs | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", text_of(page))
    broken = []
    for link in re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            broken.append(link)
    return broken


def words(text: str) -> int:
    """The words of prose: no tables, no pictures, no addresses of links."""
    prose = re.sub(r"^ *\|.*$", "", text, flags=re.MULTILINE)
    prose = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", prose)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    return sum(bool(re.search(r"\w", word)) for word in prose.split())


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=place)
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_to_a_page_or_a_heading_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One & `two_3`\n\n```text\n# no heading\n```\n")
    page = tmp_path / "page.md"
    links = ("other.md", "other.md#one--two_3", "other.md#no-heading", "absent.md", "#here", "#there")
    page.write_text("## Here\n\n" + " ".join(f"[a]({link})" for link in links))
    assert broken_links(page) == ["other.md#no-heading", "absent.md", "#there"]


@pytest.mark.parametrize("page", PROSE, ids=place)
def test_a_page_has_at_most_900_words_of_prose(page: Path) -> None:
    assert words(text_of(page)) <= MOST_WORDS


def test_code_tables_pictures_and_addresses_are_no_words_of_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Two [words](a-page.md).\n\n```text\nsome code\n```\n\n| a | table |\n\n![a picture](b.png) <!-- a note -->\n"
    )
    assert words(text_of(page)) == 2


STUMBLES = re.compile(
    r"\b(?:anew|afresh|so many|told from|bears? on|bear out|borne out|is said of|whereof|thereof|as it came|spoilt|mute"
    r"|is called like|by themselves|first look whether|exclude each other|is others|are others"
    r"|partly by construction|serve a question|looked at:|gave the method its name"
    r"|(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b)[a-z]+)\b",
    re.IGNORECASE,
)
READ_BY_USERS = [
    *PAGES,
    *NOTEBOOKS,
    CHECKOUT / "CHANGELOG.md",
    *CHECKOUT.glob("model_cards/*.jinja"),
    *CHECKOUT.glob("metrics/*/README.md"),
    *(
        path
        for path in (CHECKOUT / "hf_clipdyn").rglob("*")
        if path.suffix in (".py", ".js", ".jinja", ".yaml")
    ),
]


def test_phrases_that_readers_had_to_read_twice_do_not_return() -> None:
    """Each was replaced in pages, help texts and errors; `is no X` means `is not an X`."""
    found = []
    for path in READ_BY_USERS:
        joined = re.sub(r"[\"']?\s*\n[\s#/*]*f?[\"']?", " ", path.read_text(encoding="utf-8"))
        found += [f"{place(path)}: {match[0]}" for match in STUMBLES.finditer(joined)]
    assert found == []


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/write_reference.py. Its folder is on the path only meanwhile: it has a script called evaluate, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKOUT / "scripts")
        return import_module("write_reference")


@pytest.fixture(scope="module")
def written(script: ModuleType) -> dict[str, str]:
    pages = script.pages()
    assert len({page.path for page in pages}) == len(pages)
    return {page.path: page.text for page in pages}


def test_the_reference_is_what_the_code_declares(script: ModuleType, written: dict[str, str]) -> None:
    """If not: `make docs`."""
    absent = [path for path in written if not (script.FOLDER / path).exists()]
    assert absent == []
    assert [path for path, text in written.items() if (script.FOLDER / path).read_text("utf-8") != text] == []


def test_no_written_page_is_left_that_nothing_declares_any_more(
    script: ModuleType, written: dict[str, str], tmp_path: Path
) -> None:
    pages = [script.Page(path, "", "", []) for path in written]
    assert script.outdated(pages) == []
    old = script.Page("old.md", "An old page", "", [])
    (tmp_path / "old.md").write_text(old.text)
    (tmp_path / "by-hand.md").write_text("# A page that a person wrote\n")
    assert script.outdated([], tmp_path) == [tmp_path / "old.md"]
    assert script.outdated([old], tmp_path) == []


def test_every_data_set_is_on_the_page_of_data_sets() -> None:
    assert set(dataset_names()) <= anchors(text_of(DOCS / "reference" / "data-sets.md"))
