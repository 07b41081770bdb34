"""The works that this package cites, as BibTeX: one file, read by key."""

import re
from functools import cache
from importlib.resources import files


def reference(key: str) -> str:
    """The entry of `references.bib` with this key.

    Raises:
        KeyError: there is none.

    Examples:
        >>> from hf_clipdyn.references import reference
        >>> reference("fu2023dreamsim").splitlines()[0]
        '@inproceedings{fu2023dreamsim,'
    """
    return _entries()[key]


@cache
def _entries() -> dict[str, str]:
    text = files("hf_clipdyn").joinpath("references.bib").read_text(encoding="utf-8")
    entries = (entry.strip() for entry in re.split(r"^(?=@)", text, flags=re.MULTILINE))
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in entries if entry}
