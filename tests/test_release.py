"""What names the version and the way to cite it: the package, pyproject.toml, CITATION.cff and CHANGELOG.md agree."""

import re
import tomllib
from pathlib import Path

import yaml

import hf_clipdyn

# The keys of the Citation File Format 1.2.0 that we use, of its 27, and those that a reference must have.
KEYS = {
    "authors",
    "cff-version",
    "date-released",
    "keywords",
    "license",
    "message",
    "references",
    "title",
    "type",
    "version",
}
REQUIRED = {"authors", "cff-version", "message", "title"}
AUTHOR_KEYS = ({"name"}, {"family-names", "given-names"})


def test_every_file_that_names_the_version_names_the_same_one(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, date), *_ = re.findall(r"^## (\d\S*) \((\S+)\)$", changes, re.MULTILINE)
    assert {project["version"], citation["version"], newest} == {hf_clipdyn.__version__}
    assert citation["date-released"] == date
    assert citation["license"] == project["license"]


def test_the_citation_is_valid_in_the_citation_file_format(checkout: Path) -> None:
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert REQUIRED <= set(citation) <= KEYS
    assert citation["type"] == "software"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", citation["date-released"])
    assert all(isinstance(word, str) for word in citation["keywords"])
    for work in (citation, *citation["references"]):
        assert all(set(author) in AUTHOR_KEYS for author in work["authors"])
    for reference in citation["references"]:
        assert set(reference) == {"authors", "notes", "title", "type", "url", "year"}
        assert reference["type"] == "article"
        assert isinstance(reference["year"], int)


def test_the_readme_is_short(checkout: Path) -> None:
    assert len((checkout / "README.md").read_text(encoding="utf-8").splitlines()) <= 110
