"""Evaluation of several revisions, compared with scripts; and of one more revision, with its bare forward passes.

Then all relations of the run and each, compared with the measurement of the benchmarks that they read.

python scripts/bench_evaluation.py [--scale tiny] [--revisions 8] [--sigmas 0,0.02,0.05,0.1,0.2,0.3,0.4,0.5]

The scripts load each revision with `from_pretrained` and decode its images again, one by one (pair by pair) or in
batches. They embed the images and texts that ours embeds, and score nothing. They measure one revision, whose time
counts for each. Ours starts without caches; its time holds decoding, noise, baselines, scores, intervals and files.
Float32 and random weights: only time is measured.

Work: 1,000 pairs of 40 references (`distortion/procedural`), and the benchmarks of the embedded suite that show images
of a data set. It runs on the device that accelerate chooses; nobody has run it on a GPU yet. For a ViT-B/32 it takes
hours: `--scale vit-b-32 --revisions 2 --sigmas 0,0.2`.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

HOME = tempfile.TemporaryDirectory(prefix="clipdyn-bench-")
os.environ |= {"HF_HOME": HOME.name, "HF_HUB_OFFLINE": "1"}  # read at import: no cache of earlier runs
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as torch's below

import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench_step import finish  # noqa: E402
from PIL import Image  # noqa: E402
from timing import in_turn, main, quiet, row  # noqa: E402
from transformers import CLIPModel, CLIPProcessor  # noqa: E402

from hf_clipdyn.benchmarks.registry import parse_benchmark, suite, suite_relations  # noqa: E402
from hf_clipdyn.benchmarks.sources import open_source  # noqa: E402
from hf_clipdyn.cards import CardFacts  # noqa: E402
from hf_clipdyn.evaluation import evaluate_revisions  # noqa: E402
from hf_clipdyn.models.encoder import Encoder, default_device  # noqa: E402
from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size  # noqa: E402
from hf_clipdyn.models.tokenizers import train_tokenizer  # noqa: E402
from hf_clipdyn.revisions import Publisher, Row, epoch_name  # noqa: E402

PAIRS = "distortion/procedural"
RELATED = ["decodability/procedural", "geometry/procedural", "shape_bias/procedural", "zero_shot/procedural"]
SIGMAS = "0,0.02,0.05,0.1,0.2,0.3,0.4,0.5"
BATCH, TEXTS = 32, 256


@contextmanager
def scratch(options: argparse.Namespace) -> Iterator[Path]:
    """A folder to work in, which lies beside the caches."""
    quiet(options.threads)
    with tempfile.TemporaryDirectory(dir=HOME.name) as folder:
        yield Path(folder)


def publish(folder: Path, scale: str, n: int) -> Path:
    """The folder of a run with n random models."""
    size = model_size(scale)
    tokenizer = train_tokenizer(["a photo of a cat"], vocab_size=600, context_length=size.context_length)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)
    with Publisher(folder, "bench/run", card=CardFacts("bench/run"), recipe_hash="0" * 64) as publisher:
        for epoch in range(n):
            torch.manual_seed(epoch)
            model = CLIPModel(clip_config(size, tokenizer))

            def save(target: Path, model: CLIPModel = model) -> None:
                model.save_pretrained(target)
                processor.save_pretrained(target)

            publisher.submit(Row(name=epoch_name(epoch), epoch=epoch, step=epoch, samples_seen=epoch), save)
        publisher.finish()
    return folder


# --- what a script of one's own does -----------------------------------------------------------------------


def shown(names: Sequence[str], sigmas: Sequence[float]) -> Iterator[list[Image.Image]]:
    """Each image or pair of the benchmarks, decoded when its turn comes."""
    for name in names:
        one = parse_benchmark(name)
        rows = open_source(one.dataset, one.kind.schemas).dataset
        columns = ("reference", "distorted") if one.kind.name == "distortion" else ("image",)
        for sigma in sigmas if one.kind.name == "noise" else (0.0,):
            for number, row_ in enumerate(rows):
                yield [noisy(row_[column], sigma, number) for column in columns]


def noisy(image: Image.Image, sigma: float, number: int) -> Image.Image:
    """The image under Gaussian noise."""
    if sigma == 0:
        return image
    pixels = np.asarray(image.convert("RGB"))
    noise = np.random.default_rng([0, number]).standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + 255 * sigma * noise), 0, 255).astype(np.uint8))


@torch.inference_mode()
def script(folder: Path, images: Iterator[list[Image.Image]], texts: Sequence[str], batch: int) -> None:
    """Embed texts, and images in batches of at least so many."""
    model = CLIPModel.from_pretrained(folder).to(default_device()).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    limit = model.config.text_config.max_position_embeddings
    for start in range(0, len(texts), TEXTS):
        part = list(texts[start : start + TEXTS])
        inputs = processor(text=part, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        model.get_text_features(**inputs.to(model.device))
    waiting: list[Image.Image] = []
    for group in images:
        waiting += group
        if len(waiting) >= batch:
            model.get_image_features(**processor(images=waiting, return_tensors="pt").to(model.device))
            waiting = []
    if waiting:
        model.get_image_features(**processor(images=waiting, return_tensors="pt").to(model.device))
    finish()


# --- what ours embeds --------------------------------------------------------------------------------------


def embedded(evaluate: Callable[[], object]) -> tuple[list[str], list[tuple[np.ndarray, bool]]]:
    """The texts and images that encoders embed during a call, and whether hidden states of the images are asked for."""
    texts: dict[str, None] = {}
    images: list[tuple[np.ndarray, bool]] = []
    embed, show = Encoder.embed_texts, Encoder.show_images

    def reading(self: Encoder, asked: Sequence[str], **options: Any) -> Any:
        texts.update(dict.fromkeys(asked))
        return embed(self, asked, **options)

    def showing(self: Encoder, pixels: np.ndarray, **options: bool) -> Any:
        step = self.images_per_pass or len(pixels)
        hidden = options.get("hidden", False)
        images.extend((pixels[i : i + step], hidden) for i in range(0, len(pixels), step))
        return show(self, pixels, **options)

    with patch.multiple(Encoder, embed_texts=reading, show_images=showing):
        evaluate()
    return list(texts), images


def forward_passes(
    folder: Path, texts: Sequence[str], images: Sequence[tuple[np.ndarray, bool]]
) -> Callable[[], None]:
    """The bare passes of the texts and images through a model that is loaded, as ours batches them."""
    encoder = Encoder.from_folder(folder)
    tokens = [encoder.tokenize(texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)]
    ready = [(encoder.pixel_values(pixels), hidden) for pixels, hidden in images]

    @torch.inference_mode()
    def passes() -> None:
        for one in tokens:
            encoder.model.get_text_features(**one)
        for values, hidden in ready:
            encoder.image_output(values, **({"output_hidden_states": True} if hidden else {}))
        finish()

    return passes


def compare(title: str, run: Path, names: Sequence[str], options: argparse.Namespace) -> Iterator[str]:
    """The rows of some benchmarks."""
    folders = sorted((run / "revisions").glob("epoch-*"))
    sigmas = [float(sigma) for sigma in options.sigmas.split(",")]
    settings = {"noise_sigmas": sigmas} if any(name.startswith("noise/") for name in names) else {}
    attempts = count()

    def evaluate(revisions: Sequence[Path]) -> None:
        place = run.parent / f"{title.replace(' ', '-')}-{next(attempts)}"
        evaluate_revisions(
            run,
            list(names),
            revisions=[one.name for one in revisions],
            output=place / "results.parquet",
            cache_dir=place / "cache",
            show_progress=False,
            **settings,
        )

    texts, images = embedded(lambda: evaluate(folders[:1]))  # the data sets are rendered now, too
    taken = in_turn(
        {
            "all": lambda: evaluate(folders),
            "first": lambda: evaluate(folders[:1]),
            "one by one": lambda: script(folders[0], shown(names, sigmas), texts, 1),
            "in batches": lambda: script(folders[0], shown(names, sigmas), texts, BATCH),
            "passes": forward_passes(folders[0], texts, images),
        },
        options.rounds,
        warm_up=False,
    )
    work = f"{title} of `{options.scale}`"
    for peer in ("one by one", "in batches"):
        yield row(f"{len(folders)} revisions, {work}", peer, taken["all"], len(folders) * taken[peer])
    further = (taken["all"] - taken["first"]) / (len(folders) - 1)
    yield row(f"one more revision, {work}", "its bare forward passes", further, taken["passes"])


def relate(run: Path, options: argparse.Namespace) -> Iterator[str]:
    """The rows of the relations; one takes as long whatever its numbers are."""
    shared: Any = {"output": run.parent / "related.parquet", "show_progress": False, "force": True}
    work = {"evaluation": partial(evaluate_revisions, run, RELATED, **shared)}
    relations = suite_relations("dynamics")
    for name, asked in {"all relations": relations, **{f"`{one}`": [one] for one in relations}}.items():
        work[f"{name} of {options.revisions} revisions"] = partial(
            evaluate_revisions, run, relations=asked, **shared
        )
    taken = in_turn(work, options.rounds)
    for name in list(work)[1:]:
        yield row(name, "measuring what they read", taken[name], taken["evaluation"])


def measure(options: argparse.Namespace) -> Iterator[str]:
    """The rows of the pairs, of the suite, and of the relations."""
    with scratch(options) as folder:
        if options.quick:
            options.sigmas, options.revisions = "0,0.2", 2
        run = publish(folder / "run", options.scale, options.revisions)
        yield from compare("1,000 pairs", run, [PAIRS], options)
        if not options.quick:
            names = [one for one in suite("embedded") if parse_benchmark(one).kind.schemas]
            yield from compare("embedded suite", run, names, options)
        yield from relate(run, options)


if __name__ == "__main__":
    main(__doc__, measure, rounds=3, revisions=8, scale="tiny", sigmas=SIGMAS)
