"""The tutorial as a reader follows it: the blocks of its pages, in one folder, one after another."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from printed_blocks import CHECKOUT, Block, blocks_of, outputs_of

PAGES = ("index", "install", "demo", "own-data", "own-model", "own-claim", "python")
FILES = [CHECKOUT / "docs" / "tutorial" / f"{page}.md" for page in PAGES]
BLOCKS = [block for page in FILES for block in blocks_of(page)]
# Shorter runs give another verdict than the one that own-claim.md prints.
_PRINTING = [page for page in FILES if page.stem != "own-claim"]
OUTPUTS = [output for page in _PRINTING for output in outputs_of(page) if output.text and not output.command]

Words = Sequence[str | Path]

SHORTER = {
    "train_size=3000": "train_size=300",
    "num_train_epochs: 10": "num_train_epochs: 1",
    "num_train_epochs=4": "num_train_epochs=4, max_train_samples=256",
}
"""What makes the reader's runs short enough for a test; each is printed once."""


def follow(root: Path, python: Words, clipdyn: Words, run: Callable[..., str]) -> str:
    """Write the files and run the blocks that the tutorial prints, in ``root``, which holds `runs/demo`.

    Runs are `SHORTER`; all else is as it is printed.

    Args:
        root: the reader's folder.
        python: the words before a block of Python.
        clipdyn: the words in place of `clipdyn`.
        run: runs a command in ``root``, given word by word, and returns what it printed; fails if the command does.

    Returns:
        All that the blocks printed.
    """
    printed = []
    for block in map(_shorter, BLOCKS):
        if block.file is not None:
            (root / block.file).write_text(block.text, encoding="utf-8")
        elif block.runs and block.language in ("python", "bash"):
            printed += [run(*command) for command in _commands(block, python, clipdyn)]
    return "".join(printed)


def _shorter(block: Block) -> Block:
    text = block.text
    for printed, shorter in SHORTER.items():
        text = text.replace(printed, shorter)
    return replace(block, text=text)


def _commands(block: Block, python: Words, clipdyn: Words) -> list[list[str | Path]]:
    if block.language == "python":
        return [[*python, block.text]]
    lines = [shlex.split(line, comments=True) for line in block.commands]
    assert all(words[0] == "clipdyn" for words in lines), f"{block.place} runs other programs: no-run?"
    return [[*clipdyn, *words[1:]] for words in lines]
