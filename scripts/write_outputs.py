"""Write what the commands of README and docs/ print, and the pictures that they draw, from runs on this machine.

python scripts/write_outputs.py [PAGE …] [--demo runs/demo]

`make outputs` calls it after `make demo`. A comment below a block asks for an output:

    <!-- prints: 1-2 … -1 -->                  these lines of what the block prints; `…` stands for others
    <!-- prints: /^Page/ /Found: .*?[)]/… -->  the first line with a pattern; with `…` behind it, only up to its end
    <!-- prints: 1-2 of: COMMAND -->           what this command prints, if the block cannot run here
    <!-- prints: 1-2 after: COMMAND -->        what the block prints after this command
    <!-- draws: report/figures/noise.png -->   a file that the block writes, copied into the picture below

Blocks run in one folder, as a reader's: it has a copy of the demo's run in `runs/demo`, and the files that pages print.
Pages of the tutorial run whole, and first. Commands of `scripts/reference/examples.yaml` say in `prints` what is shown;
`outputs.json` next to it keeps what they print, and `make docs` puts it into the reference.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from PIL import Image

CHECKOUT = Path(__file__).resolve().parents[1]
SCRIPTS = CHECKOUT / "scripts"
sys.path = [one for one in sys.path if Path(one).resolve() != SCRIPTS]  # evaluate.py would hide a library
sys.path.insert(0, str(CHECKOUT / "tests"))

from printed_blocks import blocks_of, outputs_of  # noqa: E402
from tutorial import FILES as TUTORIAL  # noqa: E402

EXAMPLES = SCRIPTS / "reference" / "examples.yaml"
OUTPUTS = EXAMPLES.with_name("outputs.json")
PAGES = [*TUTORIAL, CHECKOUT / "README.md", *sorted((CHECKOUT / "docs" / "how-to").glob("*.md"))]
WIDEST = 900  # pixels of a picture


class Reader:
    """A folder in which commands run, each once."""

    def __init__(self, root: Path, demo: Path) -> None:
        self.root = root
        self.printed: dict[str, list[str]] = {}
        shutil.copytree(demo, root / "runs" / "demo")
        for block in (one for page in PAGES for one in blocks_of(page) if one.file is not None):
            (root / str(block.file)).write_text(block.text, encoding="utf-8")

    def run(self, text: str, language: str = "bash") -> list[str]:
        """The lines that a block prints; the path of the folder is `…`."""
        text = text.strip()  # a page and an example may have the same command
        if text not in self.printed:
            words = [sys.executable, "-c", text] if language == "python" else ["bash", "-ec", text]
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            env = os.environ | {"PATH": path, "CHECKOUT": str(CHECKOUT), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(words, cwd=self.root, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{text}\nexits with {done.returncode}:\n{done.stderr[-3000:]}")
            self.printed[text] = done.stdout.replace(str(self.root), "…").splitlines()
        return self.printed[text]


def chosen(what: str, lines: list[str]) -> list[str]:
    """The lines that a mark names."""
    found: list[str] = []
    for part in re.findall(r"/.+?/…?(?= |$)|\S+", what):
        if part == "…":
            found.append(part)
        elif part == "all":
            found += lines
        elif part.startswith("/"):
            pattern, _, cut = part[1:].rpartition("/")
            matches = [match for match in (re.search(pattern, one) for one in lines) if match]
            if not matches:
                raise SystemExit(f"No line has {pattern}:\n" + "\n".join(lines))
            found.append(matches[0].string[: matches[0].end() if cut else None] + cut)
        else:
            first, last = re.fullmatch(r"(-?\d+)-?(\d*)", part).groups()  # type: ignore[union-attr]
            start = int(first) - 1 if int(first) > 0 else len(lines) + int(first)
            found += lines[start : int(last or start + 1)]
    return [one.rstrip() for one in found]


def written(page: Path, reader: Reader) -> str:
    """The page with the outputs of this machine. Pictures are written at once."""
    text, outputs = page.read_text(encoding="utf-8"), outputs_of(page)
    below = {one.block.place: one for one in outputs}
    for block in blocks_of(page):
        output = below.get(block.place)
        if output and output.order:
            reader.run(output.command)
        is_step = page in TUTORIAL and block.runs and block.file is None
        if (is_step and block.language in ("python", "bash")) or (output and output.order != "of"):
            reader.run(block.text, block.language)
    for output in reversed(outputs):
        if output.picture:
            _draw(reader.root / output.what, page.parent / output.picture)
            continue
        ran = (output.command,) if output.order == "of" else (output.block.text, output.block.language)
        lines = "".join(f"{one}\n" for one in chosen(output.what, reader.run(*ran)))
        text = text[: output.start] + lines + text[output.end :]
    return text


def _draw(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.thumbnail((WIDEST, WIDEST))
        image.convert("RGB").save(target)


def examples(reader: Reader) -> str:
    """What the commands of the reference print, by the command's name."""
    listed = yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))
    shown = {name: one for name, one in listed.items() if "prints" in one}
    outputs = {
        name: chosen(one["prints"], reader.run(one.get("ran", one["command"]))) for name, one in shown.items()
    }
    return json.dumps(outputs, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="default: all, and the examples of the reference")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), metavar="FOLDER")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        reader = Reader(Path(folder).resolve(), args.demo)
        for page in [one.resolve() for one in args.pages] or [*PAGES, EXAMPLES]:
            if page == EXAMPLES:
                OUTPUTS.write_text(examples(reader), encoding="utf-8")
            else:
                page.write_text(written(page, reader), encoding="utf-8")


if __name__ == "__main__":
    main()
