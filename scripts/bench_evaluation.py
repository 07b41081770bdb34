# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
# ruff: noqa: E402  (the caches' place is read at import)
"""How fast K revisions are evaluated, as ratios in one run on this machine.

python scripts/bench_evaluation.py [--parts pairs,warm,saliency,embedded,real,vit-b-32,cnn,costs] [--scale tiny]
    [--revisions 8] [--sigmas 0,0.02,0.05,0.1,0.2,0.3,0.4,0.5]

Peers: (a) image by image (pair by pair), decoded each time, `from_pretrained` for each revision; (b) in batches,
decoded again for each revision. They decode and embed what ours was asked for, images and texts, and score nothing.
Ours starts without any cache; its time holds decoding, noise, baselines, scores, intervals and files. Float32
throughout, random weights: only time is measured. Ours runs before and after the peers, and the mean counts, so
that a machine that others use slows both.

- pairs: `distortion/procedural`, 1,000 pairs of 40 references.
- warm: what each further revision takes, scores and files and all, against the bare forward passes of its images and
  texts, for these pairs and for the whole embedded suite.
- saliency: scores of two maps, raw and smoothed, of 120 photographs, against one map after the other, each sorted and
  scored on its own. The values are equal.
- embedded: the whole embedded suite.
- real: cue conflict and CIFAR-10 with noise, from CLIPDYN_DATA (or ../shared/data).
- costs: seconds a revision of each benchmark of the suites `embedded` and `human` whose data are here, and of the
  embedded suite together; an earlier revision builds the caches. --benchmarks chooses some.
- cnn: psychophysics of a random EfficientNet-Lite0 at 224 pixels, on all cores (needs timm).
- vit-b-32: pairs of a ViT-B/32, few of them (--pairs). The other parts take it too (--scale vit-b-32), for hours:
  fewer levels of noise (--sigmas) and revisions make it one.

Models run on the device that accelerate chooses. Nobody has run this on a GPU yet; there, read the ratios of wall time:

    python scripts/bench_evaluation.py --parts pairs,warm,embedded --scale vit-b-32 --revisions 8
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory(prefix="clipdyn-bench-")
os.environ["HF_HOME"] = HOME.name  # no cache of earlier runs
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
import torch
from PIL import Image
from timing import Clock, finish
from transformers import (
    CLIPModel,
    CLIPProcessor,
    TimmWrapperConfig,
    TimmWrapperImageProcessor,
    TimmWrapperModel,
)
from transformers.utils import logging

from hf_clipdyn.benchmarks.kind import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.distortion import Distortion
from hf_clipdyn.benchmarks.kinds.noise import NoiseSettings
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.registry import parse_benchmark, suite
from hf_clipdyn.benchmarks.saliency_rows import ImageRows, Observers, Viewed
from hf_clipdyn.benchmarks.sources import Source, open_source
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.evaluation import evaluate_model, evaluate_revisions
from hf_clipdyn.machine import keep_freed_blocks, usable_cores
from hf_clipdyn.metrics.saliency import Target
from hf_clipdyn.metrics.seen_maps import upsample_map, whole_view
from hf_clipdyn.models.encoder import Encoder, FeaturesOnDevice, default_device
from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.revisions import Publisher, Row, epoch_name

REPO = "bench/run"
PARTS = ("pairs", "warm", "saliency", "embedded", "real", "vit-b-32", "cnn", "costs")
SIGMAS = (0.0, *NoiseSettings().sigmas)
PAIRS = "distortion/procedural"
EMBEDDED = [one for one in suite("embedded") if parse_benchmark(one).kind.schemas]  # the script draws nothing
BATCH = 32
DATA = Path(os.environ.get("CLIPDYN_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = {"shape_bias/cue_conflict": "cue-conflict", "noise/cifar10": "cifar10"}


def publish(folder: Path, scale_name: str, n: int) -> Path:
    """The folder of a run with n random models."""
    size = model_size(scale_name)
    tokenizer = train_tokenizer(["a photo of a cat"], vocab_size=600, context_length=size.context_length)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)
    with Publisher(folder, REPO, card=CardFacts(REPO), recipe_hash="0" * 64) as publisher:
        for epoch in range(n):
            torch.manual_seed(epoch)
            model = CLIPModel(clip_config(size, tokenizer))

            def save(target: Path, model: CLIPModel = model) -> None:
                model.save_pretrained(target)
                processor.save_pretrained(target)

            row = Row(name=epoch_name(epoch), epoch=epoch, step=epoch, samples_seen=epoch)
            publisher.submit(row, save)
        publisher.finish()
    return folder


@dataclass
class Work:
    """What one evaluation shows: its data sets, and the texts it was seen to ask."""

    names: Sequence[str]
    sigmas: Sequence[float] = SIGMAS
    folders: dict[str, Path] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    @property
    def has_noise(self) -> bool:
        return any(name.startswith("noise/") for name in self.names)

    def sources(self) -> list[tuple[str, Source]]:
        opened = []
        for name in self.names:
            one = parse_benchmark(name)
            folder = self.folders.get(one.dataset)
            opened.append((one.kind.name, open_source(one.dataset, one.kind.schemas, data_dir=folder)))
        return opened

    def images(self) -> Iterator[list[Image.Image]]:
        """Each image or pair as a script shows it: decoded when its turn comes."""
        for kind, source in self.sources():
            for sigma in self.sigmas if kind == "noise" else (0.0,):
                for number, row in enumerate(source.dataset):
                    names = ("reference", "distorted") if kind == "distortion" else ("image",)
                    yield [noisy(row[name], sigma, number) for name in names]


def noisy(image: Image.Image, sigma: float, number: int) -> Image.Image:
    """The image under Gaussian noise."""
    if sigma == 0:
        return image
    pixels = np.asarray(image.convert("RGB"))
    noise = np.random.default_rng([0, number]).standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + 255 * sigma * noise), 0, 255).astype(np.uint8))


def peer(
    run: Path, revision: str, groups: Iterator[list[Image.Image]], texts: Sequence[str], batch: int
) -> None:
    """One revision as a script of one's own measures it; batches of at least N images."""
    model = CLIPModel.from_pretrained(run / "revisions" / revision).to(default_device()).eval()
    processor = CLIPProcessor.from_pretrained(run / "revisions" / revision)
    limit = model.config.text_config.max_position_embeddings
    with torch.inference_mode():
        for start in range(0, len(texts), 256):
            part = list(texts[start : start + 256])
            inputs = processor(
                text=part, padding=True, truncation=True, max_length=limit, return_tensors="pt"
            )
            model.get_text_features(**inputs.to(model.device))
        waiting: list[Image.Image] = []
        for group in groups:
            waiting += group
            if len(waiting) >= batch:
                model.get_image_features(**processor(images=waiting, return_tensors="pt").to(model.device))
                waiting = []
        if waiting:
            model.get_image_features(**processor(images=waiting, return_tensors="pt").to(model.device))
    finish()


PEERS = {"(a) one by one": 1, "(b) in batches": BATCH}


def compare(title: str, run: Path, revisions: Sequence[str], work: Work, peers_of: int) -> None:
    """Ours before and after the peers, who measure some of the revisions: they cost the same each."""
    ours, takes = Clock(), {name: Clock() for name in PEERS}

    def show_all(attempt: int) -> None:
        folder = run.parent / f"{title}-{attempt}".replace(" ", "-")
        with ours.running():
            evaluate_revisions(
                run,
                benchmarks=work.names,
                revisions=list(revisions),
                data_dirs=work.folders,
                output=folder / "results.parquet",
                cache_dir=folder / "cache",
                settings={"noise": NoiseSettings(sigmas=tuple(work.sigmas))} if work.has_noise else {},
                show_progress=False,
            )

    with asked_texts(work):
        show_all(0)
    for revision in revisions[:peers_of]:  # in turn, so that a busy machine slows both
        for name, batch in PEERS.items():
            with takes[name].running():
                peer(run, revision, work.images(), work.texts, batch)
    show_all(1)
    wall, cpu = ours.wall / ours.times, ours.cpu / ours.times
    print(f"{title}: {len(revisions)} revisions in {wall:.1f} s, the caches' building counted")
    for name, clock in takes.items():
        factor = len(revisions) / clock.times
        print(
            f"  {name}: {clock.wall * factor:.1f} s, {clock.wall * factor / wall:.2f} times ours "
            f"(processor time {clock.cpu * factor / cpu:.2f})",
            flush=True,
        )


@contextmanager
def asked_texts(work: Work) -> Iterator[None]:
    """Within this context the texts that one revision is asked are written down."""
    embed = Encoder.embed_texts

    def listening(self: Encoder, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        work.texts += [text for text in texts if text not in known]
        known.update(texts)
        return embed(self, texts, **kwargs)

    known: set[str] = set()
    Encoder.embed_texts = listening  # type: ignore[method-assign]
    try:
        yield
    finally:
        Encoder.embed_texts = embed  # type: ignore[method-assign]


@contextmanager
def recorded(shown: list[tuple[np.ndarray, bool]]) -> Iterator[None]:
    """Within this context all images that encoders embed are written down, and whether with hidden states."""
    show = Encoder.show_images

    def recording(self: Encoder, pixels: np.ndarray, **kwargs: bool) -> FeaturesOnDevice:
        step = self.images_per_pass or len(pixels)
        shown.extend((pixels[i : i + step], kwargs.get("hidden", False)) for i in range(0, len(pixels), step))
        return show(self, pixels, **kwargs)

    Encoder.show_images = recording  # type: ignore[method-assign]
    try:
        yield
    finally:
        Encoder.show_images = show  # type: ignore[method-assign]


def warm(title: str, run: Path, revisions: Sequence[str], names: Sequence[str]) -> None:
    """What each further revision takes in a run, files and all, and in turn with it its bare forward passes."""
    encoder = Encoder.from_folder(run / "revisions" / revisions[0])
    where: dict[str, Any] = {"show_progress": False}
    shown: list[tuple[np.ndarray, bool]] = []
    work = Work(names)
    with asked_texts(work), recorded(shown):
        evaluate_revisions(run, list(names), revisions=revisions[0], **where)
    ready = [(encoder.pixel_values(pixels), hidden) for pixels, hidden in shown]
    texts = [encoder.tokenize(work.texts[i : i + 256]) for i in range(0, len(work.texts), 256)]
    further: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    write, started, cells = CellStore.write, [(0.0, 0.0)], [0]

    @torch.inference_mode()
    def writing(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        cells[0] += 1
        if cells[0] % len(names):
            return
        further.append((time.perf_counter() - started[0][0], time.process_time() - started[0][1]))
        clock = Clock()
        with clock.running():
            for tokens in texts:
                encoder.model.get_text_features(**tokens)
            for values, hidden in ready:
                encoder.image_output(values, **({"output_hidden_states": True} if hidden else {}))
            finish()
        bare.append((clock.wall, clock.cpu))
        started[0] = time.perf_counter(), time.process_time()

    CellStore.write = writing  # type: ignore[method-assign]
    try:
        for attempt in range(2):
            output = run.parent / f"warm-{title}-{attempt}" / "results.parquet"
            evaluate_revisions(run, list(names), revisions=list(revisions), output=output, **where)
            first = attempt * (len(revisions) - 1)  # it prepares
            del further[first], bare[first]
    finally:
        CellStore.write = write  # type: ignore[method-assign]
    wall, cpu = np.median(np.array(further) / np.array(bare), axis=0)
    print(
        f"one more revision, warm, {title}: {wall:.2f} times the bare forward passes of its "
        f"{sum(len(values) for values, _ in ready):,} images, {cpu:.2f} in processor time (without waiting for the "
        f"disk); {np.median(bare, axis=0)[1]:.2f} processor seconds",
        flush=True,
    )


def observed(rng: np.random.Generator, item: int) -> Viewed:
    """A photograph of 800 x 600 pixels at which 15 observers looked nine times each, around a place of its own."""
    points = rng.uniform(200, 400, 2) + rng.normal(0, 90, (135, 2))
    inside = np.clip(points, 0, (799, 599))
    return Viewed(item, str(item), whole_view(800, 600), inside, np.repeat([f"o{n}" for n in range(15)], 9))


def scored_alone(image_map: np.ndarray, target: Target, left_out: np.ndarray) -> list[float]:
    """The metrics of a map by their definitions, each on the map in the image's own size."""
    shape, ascending = image_map.shape, np.sort(image_map.ravel())
    pixels, others = (
        p[:, 1].astype(int) * shape[1] + p[:, 0].astype(int)
        for p in (target.fixations, target.other_fixations)
    )
    hits = np.sort(image_map.ravel()[pixels])

    def area(negatives: np.ndarray) -> float:
        sides = [np.searchsorted(negatives, hits, side=side) for side in ("left", "right")]
        return float(np.mean(sides) / len(negatives))

    centre = target.baseline / target.baseline.sum()
    p = image_map / image_map.sum()
    likelihoods = [np.log2(0.99 * one.ravel()[pixels] + 0.01 / one.size) for one in (p, centre)]
    found = [
        (hits.mean() - image_map.mean()) / image_map.std(),
        area(ascending),
        area(np.sort(image_map.ravel()[others])),
        (likelihoods[0] - likelihoods[1]).mean(),
    ]
    for density in (target.density, left_out):
        g = density / density.sum()
        a, b = ((one - one.min()) / (one - one.min()).sum() for one in (image_map, density))
        c, d = image_map - image_map.mean(), g - g.mean()
        found += [(c * d).sum() / np.sqrt((c * c).sum() * (d * d).sum()), np.minimum(a, b).sum()]
        found += [(g * np.log(2.2204e-16 + g / (p + 2.2204e-16))).sum()]
    return found


def saliency(n_images: int = 120) -> None:
    """Ours and the peer in turn, image by image; the forward passes and the baselines are not counted."""
    rng = np.random.default_rng(0)
    observers = Observers([observed(rng, item) for item in range(n_images)], 24.0, 0)
    observers.target(0)  # the sum of all fixations is kept
    keep_freed_blocks()
    ours, alone = Clock(), Clock()
    for index, one in enumerate(observers.viewed):
        maps = {("attention", 1): rng.random((7, 7)), ("rollout", None): rng.random((14, 14))}
        with ours.running():
            rows = ImageRows(observers, index).of_model(maps)
        with alone.running():
            target, first = observers.target(index), observers.left_out(index)[0]
            expected = [
                scored_alone(upsample_map(coarse, one.view, sigma), target, observers.blurred(index, first))
                for coarse in maps.values()
                for sigma in (None, 24.0)
            ]
        every, left_out = rows[::2], rows[1::2]
        names = ("nss", "auc", "sauc", "ig", "cc", "sim", "kl")
        found = [
            [a[n] for n in names] + [b[n] for n in names[4:]] for a, b in zip(every, left_out, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    print(
        f"saliency: two maps of {n_images} photographs in {ours.wall:.1f} s\n  one map after the other: "
        f"{alone.wall:.1f} s, {alone.wall / ours.wall:.2f} times ours (processor time {alone.cpu / ours.cpu:.2f})",
        flush=True,
    )


def few_pairs(scale_name: str, folder: Path, n_revisions: int, n_pairs: int) -> None:
    """Pairs of a large model, few of them: the evaluation's own steps around a part of the data set."""
    run = publish(folder, scale_name, n_revisions)
    names = [epoch_name(epoch) for epoch in range(n_revisions)]
    whole = open_source("procedural", Distortion.schemas)
    rows = whole.dataset.select(range(n_pairs))
    part = Source(whole.name, rows, whole.split, whole.metadata)
    ours, takes = Clock(), {name: Clock() for name in PEERS}

    def show_all(attempt: int) -> None:
        encoder = None
        with ours.running():
            for name in names:
                target = run / "revisions" / name
                if encoder is None:
                    encoder = Encoder.from_folder(target)
                    common = Common(cache_dir=folder / f"cache-{attempt}")
                    kind = Distortion(part, encoder.image_processor, KindSettings(), common)
                else:
                    assert encoder.load(target)
                Distortion.score(kind.observe(Readout(encoder)), common)

    show_all(0)
    for name in names:
        for title, batch in PEERS.items():
            with takes[title].running():
                peer(run, name, ([row["reference"], row["distorted"]] for row in rows), (), batch)
    show_all(1)
    wall = ours.wall / ours.times
    print(f"{scale_name}: {n_revisions} revisions, {n_pairs} pairs in {wall:.1f} s")
    for title, clock in takes.items():
        print(f"  {title}: {clock.wall:.1f} s, {clock.wall / wall:.2f} times ours")
    swaps(run, names)


def swaps(run: Path, names: Sequence[str], repeats: int = 3) -> None:
    """Weights into the live model against a model that is built again, in turn, the files in the system's cache."""
    folders = [run / "revisions" / name for name in names]
    encoder = Encoder.from_folder(folders[-1])
    taken: list[tuple[float, float]] = []
    for _ in range(repeats + 1):
        for folder in folders:
            swap, fresh = Clock(), Clock()
            with swap.running():
                encoder.load(folder)
            with fresh.running():
                CLIPModel.from_pretrained(folder)
            taken.append((swap.wall, fresh.wall))
    swapped, built = 1000 * np.median(taken[len(names) :], axis=0)
    print(f"  weights swapped in {swapped:.0f} ms, from_pretrained in {built:.0f} ms", flush=True)


def cnn(folder: Path) -> None:
    """The first revision, whose gratings are drawn, and a second one, whose gratings are in the cache."""
    import timm

    architecture = "tf_efficientnet_lite0"
    settings = timm.get_pretrained_cfg(architecture).to_dict()
    config = TimmWrapperConfig.from_dict(
        {"architecture": architecture, "num_classes": 0, "pretrained_cfg": settings}
    )
    processor = TimmWrapperImageProcessor(pretrained_cfg=settings, architecture=architecture)
    threads = torch.get_num_threads()
    torch.set_num_threads(usable_cores())
    for revision in ("first", "second"):
        clock, model = Clock(), TimmWrapperModel(config)
        with clock.running():
            evaluate_model(
                model,
                processor,
                "psychophysics/procedural",
                revision=revision,
                cache_dir=folder,
                show_progress=False,
            )
        print(
            f"psychophysics of {architecture} at 224 pixels, {revision} revision: {clock.wall:.0f} s, "
            f"{clock.cpu:.0f} s of processor time on {torch.get_num_threads()} threads",
            flush=True,
        )
    torch.set_num_threads(threads)


def real_work(sigmas: Sequence[float]) -> Work | None:
    """The real data sets that are there."""
    found = {name: DATA / folder for name, folder in REAL.items() if (DATA / folder).is_dir()}
    for name in sorted(set(REAL) - set(found)):
        print(
            f"{name} is left out: {DATA / REAL[name]} is not there (CLIPDYN_DATA names the folder of the data)."
        )
    return (
        Work(list(found), sigmas, {name.partition("/")[2]: path for name, path in found.items()})
        if found
        else None
    )


def costs(run: Path, names: Sequence[str], chosen: Sequence[str] | None) -> None:
    """Seconds of a benchmark on one more revision, each in a call of its own: none finds images of another embedded."""
    os.environ["CLIPDYN_DATA"] = str(DATA)
    seconds: dict[str, float] = {}
    for name in chosen or dict.fromkeys([*suite("embedded"), *suite("human")]):
        clock = Clock()
        for revision in names[:2]:  # the first one builds the caches
            clock = Clock()
            with clock.running():
                try:
                    evaluate_revisions(run, name, revisions=revision, show_progress=False)
                except ClipDynError as error:
                    print(f"  {name:34} left out: {str(error).splitlines()[0]}")
                    break
        else:
            seconds[name] = clock.cpu
            print(f"  {name:34} {clock.wall:7.2f} s, {clock.cpu:7.2f} s of processor time")
    embedded = [seconds[name] for name in suite("embedded") if name in seconds]
    print(f"  the embedded suite together          {sum(embedded):7.2f} s of processor time a revision")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--revisions", type=int, default=8)
    parser.add_argument("--scale", default="tiny")
    parser.add_argument("--sigmas", default=",".join(map(str, SIGMAS)))
    parser.add_argument("--pairs", type=int, default=50, help="of the ViT-B/32")
    parser.add_argument("--benchmarks", help="names for the part costs, separated by commas")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    sigmas = [float(sigma) for sigma in arguments.sigmas.split(",")]
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or arguments.revisions < 2:
        parser.error(f"unknown parts {', '.join(unknown)}" if unknown else "--revisions must be 2 or more")
    torch.set_num_threads(1)  # two threads wait for each other as soon as anything else runs
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings(
        "ignore"
    )  # of parts of data sets and of values that random weights leave undefined
    folder = Path(HOME.name)
    run = publish(folder / "run", arguments.scale, arguments.revisions)
    names = [epoch_name(epoch) for epoch in range(arguments.revisions)]
    steps: dict[str, Callable[[], None]] = {
        "pairs": lambda: compare("pairs", run, names, Work([PAIRS]), len(names)),
        "warm": lambda: (
            warm("pairs", run, names, [PAIRS]),
            warm("the embedded suite", run, names, suite("embedded")),
        ),
        "saliency": saliency,
        "embedded": lambda: compare("the embedded suite", run, names, Work(EMBEDDED, sigmas), 1),
        "real": lambda: None,
        "cnn": lambda: cnn(folder / "cnn"),
        "vit-b-32": lambda: few_pairs("vit-b-32", folder / "large", 3, arguments.pairs),
    }
    chosen = arguments.benchmarks.split(",") if arguments.benchmarks else None
    steps["costs"] = lambda: costs(run, names, chosen)
    work = real_work(sigmas) if "real" in parts else None
    if work is not None:
        steps["real"] = lambda: compare(" and ".join(work.names), run, names[:4], work, 1)
    Work(EMBEDDED).sources()  # rendered before any clock runs
    print(f"{arguments.scale}, float32, {torch.get_num_threads()} thread, random weights")
    for name in PARTS:
        if name in parts:
            steps[name]()


if __name__ == "__main__":
    main()
