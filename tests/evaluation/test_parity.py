"""Values that were published for a model: the protocol against another implementation of it, and the marks."""

import csv
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_trees.images import write_image
from official_trees.quality import Scored, tid
from official_trees.similarity import nights, things
from PIL import Image
from scipy import stats
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from hf_clipdyn.data import SubsetWarning
from hf_clipdyn.errors import ConfigError, DatasetError

_found: Any = spec_from_file_location("parity", Path(__file__).parents[2] / "scripts" / "parity.py")
script: Any = module_from_spec(_found)
sys.modules["parity"] = script  # where its dataclass looks for its module
_found.loader.exec_module(script)
mark, parity, read_published = script.mark, script.parity, script.read_published

SIDE = 32
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION = TOWER | {"image_size": SIDE, "patch_size": 8}
TEXT = TOWER | {
    "vocab_size": 64,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP, with the layers and the projection of the published ones."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip") / "random-clip"
    CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=16)).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SigLIP: no class token, no normalisation before the first block."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("siglip") / "random-siglip"
    SiglipModel(SiglipConfig(vision_config=VISION, text_config=TEXT)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    words = Tokenizer(WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>").save_pretrained(
        folder
    )
    return folder


def picture(path: Path, seed: int) -> None:
    """Smooth colours that tell images apart, 40 x 32 pixels, so that the processor crops."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize((40, 32), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def tid2013(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 3,000 pairs of TID2013's names, of 60 different pictures."""
    root = tmp_path_factory.mktemp("data") / "tid2013"
    rng = np.random.default_rng(0)
    rows = [
        Scored(f"distorted_images/i{r:02d}_{d:02d}_{level}.bmp", f"I{r:02d}.BMP", float(rng.uniform(0, 9)))
        for r in range(1, 26)
        for d in range(1, 25)
        for level in range(1, 6)
    ]
    tid(root, rows)
    for number in range(1, 26):
        picture(root / "reference_images" / f"I{number:02d}.BMP", number)
    drawn = []
    for seed in range(100, 135):
        path = root.parent / f"{seed}.bmp"
        picture(path, seed)
        drawn.append(path.read_bytes())
    for number, row in enumerate(rows):
        (root / row.path).write_bytes(drawn[number * 7 % len(drawn)])
    return root


def states(model: Path, paths: list[Path]) -> list[np.ndarray]:
    """What the protocol compares, image by image: hidden states (n, tokens, width), then the projection (n, d)."""
    network = AutoModel.from_pretrained(model).eval()
    is_siglip = network.config.model_type == "siglip"
    processor = (SiglipImageProcessor if is_siglip else CLIPImageProcessor).from_pretrained(model)
    taken: list[list[np.ndarray]] = []
    vision = network.vision_model
    blocks = list(vision.encoder.layers)
    for path in paths:
        inputs: list[torch.Tensor] = []
        hooks = [
            block.register_forward_pre_hook(lambda _m, args, _i=inputs: _i.append(args[0]))
            for block in blocks
        ]
        hooks.append(
            blocks[-1].register_forward_hook(
                lambda _m, _a, out, _i=inputs: _i.append(out[0] if isinstance(out, tuple) else out)
            )
        )
        with torch.no_grad(), Image.open(path) as image:
            values = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
            embedding = network.get_image_features(pixel_values=values).pooler_output
        for hook in hooks:
            hook.remove()
        if is_siglip:
            embedding = embedding / embedding.norm(dim=-1, keepdim=True)
        taken.append(
            [one.squeeze(0).double().numpy() for one in inputs] + [embedding.squeeze(0).double().numpy()]
        )
    return [np.stack(layer) for layer in zip(*taken, strict=True)]


def distances(layer: np.ndarray, first: list[int], second: list[int]) -> dict[str, np.ndarray]:
    """The three distances of the protocol, one pair after the other."""
    flat = layer.reshape(len(layer), -1)
    squares = [
        ((layer[a] - layer[b]) ** 2).reshape(-1, layer.shape[-1]).mean(0)
        for a, b in zip(first, second, strict=True)
    ]
    unit = np.mean(squares, axis=0)
    lengths = np.linalg.norm(flat, axis=1)
    return {
        "normalised_euclidean": np.array([np.sqrt((one / unit).mean()) for one in squares]),
        "euclidean": np.array(
            [np.sqrt(((flat[a] - flat[b]) ** 2).mean()) for a, b in zip(first, second, strict=True)]
        ),
        "cosine": np.array(
            [1 - flat[a] @ flat[b] / lengths[a] / lengths[b] for a, b in zip(first, second, strict=True)]
        ),
    }


def published_tid(model: Path, root: Path) -> list[dict[str, object]]:
    """The values of a model on this tree, as the source computed those of its models."""
    lines = [line.split() for line in (root / "mos_with_names.txt").read_text().splitlines()]
    scores = [float(score) for score, _ in lines]
    contents = [(root / "distorted_images" / name).read_bytes() for _, name in lines]
    distinct = {
        content: root / "distorted_images" / name for content, (_, name) in zip(contents, lines, strict=True)
    }
    references = sorted((root / "reference_images").iterdir())
    paths = [*references, *distinct.values()]
    place = {content: len(references) + number for number, content in enumerate(distinct)}
    first = [int(name[1:3]) - 1 for _, name in lines]
    second = [place[content] for content in contents]
    rows = []
    *hidden, projection = states(model, paths)
    for name, layer in [*enumerate(hidden), ("projection", projection)]:
        for distance, values in distances(layer, first, second).items():
            found = {"spearman": stats.spearmanr(values, scores).statistic}
            if distance != "normalised_euclidean":
                found["pearson"] = stats.pearsonr(values, scores).statistic
            rows += [
                {
                    "model": model.name,
                    "benchmark": "tid2013",
                    "layer": name,
                    "distance": distance,
                    "metric": metric,
                    "value": -value,
                }
                for metric, value in found.items()
            ]
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_model_reproduces_its_own_values_and_no_others(
    clip: Path,
    tid2013: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = published_tid(clip, tid2013)
    rows[0]["value"] += 0.005
    rows[1]["value"] -= 0.05
    where = {"data_dirs": {"tid2013": tid2013}, "cache_dir": tmp_path / "cache", "show_progress": False}
    table = parity(clip, published=write(tmp_path / "own.csv", rows), **where)
    assert len(table) == len(rows) == 5 * 5
    assert set(table.loc[table["layer"] == "projection", "distance"]) == {
        "cosine",
        "euclidean",
        "normalised_euclidean",
    }
    assert table["mark"].tolist() == ["close", "differs"] + ["reproduced"] * 23
    assert np.abs(table["difference"][2:]).max() < 1e-5
    (sentence,) = script.summarise_parity(table)
    assert sentence == (
        "tid2013: of 25 values 23 reproduced, 1 close, 1 differs; the largest difference is +0.0500, at layer 0 "
        "(euclidean_flattened, spearman)."
    )
    # The script prints the same and writes it.
    given = ["parity.py", clip, "--data-dir", f"tid2013={tid2013}", "--published", tmp_path / "own.csv"]
    monkeypatch.setattr(sys, "argv", [*map(str, given), "--output", str(tmp_path / "parity.csv")])
    script.main()
    assert sentence in capsys.readouterr().out
    assert (tmp_path / "parity.csv").read_text().count("reproduced") == 23


def test_siglip_is_compared_at_unit_length_and_its_last_state_as_its_last_block_gives_it(
    siglip: Path, tid2013: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "own.csv", published_tid(siglip, tid2013))
    where = {"data_dirs": {"tid2013": tid2013}, "cache_dir": tmp_path / "cache", "show_progress": False}
    table = parity(siglip, published=path, **where).set_index(["layer", "distance", "metric"])
    others = table.drop("3", level="layer")
    assert set(others["mark"]) == {"reproduced"}
    last = table.xs("3", level="layer")
    # transformers 5 puts the normalised state last; an earlier version's is the block's own.
    causes = {"this version of transformers normalises the last hidden state", ""}
    assert set(last["note"]) < causes
    assert set(last["mark"]) == ({"not comparable"} if last["note"].iloc[0] else {"reproduced"})


def test_a_part_of_the_data_is_not_comparable_and_a_tie_is_wrong(clip: Path, tmp_path: Path) -> None:
    nights(tmp_path / "nights")
    things(tmp_path / "things")
    for path in (tmp_path / "nights" / "distort" / "000").glob("000_*.png"):
        write_image(path)  # both candidates of the first row are one image
    keys = ("model", "benchmark", "layer", "distance", "metric", "value")
    rows = [
        dict(zip(keys, (clip.name, benchmark, layer, "normalised_euclidean", "accuracy", 0.5), strict=True))
        for benchmark in ("nights", "things")
        for layer in (0, "projection", 99)
    ]
    folders = {name: tmp_path / name for name in ("nights", "things")}
    with pytest.warns(SubsetWarning):
        table = parity(
            clip,
            data_dirs=folders,
            published=write(tmp_path / "own.csv", rows),
            cache_dir=tmp_path / "cache",
            show_progress=False,
        )
    assert set(table["mark"]) == {"not comparable"}
    notes = table["note"].tolist()
    assert notes[0] == notes[1] == "6 rows in place of the 20,019 of the published values"
    assert notes[3] == notes[4] == "3 rows in place of the 15,640 of the published values"
    assert notes[2] == notes[5] == "the model has no such layer"

    images = ("ref/000/{0}.png", "distort/000/{0}_0.png", "distort/000/{0}_1.png")
    paths = [tmp_path / "nights" / name.format(f"{row:03d}") for row in range(6) for name in images]
    *hidden, projection = states(clip, paths)
    for at, layer in ((0, hidden[0]), (1, projection)):
        first = [3 * row for row in range(6)] * 2
        second = [3 * row + 1 for row in range(6)] + [3 * row + 2 for row in range(6)]
        left, right = distances(layer, first, second)["normalised_euclidean"].reshape(2, 6)
        right_is_nearer = [
            (right[row] < left[row]) if second_won else (left[row] < right[row])
            for row, second_won in enumerate(_winners(tmp_path / "nights"))
        ]
        assert table["value"][at] == pytest.approx(np.mean(right_is_nearer))
        assert not right_is_nearer[0]


def _winners(root: Path) -> list[bool]:
    """Whether the right candidate got more votes, row by row."""
    with (root / "data.csv").open() as file:
        return [int(row["right_vote"]) > int(row["left_vote"]) for row in csv.DictReader(file)]


def test_the_script_has_the_values_of_2024() -> None:
    rows = read_published()
    assert len(rows) == 370
    value = {(one.model, one.benchmark, one.layer, one.distance, one.metric): one.value for one in rows}
    b32, b16 = "openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16"
    assert round(value[b32, "tid2013", "projection", "normalised_euclidean", "spearman"], 3) == 0.735
    assert round(value[b32, "nights", "projection", "normalised_euclidean", "accuracy"], 3) == 0.839
    assert round(value[b16, "things", "projection", "euclidean", "accuracy"], 4) == 0.5304


@pytest.mark.parametrize(
    ("difference", "expected"), [(0.002, "reproduced"), (-0.0021, "close"), (0.0101, "differs")]
)
def test_a_difference_has_a_mark(difference: float, expected: str) -> None:
    assert mark(difference) == expected


def test_a_model_of_ones_own_stands_beside_another_and_is_not_marked(clip: Path, tmp_path: Path) -> None:
    things(tmp_path / "things")
    where = {"data_dirs": {"things": tmp_path / "things"}, "cache_dir": tmp_path, "show_progress": False}
    with pytest.raises(
        ConfigError, match=r"No values are published for 'random-clip': choose one of .*patch32"
    ):
        parity(clip, **where)
    with pytest.warns(SubsetWarning):
        table = parity(clip, beside="openai/clip-vit-base-patch32", **where)
    assert set(table["mark"]) == {"not comparable"}
    assert "another model" in table["note"].iloc[0]
    assert "0" in table["layer"].tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data_dirs": {}}, ConfigError, "No data are given"),
        (
            {"data_dirs": {"thing": "here"}},
            ConfigError,
            "no data set with published values 'thing'. Did you mean",
        ),
        ({"device": "nowhere"}, ConfigError, "device is 'nowhere', on which torch cannot compute"),
        ({"revision": "epoch-009"}, ConfigError, "There is no revision 'epoch-009'"),
        ({"published": "text"}, DatasetError, "it needs the columns model, benchmark"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(
    clip: Path, tmp_path: Path, change: dict[str, object], error: type[Exception], message: str
) -> None:
    things(tmp_path / "things")
    (tmp_path / "text").write_text("a,b\n1,2\n")
    if "published" in change:
        change = {"published": tmp_path / "text"}
    given = {"data_dirs": {"things": tmp_path / "things"}, "beside": "openai/clip-vit-base-patch32"} | change
    with pytest.raises(error, match=message):
        parity(clip, cache_dir=tmp_path, **given)  # type: ignore[arg-type]
