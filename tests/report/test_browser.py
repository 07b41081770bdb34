"""The page in a real browser: what it draws, what its slider and switches change, and what a reader can send."""

import pytest


@pytest.fixture(scope="module")
def site(report):
    """Folder of the page of two runs, one on real and one on synthetic images."""
    return report


def test_the_page_draws_its_charts_without_a_message_or_a_request(browse, site):
    page = browse(site)
    page.wait_for_selector("#overview .main-svg")
    assert page.locator("#overview figure").count() == page.evaluate("document.querySelectorAll('#overview figure').length")
    assert page.locator("#overview .js-plotly-plot").count() > 2
