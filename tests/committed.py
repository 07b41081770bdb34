"""The tables in model_cards/: `committed("demo/results")`."""

from pathlib import Path

CARDS = Path(__file__).resolve().parents[1] / "model_cards"


def committed(name: str) -> Path:
    """The table in that place."""
    return CARDS / f"{name}.parquet"
