"""The pages of docs/ and the README: links, anchors, length, and whether the written reference is current."""

import re
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data.registry import dataset_names

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES += sorted((CHECKOUT / "model_cards").glob("*/[!R]*.md"))
PROSE = [page for page in PAGES if DOCS / "reference" not in page.parents]
MOST_WORDS = 900
BELOW = "<!-- `make docs` writes what follows"


def place(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


@cache
def text_of(page: Path) -> str:
    """A page without blocks of code and comments."""
    return without_blocks(page.read_text(encoding="utf-8"))


def without_blocks(text: str) -> str:
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, by GitHub's rule, which is the site's too."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings]
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in named}


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


@pytest.mark.parametrize("page", PAGES, ids=place)
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
    """What a person wrote: below that, a page of a benchmark has the reference."""
    above, _, _ = page.read_text(encoding="utf-8").partition(BELOW)
    assert words(without_blocks(above)) <= MOST_WORDS


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
    r"|(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|better\b)[a-z]+)\b",
    re.IGNORECASE,
)
READ_BY_USERS = [
    *PAGES,
    CHECKOUT / "CHANGELOG.md",
    *CHECKOUT.glob("model_cards/*.jinja"),
    *CHECKOUT.glob("metrics/*/README.md"),
    *(
        path
        for path in (CHECKOUT / "hf_clipdyn").rglob("*")
        if path.suffix in (".py", ".js", ".jinja", ".yaml")
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_a_number_below_one_has_a_zero_before_its_point(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text_of(page))
    assert re.findall(r"(?<![\w.\])])\.\d.*", text) == []


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
    return {page.path: page.text(DOCS) for page in pages}


def test_the_reference_is_what_the_code_declares(script: ModuleType, written: dict[str, str]) -> None:
    """If not: `make docs`."""
    absent = [path for path in written if not (DOCS / path).exists()]
    assert absent == []
    assert [path for path, text in written.items() if (DOCS / path).read_text("utf-8") != text] == []


def test_a_page_that_a_person_begins_says_from_where_on_it_is_written(
    script: ModuleType, tmp_path: Path
) -> None:
    page = script.Page("begun.md", "", "", ["## Written", "New."], is_begun=True)
    (tmp_path / "begun.md").write_text("# Begun\n")
    with pytest.raises(ValueError, match=r"begun\.md lacks the line below which"):
        page.text(tmp_path)
    line = script.BELOW
    (tmp_path / "begun.md").write_text(f"# Begun\n\nBy hand.\n\n{line}\n\n## Written\n\nOld.\n")
    assert page.text(tmp_path) == f"# Begun\n\nBy hand.\n\n{line}\n\n## Written\n\nNew.\n"


def test_the_table_of_models_says_what_applies(written: dict[str, str]) -> None:
    lines = [line for line in written["reference/models.md"].splitlines() if line.startswith("| [`")]
    ends = {
        name: line.partition(") | ")[2]
        for line in lines
        for name in re.findall(r"`(\w+)`", line.partition(") | ")[0])
    }
    assert ends.keys() == kinds().keys()
    assert ends["retrieval"] == "yes | no | no |"
    assert ends["zero_shot"] == "yes | head | head |"
    assert ends["saliency"] == "yes | yes | yes, with `gradient_input`, `grad_cam` |"


def test_no_written_page_is_left_that_nothing_declares_any_more(
    script: ModuleType, written: dict[str, str], tmp_path: Path
) -> None:
    pages = [script.Page(path, "", "", []) for path in written]
    assert script.outdated(pages) == []
    old = script.Page("old.md", "An old page", "", [])
    (tmp_path / "old.md").write_text(old.text(tmp_path))
    (tmp_path / "by-hand.md").write_text("# A page that a person wrote\n")
    assert script.outdated([], tmp_path) == [tmp_path / "old.md"]
    assert script.outdated([old], tmp_path) == []


def test_every_data_set_is_on_the_page_of_data_sets() -> None:
    assert set(dataset_names()) <= anchors(text_of(DOCS / "reference" / "data-sets.md"))


PYTHON = [DOCS / "reference" / "python.md", *sorted((DOCS / "reference" / "python").rglob("*.md"))]


@pytest.mark.parametrize("page", PYTHON, ids=place)
def test_a_page_that_explains_a_function_links_back_to_its_reference(page: Path) -> None:
    text = text_of(page)
    names = re.findall(r"^- `(\w+)`: .*\[page\]\((\S+)\)$", text, re.MULTILINE)
    wanted = [(f"`{name}`", page.parent / path) for name, path in names]
    wanted += [("", page.parent / path) for path in re.findall(r"\[Explanation\]\((\S+)\)", text)]
    lacking = []
    for name, target in wanted:
        explained = text_of(target.resolve())
        links = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", explained)
        if not any(
            name in said and (target.parent / path.partition("#")[0]).resolve() == page
            for said, path in links
        ):
            lacking.append((name, place(target.resolve())))
    assert lacking == []


def test_no_page_shows_what_only_the_site_understands() -> None:
    """The site puts docstrings where a comment names them; on GitHub `:::` would be read as it stands."""
    assert [place(page) for page in PAGES if re.search(r"^:::", page.read_text("utf-8"), re.MULTILINE)] == []


def test_the_site_fills_in_the_docstrings_and_links_the_names_to_them() -> None:
    pytest.importorskip("mkdocs", reason="no mkdocs")
    found = spec_from_file_location("docs_site", CHECKOUT / "scripts" / "docs_site.py")
    assert found is not None
    assert found.loader is not None
    site = module_from_spec(found)
    found.loader.exec_module(site)
    page = "\n- `one`: a name\n\n<!-- docstrings: a.b.one a.two -->\n\n<!-- a note -->\n"
    shown = "\n- [`one`](#a.b.one): a name\n\n::: a.b.one\n\n::: a.two\n\n<!-- a note -->\n"
    assert site.on_page_markdown(page) == shown


def test_every_public_function_says_which_page_explains_it(written: dict[str, str]) -> None:
    lacking = []
    for path, text in written.items():
        if re.match(r"reference/python(\.md|/(?!errors|metrics))", path):
            lacking += re.findall(r"^- `(\w+)`:(?!.*\[page\])", text, re.MULTILINE)
    assert [name for name in lacking if name != "__version__"] == []


def test_every_citation_of_a_data_set_is_once_in_the_file(written: dict[str, str]) -> None:
    keys = re.findall(r"^@\w+\{(\w+),", written["reference/data-sets.bib"], re.MULTILINE)
    cited = re.findall(r"^- Source: .* Cite: `(\w+)`\.$", written["reference/data-sets.md"], re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert set(cited) == set(keys)
