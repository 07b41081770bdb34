"""How progress is shown: bars on a terminal or in a notebook, and the log elsewhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

_TRANSFORMERS = "transformers.utils.logging"


def draws_bars() -> bool:
    """Whether bars are drawn: on a terminal or in a notebook, unless a variable forbids them.

    The variables are ``TQDM_DISABLE`` and ``HF_HUB_DISABLE_PROGRESS_BARS``.
    """
    from huggingface_hub import constants

    switched_off = os.environ.get("TQDM_DISABLE", "").lower() not in ("", "0", "false")
    if switched_off or constants.HF_HUB_DISABLE_PROGRESS_BARS:
        return False
    kernels = sys.modules.get("ipykernel.kernelapp")  # a tool may have imported it without being a kernel
    in_notebook = kernels is not None and kernels.IPKernelApp.initialized()
    return bool(in_notebook) or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def library_bars(shown: bool, *, of_data: bool | None = None) -> Iterator[None]:
    """Within it, `datasets`, `transformers` and the Hub's client draw no bars unless ``shown``.

    ``of_data`` is for `datasets` alone; by default it is as the others. At the end, also after an error, all are as
    they were.
    """
    import datasets.utils.logging
    import huggingface_hub.utils

    client: Any = huggingface_hub.utils  # its own names are not declared as exported
    # transformers switches the bars of the Hub's client too; loaded within the block, it asks the client.
    loaded, had_client = _TRANSFORMERS in sys.modules, not client.are_progress_bars_disabled()
    libraries: list[Any] = [] if shown or not loaded else [sys.modules[_TRANSFORMERS]]
    libraries += [] if (shown if of_data is None else of_data) else [datasets.utils.logging]
    hidden = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in hidden:
        library.disable_progress_bar()
    if not shown:
        client.disable_progress_bars()
    try:
        yield
    finally:
        if not shown and had_client and not loaded and _TRANSFORMERS in sys.modules:
            hidden.append(sys.modules[_TRANSFORMERS])
        for library in hidden:
            library.enable_progress_bar()
        (client.enable_progress_bars if had_client else client.disable_progress_bars)()


def say(line: str) -> None:
    """Print a line on standard error, above the bar if one is drawn."""
    tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, then hours.

    Examples:
        >>> from hf_clipdyn.progress import duration
        >>> duration(0.25), duration(75), duration(600), duration(9000)
        ('0.25 s', '75 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
