"""The kind that docs/how-to/add-a-kind.md adds in one file, asked of planted models."""

import re
import sys

import pytest

from hf_clipdyn import plugins


@pytest.fixture(scope="module")
def brightness(checkout, tmp_path_factory):
    text = (checkout / "docs" / "how-to" / "add-a-kind.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python brightness\.py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    file = tmp_path_factory.mktemp("plugin") / "brightness.py"
    file.write_text(block, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_loaded", {})  # the other tests of this process do not know the kind
        module = plugins.load_plugin(file)
        yield module.Brightness
        del sys.modules[module.__name__]


@pytest.fixture
def labelled(source, colour):
    rows = [{"image": colour(level, level, level), "label": 0} for level in (20, 60, 100)]
    return source("labels", rows, ["grey"])


def test_the_displacement_grows_with_the_factor_from_0_at_factor_1(brightness, labelled, measure, planted):
    found = measure(brightness, labelled, planted(lambda pixels: [1, pixels.mean() / 255]), gains=(2.0, 1.5))
    values = [one.value for one in sorted(found, key=lambda one: one.level)]
    assert [one.level for one in sorted(found, key=lambda one: one.level)] == [1, 1.5, 2]
    assert values[0] == 0 < values[1] < values[2]
    assert all(one.n == 3 and one.ci_low <= one.value <= one.ci_high for one in found if one.level > 1)


def test_an_encoder_that_ignores_brightness_is_not_displaced(brightness, labelled, measure, planted):
    found = measure(brightness, labelled, planted(lambda pixels: [1, 2]))
    assert {one.value for one in found} == {0}
