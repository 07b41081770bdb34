"""Hooks of mkdocs.yml: what the site needs beside the pages of docs/.

- A folder in `nav` is all of its pages.
- Documents, reports and figures outside docs/ belong to the site; links lead to them as they do on GitHub.
- `<!-- docstrings: NAME NAME -->` becomes the docstrings, and names in the list of such a page become links to them.
- The first line of a block may say why no test runs it, or name a file (tests/test_docs.py).
- A built page that loads anything from a network is a warning, and thus an error of `make docs`.
"""

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.structure.files import File

_LOG = logging.getLogger("mkdocs.hooks.docs_site")
_OUTSIDE = (
    "model_cards/*/[!R]*.md",
    "model_cards/*/*.html",
    "model_cards/*/figures/*.svg",
    "hf_clipdyn/*.bib",
)
_DOCSTRINGS = re.compile(r"^<!-- docstrings: (.+) -->$", re.MULTILINE)
_OUTSIDE_LINK = re.compile(r"\]\(\.\./((?:\.\./)*(?:model_cards|hf_clipdyn)/)")
_INSIDE_LINK = re.compile(r"\]\(((?:\.\./)+)docs/")


def _root(config: Any) -> Path:
    return Path(config.config_file_path).parent


def on_config(config: Any) -> None:
    """Put the pages of a folder in the place of its name in `nav`."""
    config.nav = _expanded(config.nav, _root(config))


def _expanded(entry: Any, root: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(value, root) for title, value in entry.items()}
    if not isinstance(entry, list):
        return entry
    found = []
    for one in entry:
        if isinstance(one, str) and one.endswith("/"):
            found += [f"{one}{path.name}" for path in _pages(one, root)]
        else:
            found.append(_expanded(one, root))
    return found


def _pages(folder: str, root: Path) -> list[Path]:
    return sorted((root / "docs" / folder).glob("*.md"))


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside docs/."""
    root = _root(config)
    for pattern in _OUTSIDE:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            files.append(File(name, str(root), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Correct links to files outside docs/ and the first lines of blocks, and name docstrings as mkdocstrings does."""
    for place in " ".join(_DOCSTRINGS.findall(markdown)).split():
        name = place.rpartition(".")[2]
        markdown = markdown.replace(f"\n- `{name}`:", f"\n- [`{name}`](#{place}):")
    markdown = _DOCSTRINGS.sub(_blocks, markdown)
    markdown = _INSIDE_LINK.sub(r"](\1", _OUTSIDE_LINK.sub(r"](\1", markdown))
    markdown = re.sub(r"^( *```\w+) no-run: .*$", r"\1", markdown, flags=re.MULTILINE)
    return re.sub(r"^( *```\w+) (\S+\.(?:py|yaml))$", r'\1 title="\2"', markdown, flags=re.MULTILINE)


def _blocks(comment: re.Match[str]) -> str:
    """The blocks of mkdocstrings; below a heading of the page their own headings are one level lower."""
    is_below = "\n## " in comment.string[: comment.start()]
    options = "\n    options:\n      heading_level: 3" if is_below else ""
    return "\n\n".join(f"::: {place}{options}" for place in comment[1].split())


class _Resources(HTMLParser):
    """The addresses from which a page loads something when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.addresses.append(given.get("href") or "")
        self.addresses.append(given.get("src") or "")


def on_post_page(output: str, page: Any, **_: Any) -> None:
    """Warn of what a page would load from a network."""
    parser = _Resources()
    parser.feed(output)
    styles = re.findall(r"(?:@import\s+|url\()[\"']?([^\"')\s;]+)", output)
    for address in (*parser.addresses, *styles):
        if urlsplit(address).netloc:
            _LOG.warning("%s loads %s from a network.", page.file.src_uri, address)
