"""Words for columns that hold JSON, and for lists of names."""

import json
from collections.abc import Container, Sequence
from typing import Any

__all__ = ["joined", "json_object", "json_words", "listed"]


def json_words(text: str, hidden: Container[str] = ()) -> str:
    """``torch 2.6, transformers 5.0``; a text that is not a JSON object stays as it is.

    Args:
        text: of a column that holds JSON.
        hidden: keys to leave out.
    """
    held = json_object(text)
    if held is None:
        return text
    shown = {
        name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in held.items()
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items() if name not in hidden)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None if it holds none."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas; of many the first and the number of the others."""
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"
    )


def joined(names: Sequence[str]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
