"""A rehearsal of docs/how-to/measure-public-checkpoints.md: checkpoints of the real size, from download to verdicts.

The weights are random, so no number means anything. Three benchmarks run, on real images; the others have no data here,
and must say that they are left out.
"""

import math
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hub_server.server import HubServer
from hub_server.state import File, Repo
from open_clip_runs import save_checkpoint

pytestmark = pytest.mark.trial
open_clip = pytest.importorskip("open_clip")

CHECKOUT = Path(__file__).resolve().parents[2]
STUDY = CHECKOUT / "hf_clipdyn/recipes/studies/scaling-laws.yaml"
CLAIMS = """
windows: {peak: {epochs: [1, 2]}, late: {shares: [0.9, 1]}}
endpoints: {saliency: {kind: saliency, dataset: osie, metric: sauc, variant: smoothed, probe: rollout}}
claims:
  - number: 4
    title: Saliency peaks early
    notes: ["Published checkpoints are one seed a run: the verdict concerns these checkpoints."]
    parts: [{title: decline, endpoint: saliency, weights: {peak: 1, late: -1}, smallest_effect: 0.02}]
"""
EPOCHS = (1, 2, 12)
ITEMS = 100
REAL_SIZE = 1_815_625_965  # bytes of the B/32 checkpoints on the Hub
HERE = ("shape_bias/cue_conflict", "saliency/osie", "saliency/mit1003")


def _serve(hub: HubServer, place: str, folder: Path) -> None:
    """Put random checkpoints of a ViT-B-32 into a folder of a repository; the files stay on the disk."""
    owner, name, path = place.split("/", 2)
    tree = {}
    for epoch in EPOCHS:
        file = folder / f"epoch_{epoch}.pt"
        save_checkpoint(open_clip.get_model_config("ViT-B-32"), epoch, file)
        assert file.stat().st_size == pytest.approx(REAL_SIZE, rel=0.001)
        with file.open("rb") as opened:
            content: Any = mmap.mmap(
                opened.fileno(), 0, access=mmap.ACCESS_READ
            )  # bytes that are not in memory
        content_name = sha256(content).hexdigest()
        hub.state.large[content_name] = content
        tree[f"{path}/{file.name}"] = File.large(content_name, len(content))
    repo = hub.state.repos["models", f"{owner}/{name}"] = Repo("models", f"{owner}/{name}")
    repo.commit("main", "checkpoints", tree)


def _some(folder: Path, target: Path, *patterns: str) -> None:
    """Make a folder of a data set with links to some of its images, and to all of its other files."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            _link(path, target / path.relative_to(folder))
    for pattern in patterns:
        images = sorted(folder.glob(pattern))
        for path in images[:: max(1, len(images) // ITEMS)][:ITEMS]:
            _link(path, target / path.relative_to(folder))


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path)


def test_public_checkpoints_are_measured_and_judged_from_the_first_request_to_the_page(
    hub: HubServer, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    _some(real_data("cue-conflict"), data / "cue-conflict", "*/*.png")
    _some(real_data("osie"), data / "osie", "stimuli/*")
    _some(real_data("mit1003"), data / "mit1003", "ALLSTIMULI/*", "ALLFIXATIONMAPS/*")
    study = yaml.safe_load(STUDY.read_text())
    model = study["models"][0]
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    _serve(hub, model["repo_id"], checkpoints)
    of_model = {name: value for name, value in model.items() if name not in ("name", "repo_id")}
    (tmp_path / "evaluation.yaml").write_text(yaml.safe_dump(study["evaluation"] | of_model))
    (tmp_path / "claims.yaml").write_text(CLAIMS, encoding="utf-8")

    # One process has the machine to itself here, unlike in the other tests.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | hub.env
    environment |= {"HF_HOME": str(tmp_path / "home"), "CLIPDYN_DATA": str(data)}

    def clipdyn(*argv: object) -> subprocess.CompletedProcess[str]:
        began = time.monotonic()
        command = [sys.executable, "-m", "hf_clipdyn", *map(str, argv)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        print(f"clipdyn {argv[0]}: {time.monotonic() - began:.0f} s\n{done.stdout}{done.stderr}")
        assert done.returncode == 0
        return done

    options = ["--config", "evaluation.yaml", "--output", "vit-b-32/results.parquet", "--skip-missing"]
    said = clipdyn("evaluate", model["repo_id"], *options, "--device", "cpu").stderr
    for name in set(study["evaluation"]["benchmarks"]) - set(HERE):
        assert name in said.partition("Left out")[2], f"{name} must say why it is left out"

    table = pd.read_parquet(tmp_path / "vit-b-32/results.parquet")
    assert set(table["kind"] + "/" + table["dataset"]) == set(HERE)
    assert set(table["scale"]) == {"ViT-B-32"}
    assert set(table["parameters"]) == {151_277_313}
    seen = dict(zip(table["revision"], table["samples_seen"], strict=True))
    assert seen == {f"epoch-{epoch:03d}": model["samples_per_epoch"] * epoch for epoch in EPOCHS}
    assert not [one for one in (tmp_path / "home").glob("hub/models--laion*/blobs/*") if one.is_file()]

    words = ("report", "vit-b-32/results.parquet", "--print", "verdicts", "-o", "verdicts.parquet")
    printed = clipdyn(*words, "--claims", "claims.yaml").stdout
    assert "Saliency peaks early" in printed
    judged = pd.read_parquet(tmp_path / "verdicts.parquet")
    (decline,) = judged.to_dict("records")
    assert all(math.isfinite(decline[name]) for name in ("value", "ci_low", "ci_high"))
    clipdyn("report", "vit-b-32/results.parquet", "--output", "report", "--claims", "claims.yaml")
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "Published checkpoints are one seed a run" in page
    assert "Saliency peaks early" in page
