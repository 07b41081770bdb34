"""The numbers behind the figures."""

import math

from result_rows import row

from hf_clipdyn.report.tables import diagnostics_table, provenance_table, undefined_table


def test_undefined_numbers_are_gathered_by_their_cause(read):
    rows = [
        row("saliency/mit1003", "nss", math.nan, epoch=epoch, probe=probe, note="no fixation points")
        for epoch in (0, 1)
        for probe in ("rollout", "gradient")
    ]
    rows.append(row("saliency/mit1003", "sauc", math.nan))
    assert undefined_table(read(rows)).rows == (
        (
            *("me/fixture", "Saliency: mit1003", "NSS"),
            "rollout; gradient",
            "epoch-000, epoch-001",
            "no fixation points",
        ),
        (
            *("me/fixture", "Saliency: mit1003", "shuffled AUC"),
            *("projection", "epoch-000", "not defined on these data"),
        ),
    )


def test_diagnostics_are_listed_by_condition_and_level_once_for_all_revisions(read):
    rows = [
        row("noise/x", "noise_rms", rms + epoch * change, epoch=epoch, probe="", role="diagnostic", **on)
        for rms, change, on in (
            (0.2544, 0.0, {"condition": "gaussian", "level": 0.3}),
            (0.05, 0.001, {"condition": "blur", "level": 1.0}),
        )
        for epoch in range(3)
    ]
    study = read(rows)
    assert diagnostics_table(study).rows == (
        ("Sensitivity to noise: x", "effective noise, RMS", "Gaussian noise, sigma 0.3", "0.254"),
        ("Sensitivity to noise: x", "effective noise, RMS", "blur, width 1 px", "0.05 to 0.052"),
    )
    assert study.charts == []


def test_how_a_benchmark_was_measured_is_listed_once(read):
    rows = [
        row(
            *("noise/x", "area", 0.5),
            epoch=epoch,
            n=n,
            versions='{"torch": "2.6.0", "numpy": "2.1"}',
            settings='{"stage": "input"}',
        )
        for epoch, n in ((0, 900), (1, 1000))
    ]
    assert provenance_table(read(rows)).rows == (
        (
            *("me/fixture", "noise/x", "test", "2", "900 to 1,000", "fixture0123", "processor"),
            *("stage input", "float32", "torch 2.6.0, numpy 2.1"),
        ),
    )
