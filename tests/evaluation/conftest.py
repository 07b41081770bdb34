"""A run of three small random CLIPs, and small data sets in their official layouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_trees.trees import TREES
from PIL import Image
from stores import publish_epochs

from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.metrics.shape_bias import GEIRHOS_CLASSES

REPO = "me/run"
SIZE = 24
CAPTIONS = [
    "a cat on a chair",
    "a dog in a boat",
    "the small red car",
    "two birds by the sea",
    "an old clock tower",
    "a truck on the road",
]


def picture(rng: np.random.Generator, width: int = 30, height: int = 26) -> Image.Image:
    """Coarse blocks around a colour under fine noise, so that no two pictures embed alike."""
    colour = rng.integers(0, 130, 3)
    blocks = np.kron(rng.integers(0, 90, (4, 4, 3)), np.ones((8, 8, 1)))[:height, :width]
    noise = rng.integers(0, 35, (height, width, 3))
    return Image.fromarray((colour + blocks + noise).astype(np.uint8))


@pytest.fixture(scope="session")
def save_model() -> Callable[[int], Callable[[Path], None]]:
    """`save_model(3)(folder)` writes the random CLIP of that seed with its processor and tokenizer."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
    from hf_clipdyn.models.tokenizers import train_tokenizer

    size = ModelSize(SIZE, 8, Tower(32, 2, 2), Tower(32, 1, 2), 16, context_length=16, vocab_size=600)
    tokenizer = train_tokenizer([*CAPTIONS, *GEIRHOS_CLASSES], vocab_size=600, context_length=16)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)

    def of(seed: int) -> Callable[[Path], None]:
        def save(folder: Path) -> None:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                model = CLIPModel(clip_config(size, tokenizer))
                for name, parameter in model.named_parameters():
                    if parameter.ndim > 1 and "q_proj" not in name and "k_proj" not in name:
                        parameter.data.mul_(5)  # far from the initialisation, where all embeds alike
                model.save_pretrained(folder)
            processor.save_pretrained(folder)

        return save

    return of


@pytest.fixture(scope="session")
def publish(save_model: Callable[[int], Callable[[Path], None]]) -> Callable[..., Path]:
    """`publish(folder, [0, 1])` publishes those epochs there and returns the folder."""
    return lambda folder, epochs, repo_id=REPO: publish_epochs(folder, epochs, save_model, repo_id)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., Path]) -> Path:
    """The folder of the run `me/run`: epoch-000, epoch-001, epoch-002."""
    return publish(tmp_path_factory.mktemp("run"), [0, 1, 2])


@pytest.fixture
def slow(store: Path) -> Any:
    """epoch-001 as the slow evaluator loads it."""
    from slow_evaluator import Slow

    return Slow(store)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of cue_conflict (36 images), cifar10 (20) and flickr8k (6 images, 12 captions)."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    classes = ("airplane", "bird", "truck")  # what the random model of epoch-001 decides for
    for shape in classes:
        (root / "cue-conflict" / shape).mkdir(parents=True)
        for exemplar in (1, 2, 3):
            for texture in classes:
                for other in (1, 2) if texture != shape else ():
                    name = f"{shape}{exemplar}-{texture}{other}.png"
                    picture(rng).save(root / "cue-conflict" / shape / name)
    for label in Cifar10.classes:
        (root / "cifar10" / "test" / label).mkdir(parents=True)
        for index in range(2):
            picture(rng, 32, 32).save(root / "cifar10" / "test" / label / f"{index}.png")
    (root / "flickr8k" / "Images").mkdir(parents=True)
    lines = ["image,caption"]
    for index, caption in enumerate(CAPTIONS):
        picture(rng).save(root / "flickr8k" / "Images" / f"{index}.jpg")
        lines += [f"{index}.jpg,{caption}", f"{index}.jpg,picture of {caption}"]
    (root / "flickr8k" / "captions.txt").write_text("\n".join(lines) + "\n")
    return {name: root / name.replace("_", "-") for name in ("cue_conflict", "cifar10", "flickr8k")}


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tid2013 (8 pairs), nights (3 triplets), bapps and osie (3 images): random pictures, made-up people."""
    root = tmp_path_factory.mktemp("judged")
    rng = np.random.default_rng(0)
    folders = {name: root / name for name in ("tid2013", "nights", "bapps", "osie")}
    for name, folder in folders.items():
        TREES[name](folder)
        for file in sorted(folder.rglob("*.*")):
            if file.suffix.lower() in (".png", ".jpg", ".bmp"):
                with Image.open(file) as image:
                    size = image.size
                coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize(size).save(file)
    return folders


@pytest.fixture
def evaluate(store: Path, data: dict[str, Path], judged: dict[str, Path]) -> Callable[..., Any]:
    """`evaluate("noise/cifar10", …)`: the results as a DataFrame; keywords as of `evaluate_revisions`."""
    from hf_clipdyn.evaluation import evaluate_revisions

    def run(*benchmarks: Any, **kwargs: Any) -> Any:
        used = {one.partition("/")[2] if isinstance(one, str) else one.dataset for one in benchmarks}
        given: dict[str, Any] = {
            "data_dirs": {name: path for name, path in (data | judged).items() if name in used},
            "show_progress": False,
            "device": "cpu",
        }
        folder = kwargs.pop("run", store)
        return evaluate_revisions(folder, benchmarks=benchmarks, **(given | kwargs)).to_pandas()

    return run


@pytest.fixture
def measure(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """`measure(folder, "me/run", …)`: the results of these models and runs, on one quick benchmark by default."""
    quick = ("zero_shot/cifar10",)
    return lambda *names, benchmarks=quick, **kwargs: evaluate(*benchmarks, run=list(names), **kwargs)


@pytest.fixture
def zero_shot(data: dict[str, Path]) -> list[str]:
    """The words of a command that choose one quick benchmark, on the CPU."""
    return ["--benchmarks=zero_shot/cifar10", f"--data-dir=cifar10={data['cifar10']}", "--device=cpu"]


@pytest.fixture
def forward_passes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the images that go through a model, under the key ``images``."""
    from hf_clipdyn.models.encoder import Encoder

    counts = {"images": 0}
    show = Encoder.show_images

    def counted(self: Encoder, pixels: Any, **kwargs: Any) -> Any:
        counts["images"] += len(pixels)
        return show(self, pixels, **kwargs)

    monkeypatch.setattr(Encoder, "show_images", counted)
    return counts
