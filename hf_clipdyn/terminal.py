"""What a terminal shows."""

import os
import sys

__all__ = ["draws_bars"]


def draws_bars() -> bool:
    """Whether progress bars are drawn: on a terminal, unless a variable forbids them.

    The variables are ``TQDM_DISABLE`` and ``HF_HUB_DISABLE_PROGRESS_BARS``.
    """
    from huggingface_hub import constants

    switched_off = os.environ.get("TQDM_DISABLE", "").lower() not in ("", "0", "false")
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal and not (switched_off or constants.HF_HUB_DISABLE_PROGRESS_BARS)
