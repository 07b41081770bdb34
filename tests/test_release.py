"""What names the version and the way to cite it: the package, pyproject.toml, CITATION.cff and CHANGELOG.md agree."""

import re
import tomllib
from pathlib import Path

import yaml

import hf_clipdyn


def test_every_file_that_names_the_version_names_the_same_one(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, date), *_ = re.findall(r"^## (\d\S*) \((\S+)\)$", changes, re.MULTILINE)
    assert {project["version"], citation["version"], newest} == {hf_clipdyn.__version__}
    assert citation["date-released"] == date
    assert citation["license"] == project["license"]


def test_the_citation_has_what_the_citation_file_format_requires(checkout: Path) -> None:
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"authors", "message", "title"} <= set(citation)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", citation["date-released"])
    for work in (citation, *citation["references"]):
        assert {"authors", "title"} <= set(work)
        assert all(set(author) in ({"name"}, {"family-names", "given-names"}) for author in work["authors"])
