"""Styles of matplotlib by name or from a file, reduced to what a style may change."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl

from hf_clipdyn.errors import ConfigError, UnknownNameError, shorten

__all__ = ["StyleWarning", "read_style"]

_LOOKS = (
    *("axes.", "errorbar.", "figure.edgecolor", "figure.facecolor", "font.", "grid.", "hatch.", "legend."),
    *(
        "lines.",
        "mathtext.",
        "patch.",
        "savefig.edgecolor",
        "savefig.facecolor",
        "text.color",
        "xtick.",
        "ytick.",
    ),
)
"""The settings that are looks. All others are left out: they run LaTeX or other programs (``text.usetex``,
``text.latex.preamble``, ``ps.usedistiller``), choose a backend, or decide what size and format a file has."""
_MEANINGFUL = ("lines.linestyle", "lines.marker", "lines.markeredgecolor", "lines.markerfacecolor")
"""Looks to which the figures give a meaning of their own."""
_MISSED = (
    "backend",
    "figure.figsize",
    "pdf.",
    "pgf.",
    "ps.",
    "savefig.",
    "svg.",
    "text.latex",
    "text.usetex",
)
"""Of the settings that are left out, those that somebody could miss."""
_GREATEST = 200.0
"""Points, or whatever else a setting counts: a font of 10^9 points would take all memory."""
_LONGEST = 100_000
_SUFFIX = ".mplstyle"


class StyleWarning(UserWarning):
    """Settings of a style were left out."""


def read_style(style: str | Path) -> dict[str, Any]:
    """Read a style: a name that ``matplotlib.style.available`` lists, or a file in the format of matplotlibrc.

    Settings that are not looks are left out; a `StyleWarning` names those that may be missed.

    Raises:
        ConfigError: the file cannot be read, or has a key or a value that matplotlib does not know.
        UnknownNameError: there is neither a style nor a file of that name.
    """
    from matplotlib import style as styles

    if style == "default":
        return {}
    if style in styles.library:
        found = dict[Any, Any](styles.library[str(style)])
    elif Path(style).is_file():
        found = _read_file(Path(style))
    elif Path(style).suffix == _SUFFIX:
        raise ConfigError(f"The style file {shorten(str(style))} does not exist.")
    else:
        raise UnknownNameError("matplotlib style or file", str(style), [*styles.available, "default"])
    kept = {name: found[name] for name in found if _is_look(name)}
    for name, value in kept.items():
        _check_size(name, value, style)
    missed = [name for name in found if name not in kept and name.startswith(_MISSED)]
    usual: dict[str, Any] = mpl.rcParamsDefault  # type: ignore[assignment]  # matplotlib lists every name
    if changed := [name for name in missed if found[name] != usual[name]]:
        text = (
            f"These settings of the style {shorten(str(style))} do not affect looks and are ignored: "
            f"{', '.join(changed)}."
        )
        warnings.warn(text, StyleWarning, stacklevel=2)
    return kept


def _is_look(name: str) -> bool:
    return name.startswith(_LOOKS) and name not in _MEANINGFUL and not name.startswith("axes.formatter.")


def _read_file(path: Path) -> dict[str, Any]:
    """The settings of a file; matplotlib logs what it does not understand, which is an error here."""
    if path.stat().st_size > _LONGEST:
        raise ConfigError(f"{path} has over {_LONGEST:,} bytes: no matplotlib style is that long.")
    heard = _Heard()
    log = logging.getLogger("matplotlib")
    log.addHandler(heard)
    propagated, log.propagate = log.propagate, False
    try:
        # A path, never a text: matplotlib would fetch a text that is an address.
        found = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except Exception as error:
        raise ConfigError(f"{path} is not a matplotlib style ({_first_line(error)}).") from error
    finally:
        log.removeHandler(heard)
        log.propagate = propagated
    if heard.said:
        raise ConfigError(f"{path} is not a matplotlib style ({_first_line(heard.said[0])}).")
    return dict[Any, Any](found)


class _Heard(logging.Handler):
    """Keeps what matplotlib says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _first_line(said: object) -> str:
    return shorten(str(said).strip().partition("\n")[0].rstrip("."))


def _check_size(name: str, value: object, style: str | Path) -> None:
    for number in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(number, (int, float)) and not (math.isfinite(number) and abs(number) <= _GREATEST):
            raise ConfigError(
                f"The style {shorten(str(style))} sets {name} to {number:g}: give a number of at most {_GREATEST:g}."
            )
