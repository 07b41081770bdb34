"""Are trained weights equal in every bit, and measured values at 1e-9, to those of another commit?

python scripts/compare_with.py COMMIT [--keep FOLDER] [--only TRAINING]

COMMIT is checked out in a temporary worktree and gets an environment of its own: this one, and what the commit declares
and this one lacks, which pip installs there; torch is the same. That commit and this tree then train the small runs of
`TRAININGS` on the embedded world and evaluate those of `EVALUATIONS`, side by side, each on one thread and with caches
of its own. They are only driven by their command lines. Revisions are joined by the names of run and revision, numbers
by the columns that name them, not by hashes, versions or times; intervals are not compared.

The program fails (exit code 1) for a difference, and for a revision or number that is missing here and that no entry of
`REMOVED` allows. What is only here is counted.

Options are written as 0.3 calls them. When one gets another name, add it to `RENAMED`: it is used for a tree whose help
does not list the old name. When numbers or revisions leave on purpose, add a condition on their columns to `REMOVED`.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from packaging.requirements import Requirement
from safetensors import deserialize

CHECKOUT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-9
SHOWN = 30  # differences that are listed
Options = Mapping[str, Any]
Removed = Mapping[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]

# The old name: the new one, or None if the option left, and what becomes of the value.
RENAMED: dict[str, tuple[str | None, Callable[[Any], Any]]] = {}

# A name for the summary: which of the rows that are missing here may be. A revision is a row whose `kind` is empty.
#     "the kind simplicity": lambda rows: rows["kind"] == "simplicity"
REMOVED: dict[str, Callable[[pd.DataFrame], "pd.Series[bool]"]] = {}

KEY = (
    *("run", "revision", "kind", "dataset", "split", "preprocess", "settings", "dtype", "texts"),
    *(
        "probe",
        "metric",
        "variant",
        "subset",
        "condition",
        "role",
        "reference",
        "layer",
        "level",
        "parameter",
    ),
)
"""The columns that name a number within a table; ``run`` is the last part of ``repo_id``."""
POSITIONS = ("layer", "level", "parameter")  # numbers, the others are texts


@dataclass(frozen=True)
class Run:
    """One training of the recipe.

    Attributes:
        options: beside those of `COMMON`.
        killed_after: a step after which the process is killed; the run is then resumed.
        continues: the training whose last revision it begins with.
    """

    options: Options
    killed_after: int | None = None
    continues: str | None = None


COMMON: Options = {
    "dataset_name": "procedural",
    "dataset_config_name": "captions_small",
    "max_train_samples": 512,
    "scale": "micro",
    "num_train_epochs": 2,
    "per_device_train_batch_size": 32,
    "warmup_steps": 4,
    "learning_rate": 0.002,
    "num_threads": 1,
    "dataloader_num_workers": 0,
    "publish": "log2",
    "save_steps": 5,
    "logging_steps": 1,
    "quiet": True,
}
AUGMENTED: Options = {
    "random_resized_crop": True,
    "crop_scale_min": 0.5,
    "random_flip": True,
    "color_jitter": 0.32,
}
FLOAT32: Options = {"bf16": False, "reading": "cached", "ema_decay": 0.9}
TRAININGS = {
    "float32": Run(FLOAT32),
    "other-seed": Run({**FLOAT32, "seed": 1}, killed_after=21),
    "bfloat16": Run(
        {**AUGMENTED, "bf16": True, "reading": "decoded", "data_seed": 3, "ema_decay": 0.9}, killed_after=12
    ),
    "accumulated": Run({**AUGMENTED, "bf16": True, "reading": "cached", "gradient_accumulation_steps": 2}),
    "gradient-cache": Run(
        {"bf16": False, "reading": "decoded", "gradient_cache_chunk": 8, "random_flip": True}
    ),
    "sigmoid": Run({"bf16": False, "reading": "cached", "loss": "sigmoid", "color_jitter": 0.32}),
    "frozen": Run(
        {"bf16": True, "reading": "cached", "freeze": "vision", "data_seed": 5}, continues="float32"
    ),
}
EVALUATED = ["epoch-000", "step-00000008", "epoch-001", "epoch-002"]
EVALUATIONS: dict[tuple[str, ...], Options] = {
    # Two seeds of one kind, so that they are related with each other, too. `dynamics` has the relations.
    ("float32", "other-seed"): {"suite": ["embedded", "dynamics"], "revisions": EVALUATED},
    ("sigmoid",): {"suite": ["embedded"], "revisions": ["epoch-002"]},
}


@dataclass(frozen=True)
class Side:
    """A tree, the interpreter that runs it, and the folder that it works in."""

    tree: Path
    python: Path
    folder: Path
    name: str = field(default="here")

    def run(self, *words: str | Path, into: str) -> str:
        """The output of the tree's interpreter for these words; ends the program if it fails."""
        log = self.folder / f"{into}.log"
        process = self.start(words, log)
        if process.wait():
            self.fail(log)
        return log.read_text(encoding="utf-8")

    def start(self, words: Sequence[str | Path], log: Path) -> "subprocess.Popen[bytes]":
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "ACCELERATE_", "CLIPDYN_", "PYTHON"))
        }
        # The working folder comes first on the path of `python -m`, hence it must be no checkout.
        kept |= {"PYTHONPATH": str(self.tree), "HF_HOME": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}
        kept |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
        with log.open("wb") as file:
            return subprocess.Popen(
                [self.python, *words], cwd=self.folder, env=kept, stdout=file, stderr=subprocess.STDOUT
            )

    def fail(self, log: Path, problem: str = "failed") -> None:
        raise SystemExit(f"{log.stem} {problem} ({self.name}):\n{log.read_text(encoding='utf-8')[-3000:]}")

    @cache  # noqa: B019  (two sides live as long as the program)
    def known(self, command: str) -> frozenset[str]:
        """The options that the help of this tree's command lists."""
        log = self.folder / f"help-{command}.log"
        for word in ("--help-all", "--help"):
            if self.start(["-m", "hf_clipdyn", command, word], log).wait() == 0:
                return listed(log.read_text(encoding="utf-8"))
        self.fail(log)
        raise AssertionError

    def write(self, command: str, options: Options, name: str) -> Path:
        """A YAML file of these options by this tree's names; JSON is YAML."""
        file = self.folder / f"{name}.yaml"
        file.write_text(json.dumps(translated(options, self.known(command), RENAMED)), encoding="utf-8")
        return file

    def train(self, name: str) -> None:
        run, output = TRAININGS[name], self.folder / name
        options = {**COMMON, **run.options, "output_dir": str(output), "hub_model_id": f"compare/{name}"}
        if run.continues is not None:
            parent = self.folder / f"{run.continues}-last"
            last = saved_weights(self.folder / run.continues)["epoch-002"].parent
            shutil.copytree(last, parent)  # links become files
            options["model_name_or_path"] = str(parent)
        words = ["-m", "hf_clipdyn", "train", "--config"]
        config = self.write("train", options, name)
        if run.killed_after is not None:
            self.kill([*words, config], output, run.killed_after)
            config = self.write("train", options | {"resume_from_checkpoint": "true"}, f"{name}-resumed")
        self.run(*words, config, into=config.stem)

    def kill(self, words: Sequence[str | Path], output: Path, step: int) -> None:
        """Start a training, and kill it once its log has the step."""
        log = self.folder / f"{output.name}-killed.log"
        process, lines = self.start(words, log), output / "log.jsonl"
        while process.poll() is None:
            if lines.exists() and lines.read_bytes().count(b"\n") >= step:
                process.kill()
                process.wait()
            time.sleep(0.002)
        if process.returncode != -9 or not any(output.glob("checkpoints/*")):
            self.fail(log, f"was not killed after a checkpoint, but ended with {process.returncode}")

    def compute(self, trainings: Sequence[str]) -> pd.DataFrame:
        """Train, evaluate, and read what was written: see `rows_of`."""
        for name in trainings:
            begun = time.monotonic()
            self.train(name)
            print(f"{self.name}: trained {name} in {time.monotonic() - begun:.0f} s", flush=True)
        tables = []
        for runs, options in EVALUATIONS.items():
            if set(runs) <= set(trainings):
                begun, name = time.monotonic(), f"evaluate-{runs[0]}"
                tables.append(self.folder / f"{name}.parquet")
                config = self.write("evaluate", {**options, "output": str(tables[-1])}, name)
                folders = [self.folder / run for run in runs]
                self.run("-m", "hf_clipdyn", "evaluate", *folders, "--config", config, into=name)
                print(
                    f"{self.name}: evaluated {', '.join(runs)} in {time.monotonic() - begun:.0f} s",
                    flush=True,
                )
        return rows_of({name: self.folder / name for name in trainings}, tables)


def listed(text: str) -> frozenset[str]:
    """The options in the text of a help, with underscores."""
    heads = (re.split(r"\s{2,}", line.strip())[0] for line in text.splitlines() if re.match(r" {1,5}-", line))
    return frozenset(
        name.replace("-", "_") for head in heads for name in re.findall(r"--([a-z][\w-]*)", head)
    )


def translated(
    options: Options,
    known: frozenset[str],
    renamed: Mapping[str, tuple[str | None, Callable[[Any], Any]]],
) -> dict[str, Any]:
    """The options by the names that a tree knows; ends the program if it has none for one of them."""
    result = {}
    for old, value in options.items():
        new, changed = (old, lambda same: same) if old in known else renamed.get(old, ("", None))
        if new is not None and new not in known:
            raise SystemExit(f"A tree has no option {new or old}: add what {old} is called there to RENAMED.")
        if new is not None:
            result[new] = changed(value)
    return result


def saved_weights(output: Path) -> dict[str, Path]:
    """The weights of a run's revisions by name, those of the average after ``ema``, in the layout of either version."""
    found = {}
    for series, folder in (("", output), ("ema ", output / "ema")):
        for file in folder.glob("revisions/[!.]*/model.safetensors"):
            found[series + file.parent.name] = file
    for ref in output.glob("hub/models--*/refs/[!.]*"):
        if ref.name != "main":  # the last one once more
            repository, commit = ref.parents[1], ref.read_text(encoding="utf-8").strip()
            series = "ema " if repository.name.endswith("-ema") else ""
            found[series + ref.name] = repository / "snapshots" / commit / "model.safetensors"
    return found


def digest(file: Path) -> str:
    """SHA-256 of names, types, shapes and bits of all tensors; the order in the file does not count."""
    tensors = sorted(deserialize(file.read_bytes()), key=lambda tensor: tensor[0])
    whole = hashlib.sha256()
    for name, tensor in tensors:
        whole.update(f"{name} {tensor['dtype']} {tensor['shape']}".encode())
        whole.update(tensor["data"])
    return whole.hexdigest()


def rows_of(outputs: Mapping[str, Path], tables: Sequence[Path]) -> pd.DataFrame:
    """A row for each revision, with its digest, and for each number, with its value; `KEY` names them."""
    weights = [
        {"run": run, "revision": revision, "digest": digest(file)}
        for run, output in outputs.items()
        for revision, file in saved_weights(output).items()
    ]
    numbers = [pd.read_parquet(table) for table in tables]
    for one in numbers:
        one["run"] = one["repo_id"].str.split("/").str[-1]
    rows = pd.concat([pd.DataFrame(weights, columns=["run", "revision", "digest"]), *numbers])
    rows = rows.reindex(columns=[*KEY, "digest", "value"])
    for name in KEY:
        one = rows[name]
        rows[name] = one.astype(float).round(9) if name in POSITIONS else one.astype(object).fillna("")
    rows["digest"] = rows["digest"].astype(object).fillna("")
    rows["value"] = rows["value"].astype(float)
    twice = rows[rows.duplicated(list(KEY))]
    if len(twice):
        raise SystemExit(f"{len(twice)} rows have the name of another one, for example:\n{twice.iloc[0]}")
    return rows


def compared(old: pd.DataFrame, new: pd.DataFrame, removed: Removed) -> pd.DataFrame:
    """All rows of both, with ``state``: equal, different, missing, new, or ``removed: NAME`` of an entry."""
    both = old.merge(new, how="outer", on=list(KEY), suffixes=("_old", "_new"), indicator=True)
    close = np.isclose(both["value_old"], both["value_new"], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    equal = close & (both["digest_old"] == both["digest_new"])
    state = pd.Series(np.where(equal, "equal", "different"), both.index)
    state[both["_merge"] == "right_only"] = "new"
    state[both["_merge"] == "left_only"] = "missing"
    for name, applies in removed.items():
        state[(state == "missing") & applies(both)] = f"removed: {name}"
    return both.assign(state=state, benchmark=both["kind"] + "/" + both["dataset"])


def report(both: pd.DataFrame, removed: Removed) -> int:
    """Print what was compared; returns the exit code."""
    weights, numbers = both[both["kind"] == ""], both[both["kind"] != ""]
    print("\nWeights, in every bit:")
    print(weights.pivot(index="revision", columns="run", values="state").fillna("").to_string())
    if len(numbers):
        print(f"\nValues, at {TOLERANCE:g}:")
        table = pd.crosstab(numbers["benchmark"], numbers["state"])
        table["largest difference"] = (
            (numbers["value_old"] - numbers["value_new"]).abs().groupby(numbers["benchmark"]).max()
        )
        print(table.to_string())
    wrong = both[both["state"].isin(["different", "missing"])]
    for row in wrong.head(SHOWN).to_dict("records"):
        named = " ".join(
            f"{name}={row[name]}" for name in KEY if row[name] not in ("", None) and row[name] == row[name]
        )
        values = f": {row['value_old']!r}, now {row['value_new']!r}" if row["kind"] else ""
        print(f"{row['state'].upper()} {named}{values}")
    counts = both["state"].value_counts()
    print(
        f"\n{len(weights)} revisions and {len(numbers)} numbers: {counts.get('equal', 0)} equal, "
        f"{counts.get('different', 0)} different, {counts.get('missing', 0)} missing, {counts.get('new', 0)} only here."
    )
    for name in removed:
        print(f"Removed, {name}: {counts.get(f'removed: {name}', 0)}.")
    return int(len(wrong) > 0 or not counts.get("equal", 0))


def lacking(project: Path) -> list[str]:
    """The requirements of a pyproject.toml that this environment does not meet; torch is the one that is here."""
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = []
    for one in map(Requirement, declared):
        if one.name == "torch" or (one.marker is not None and not one.marker.evaluate()):
            continue
        try:
            met = one.specifier.contains(version(one.name), prereleases=True)
        except PackageNotFoundError:
            met = False
        if not met:
            found.append(str(one))
    return found


def make_environment(folder: Path, project: Path) -> Path:
    """The interpreter of a new environment with this one's packages and what the project needs besides."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python, (packages,) = folder / "bin" / "python", folder.glob("lib/python*/site-packages")
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # Packages that are installed for editing stay out: the files that name their folders are not read from here.
    (packages / "this_environment.pth").write_text("\n".join(here), encoding="utf-8")
    missing = lacking(project)
    if missing:
        print(f"Installing for that commit: {', '.join(missing)}", flush=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        subprocess.run([*pip, f"torch=={version('torch')}", *missing], check=True)
    return python


def torch_of(side: Side) -> str:
    """The version of torch that a side's interpreter imports; ends the program if its package is not the tree's."""
    code = "import hf_clipdyn, torch; print(hf_clipdyn.__file__); print(torch.__version__)"
    package, torch = side.run("-c", code, into="probe").split()[-2:]
    if not Path(package).is_relative_to(side.tree):
        raise SystemExit(f"{side.python} imports {package}, which is not in {side.tree}.")
    return torch


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="a new folder for the runs and tables of both"
    )
    parser.add_argument("--only", choices=TRAININGS, help="train only this, and what it continues")
    asked = parser.parse_args()
    only = [TRAININGS[asked.only].continues, asked.only] if asked.only else list(TRAININGS)
    trainings = [name for name in only if name is not None]
    if asked.keep is not None:
        asked.keep.mkdir(parents=True)
    git = ["git", "-C", CHECKOUT, "worktree"]
    with tempfile.TemporaryDirectory(prefix="compare-with-") as temporary:
        kept = (asked.keep or Path(temporary)).resolve()
        tree = Path(temporary).resolve() / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", tree, asked.commit], check=True)
        try:
            python = make_environment(Path(temporary).resolve() / "environment", tree / "pyproject.toml")
            sides = [
                Side(tree, python, kept / "there", asked.commit),
                Side(CHECKOUT, Path(sys.executable), kept / "here"),
            ]
            for side in sides:
                side.folder.mkdir()
            there, here = map(torch_of, sides)
            if there != here:
                raise SystemExit(f"torch is {here} here and {there} there: it must be the same.")
            with ThreadPoolExecutor(2) as pool:
                old, new = pool.map(lambda side: side.compute(trainings), sides)
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)
    return report(compared(old, new, REMOVED), REMOVED)


if __name__ == "__main__":
    sys.exit(main())
