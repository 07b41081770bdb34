"""The adapter gives what transformers gives, whatever the family of the model."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import VISION, families, pair
from transformers import (
    CLIPImageProcessor,
    EfficientNetImageProcessor,
    Siglip2ImageProcessor,
    Siglip2Tokenizer,
    SiglipImageProcessor,
    SiglipTokenizer,
    ViTImageProcessor,
    XLMRobertaTokenizer,
)

from hf_clipdyn.errors import ModelError
from hf_clipdyn.models.encoder import Encoder, default_device
from hf_clipdyn.models.tokenizers import train_tokenizer

SIZE = 16
TEXTS = ["a red cat", "a blue car", "two green boats by the sea"]
TOKENIZER = train_tokenizer(TEXTS, vocab_size=520, context_length=12)
TEXT = tiny_models.TEXT | {
    "max_position_embeddings": 16,
    "vocab_size": len(TOKENIZER),
    "bos_token_id": TOKENIZER.bos_token_id,
    "eos_token_id": TOKENIZER.eos_token_id,
    "pad_token_id": TOKENIZER.pad_token_id,
}
SQUARE = {"height": SIZE, "width": SIZE}


FAMILIES = families(TEXT)
CLIP_PROCESSOR = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE)
PROCESSORS: dict[str, Any] = {
    "siglip2": Siglip2ImageProcessor(patch_size=8, max_num_patches=4),
    "align": EfficientNetImageProcessor(size={"height": 64, "width": 64}),
    "chinese_clip": CLIPImageProcessor(size=SQUARE, crop_size=SQUARE),
    **dict.fromkeys(("dual_encoder", "vit"), ViTImageProcessor(size=SQUARE)),
    **dict.fromkeys(("siglip", "blip", "beit", "dinov3"), SiglipImageProcessor(size=SQUARE)),
    **dict.fromkeys(("ijepa", "swin", "resnet"), SiglipImageProcessor(size=SQUARE)),
}
"""Of families whose processor is not CLIP's."""
CLASS_TOKEN = ["vit", "deit", "beit", "dinov2", "dinov2_registers", "dinov3"]
POOLED = ["clip_vision", "swin", "resnet"]
DUAL = [name for name in FAMILIES if name not in (*CLASS_TOKEN, *POOLED, "ijepa")]
LAYERED = [name for name in FAMILIES if name not in ("align", "swin", "resnet")]  # of equal hidden states


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """`saved("clip")`: the folder of a random model of that family."""

    def save(family: str, model: Any = None) -> Path:
        folder = tmp_path / f"{family}-{len(list(tmp_path.iterdir()))}"
        with torch.random.fork_rng():
            torch.manual_seed(0)
            (model or FAMILIES[family]()).save_pretrained(folder)
        PROCESSORS.get(family, CLIP_PROCESSOR).save_pretrained(folder)
        if family in DUAL:
            TOKENIZER.save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", DUAL)
def test_embeddings_are_exactly_those_of_get_image_features_and_get_text_features(family, saved):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    side = 64 if family == "align" else SIZE  # its EfficientNet shrinks an image 32 times
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    inputs = encoder.image_processor(list(pixels), return_tensors="pt")
    with torch.no_grad():
        images = encoder.model.get_image_features(**inputs).pooler_output
        texts = encoder.model.get_text_features(**encoder.tokenize(TEXTS)).pooler_output
    assert np.array_equal(encoder.embed_images(pixels).projection, images.numpy())
    assert np.array_equal(encoder.embed_texts(TEXTS), texts.numpy())
    assert encoder.reads_text
    distinct = {row.tobytes() for row in encoder.embed_texts(TEXTS)}
    assert len(distinct) == len(TEXTS)


@pytest.mark.parametrize("family", [*CLASS_TOKEN, *POOLED, "ijepa"])
def test_a_vision_model_gives_its_class_token_or_what_it_pools_and_reads_no_text(family, saved, pixels):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    with torch.no_grad():
        output = encoder.model(pixel_values=encoder.pixel_values(pixels))
    if family in CLASS_TOKEN:
        expected = output.last_hidden_state[:, 0]
    else:
        expected = output.last_hidden_state.mean(1) if family == "ijepa" else output.pooler_output.flatten(1)
    assert np.array_equal(encoder.embed_images(pixels).projection, expected.numpy())
    assert not encoder.reads_text
    with pytest.raises(ModelError, match="has no text encoder"):
        encoder.embed_texts(["a cat"])


@pytest.mark.parametrize("family", LAYERED)
def test_all_hidden_states_and_attention_maps_come_from_one_pass(family, saved, pixels):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    with encoder.eager_attention():
        features = encoder.embed_images(pixels, hidden=True, attentions=True)
    tokens = features.hidden[0].shape[1]
    assert [state.shape for state in features.hidden] == [(3, tokens, 16)] * 3
    assert [maps.shape for maps in features.attentions] == [(3, 2, tokens, tokens)] * 2
    np.testing.assert_allclose(features.attentions[0].sum(axis=-1), 1, atol=1e-5)
    if family == "clip":  # whose usual attention gives none
        with pytest.raises(ModelError, match="attention maps"):
            encoder.embed_images(pixels, attentions=True)


def test_a_large_batch_on_a_cpu_goes_through_in_parts_and_comes_back_whole(saved):
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    step = encoder.images_per_pass
    pixels = np.random.default_rng(0).integers(0, 256, (2 * step + 5, SIZE, SIZE, 3), dtype=np.uint8)
    with encoder.eager_attention():
        whole, *parts = (
            encoder.embed_images(shown, hidden=True, attentions=True)
            for shown in (pixels, *np.split(pixels, [step, 2 * step]))
        )
    assert np.array_equal(whole.projection, np.concatenate([part.projection for part in parts]))
    assert np.array_equal(whole.hidden[1], np.concatenate([part.hidden[1] for part in parts]))
    assert np.array_equal(whole.attentions[1], np.concatenate([part.attentions[1] for part in parts]))


def test_another_architecture_is_built_anew(saved, pixels):
    wider = VISION | {"hidden_size": 32}
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    assert encoder.load(saved("clip", model=pair("CLIP", vision=wider, text=TEXT))) is False
    assert encoder.model.config.vision_config.hidden_size == 32
    assert encoder.load(saved("siglip")) is False
    assert encoder.embed_images(pixels).projection.shape == (3, 16)


def siglip_tokenizer(folder: Path) -> SiglipTokenizer:
    pieces = pytest.importorskip("sentencepiece", reason="SigLIP's tokenizer needs sentencepiece")
    pytest.importorskip("google.protobuf", reason="SigLIP's tokenizer needs protobuf")
    with (folder / "spiece.model").open("wb") as file:
        pieces.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 20), model_writer=file, vocab_size=60, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    return SiglipTokenizer(str(folder / "spiece.model"))


LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
GEMMA = {token: index for index, token in enumerate([*SPECIAL, *LETTERS])}
UNIGRAMS = [(token, 0.0) for token in ("<s>", "<pad>", "</s>")] + [("<unk>", -9.0)]
UNIGRAMS += [*(("▁" + letter, -2.0) for letter in LETTERS), *((letter, -3.0) for letter in LETTERS)]
UNIGRAMS += [("<mask>", 0.0)]
OF_SIGLIP_2: dict[str, Any] = {"vocab": GEMMA, "merges": [], "add_eos_token": True, "padding_side": "right"}
# Without and with padding, with another length: the family, its tokenizer, the first and the last token of a text.
TOKENIZERS: dict[str, tuple[str, Callable[[Path], Any], str | None, str]] = {
    "clip": ("clip", lambda _: TOKENIZER, "<|startoftext|>", "<|endoftext|>"),
    "siglip": ("siglip", siglip_tokenizer, None, "</s>"),
    "siglip 2": ("siglip2", lambda _: Siglip2Tokenizer(**OF_SIGLIP_2), None, "<eos>"),
    "altclip and metaclip 2": ("altclip", lambda _: XLMRobertaTokenizer(vocab=UNIGRAMS), "<s>", "</s>"),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_long_text_is_cut_and_keeps_its_end_token(saved, name, tmp_path):
    family, build, start, end = TOKENIZERS[name]
    folder = saved(family)
    for file in folder.glob("*token*"):
        file.unlink()
    build(tmp_path).save_pretrained(folder)
    encoder = Encoder.from_folder(folder, device="cpu")
    ids = encoder.tokenize(["red cat " * 50, "a cat"])["input_ids"]
    tokens = [encoder.tokenizer.convert_ids_to_tokens(row) for row in ids]
    assert len(tokens[0]) == encoder.context_length == {"clip": 12, "altclip": 18}.get(family, 16)
    assert tokens[0][-1] == end
    assert end in tokens[1]
    assert start in (None, tokens[0][0])
    rows = encoder.embed_texts(["red cat " * 50, "red cat " * 60, "a cat"])
    assert np.isfinite(rows).all()
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_bfloat16_is_close_to_float32(saved, pixels):
    folder = saved("clip")
    reference = Encoder.from_folder(folder, device="cpu").embed_images(pixels).projection
    rough = Encoder.from_folder(folder, device="cpu", dtype=torch.bfloat16).embed_images(pixels).projection
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, reference, atol=0.1)
    assert not np.array_equal(rough, reference)


@pytest.mark.parametrize(
    ("present", "used"), [("cuda:1", "cuda:1"), ("xpu:0", "xpu:0"), ("mps", "cpu"), ("cpu", "cpu")]
)
def test_the_default_device_is_that_of_the_process_but_not_one_without_double_precision(
    present, used, monkeypatch
):
    state = SimpleNamespace(device=torch.device(present))
    monkeypatch.setattr("hf_clipdyn.models.encoder.PartialState", lambda: state)
    assert default_device() == torch.device(used)
