"""The report as files: the page, its figures, and the command that writes them."""

import hashlib
import math
import re
from importlib.resources import files

import pytest
from result_rows import row, write_rows

from hf_clipdyn.report import read_study
from hf_clipdyn.report.page.evidence import evidence
from hf_clipdyn.report.page.write import render


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    """The text of the page of two runs, one on real and one on synthetic images."""
    rows = [*study("me/real", "cue_conflict"), *study("me/rendered")]
    return render(read_study(write_rows(rows, tmp_path_factory.mktemp("page") / "results.parquet")))


def test_the_page_may_load_nothing_but_what_it_contains(page):
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:;"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}' in page


def test_the_chart_library_is_the_file_whose_hash_is_written_beside_it():
    vendor = files("hf_clipdyn.report.page") / "vendor"
    library = (vendor / "plotly-cartesian.min.js").read_bytes()
    assert hashlib.sha256(library).hexdigest() in (vendor / "README.md").read_text(encoding="utf-8")
    assert "MIT" in (vendor / "LICENSE").read_text(encoding="utf-8")


def test_the_page_names_its_caveats(page):
    words = re.sub(r"<[^>]+>|\s+", " ", page)
    for caveat in (
        "synthetic images",
        "No human judged these images",
        "95 % intervals over the items",
        "neither the variation between seeds nor the variation between checkpoints",
        "fixture0123",
        "hf_clipdyn 0.1.0, torch 2.6",
    ):
        assert caveat in words


def test_the_command_prints_a_table_the_findings_and_the_page_or_that_nothing_was_measured(
    study, write, tmp_path, clipdyn
):
    code, printed, _ = clipdyn("report", write(study()), "--output", tmp_path / "out", "--no-figures")
    assert code == 0
    assert "0.840  [0.800, 0.880]" in printed
    assert "It crosses 0.5 towards shape" in printed
    assert printed.rstrip().endswith(f"The page is {tmp_path / 'out' / 'index.html'}.")
    code, _, error = clipdyn("report", write([], "empty.parquet"), "--output", tmp_path / "none")
    assert (code, error.startswith("clipdyn: error: ")) == (1, True)
    assert not (tmp_path / "none").exists()


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
    nss = ("me/fixture", "Saliency: mit1003", "NSS", "attention rollout; gradient")
    assert found["undefined"] == (
        (*nss, "epoch-000, epoch-001", "no fixation points"),
        ("me/fixture", "Saliency: mit1003", "shuffled AUC", "", "epoch-000", "not defined on these data"),
    )
    assert found["diagnostics"] == (
        ("Sensitivity to noise: x", "noise rms", "Gaussian noise, sigma 0.3 of the pixel range", "0.254"),
        ("Sensitivity to noise: x", "noise rms", "blur, sigma 1 px", "0.05 to 0.052"),
    )
