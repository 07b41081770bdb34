"""The numbers behind the figures."""

from result_rows import row

from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.provenance import methods
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


def test_the_methods_are_a_paragraph_to_paste(read):
    rows = [row("zero_shot/<b>", "top1", 0.5, 0.1, epoch=epoch, n=n) for epoch, n in ((0, 900), (1, 1000))]
    study = read([*rows, row("noise/cifar10", "area", 0.5, 0.1, epoch=1)])
    words = methods(study)
    assert words.startswith("We measured 2 revisions of me/fixture with hf-clipdyn")
    assert (
        "on <b>, zero-shot classification (n = 1,000); on CIFAR-10, sensitivity to noise (n = 1,000). "
        in words
    )
    assert "The models ran in float32. The 95 % intervals of single revisions are over the clusters" in words
    page = render(study)
    assert "We measured 2 revisions of me/fixture" in page
    assert "on &lt;b&gt;, zero-shot classification (n = 1,000)" in page
