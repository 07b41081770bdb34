"""Whole commands, compared with the same command on a tenth: images, revisions, rows of a table.

python scripts/bench_growth.py [--images 3000] [--revisions 40] [--rows 10000000] [--listed 10000]

Each command is a process of its own, with its peak of resident memory; 0.10 times as fast is linear growth.

- `clipdyn evaluate` measures random models (zero-shot, on random images in CIFAR-10's folders): two on the images, or
  the revisions on 200 images.
- `clipdyn report` reads the committed table of the embedded study (45 runs, 525 revisions), compared with pandas, which
  reads the same file; then a table of one run with ever more revisions, whose columns, texts and benchmarks are those
  of the study. Ten million rows take 2 GB below TMPDIR.
- `clipdyn revisions` lists the folder of a run with small weights.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from bench_evaluation import publish, scratch
from PIL import Image
from safetensors.numpy import save_file
from timing import CLIPDYN, costs, main, row

from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.files import file_sha256
from hf_clipdyn.results.arrow import ENCODED_SCHEMA
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest, Row
from hf_clipdyn.revisions.names import epoch_name

STUDY = Path(__file__).parents[1] / "model_cards" / "study" / "results.parquet"
AT_ONCE = 100  # revisions of a group of rows
Words = Sequence[str]


# --- evaluation --------------------------------------------------------------------------------------------


def evaluation(folder: Path, *, revisions: int, images: int) -> Words:
    """The evaluation of so many random models on so many images of random pixels."""
    rng = np.random.default_rng(0)
    for number in range(images):
        place = folder / "images" / "test" / Cifar10.classes[number % 10]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=0)
    run, data = publish(folder / "run", "tiny", revisions), f"cifar10={folder / 'images'}"
    asked = ["--benchmarks", "zero_shot/cifar10", "--data_dir", data, "--quiet"]
    return [*CLIPDYN, "evaluate", str(run), *asked, "--output", str(folder / "results.parquet"), "--force"]


# --- tables ------------------------------------------------------------------------------------------------


def table(path: Path, size: int) -> Path:
    """About so many rows of a run that was never trained: those of one revision of the study, with noise on values."""
    rows: pd.DataFrame = pq.read_table(STUDY).to_pandas()
    is_own = (rows["repo_id"] == rows["repo_id"].iloc[0]) & (rows["texts"] == "own")
    template = rows[is_own & (rows["revision"] == rows.loc[is_own, "revision"].max())].reset_index(drop=True)
    revisions, rng = max(size // len(template), 1), np.random.default_rng(0)
    path.parent.mkdir()
    with pq.ParquetWriter(path, ENCODED_SCHEMA, store_schema=False) as writer:  # as `CellStore` writes it
        for start in range(0, revisions, AT_ONCE):
            writer.write_table(_rows(template, range(start, min(start + AT_ONCE, revisions)), rng))
        # As much as a store notes of its cells.
        stamp = {"measured": 1e9, "file": None, "package": "", "began": ""}
        cells = template.drop_duplicates(["kind", "dataset", "data_fingerprint", "preprocess", "settings"])
        keys = map(_hash, range(revisions * len(cells)))
        stamps = json.dumps(dict.fromkeys(keys, stamp)).encode()
        writer.add_key_value_metadata(pq.read_schema(STUDY).metadata | {b"hf_clipdyn.cells": stamps})
    return path


def _rows(template: pd.DataFrame, epochs: range, rng: np.random.Generator) -> pa.Table:
    """The template for each epoch, in the columns of a store."""
    rows = pd.concat([template.assign(**_own(epoch)) for epoch in epochs])
    noise = 0.01 * rng.standard_normal(len(rows))
    rows = rows.assign(**{name: rows[name] + noise for name in ("value", "ci_low", "ci_high")})
    rows = rows.reindex(columns=ENCODED_SCHEMA.names)
    rows["other"] = rows["other"].fillna("")  # the study is older than this column
    return pa.Table.from_pandas(rows, ENCODED_SCHEMA, preserve_index=False)


def _own(epoch: int) -> dict[str, Any]:
    """The columns in which revisions differ."""
    place = {"epoch": epoch, "step": 400 * epoch, "samples_seen": 25_600 * epoch}
    names = {"repo_id": "bench/run", "revision": epoch_name(epoch), "commit": _hash(epoch)[:40], "arm": ""}
    return names | place


def _hash(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def report(results: Path) -> Words:
    output = results.parent / "report"
    return [*CLIPDYN, "report", str(results), "--output", str(output), "--no_figures", "--quiet"]


# --- revisions ---------------------------------------------------------------------------------------------


@patch("os.fsync")  # that is most of the time, and nobody needs these files after a power cut
def listing(folder: Path, n: int, _: object = None) -> Words:
    """The list of a run with n revisions of small weights; only the newest manifest is read."""
    names = tuple(epoch_name(epoch) for epoch in range(n))
    rows: list[Row] = []
    for epoch, name in enumerate(names):
        of_revision = folder / "run" / "revisions" / name
        of_revision.mkdir(parents=True)
        weights = of_revision / "model.safetensors"
        save_file({"weight": np.full(16, epoch, np.float32)}, weights)
        facts = {"sha256": file_sha256(weights), "size": weights.stat().st_size, "recipe_hash": "0" * 64}
        rows.append(Row(name=name, epoch=epoch, step=epoch, samples_seen=64 * epoch, loss=1.0, **facts))
        (of_revision / MANIFEST_FILE).write_text("{}")
    manifest = Manifest(run_id="bench", repo_id="bench/run", revisions=tuple(rows), planned=names)
    (of_revision / MANIFEST_FILE).write_bytes(manifest.dumps())
    return [*CLIPDYN, "revisions", str(folder / "run")]


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Rows of evaluation, report and listing."""
    if options.quick:
        options.images, options.revisions, options.rows, options.listed = 100, 20, 20_000, 100
    with scratch(options) as folder:

        def growth(what: str, size: int, whole: Words, tenth: Words) -> str:
            taken = costs({"whole": whole, "tenth": tenth}, options.rounds, options.threads)
            return row(what.format(f"{size:,}"), f"{size // 10:,}", taken["whole"], taken["tenth"])

        sizes = [(n, folder / f"images-{n}") for n in (options.images, options.images // 10)]
        words = [evaluation(place, revisions=2, images=n) for n, place in sizes]
        yield growth("`evaluate`, {} images", options.images, *words)
        sizes = [(n, folder / f"revisions-{n}") for n in (options.revisions, options.revisions // 10)]
        words = [evaluation(place, revisions=n, images=200) for n, place in sizes]
        yield growth("`evaluate`, {} revisions", options.revisions, *words)

        (folder / "study").mkdir()
        (folder / "study" / "results.parquet").symlink_to(STUDY.resolve())
        study = folder / "study" / "results.parquet"
        bare = [sys.executable, "-c", f"import pandas; pandas.read_parquet({str(study)!r})"]
        taken = costs({"report": report(study), "pandas": bare}, options.rounds, options.threads)
        yield row("`report` of 45 runs", "pandas reads the table", taken["report"], taken["pandas"])
        n = options.rows
        tables = [table(folder / f"rows-{size}" / "results.parquet", size) for size in (n, n // 10)]
        yield growth("`report`, {} rows", n, *map(report, tables))

        words = [listing(folder / f"listed-{n}", n) for n in (options.listed, options.listed // 10)]
        yield growth("`revisions`, {} revisions", options.listed, *words)


if __name__ == "__main__":
    sizes = {"images": 3000, "revisions": 40, "rows": 10**7, "listed": 10_000}
    main(__doc__, measure, rounds=1, **sizes)
