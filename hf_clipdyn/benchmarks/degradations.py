"""Corruptions of pictures, as functions on arrays; among them those that Geirhos et al. (2018) showed to people.

Each takes a picture, a level and a generator of random numbers. Those in colour change uint8 pixels (H, W, 3). Source
of the others: rgeirhos/generalisation-humans-DNNs @ 0b88343, CC BY 4.0. Their grey values are float64 in [0, 1], shape
(H, W), without any gamma; a result may lie outside, and `to_pixels` clips it. The published pictures are 224 pixels
wide and high, and the sigmas of the filters are pixels of that frame: for other images they are scaled by the shorter
side. On a picture of 224 x 224 pixels all results equal the published ones in every pixel, given the same random draws.
"""

from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import EvaluationError

FRAME = 224
"""Width and height of the published pictures, in pixels."""

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])
_MEAN_GREY = 0.4423  # of the published photographs; also what lies outside the frame
_CUT = 4  # sigmas at which the Gaussian ends
_CONES = np.array(
    [
        [0.1619982647, 0.208049264, 0.0389347448],
        [0.0330275785, 0.2496504557, 0.0618343518],
        [0.0015524055, 0.0198861001, 0.1890224274],
    ]
)
_OPPONENTS = np.array(
    [[9.27590805, 9.27590805, 0.0], [7.86421647, -9.33587662, 0.0], [-3.39709047, -3.39709047, 12.16230246]]
)


@cache
def _table(name: str) -> Floats:
    """A published table, see ``source`` in the file: ``amplitudes`` (224, 113) or ``display`` (256,)."""
    with (
        files("hf_clipdyn.benchmarks").joinpath("degradations.npz").open("rb") as file,
        np.load(file) as held,
    ):
        return np.asarray(held[name], np.float64)


def luminance(pixels: Pixels) -> Floats:
    """Luminance of RGB pixels (H, W, 3), in [0, 1]."""
    return np.asarray((pixels / 255) @ _LUMINANCE)


def to_pixels(values: Floats) -> Pixels:
    """Grey values (H, W), clipped, as three equal channels (H, W, 3); halves are rounded up."""
    levels = np.floor(255 * np.clip(values, 0, 1) + 0.5).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


# --- pixels in colour ----------------------------------------------------------------------------------


def gaussian(pixels: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    """x' = clamp(x + sigma n, 0, 1) on pixels in [0, 1], rounded to uint8; the same n for all sigmas."""
    noise = random.standard_normal(pixels.shape, np.float32)
    return _rounded(pixels + 255 * np.float32(sigma) * noise)


def salt_and_pepper(pixels: Pixels, amount: float, random: np.random.Generator) -> Pixels:
    """A fraction of the pixels becomes black or white, half each, all channels at once; a larger one has these too."""
    drawn = random.random(pixels.shape[:2])
    noisy = pixels.copy()
    noisy[drawn < amount / 2] = 0
    noisy[drawn >= 1 - amount / 2] = 255
    return noisy


def blur(pixels: Pixels, sigma: float, _: Any = None) -> Pixels:
    """Convolved with a Gaussian of sigma pixels: of the file or of the model's input, depending on the stage."""
    from scipy.ndimage import gaussian_filter

    return _rounded(gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0)))


def _rounded(pixels: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def false_colour(pixels: Pixels, *_: Any) -> Pixels:
    """Swap red with green and blue with yellow in an opponent space, at equal luminance; (H, W, 3) to the same."""
    display = _table("display")
    middle = _CONES @ np.full(3, 0.5)
    opponents = (display[pixels] @ _CONES.T - middle) @ _OPPONENTS.T
    cones = (opponents * [1, -1, -1]) @ np.linalg.inv(_OPPONENTS).T + middle
    light = np.clip(cones @ np.linalg.inv(_CONES).T, 0, 1)
    nearest = np.searchsorted((display[1:] + display[:-1]) / 2, light)
    return np.asarray(nearest, np.uint8)


# --- grey values ---------------------------------------------------------------------------------------


def grey(values: Floats, *_: Any) -> Floats:
    """The grey values themselves."""
    return values


def contrast(values: Floats, level: float, _: Any = None) -> Floats:
    """Values at a contrast in (0, 1], around the middle grey."""
    return np.asarray(level * values + (1 - level) / 2)


def rotation(values: Floats, angle: float, _: Any = None) -> Floats:
    """Turned counter-clockwise by a multiple of 90 degrees."""
    return np.rot90(values, int(angle) // 90)


def uniform_noise(values: Floats, width: float, random: np.random.Generator) -> Floats:
    """One value of [-width, width) is added to each pixel."""
    return np.asarray(values + (2 * width * random.random(values.shape) - width))


def grey_salt_and_pepper(values: Floats, share: float, random: np.random.Generator) -> Floats:
    """A share of the pixels becomes white or black, half each."""
    draws = random.random(values.shape)
    return np.where(draws >= 1 - share / 2, 1.0, np.where(draws < share / 2, 0.0, values))


# --- filters -------------------------------------------------------------------------------------------


def low_pass(values: Floats, sigma: float, _: Any = None) -> Floats:
    """Convolve with a Gaussian, cut at 4 sigma; the mean grey lies outside the frame. Sigma 0 changes nothing."""
    from scipy import fft

    scaled = sigma * min(values.shape) / FRAME
    if scaled == 0:
        return values
    result = values - _MEAN_GREY
    for axis, length in enumerate(values.shape):
        size, response = _spectrum(length, scaled)
        shape = (-1, 1) if axis == 0 else (1, -1)
        spectrum = fft.rfft(result, size, axis=axis) * response.reshape(shape)
        result = fft.irfft(spectrum, size, axis=axis)[tuple(slice(n) for n in values.shape)]
    return np.asarray(result + _MEAN_GREY)


@lru_cache(maxsize=64)
def _spectrum(length: int, sigma: float) -> tuple[int, Floats]:
    """Length of a Fourier transform without wrap-around, and the spectrum of the Gaussian in it."""
    from scipy import fft

    distances = np.arange(int(_CUT * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * np.square(distances / sigma))
    weights /= weights[0] + 2 * weights[1:].sum()
    weights = weights[:length]  # what is further away lies outside, where all is the mean grey
    size: int = fft.next_fast_len(length + len(weights), real=True)
    kernel = np.zeros(size)
    kernel[: len(weights)] = weights
    kernel[size - len(weights) + 1 :] = weights[:0:-1]
    return size, np.asarray(fft.rfft(kernel).real)


def high_pass(values: Floats, sigma: float, _: Any = None) -> Floats:
    """What `low_pass` removes, shifted to the mean grey. Sigma inf changes nothing."""
    if np.isinf(sigma):
        return values
    rest = values - low_pass(values, sigma)
    return np.asarray(rest - rest.mean() + _MEAN_GREY)


def octave(values: Floats, sigma: float, random: np.random.Generator, *, frequency: float) -> Floats:
    """Add noise in one octave: a Gaussian of log frequency, half as high half an octave from its centre; of RMS sigma.

    Subramanian et al. (2023) took levels of a Laplacian pyramid, whose bands differ in shape and width.

    Args:
        frequency: the centre, in cycles per shorter side.

    Raises:
        EvaluationError: the image has too few pixels to show this frequency.
    """
    from scipy import fft

    height, width = values.shape
    side = min(values.shape)
    if frequency > side / 2:
        raise EvaluationError(
            f"Noise of {frequency:g} cycles per image is not seen in an image of {side} pixels, which show "
            f"{side / 2:g}: leave this condition out."
        )
    radius = side * np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    with np.errstate(divide="ignore"):
        octaves = np.log2(radius / frequency)
    spectrum = fft.rfft2(random.random(values.shape) - 0.5)
    noise = fft.irfft2(spectrum * np.exp2(-np.square(2 * octaves)), s=values.shape)
    return np.asarray(values + sigma * (noise / np.sqrt(np.square(noise).mean())))


# --- spectra -------------------------------------------------------------------------------------------


def power_equalisation(values: Floats, *_: Any) -> Floats:
    """Keep the phases, and take the mean amplitudes of the published photographs.

    Raises:
        EvaluationError: the shape is not (224, 224), the only one with known amplitudes.
    """
    from scipy import fft

    height, width = values.shape
    if (height, width) != (FRAME, FRAME):
        raise EvaluationError(
            f"power_equalisation needs images of 224 x 224 pixels, but one has {width}x{height}: leave this condition "
            "out, or use the stage input and a model of that size."
        )
    phases = np.exp(1j * np.angle(fft.rfft2(values)))
    return np.asarray(fft.irfft2(_table("amplitudes") * phases, s=values.shape))


def phase_scrambling(
    values: Floats, width: float, random: np.random.Generator, *, mirrored: bool = False
) -> Floats:
    """Add noise of [-width, width) degrees to the phases.

    With the zero frequency in the centre and the phases in one row, the k-th of the first half gets a draw, and the
    k-th after the middle its negative. The partner of a component, which a real image needs to have the opposite phase,
    is the mirrored one: it has got another draw. The real part of the image then turns each component by the mean of
    two draws and shrinks it by the cosine of half their difference, so contrast falls too. This is the published rule.

    Args:
        mirrored: give the partners the same draw; the amplitudes then stay as they are.
    """
    from scipy import fft

    spectrum = fft.fftshift(fft.fft2(values))
    # A component at half the sampling rate has no partner.
    paired = spectrum[tuple(slice(1 - length % 2, None) for length in values.shape)]
    turns = np.radians(width) * (2 * random.random(paired.size // 2) - 1)
    row = np.concatenate([turns, [0.0], -(turns[::-1] if mirrored else turns)])
    paired *= np.exp(1j * row).reshape(paired.shape)
    return np.asarray(fft.ifft2(fft.ifftshift(spectrum)).real)
