"""The palette, as people with and without colour blindness see it, and styles of matplotlib over it."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.report.courses import N_HUES
from hf_clipdyn.report.style import COLOURS, HUES, figure_style, read_style

# Machado, Oliveira & Fernandes 2009, A Physiologically-based Model for Simulation of Color Vision Deficiency,
# severity 1.0; for linear RGB.
SEEN_WITH = {
    "normal vision": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
APART = 14.0


def linear(colour):
    channels = np.array(to_rgb(colour))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(colour, matrix):
    light = np.clip(matrix @ linear(colour), 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def contrast(colour, other):
    """WCAG 2.2, contrast ratio."""
    bright, dark = sorted(
        (float(linear(one) @ (0.2126, 0.7152, 0.0722)) for one in (colour, other)), reverse=True
    )
    return (bright + 0.05) / (dark + 0.05)


def distances(colours, others, vision):
    """Of each colour to each of the others."""
    seen = [[lab(colour, SEEN_WITH[vision]) for colour in each] for each in (colours, others)]
    return deltaE_ciede2000(np.array(seen[0])[:, None], np.array(seen[1])[None])


@pytest.mark.parametrize("vision", SEEN_WITH)
@pytest.mark.parametrize("dark", [False, True], ids=["white", "dark"])
def test_hues_people_and_grey_can_be_distinguished_by_people_with_colour_blindness(vision, dark):
    assert len(HUES) == N_HUES == 4
    colours = [pair[dark] for name in ("hue", "human", "grey") for pair in COLOURS[name]]
    apart = distances(colours, colours, vision)[np.triu_indices(len(colours), 1)]
    assert apart.min() >= APART, dict(zip(combinations(colours, 2), apart, strict=True))


@pytest.mark.parametrize("dark", [False, True], ids=["white", "dark"])
def test_names_in_the_colour_of_their_line_can_be_read(dark):
    (papers,) = COLOURS["paper"]
    for name, least in {"hue": 4.5, "human": 4.5, "grey": 4.5, "shade": 3}.items():
        assert min(contrast(pair[dark], papers[dark]) for pair in COLOURS[name]) >= least


def test_a_file_of_a_user_is_respected_and_runs_no_program(tmp_path, caplog):
    path = tmp_path / "own.mplstyle"
    path.write_text("font.size: 9\nlines.linewidth: 2\ntext.usetex: True\n")
    with figure_style(read_style(path), printed=True):
        names = ("font.size", "lines.linewidth", "text.usetex")
        assert [mpl.rcParams[name] for name in names] == [9, 2, False]
    for wrong in ("font.size: large letters\n", "# A page\n\nruns: [{}]\nwords without a colon\n"):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match=r"own\.mplstyle"):
            read_style(path)
    assert caplog.messages == [], "a file that is no style has one error, and no warning of each line"
    with pytest.raises(ConfigError):
        read_style("https://example.org/a.mplstyle")
