"""The pages of docs/ and the README: links, anchors, tables of declarations, and that the reference is current."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from printed_blocks import CHECKOUT, prose_of
from transformers import CLIPModel

from hf_clipdyn.models.sizes import MODEL_SIZES, clip_config
from hf_clipdyn.models.tokenizers import stand_in_tokenizer

DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES += sorted((CHECKOUT / "model_cards").glob("*/[!R]*.md"))


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of the headings, by GitHub's rule, which is the site's too."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    named = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings]
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in named}


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", prose_of(page))
    broken = []
    for link in re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{page.relative_to(CHECKOUT)}: {link}")
    return broken


def test_every_link_leads_to_a_page_and_to_a_heading_of_it() -> None:
    assert [link for page in PAGES for link in broken_links(page)] == []


def test_the_reference_is_what_the_code_declares() -> None:
    """If not: `make docs`."""
    with pytest.MonkeyPatch.context() as patch:  # its folder has a script called evaluate, too
        patch.syspath_prepend(CHECKOUT / "scripts")
        script = import_module("write_reference")
    pages = script.pages()
    assert len({page.path for page in pages}) == len(pages)
    assert script.outdated(pages) == [], "nothing declares them any more"
    assert [one.path for one in pages if not (DOCS / one.path).exists()] == []
    assert [one.path for one in pages if (DOCS / one.path).read_text("utf-8") != one.text(DOCS)] == []


def test_the_table_of_sizes_has_every_scale_with_its_images_tokenizer_and_parameters() -> None:
    rows = re.findall(r"\| (`micro`|`small`|`vit-b-32`)(.*?) \|\n", prose_of(DOCS / "how-to" / "train.md"))
    found = {}
    for first, rest in rows:
        names, side, tokenizer, counts = (first + rest).split(" | ")
        for name, count in zip(names.split(", "), counts.split(", "), strict=True):
            found[name.strip("`")] = (side, tokenizer, count)
    expected = {}
    for name, size in MODEL_SIZES.items():
        own = "trained on your captions" if size.vocab_size else "CLIP's own"
        millions = _parameters(name) / 1e6
        count = f"{millions:.0f}" if millions > 100 else f"{millions:.1f}"
        expected[name] = (f"{size.image_size} x {size.image_size} pixels", own, count)
    assert found == expected


def _parameters(name: str) -> int:
    """With the largest vocabulary."""
    size = MODEL_SIZES[name]
    if size.parameters is not None:
        return size.parameters
    tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
    with torch.device("meta"):
        return sum(one.numel() for one in CLIPModel(clip_config(size, tokenizer)).parameters())
