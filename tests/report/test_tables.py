"""The numbers behind the figures."""

from result_rows import row

from hf_clipdyn.report.tables import provenance_table


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
