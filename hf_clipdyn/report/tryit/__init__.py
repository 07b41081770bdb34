"""The part "Try it" of the page: what every epoch of a small CLIP answers to an image of the reader's.

The page runs the models without a network (`model.js`), draws their answers (`tryit.js`) and a map of the embeddings
(`map.js`). `part.payload` reads them, which needs torch; this module does not.
"""

from importlib.resources import files


def program() -> str:
    """The JavaScript of the part."""
    return "\n".join(_text(name) for name in ("model.js", "map.js", "tryit.js"))


def style() -> str:
    """The CSS of the part."""
    return _text("tryit.css")


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
