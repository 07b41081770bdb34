"""Model files by others: whatever they hold, the outcome is one sentence, and none of their code is run."""

import json
import os
import pickle
import pty
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch
from hostile.harness import Outcome, call
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
from hf_clipdyn.models.tokenizers import train_tokenizer

Change = Callable[[Path], None]
COMMIT = "0123456789" * 4
NAN = float("nan")
EVALUATE = (
    *("evaluate", "me/run", "--store", "hub", "--benchmarks", "zero_shot/cifar10", "--device", "cpu"),
    *("--data-dir", "cifar10=cifar10", "--output", "results.parquet", "--n-resamples", "0"),
)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a sound model in a store that no publisher made, and 20 labelled images."""
    folder = tmp_path_factory.mktemp("sound")
    repo = folder / "hub" / "models--me--run"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    size = ModelSize(16, 8, Tower(16, 2, 2), Tower(16, 2, 2), 16, context_length=12)
    tokenizer = train_tokenizer(list(Cifar10.classes), vocab_size=560, context_length=12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(clip_config(size, tokenizer)).save_pretrained(repo / "snapshots" / COMMIT)
    CLIPProcessor(clip_image_processor(size), tokenizer).save_pretrained(repo / "snapshots" / COMMIT)
    rng = np.random.default_rng(0)
    for label in Cifar10.classes:
        images = folder / "cifar10" / "test" / label
        images.mkdir(parents=True)
        for index in range(2):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(images / f"{index}.png")
    return folder


@pytest.fixture
def snapshot(sound: Path, tmp_path: Path, clipdyn: Callable[..., Outcome]) -> Path:
    """The files of the model, to be spoilt, in the folder where `clipdyn` runs."""
    shutil.copytree(sound, tmp_path / "work", dirs_exist_ok=True)
    return tmp_path / "work" / "hub" / "models--me--run" / "snapshots" / COMMIT


def _setting(name: str, value: Any, file: str = "config.json") -> Change:
    """Sets ``vision_config.num_hidden_layers``, say."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        *path, last = name.split(".")
        inner = content
        for part in path:
            inner = inner[part]
        inner[last] = value
        (folder / file).write_text(json.dumps(content))

    return change


def _content(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content) and None  # type: ignore[func-returns-value]


def _weights(spoil: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        spoil(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


class _Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("was-run",))


def _pickled(content: Any) -> Change:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(
            pickle.dumps(content) if not isinstance(content, bytes) else content
        )

    return change


def _zipped_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"padding": torch.zeros(100_000), "evil": _Evil()}, folder / "pytorch_model.bin")


def _header(header: bytes, length: int | None = None) -> Change:
    content = struct.pack("<Q", length or len(header)) + header + b"\0" * 99_999
    return _content("model.safetensors", content)


def _index(weight_map: Any) -> Change:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return change


def _code(*, file: str, auto_map: dict[str, str], model_type: str | None = None) -> Change:
    """A module in the repository that a file's ``auto_map`` names."""

    def change(folder: Path) -> None:
        lines = ["import os", "os.mkdir('was-run')"]
        lines += [f"class {name}: pass" for name in ("Config", "Model", "Processor", "Tokenizer")]
        (folder / "evil.py").write_text("\n".join(lines))
        content = json.loads((folder / file).read_text())
        part = content["image_processor"] if file == "processor_config.json" else content
        part["auto_map"] = auto_map
        if file == "processor_config.json":
            part["image_processor_type"] = "EvilProcessor"
        (folder / file).write_text(json.dumps(content))
        if model_type is not None:
            _setting("model_type", model_type)(folder)

    return change


V, T, P = "vision_config", "text_config", "processor_config.json"
RANGE = "expected a whole number from 1 to"
BROKEN = "no image encoder that transformers can load"

# What each case spoils, and a part of the sentence that it must give. The first ones run in `make test`.
MODELS: list[tuple[str, Change, str]] = [
    ("minus one layer", _setting(f"{V}.num_hidden_layers", -1), f"num_hidden_layers = -1: {RANGE}"),
    (
        "seven heads",
        _setting(f"{V}.num_attention_heads", 7),
        "not a multiple of the number of attention heads",
    ),
    ("patches of nothing", _setting(f"{V}.patch_size", 0), f"patch_size = 0: {RANGE}"),
    (
        "a layer left out",
        _setting(f"{V}.num_hidden_layers", 1),
        "layers that its config.json does not describe",
    ),
    ("pickle", _pickled({"evil": _Evil(), "padding": b"0" * 100_000}), "code from a repository is never run"),
    ("zipped pickle", _zipped_pickle, "code from a repository is never run"),
    ("empty pickle", _pickled(b""), "its weight files have only 0 bytes"),
    ("no weights", lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
]
MORE_MODELS: list[tuple[str, Change, str]] = [
    ("no layers", _setting(f"{V}.num_hidden_layers", 0), RANGE),
    ("a layer more", _setting(f"{V}.num_hidden_layers", 3), "lack 16 tensors of clip"),
    ("a billion layers", _setting(f"{V}.num_hidden_layers", 10**9), RANGE),
    ("a thousand layers", _setting(f"{V}.num_hidden_layers", 1000), "describes a model of"),
    ("half a layer", _setting(f"{V}.num_hidden_layers", 1.5), RANGE),
    ("text layers of yes", _setting(f"{T}.num_hidden_layers", True), RANGE),
    ("negative text layers", _setting(f"{T}.num_hidden_layers", -1), RANGE),
    ("null layers", _setting(f"{V}.num_hidden_layers", None), BROKEN),
    ("no heads", _setting(f"{V}.num_attention_heads", 0), RANGE),
    ("negative heads", _setting(f"{T}.num_attention_heads", -2), RANGE),
    ("negative patches", _setting(f"{V}.patch_size", -8), RANGE),
    ("patches as text", _setting(f"{V}.patch_size", "8"), RANGE),
    ("other patches", _setting(f"{V}.patch_size", 4), "have another shape"),
    ("list of patches", _setting(f"{V}.patch_size", [8, 0]), RANGE),
    ("images of nothing", _setting(f"{V}.image_size", 0), RANGE),
    ("images of a kilometre", _setting(f"{V}.image_size", 10**9), RANGE),
    ("wide", _setting(f"{V}.hidden_size", 2**20), "describes a model of"),
    ("too wide", _setting(f"{V}.hidden_size", 10**30), RANGE),
    ("wide inside", _setting(f"{V}.intermediate_size", 2**20), "describes a model of"),
    ("vocabulary of nothing", _setting(f"{T}.vocab_size", -1), RANGE),
    ("negative epsilon", _setting(f"{V}.layer_norm_eps", -1.0), "layer_norm_eps"),
    ("NaN", _setting(f"{V}.layer_norm_eps", NAN), "layer_norm_eps = nan: expected a number of 0 or more"),
    ("dropout of two", _setting(f"{V}.attention_dropout", 2.0), "expected a number from 0 to 1"),
    ("one channel", _setting(f"{V}.num_channels", 1), "have another shape"),
    ("unknown activation", _setting(f"{V}.hidden_act", "nosuch"), "nosuch"),
    ("list of towers", _setting("vision_config", [1]), BROKEN),
    ("no tower", _setting("text_config", None), "describes a model of"),
    ("no projection", _setting("projection_dim", 0), RANGE),
    ("number as type", _setting("model_type", 7), BROKEN),
    ("list as type", _setting("model_type", ["clip"]), BROKEN),
    ("unknown type", _setting("model_type", "nosuch"), BROKEN),
    (
        "attention from the Hub",
        _setting("attn_implementation", "evil/kernel"),
        "code from the Hub is never run",
    ),
    (
        "attention inside",
        _setting(f"{V}._attn_implementation", "a/b@main:c"),
        "code from the Hub is never run",
    ),
    ("unknown attention", _setting("attn_implementation", "nosuch"), "nosuch"),
    ("unknown precision", _setting("dtype", "nosuch"), "nosuch"),
    ("whole-number precision", _setting("dtype", "int8"), "int8"),
    ("empty configuration", _content("config.json", b""), "config.json cannot be read"),
    ("binary configuration", _content("config.json", b"\x00\xff" * 99), "cannot be read"),
    ("configuration of a list", _content("config.json", b"[]"), "contains a list, not an object"),
    ("deep configuration", _content("config.json", b'{"a":' * 10**5), "cannot be read"),
    (
        "deep but closed",
        _content("config.json", b'{"a":' * 500 + b"1" + b"}" * 500),
        "nests objects more than",
    ),
    ("configuration away", lambda folder: (folder / "config.json").unlink(), BROKEN),
    (
        "no projection weights",
        _weights(lambda t: t.pop("visual_projection.weight")),
        "visual_projection.weight",
    ),
    (
        "no temperature",
        _weights(lambda t: t.pop("logit_scale")),
        "lack 1 tensors of clip, for example logit_scale",
    ),
    ("no tensors", _weights(lambda t: t.clear()), "describes a model of"),
    (
        "other shape",
        _weights(lambda t: t.update({"logit_scale": torch.zeros(2)})),
        "have another shape, for example logit_scale (given (2,)",
    ),
    ("truncated weights", _content("model.safetensors", b"\x00" * 99_999), BROKEN),
    ("huge header", _header(b"{}", 2**62), BROKEN),
    ("header of rubbish", _header(b"\xff" * 99), BROKEN),
    (
        "tensor beyond the file",
        _header(b'{"a":{"dtype":"F32","shape":[9000000000],"data_offsets":[0,36000000000]}}'),
        BROKEN,
    ),
    (
        "index to outside",
        _index({"logit_scale": "../../../../../victim/secret.txt"}),
        "not a weight file beside it",
    ),
    ("index of a list", _index([1, 2]), "not an index of weights"),
    ("index of numbers", _index({"logit_scale": 7}), "not an index of weights"),
    ("rubbish as pickle", _pickled(b"\x80\x04rubbish" * 9999), BROKEN),
    ("pickle of a number", _pickled({"logit_scale": 7, "padding": b"0" * 100_000}), BROKEN),
    ("zip as pickle", lambda folder: _zip_as_pickle(folder), BROKEN),
]
PROCESSORS: list[tuple[str, Change, str]] = [
    (
        "larger pictures",
        _setting("image_processor.crop_size", {"height": 32, "width": 32}, P),
        "images of 32 x 32 pixels",
    ),
    (
        "pictures of 8,000 pixels",
        _setting("image_processor.crop_size", {"height": 8000, "width": 8000}, P),
        "is not the image processor of this clip model (it gives images of 8000 x 8000 pixels)",
    ),
    ("no processor", lambda folder: (folder / P).unlink(), "has no preprocessor_config.json"),
    ("no deviation", _setting("image_processor.image_std", [0, 0, 0], P), "expected a positive number"),
    (
        "deep configuration",
        _content("config.json", b"[" * 10**5),
        "config.json cannot be read: it is nested too",
    ),
    ("empty tokenizer", _content("tokenizer.json", b""), BROKEN),
    (
        "end of another tokenizer",
        _setting(f"{T}.eos_token_id", 99999),
        "all texts would have the same embedding",
    ),
]
MORE_PROCESSORS: list[tuple[str, Change, str]] = [
    (
        "smaller pictures",
        _setting("image_processor.crop_size", {"height": 8, "width": 8}, P),
        "images of 8 x 8 pixels",
    ),
    ("pictures of nothing", _setting("image_processor.crop_size.height", 0, P), RANGE),
    ("pictures of a kilometre", _setting("image_processor.size.shortest_edge", 10**9, P), RANGE),
    ("size as text", _setting("image_processor.size", "big", P), BROKEN),
    ("two means", _setting("image_processor.image_mean", [0.5, 0.5], P), BROKEN),
    ("mean as text", _setting("image_processor.image_mean", "x", P), "expected a number"),
    ("NaN deviation", _setting("image_processor.image_std", [NAN] * 3, P), "expected a positive number"),
    ("no scale", _setting("image_processor.rescale_factor", 0, P), "expected a positive number"),
    ("unknown filter", _setting("image_processor.resample", 99, P), "one of Pillow's filters"),
    ("unknown processor", _setting("image_processor.image_processor_type", "nosuch", P), BROKEN),
    ("number as processor", _setting("image_processor.image_processor_type", 7, P), BROKEN),
    ("processor of a list", _content(P, b"[]"), "contains a list, not an object"),
    ("broken processor", _content(P, b"{"), "cannot be read"),
    ("tokenizer of a list", _content("tokenizer.json", b"[]"), BROKEN),
    ("deep tokenizer", _content("tokenizer.json", b'{"a":' * 10**4), BROKEN),
    ("unknown model of words", _setting("model.type", "nosuch", "tokenizer.json"), BROKEN),
    ("merges of numbers", _setting("model.merges", [1, 2], "tokenizer.json"), BROKEN),
    ("broken settings of the tokenizer", _content("tokenizer_config.json", b"{"), BROKEN),
    (
        "vocabulary of ten",
        _setting(f"{T}.vocab_size", 10),
        "have another shape, for example text_model.embeddings",
    ),
    ("vocabulary of millions", _setting(f"{T}.vocab_size", 2**24), "describes a model of"),
    (
        "rubbish in a tuple",
        _setting("return_dict", False),
        "cannot process the output of its image processor",
    ),
]


def _zip_as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04rubbish" * 9999)


def _parameters(cases: list[tuple[str, Change, str]], marks: Any = ()) -> list[Any]:
    return [pytest.param(change, said, id=name, marks=marks) for name, change, said in cases]


def _check(outcome: Outcome, said: str, snapshot: Path) -> None:
    work = snapshot.parents[3]
    assert said in outcome.sentence, outcome.sentence
    assert not (work / "was-run").exists(), "code of the repository was run"
    assert not (work / "results.parquet").exists(), "something was measured"


@pytest.mark.parametrize(
    ("change", "said"),
    [*_parameters(MODELS + PROCESSORS), *_parameters(MORE_MODELS + MORE_PROCESSORS, pytest.mark.slow)],
)
def test_a_hostile_model_is_not_measured(
    clipdyn: Callable[..., Outcome], snapshot: Path, change: Change, said: str
) -> None:
    change(snapshot)
    _check(clipdyn(*EVALUATE), said, snapshot)


@pytest.mark.usefixtures("snapshot")
def test_the_sound_model_is_measured(clipdyn: Callable[..., Outcome]) -> None:
    outcome = clipdyn(*EVALUATE)
    outcome.assert_decent()
    assert outcome.code == 0, outcome.err


@pytest.mark.slow
def test_an_output_that_is_full_is_one_sentence_beside_a_sound_model(snapshot: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "err").open("wb") as error:
        command = [sys.executable, "-m", "hf_clipdyn", "revisions", "me/run", "--store", "hub"]
        streams = {"stdout": full.fileno(), "stderr": error.fileno()}
        assert forked.start(command, **streams, cwd=snapshot.parents[3]).wait() == 1
    said = (tmp_path / "err").read_text()
    assert said.endswith("clipdyn: error: Standard output: No space left on device.\n")
    assert "Traceback" not in said


def _on_a_terminal(argv: list[str], cwd: Path) -> None:
    """The command line with a terminal as its input, on which somebody types yes to every question."""
    from hf_clipdyn.cli import main

    master, slave = pty.openpty()
    os.write(master, b"y\n" * 50)
    os.dup2(slave, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    assert sys.stdin.isatty()
    os.chdir(cwd)
    main(argv)


@pytest.mark.parametrize(
    ("change", "measured"),
    [
        pytest.param(
            _code(
                file="config.json",
                auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
                model_type="evil",
            ),
            False,
            id="configuration",
        ),
        pytest.param(
            _code(file=P, auto_map={"AutoImageProcessor": "evil.Processor"}), None, id="image processor"
        ),
        pytest.param(
            _code(file="tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}),  # type: ignore[dict-item]
            None,
            id="tokenizer",
        ),
        pytest.param(
            _code(file="config.json", auto_map={"AutoModel": "evil.Model"}),
            True,
            id="model that transformers knows",
        ),
        pytest.param(
            _code(file="config.json", auto_map={"AutoModel": "elsewhere/evil--evil.Model"}),
            True,
            id="code of another repository",
        ),
    ],
)
def test_code_of_a_repository_is_neither_run_nor_asked_for_on_a_terminal(
    snapshot: Path, tmp_path: Path, change: Change, measured: bool | None
) -> None:
    change(snapshot)
    work = snapshot.parents[3]
    outcome = call(_on_a_terminal, list(EVALUATE), work, printed=tmp_path / "printed")
    outcome.assert_decent()
    assert "[y/N]" not in outcome.out + outcome.err
    assert not (work / "was-run").exists()
    if measured is not None:
        assert (outcome.code == 0) == measured, outcome.err
    if outcome.code:
        assert "code from a repository is never run" in outcome.sentence or BROKEN in outcome.sentence


def _checkpoint(content: Any) -> Change:
    return lambda folder: torch.save(content, folder / "epoch_1.pt")


CHECKPOINTS: list[tuple[str, Change, str]] = [
    ("pickle that runs", _checkpoint({"epoch": 1, "state_dict": {}, "x": _Evil()}), "cannot be read"),
    ("empty", _content("epoch_1.pt", b""), "cannot be read"),
    ("negative epoch", _checkpoint({"epoch": -1, "state_dict": {}}), "has the epoch"),
    ("list of weights", _checkpoint({"epoch": 1, "state_dict": [1]}), "is not a checkpoint"),
]
MORE_CHECKPOINTS: list[tuple[str, Change, str]] = [
    ("bare pickle", _content("epoch_1.pt", pickle.dumps({"state_dict": _Evil()})), "cannot be read"),
    ("rubbish", _content("epoch_1.pt", b"\x00\x01\x02" * 999), "cannot be read"),
    ("epoch of the far future", _checkpoint({"epoch": 10**30, "state_dict": {}}), "has the epoch"),
    ("epoch of text", _checkpoint({"epoch": "../../victim", "state_dict": {}}), "has the epoch"),
    ("tensor", _checkpoint(torch.zeros(2)), "contains a Tensor"),
    ("numbers as names", _checkpoint({"epoch": 1, "state_dict": {1: torch.zeros(1)}}), "is not a checkpoint"),
    ("no tensors", _checkpoint({"epoch": 1, "state_dict": {}}), "does not fit the named model"),
    (
        "other names",
        _checkpoint({"epoch": 1, "state_dict": {"../x": torch.zeros(1)}}),
        "does not fit the named model",
    ),
    (
        "one row of attention",
        _checkpoint(
            {"epoch": 1, "state_dict": {"transformer.resblocks.0.attn.in_proj_weight": torch.zeros(1)}}
        ),
        "split into query, key and value",
    ),
    (
        "integer tensors",
        _checkpoint({"epoch": 1, "state_dict": {"logit_scale": torch.tensor(1)}}),
        "integer tensors",
    ),
    ("folder", lambda folder: (folder / "epoch_1.pt").mkdir(), "epoch_1.pt is a folder, not a checkpoint"),
]


@pytest.mark.parametrize(
    ("change", "said"), [*_parameters(CHECKPOINTS), *_parameters(MORE_CHECKPOINTS, pytest.mark.slow)]
)
def test_a_hostile_checkpoint_is_not_imported(
    clipdyn: Callable[..., Outcome], tmp_path: Path, change: Change, said: str
) -> None:
    pytest.importorskip("open_clip")
    work = tmp_path / "work"
    change(work)
    outcome = clipdyn(
        *("import", "epoch_1.pt", "me/theirs", "--from-open-clip", "ViT-B-32", "--output-dir", "run")
    )
    assert said in outcome.sentence, outcome.sentence
    assert not (work / "was-run").exists()
    assert not list(work.rglob("*.safetensors"))
