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
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import deserialize

CHECKOUT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-9
SHOWN = 30  # differences that are listed, without these columns
LONG = ["split", "preprocess", "settings", "dtype", "of"]
Words = list[str | Path]
CLIPDYN: Words = ["-m", "hf_clipdyn"]
Options = Mapping[str, Any]
Removed = Mapping[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]

# The old name of an option: the new one, or None if the option left.
RENAMED: Mapping[str, str | None] = {"random_resized_crop": None}  # `crop_scale_min` alone says it

# A name for the summary: which of the rows that are missing here may be. A revision is a row whose `kind` is empty.
REMOVED: Removed = {
    "the kind simplicity": lambda rows: rows["kind"] == "simplicity",
    "the relation turns": lambda rows: rows["kind"].str.startswith("turns-"),
}

POSITIONS = ["layer", "level", "parameter"]
KEY = [
    *["run", "revision", "kind", "dataset", "split", "preprocess", "settings", "dtype", "texts"],
    *["probe", "metric", "variant", "subset", "condition", "role", "reference"],
    *POSITIONS,
]
"""The columns that name a number; ``run`` is the last part of ``repo_id``. All but `POSITIONS` are texts."""


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


DATA = {"dataset_name": "procedural", "dataset_config_name": "captions_small", "max_train_samples": 512}
STEPS = {"scale": "micro", "num_train_epochs": 2, "per_device_train_batch_size": 32, "warmup_steps": 4}
SAVED = {"publish": "log2", "save_steps": 5, "logging_steps": 1, "quiet": True}
COMMON = DATA | STEPS | SAVED | {"num_threads": 1, "dataloader_num_workers": 0}
FLOAT32 = {"bf16": False, "reading": "cached"}
CROPS = {"random_resized_crop": True, "crop_scale_min": 0.5, "random_flip": True, "color_jitter": 0.32}
TRAININGS = {
    "float32": Run(FLOAT32 | {"ema_decay": 0.9}),
    # Killed after the checkpoint at the end of an epoch (step 16), and inside one.
    "other-seed": Run(FLOAT32 | {"ema_decay": 0.9, "seed": 1}, killed_after=18),
    "bfloat16": Run(
        CROPS | {"bf16": True, "reading": "decoded", "data_seed": 3, "ema_decay": 0.9}, killed_after=12
    ),
    "accumulated": Run(CROPS | {"bf16": True, "reading": "cached", "gradient_accumulation_steps": 2}),
    "gradient-cache": Run({"bf16": False, "reading": "decoded", "gradient_cache_chunk": 8}),
    "sigmoid": Run(FLOAT32 | {"loss": "sigmoid", "color_jitter": 0.32}),
    "frozen": Run(
        {"bf16": True, "reading": "cached", "freeze": "vision", "data_seed": 5}, continues="float32"
    ),
}
LAST = "epoch-002"
EVALUATIONS: dict[tuple[str, ...], Options] = {
    # Two seeds of one kind, so that they are related with each other, too. `dynamics` has all relations.
    ("float32", "other-seed"): {
        "suite": ["embedded", "dynamics"],
        "revisions": ["epoch-000", "step-00000008", "epoch-001", LAST],
    },
    ("sigmoid",): {"suite": ["embedded"], "revisions": [LAST]},
}


@dataclass(frozen=True)
class Side:
    """A tree, the interpreter that runs it, and the folder that it works in."""

    tree: Path
    python: str | Path
    folder: Path

    def start(self, words: Sequence[str | Path], log: str) -> "subprocess.Popen[bytes]":
        """A process of the tree's interpreter, on one thread, whose output goes to a log in the folder."""
        others = ("HF_", "ACCELERATE_", "CLIPDYN_", "PYTHON")
        environment = {name: one for name, one in os.environ.items() if not name.startswith(others)}
        environment |= {"PYTHONPATH": str(self.tree), "HF_HOME": str(self.folder / "cache")}
        environment |= {"ACCELERATE_USE_CPU": "1"}
        environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        shared: Any = {"cwd": self.folder, "env": environment}  # first on the path, hence it is no checkout
        with (self.folder / log).open("wb") as file:
            return subprocess.Popen([self.python, *words], stdout=file, stderr=file, **shared)

    def run(self, *words: str | Path, log: str) -> str:
        """What it prints; ends the program if it fails."""
        if self.start(words, log).wait():
            self.fail(log, "failed")
        return (self.folder / log).read_text(encoding="utf-8")

    def fail(self, log: str, problem: str) -> None:
        printed = (self.folder / log).read_text(encoding="utf-8")[-3000:]
        raise SystemExit(f"{log} of {self.folder.name} {problem}:\n{printed}")

    def torch(self) -> str:
        """The version of torch; ends the program if the imported package is not the tree's."""
        code = "import hf_clipdyn, torch; print(hf_clipdyn.__file__); print(torch.__version__)"
        package, found = self.run("-c", code, log="torch.log").splitlines()[-2:]
        if not Path(package).is_relative_to(self.tree):
            raise SystemExit(f"{self.python} imports {package}, which is not in {self.tree}.")
        return found

    def write(self, command: str, options: Options, name: str) -> Path:
        """A YAML file of these options by the names in this tree's help; JSON is YAML."""
        listed = self.run(*CLIPDYN, command, "--help", log=f"help-{command}.log").replace("-", "_")
        names = {old: old if f"__{old}" in listed else new for old, new in RENAMED.items()}
        named = {names.get(key, key): value for key, value in options.items()}
        file = self.folder / f"{name}.yaml"
        file.write_text(json.dumps({key: value for key, value in named.items() if key}), encoding="utf-8")
        return file

    def train(self, name: str) -> None:
        run, output = TRAININGS[name], self.folder / name
        options = {**COMMON, **run.options, "output_dir": str(output), "hub_model_id": f"compare/{name}"}
        if run.continues is not None:
            parent = self.folder / f"{run.continues}-{LAST}"
            shutil.copytree(saved_weights(self.folder / run.continues)[LAST].parent, parent)  # without links
            options["model_name_or_path"] = str(parent)
        config = self.write("train", options, name)
        if run.killed_after is not None:
            self.kill(config, output, run.killed_after)
            config = self.write("train", options | {"resume_from_checkpoint": "true"}, f"{name}-resumed")
        self.run(*CLIPDYN, "train", "--config", config, log=f"{config.stem}.log")

    def kill(self, config: Path, output: Path, step: int) -> None:
        """Start a training, and kill it once its log has the step."""
        log, lines = f"{output.name}-killed.log", output / "log.jsonl"
        process = self.start([*CLIPDYN, "train", "--config", config], log)
        while process.poll() is None:
            if lines.exists() and lines.read_bytes().count(b"\n") >= step:
                process.kill()
                process.wait()
            time.sleep(0.002)
        if process.returncode != -9 or not any(output.glob("checkpoints/*")):
            self.fail(log, f"was not killed after a checkpoint, but ended with {process.returncode}")

    def compute(self, trainings: Sequence[str]) -> pd.DataFrame:
        """Train, evaluate, and read what was written: see `rows_of`."""
        begun, tables = time.monotonic(), []
        for name in trainings:
            self.train(name)
            print(f"{self.folder.name}, {time.monotonic() - begun:.0f} s: trained {name}", flush=True)
        for runs, options in EVALUATIONS.items():
            if set(runs) <= set(trainings):
                name = f"evaluate-{runs[0]}"
                tables.append(self.folder / f"{name}.parquet")
                config = self.write("evaluate", {**options, "output": str(tables[-1])}, name)
                folders = (self.folder / run for run in runs)
                self.run(*CLIPDYN, "evaluate", *folders, "--config", config, log=f"{name}.log")
                print(f"{self.folder.name}, {time.monotonic() - begun:.0f} s: evaluated {runs}", flush=True)
        return rows_of({name: self.folder / name for name in trainings}, tables)


def saved_weights(output: Path) -> dict[str, Path]:
    """The weights of a run's revisions by name, those of the average after ``ema``, in either version's layout."""
    found = {}
    for series, folder in {"": output, "ema ": output / "ema"}.items():
        for file in folder.glob("revisions/[!.]*/model.safetensors"):
            found[series + file.parent.name] = file
    for ref in output.glob("hub/models--*/refs/[!.]*"):
        if ref.name != "main":  # the last one once more
            repository, commit = ref.parents[1], ref.read_text(encoding="utf-8").strip()
            series = "ema " if repository.name.endswith("-ema") else ""
            found[series + ref.name] = repository / "snapshots" / commit / "model.safetensors"
    return found


def digest(file: Path) -> str:
    """SHA-256 of names, types, shapes and bits of all tensors; their order in the file does not count."""
    whole = hashlib.sha256()
    for name, tensor in sorted(deserialize(file.read_bytes()), key=lambda tensor: tensor[0]):
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
    numbers = [table.assign(run=table["repo_id"].str.split("/").str[-1]) for table in numbers]
    rows = pd.concat([pd.DataFrame(weights), *numbers], ignore_index=True)
    rows = rows.reindex(columns=[*KEY, "digest", "value"])
    for name, column in rows.items():
        is_number = name in [*POSITIONS, "value"]
        rows[name] = column.astype(float) if is_number else column.astype(object).fillna("")
    rows[POSITIONS] = rows[POSITIONS].round(9)
    twice = rows[rows.duplicated(KEY)]
    if len(twice):
        raise SystemExit(f"{len(twice)} rows have the name of another one, for example:\n{twice.iloc[0]}")
    return rows


def compared(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """All rows of both, with ``state``: equal, different, missing, new, or ``removed: NAME`` of an entry."""
    both = old.merge(new, how="outer", on=KEY, suffixes=("_old", "_new"), indicator="of")
    close = np.isclose(both["value_old"], both["value_new"], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    state = pd.Series("different", both.index).mask(
        close & (both["digest_old"] == both["digest_new"]), "equal"
    )
    state = state.mask(both["of"] == "right_only", "new").mask(both["of"] == "left_only", "missing")
    for name, applies in REMOVED.items():
        state = state.mask((state == "missing") & applies(both), f"removed: {name}")
    difference = (both["value_old"] - both["value_new"]).abs()
    return both.assign(state=state, difference=difference, benchmark=both["kind"] + "/" + both["dataset"])


def report(both: pd.DataFrame) -> int:
    """Print what was compared; returns the exit code."""
    weights, numbers = both[both["kind"] == ""], both[both["kind"] != ""]
    print("\nWeights, in every bit:")
    print(weights.pivot(index="revision", columns="run", values="state").fillna("").to_string())
    if len(numbers):
        table = pd.crosstab(numbers["benchmark"], numbers["state"])
        table["largest difference"] = numbers.groupby("benchmark")["difference"].max()
        print(f"\nValues, at {TOLERANCE:g}:\n{table.to_string()}")
    wrong = both[both["state"].isin(["different", "missing"])]
    for _, row in wrong.head(SHOWN).iterrows():
        print(row.drop(LONG).replace("", None).dropna().to_dict())
    print(f"\n{len(weights)} revisions and {len(numbers)} numbers: {both['state'].value_counts().to_dict()}")
    return int(len(wrong) > 0 or "equal" not in set(both["state"]))


def make_environment(folder: Path, project: Path) -> Path:
    """The interpreter of a new environment with this one's packages and what the project needs besides."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python, (packages,) = folder / "bin" / "python", folder.glob("lib/python*/site-packages")
    # A package that is installed for editing stays out: the files that name such folders are not read from here.
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "present.pth").write_text("\n".join(here), encoding="utf-8")
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    pip: Words = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, f"torch=={version('torch')}", *declared], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument("--keep", type=Path, help="a new folder, which keeps the runs and tables of both")
    parser.add_argument("--only", choices=TRAININGS, help="train only this, and what it continues")
    asked = parser.parse_args()
    trainings = [TRAININGS[asked.only].continues, asked.only] if asked.only else list(TRAININGS)
    with tempfile.TemporaryDirectory(prefix="compare-with-") as temporary:
        folder = Path(temporary).resolve()
        kept, tree = (asked.keep or folder / "runs").resolve(), folder / "tree"
        kept.mkdir(parents=True)
        git: Words = ["git", "-C", CHECKOUT, "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", tree, asked.commit], check=True)
        try:
            python = make_environment(folder / "environment", tree / "pyproject.toml")
            sides = [Side(tree, python, kept / "there"), Side(CHECKOUT, sys.executable, kept / "here")]
            for side in sides:
                side.folder.mkdir()
            there, here = (side.torch() for side in sides)
            if there != here:
                raise SystemExit(f"torch is {here} here and {there} there: it must be the same.")
            with ThreadPoolExecutor(2) as pool:
                old, new = pool.map(lambda side: side.compute([name for name in trainings if name]), sides)
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)
    return report(compared(old, new))


if __name__ == "__main__":
    sys.exit(main())
