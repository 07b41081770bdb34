# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn", "playwright"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""What a report costs, and how long the page of a large study takes to open.

python scripts/bench_report.py [cases] [opening] [slider] [--demo runs/demo] [--study model_cards/study] [--rounds 5]

``cases`` runs `clipdyn report` on the demo (`clipdyn demo` writes it), on its last revision alone, and on the 45 runs
of the committed study. Targets: 6, 3 and 20 s, .5 GB. Each is a process of its own; processor seconds say what it
computes, wall seconds also what the rest of the machine does.

``opening`` is a synthetic study: every run has 60 metrics in 5 benchmarks, smooth curves with noise. Opening is
measured in Chromium, from the start of the navigation until the first charts are drawn. Targets: 20 s to write, 2 s to
open, 6 MB.

``slider`` is what a step of the slider takes on the first screen of the demo and of the study. Targets: 16 and 50 ms.

Each time is the least of several rounds, since whatever else the machine does can only add to it.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from timing import Cost, cost_of

from hf_clipdyn.benchmarks.registry import parse_benchmark, vocabulary
from hf_clipdyn.report import read_study
from hf_clipdyn.report.page.write import render
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.terms import VOCABULARY_KEY

_SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def numbers() -> list[dict[str, Any]]:
    """The 60 metrics of one revision and their references: the columns that differ from a row's defaults."""
    found: list[dict[str, Any]] = []

    def add(kind: str, metric: str, **more: Any) -> None:
        found.append({"kind": kind, "metric": metric, **more})

    for metric in ("shape_bias", "texture_bias", "cue_accuracy", "shape_accuracy", "texture_accuracy"):
        add("shape_bias", metric)
    add("shape_bias", "shape_preference")
    add("shape_bias", "cue_accuracy", role="null")
    for metric in ("top1", "top5"):
        add("zero_shot", metric)
        add("zero_shot", metric, role="chance")
    for sigma in _SIGMAS:
        noisy = {"condition": "gaussian", "level": sigma}
        for metric in (
            "accuracy",
            "relative_drop",
            "chance_corrected_drop",
            "drop_when_right",
            "displacement",
        ):
            add("noise", metric, **noisy)
    add("noise", "accuracy")
    add("noise", "area", condition="gaussian")
    add("noise", "accuracy", role="chance")
    for condition in ("masking_contrast", "csf_achromatic"):
        add("psychophysics", "log_rmse", variant="cosine", condition=condition)
        add("psychophysics", "alignment", variant="cosine", condition=condition)
        for layer in range(5):
            add(
                "psychophysics",
                "log_rmse",
                variant="cosine",
                condition=condition,
                probe="hidden",
                layer=layer,
            )
    add("distortion", "alignment_ssim", variant="cosine")
    return found


def synthetic_rows(scales: int, seeds: int, revisions: int) -> pa.Table:
    """A table as `clipdyn evaluate` would write it, of runs that were never trained. Synthetic throughout."""
    rng = np.random.default_rng(0)
    named = pd.DataFrame(numbers())
    runs = pd.DataFrame(
        [
            {"repo_id": f"bench/{scale}-seed{seed}", "scale": scale, "seed": seed}
            for scale in [f"scale{index}" for index in range(scales)]
            for seed in range(seeds)
        ]
    )
    places = pd.DataFrame({"epoch": np.arange(revisions)})
    rows = runs.merge(places, how="cross").merge(named, how="cross")
    share = rows["epoch"] / max(revisions - 1, 1)
    start, end = (rows["metric"].map(lambda name, to=to: len(name) * to % 1) for to in (0.37, 0.61))
    seeded = 0.03 * rng.normal(size=len(rows))
    is_value = rows.get("role", pd.Series(index=rows.index, dtype=object)).isna()
    rows["value"] = np.where(is_value, start + (end - start) * (1 - np.exp(-4 * share)) + seeded, 0.125)
    half = np.where(is_value, 0.02 + 0.01 * rng.random(len(rows)), np.nan)
    rows["revision"] = rows["epoch"].map(lambda epoch: f"epoch-{epoch:03d}")
    rows["commit"] = (rows["repo_id"] + rows["revision"]).map(
        lambda text: text.encode().hex()[-40:].zfill(40)
    )
    defaults = {
        **{"split": "test", "data_fingerprint": "synthetic", "observe_version": 1, "score_version": 1},
        **{
            "preprocess": "processor",
            "settings": "{}",
            "dtype": "float32",
            "texts": "own",
            "text_commit": "",
        },
        **{"versions": "{}", "probe": "projection", "variant": "", "subset": "", "condition": "none"},
        **{"role": "value", "reference": "", "note": "", "dataset": "procedural", "confidence_level": 0.95},
        **{"n": 1000, "n_clusters": 250, "model_class": "", "processor_class": ""},
    }
    rows = rows.assign(
        step=rows["epoch"] * 400,
        samples_seen=rows["epoch"] * 25_600,
        ci_low=rows["value"] - half,
        ci_high=rows["value"] + half,
        **{name: default for name, default in defaults.items() if name not in rows},
    )
    rows = rows.fillna({name: default for name, default in defaults.items() if name in rows})
    arrays = [
        pa.array(rows[field.name] if field.name in rows else [None] * len(rows), field.type, from_pandas=True)
        for field in SCHEMA
    ]
    table = pa.table(arrays, schema=SCHEMA)
    benchmarks = [parse_benchmark(f"{kind}/procedural") for kind in named["kind"].unique()]
    return table.replace_schema_metadata({VOCABULARY_KEY: vocabulary(benchmarks).dumps()})


def write_table(path: Path, *, scales: int = 3, seeds: int = 5, revisions: int = 40) -> Path:
    """`synthetic_rows` as a file."""
    pq.write_table(synthetic_rows(scales, seeds, revisions), path)
    return path


def _seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def opening_times(page: Path, rounds: int) -> list[float]:
    """Seconds from the start of the navigation until the first charts are drawn, in a fresh context each."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        times = []
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True)
            shown = context.new_page()
            shown.goto(page.as_uri(), wait_until="commit")
            shown.wait_for_function("() => performance.getEntriesByName('charts').length > 0", timeout=60_000)
            times.append(shown.evaluate("() => performance.getEntriesByName('charts')[0].startTime") / 1000)
            context.close()
        browser.close()
    return times


def report_cost(table: Path, output: Path) -> Cost:
    """Run `clipdyn report` in a process of its own."""
    code = "import sys; from hf_clipdyn.cli import main; main(sys.argv[1:])"
    return cost_of([sys.executable, "-c", code, "report", str(table), "--output", str(output), "--quiet"])


def last_revision(demo: Path, folder: Path) -> Path:
    """The table of the last revision of a run in a folder of its own, with the trials of the whole run."""
    rows = pq.read_table(demo / "results.parquet")
    last = pc.max(rows["revision"])
    folder.mkdir()
    pq.write_table(rows.filter(pc.equal(rows["revision"], last)), folder / "results.parquet")
    for name in ("results.trials", "results.influences"):
        if (demo / name).exists():
            (folder / name).symlink_to((demo / name).resolve())
    return folder / "results.parquet"


def cases(demo: Path, study: Path, scratch: Path) -> Iterator[tuple[str, Path, int]]:
    """Name, table and target in seconds of each case whose table exists."""
    if (demo / "results.parquet").exists():
        yield "demo", demo / "results.parquet", 6
        yield "one revision", last_revision(demo, scratch / "revision"), 3
    else:
        print(f"There is no {demo}/results.parquet: run `clipdyn demo`, or give its folder as --demo.\n")
    yield "study", study / "results.parquet", 20


def print_costs(options: argparse.Namespace, scratch: Path) -> None:
    """A line for each case."""
    print(
        f"{'':14s}{'processor s':>12s}{'wall s':>8s}{'target':>8s}{'memory MB':>11s}{'target':>8s}{'page MB':>9s}"
    )
    for name, table, target in cases(options.demo, options.study, scratch):
        costs = [report_cost(table, scratch / name.replace(" ", "-")) for _ in range(options.rounds)]
        processor, wall = min(cost.processor for cost in costs), min(cost.wall for cost in costs)
        memory = min(cost.memory for cost in costs)
        page = (scratch / name.replace(" ", "-") / "index.html").stat().st_size / 1e6
        print(f"{name:14s}{processor:12.1f}{wall:8.1f}{target:8d}{memory:11.0f}{500:8d}{page:9.2f}")


def print_opening(options: argparse.Namespace, scratch: Path) -> None:
    """Write the page of a synthetic study, open it, and print the times with their targets."""
    table = write_table(
        scratch / "results.parquet",
        scales=options.scales,
        seeds=options.seeds,
        revisions=options.revisions,
    )
    n_values = sum("role" not in one for one in numbers())
    print(
        f"Synthetic study: {options.scales} scales x {options.seeds} seeds x {options.revisions} revisions x "
        f"{n_values} metrics, {pq.read_metadata(table).num_rows:,} rows.\n"
    )
    page, rounds = scratch / "index.html", range(options.rounds)
    read = min(_seconds(lambda: read_study(table)) for _ in rounds)
    written = min(
        _seconds(lambda: page.write_text(render(read_study(table)), encoding="utf-8")) for _ in rounds
    )
    opened = min(opening_times(page, options.rounds))
    print(f"{'':42s} {'measured':>9s} {'target':>7s}")
    print(f"{'read the table, s':42s} {read:9.2f}")
    print(f"{'read the table and write the page, s':42s} {written:9.2f} {20:7d}")
    print(f"{'open the page, s':42s} {opened:9.2f} {2:7d}")
    print(f"{'size of the page, MB':42s} {page.stat().st_size / 1e6:9.2f} {6:7d}")


def slider_step(page: Path, steps: int = 20) -> float:
    """Milliseconds of the browser's main thread for a step of the slider with the first screen in sight.

    The processor's time of all its tasks (scripts, layout, style, paint) and of all charts together.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        shown = browser.new_page(viewport={"width": 1400, "height": 900})
        shown.goto(page.as_uri())
        shown.wait_for_function("() => performance.getEntriesByName('charts').length > 0", timeout=60_000)
        shown.wait_for_timeout(1000)
        session = shown.context.new_cdp_session(shown)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy() -> float:
            metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            return metrics["TaskDuration"]

        before = busy()
        for step in range(steps):
            shown.evaluate(
                """at => new Promise(done => {
                  const slider = document.getElementById("training");
                  slider.value = at % (Number(slider.max) + 1);
                  slider.dispatchEvent(new Event("input"));
                  requestAnimationFrame(() => requestAnimationFrame(done));
                })""",
                step,
            )
        spent = busy() - before
        browser.close()
    return 1000 * spent / steps


def print_slider(options: argparse.Namespace, scratch: Path) -> None:
    """What a step of the slider takes on the pages of the demo and of the study."""
    targets = {"demo": 16, "study": 50}
    for name, table, _ in cases(options.demo, options.study, scratch):
        if name in targets:
            report_cost(table, scratch / f"slider-{name}")
            step = slider_step(scratch / f"slider-{name}" / "index.html")
            print(f"{f'a step of the slider, {name}, ms':42s} {step:9.1f} {targets[name]:7d}")


def main() -> None:
    """Print what was asked for; everything without a word."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="cases, opening, slider; default: all")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    parser.add_argument("--study", type=Path, default=Path(__file__).parents[1] / "model_cards" / "study")
    parser.add_argument("--scales", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--revisions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    parts = {"cases": print_costs, "opening": print_opening, "slider": print_slider}
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; give some of {', '.join(parts)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts or parts:
            scratch = Path(folder) / name
            scratch.mkdir()
            parts[name](options, scratch)


if __name__ == "__main__":
    main()
