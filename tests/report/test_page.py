"""The report as files: the page, its figures, and the command that writes them."""

import hashlib
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from result_rows import row

from hf_clipdyn.report.page.evidence import evidence
from hf_clipdyn.report.page.write import render


@pytest.fixture(scope="module")
def page(report):
    """The text of the page of two runs."""
    return (report / "index.html").read_text(encoding="utf-8")


class _Audit(HTMLParser):
    """Collects what a page refers to, and where its tags do not match."""

    void = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _values(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def _audit(page):
    audit = _Audit()
    audit.feed(page)
    assert audit.open == []
    return audit


def test_the_page_refers_to_nothing_but_itself(page):
    audit = _audit(page)
    assert all(address.startswith(("#", "data:")) for address in audit.addresses)
    (policy,) = (more["content"] for tag, more in audit.tags if "http-equiv" in more)
    assert policy.startswith(
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:;"
    )


def test_the_chart_library_is_the_file_whose_hash_is_written_beside_it():
    vendor = files("hf_clipdyn.report.page") / "vendor"
    library = (vendor / "plotly-cartesian.min.js").read_bytes()
    assert hashlib.sha256(library).hexdigest() in (vendor / "README.md").read_text(encoding="utf-8")
    assert "MIT" in (vendor / "LICENSE").read_text(encoding="utf-8")
    for kind in ("bar", "heatmap", "scatter"):
        assert f'name: "{kind}"'.encode() in library or f'name:"{kind}"'.encode() in library


def test_ids_are_unique_and_every_link_within_the_page_arrives(page):
    audit = _audit(page)
    assert len(set(audit.ids)) == len(audit.ids)
    assert {address[1:] for address in audit.addresses if address.startswith("#")} <= set(audit.ids)


def test_the_overview_for_browsers_without_a_script_says_what_it_shows(page):
    images = [attributes for tag, attributes in _audit(page).tags if tag == "img"]
    assert all(image["src"].startswith("data:image/svg+xml,") for image in images)
    (image, *_) = images
    assert "me/rendered: from 0.300 [0.260, 0.340] at epoch 1 to 0.840" in image["alt"]


def test_the_page_names_its_caveats(page):
    words = re.sub(r"<[^>]+>|\s+", " ", page)
    for caveat in (
        "synthetic images",
        "No human judged these images",
        "embedded world (synthetic)",
        "not interpretable",
        "95 % intervals over the items",
        "neither the variation between seeds nor the variation between checkpoints",
        "clean accuracy within its interval of chance",
        "fixture0123",
        "hf_clipdyn 0.1.0, torch 2.6",
    ):
        assert caveat in words


def test_names_from_a_table_cannot_break_the_page(study, read):
    page = render(read(study("me/</script><script>alert(1)</script>&\"'<!--")))
    assert page.count("<script") == 3  # the data, the library, the program
    _audit(page)
    assert "me/</script><script>alert(1)</script>&\"'<!--" in _values(page)


def test_the_command_prints_a_table_the_findings_and_the_page(study, write, tmp_path, clipdyn):
    code, printed, _ = clipdyn("report", write(study()), "--output", tmp_path / "out", "--no-figures")
    assert code == 0
    assert "0.840  [0.800, 0.880]" in printed
    assert "It crosses 0.5 towards shape" in printed
    assert printed.rstrip().endswith(f"The page is {tmp_path / 'out' / 'index.html'}.")


@pytest.mark.parametrize(("name", "code"), [("absent.parquet", 2), ("empty.parquet", 1), ("text.parquet", 2)])
def test_bad_input_is_one_sentence_and_the_right_exit_code(name, code, write, tmp_path, clipdyn):
    write([], "empty.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    given, _, printed = clipdyn("report", tmp_path / name, "--output", tmp_path / "out")
    assert given == code
    assert printed.startswith("clipdyn: error: ")
    assert len(printed.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_is_not_defined_is_gathered_by_its_cause_and_diagnostics_by_condition_and_level(read):
    rows = [
        row("saliency/mit1003", "nss", math.nan, epoch=epoch, probe=probe, note="no fixation points")
        for epoch in (0, 1)
        for probe in ("rollout", "gradient")
    ]
    rows.append(row("saliency/mit1003", "sauc", math.nan))
    rows += [
        row("noise/x", "noise_rms", rms + epoch * change, epoch=epoch, probe="", role="diagnostic", **on)
        for rms, change, on in (
            (0.2544, 0.0, {"condition": "gaussian", "level": 0.3}),
            (0.05, 0.001, {"condition": "blur", "level": 1.0}),
        )
        for epoch in range(3)
    ]
    found = {name: table.rows for name, _, table in evidence(read(rows))}
    nss = ("me/fixture", "Saliency: mit1003", "NSS", "rollout; gradient")
    assert found["undefined"] == (
        (*nss, "epoch-000, epoch-001", "no fixation points"),
        ("me/fixture", "Saliency: mit1003", "shuffled AUC", "", "epoch-000", "not defined on these data"),
    )
    assert found["diagnostics"] == (
        ("Sensitivity to noise: x", "effective noise, RMS", "Gaussian noise, sigma 0.3", "0.254"),
        ("Sensitivity to noise: x", "effective noise, RMS", "blur, width 1 px", "0.05 to 0.052"),
    )
