"""The adapter gives what transformers gives, whatever the family of the model."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import EFFICIENT_NET, RESNET, SWIN, VISION, pair, vision_model
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    EfficientNetImageProcessor,
    GemmaTokenizer,
    LlavaNextImageProcessor,
    Siglip2ImageProcessor,
    Siglip2Tokenizer,
    SiglipImageProcessor,
    SiglipTokenizer,
    VisionTextDualEncoderModel,
    ViTImageProcessor,
    XLMRobertaTokenizer,
)

from hf_clipdyn.errors import ModelError, RevisionNotFoundError
from hf_clipdyn.models.encoder import Encoder, check_image_processor, default_device, read_input
from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
from hf_clipdyn.models.snapshots import snapshot_folder
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


def clip(width: int = 16) -> CLIPModel:
    size = ModelSize(SIZE, 8, Tower(width, 2, 2), Tower(16, 1, 2), 16, context_length=12)
    return CLIPModel(clip_config(size, TOKENIZER))


def dual_encoder() -> VisionTextDualEncoderModel:
    text = BertModel(BertConfig(**TEXT))
    return VisionTextDualEncoderModel(vision_model=vision_model("ViT"), text_model=text)


def clip_processor(side: int = SIZE) -> CLIPImageProcessor:
    square = {"height": side, "width": side}
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square)


def siglip_processor() -> SiglipImageProcessor:
    return SiglipImageProcessor(size=SQUARE)


ALT_TEXT = TEXT | {"project_dim": 16, "max_position_embeddings": 20, "pad_token_id": 1}
SIGLIP_TEXT = TEXT | {"projection_size": 16}
SIGLIP_2 = {key: value for key, value in VISION.items() if key != "image_size"} | {"num_patches": 4}
FAMILIES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "clip": (clip, clip_processor),
    "siglip": (lambda: pair("Siglip", text=SIGLIP_TEXT), siglip_processor),
    "siglip2": (
        lambda: pair("Siglip2", vision=SIGLIP_2, text=SIGLIP_TEXT),
        lambda: Siglip2ImageProcessor(patch_size=8, max_num_patches=4),
    ),
    "align": (
        lambda: pair("Align", vision=EFFICIENT_NET, text=TEXT, projection_dim=16),
        lambda: EfficientNetImageProcessor(size={"height": 64, "width": 64}),
    ),
    "altclip": (lambda: pair("AltCLIP", text=ALT_TEXT, projection_dim=16), clip_processor),
    "chinese_clip": (
        lambda: pair("ChineseCLIP", text=TEXT, projection_dim=16),
        lambda: CLIPImageProcessor(size=SQUARE, crop_size=SQUARE),
    ),
    "metaclip_2": (lambda: pair("MetaClip2", text=TEXT, projection_dim=16), clip_processor),
    "aimv2": (lambda: pair("Aimv2", text=TEXT, projection_dim=16), clip_processor),
    "blip": (lambda: pair("Blip", text=TEXT, projection_dim=16), siglip_processor),
    "dual_encoder": (dual_encoder, lambda: ViTImageProcessor(size=SQUARE)),
    "vit": (lambda: vision_model("ViT", add_pooling_layer=False), lambda: ViTImageProcessor(size=SQUARE)),
    "deit": (lambda: vision_model("DeiT"), clip_processor),
    "beit": (lambda: vision_model("Beit"), siglip_processor),
    "dinov2": (lambda: vision_model("Dinov2"), clip_processor),
    "dinov2_registers": (lambda: vision_model("Dinov2WithRegisters"), clip_processor),
    "dinov3": (lambda: vision_model("DINOv3ViT", VISION | {"num_register_tokens": 2}), siglip_processor),
    "clip_vision": (lambda: vision_model("CLIPVision"), clip_processor),
    "ijepa": (lambda: vision_model("IJepa"), siglip_processor),
    "swin": (lambda: vision_model("Swin", SWIN), siglip_processor),
    "resnet": (lambda: vision_model("ResNet", RESNET), siglip_processor),
}
CLASS_TOKEN = ["vit", "deit", "beit", "dinov2", "dinov2_registers", "dinov3"]
POOLED = ["clip_vision", "swin", "resnet"]
DUAL = [name for name in FAMILIES if name not in (*CLASS_TOKEN, *POOLED, "ijepa")]
LAYERED = [name for name in FAMILIES if name not in ("align", "swin", "resnet")]  # of equal hidden states


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """`saved("clip", seed=1)`: the folder of a random model of that family."""

    def save(family: str, seed: int = 0, model: Any = None) -> Path:
        build, image_processor = FAMILIES[family]
        folder = tmp_path / f"{family}-{seed}-{len(list(tmp_path.iterdir()))}"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            (model or build()).save_pretrained(folder)
        image_processor().save_pretrained(folder)
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


def test_the_page_on_evaluation_names_every_family_of_these_tests(checkout):
    said = {
        "dual_encoder": "pairs of a vision and a text model",
        "dinov2_registers": "DINOv2 (also with registers)",
        "clip_vision": "CLIP's vision half",
    }
    page = (checkout / "docs/explanation/how-evaluation-runs.md").read_text(encoding="utf-8")
    letters = re.sub(r"\W", "", page.lower())
    names = [said.get(name, name).lower() for name in FAMILIES]
    assert [name for name in names if re.sub(r"[\W_]", "", name) not in letters] == []


@pytest.mark.parametrize("family", CLASS_TOKEN)
def test_a_vision_model_gives_its_class_token_and_reads_no_text(family, saved, pixels):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    features = encoder.embed_images(pixels)
    with torch.no_grad():
        output = encoder.model(pixel_values=encoder.pixel_values(pixels)).last_hidden_state
    assert np.array_equal(features.projection, output[:, 0].numpy())
    assert not encoder.reads_text
    with pytest.raises(ModelError, match="has no text encoder"):
        encoder.embed_texts(["a cat"])


@pytest.mark.parametrize("family", [*POOLED, "ijepa"])
def test_a_vision_model_without_a_class_token_gives_what_it_pools(family, saved, pixels):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    with torch.no_grad():
        output = encoder.model(pixel_values=encoder.pixel_values(pixels))
    pooled = output.last_hidden_state.mean(1) if family == "ijepa" else output.pooler_output.flatten(1)
    assert np.array_equal(encoder.embed_images(pixels).projection, pooled.numpy())


@pytest.mark.parametrize("family", LAYERED)
def test_all_hidden_states_and_attention_maps_come_from_one_pass(family, saved, pixels):
    encoder = Encoder.from_folder(saved(family), device="cpu")
    with encoder.eager_attention():
        features = encoder.embed_images(pixels, hidden=True, attentions=True)
    tokens = features.hidden[0].shape[1]
    assert [state.shape for state in features.hidden] == [(3, tokens, 16)] * 3
    assert [maps.shape for maps in features.attentions] == [(3, 2, tokens, tokens)] * 2
    np.testing.assert_allclose(features.attentions[0].sum(axis=-1), 1, atol=1e-5)


def test_a_large_batch_on_a_cpu_goes_through_in_parts_and_comes_back_whole(saved):
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    step = encoder.images_per_pass
    pixels = np.random.default_rng(0).integers(0, 256, (2 * step + 5, SIZE, SIZE, 3), dtype=np.uint8)
    with encoder.eager_attention():
        whole = encoder.embed_images(pixels, hidden=True, attentions=True)
        parts = [
            encoder.embed_images(pixels[start : start + step], hidden=True, attentions=True)
            for start in (0, step)
        ]
        alone = encoder.embed_images(pixels[-1:])
    assert len(whole.projection) == len(whole.hidden[-1]) == len(whole.attentions[0]) == 2 * step + 5
    for at, part in zip((0, step), parts, strict=True):
        assert np.array_equal(whole.projection[at : at + step], part.projection)
        assert np.array_equal(whole.hidden[1][at : at + step], part.hidden[1])
        assert np.array_equal(whole.attentions[1][at : at + step], part.attentions[1])
    np.testing.assert_allclose(whole.projection[-1], alone.projection[0], atol=1e-6)


def test_swapped_weights_give_bit_for_bit_what_from_pretrained_gives(saved, pixels):
    first, second = saved("clip", seed=0), saved("clip", seed=1)
    encoder = Encoder.from_folder(first, device="cpu")
    model = encoder.model
    assert encoder.load(second) is True
    assert encoder.model is model
    fresh = Encoder.from_folder(second, device="cpu")
    assert np.array_equal(encoder.embed_images(pixels).projection, fresh.embed_images(pixels).projection)
    assert np.array_equal(encoder.embed_texts(TEXTS), fresh.embed_texts(TEXTS))
    assert encoder.load(first) is True
    assert not np.array_equal(encoder.embed_images(pixels).projection, fresh.embed_images(pixels).projection)


def test_another_architecture_is_built_anew(saved, pixels):
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    assert encoder.load(saved("clip", model=clip(width=32))) is False
    assert encoder.model.config.vision_config.hidden_size == 32
    assert encoder.load(saved("siglip")) is False
    assert encoder.embed_images(pixels).projection.shape == (3, 16)


def test_sharded_weights_are_swapped_too(saved, pixels):
    encoder = Encoder.from_folder(saved("clip", seed=0), device="cpu")
    second = saved("clip", seed=1)
    whole = Encoder.from_folder(second, device="cpu")
    (second / "model.safetensors").unlink()
    whole.model.save_pretrained(second, max_shard_size="20KB")
    assert (second / "model.safetensors.index.json").is_file()
    assert encoder.load(second) is True
    assert np.array_equal(encoder.embed_images(pixels).projection, whole.embed_images(pixels).projection)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
GEMMA = {
    token: index for index, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS])
}
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS)]
UNIGRAMS = [*(("▁" + letter, -2.0) for letter in LETTERS), *((letter, -3.0) for letter in LETTERS)]
# As the families' checkpoints come: the first and the last token of a text.
TOKENIZERS: dict[str, tuple[str, Callable[[], Any], str | None, str]] = {
    "clip": ("clip", lambda: TOKENIZER, "<|startoftext|>", "<|endoftext|>"),
    "siglip 2": (
        "siglip2",
        lambda: Siglip2Tokenizer(vocab=GEMMA, merges=[], add_eos_token=True, padding_side="right"),
        None,
        "<eos>",
    ),
    "siglip 2 of a fixed size": (
        "siglip",
        lambda: GemmaTokenizer(
            vocab=GEMMA, merges=[], add_bos_token=False, add_eos_token=True, padding_side="right"
        ),
        None,
        "<eos>",
    ),
    "align and chinese clip": (
        "chinese_clip",
        lambda: BertTokenizer(vocab={token: index for index, token in enumerate(BERT)}),
        "[CLS]",
        "[SEP]",
    ),
    "altclip and metaclip 2": (
        "altclip",
        lambda: XLMRobertaTokenizer(
            vocab=[("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *UNIGRAMS, ("<mask>", 0.0)]
        ),
        "<s>",
        "</s>",
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_long_text_is_cut_and_keeps_its_end_token(saved, name):
    family, build, start, end = TOKENIZERS[name]
    folder = saved(family)
    for file in folder.glob("*token*"):
        file.unlink()
    build().save_pretrained(folder)
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


def test_siglip_texts_keep_their_end_token_too(saved, tmp_path):
    pieces = pytest.importorskip("sentencepiece", reason="SigLIP's tokenizer needs sentencepiece")
    pytest.importorskip("google.protobuf", reason="SigLIP's tokenizer needs protobuf")
    folder = saved("siglip")
    for file in folder.glob("*token*"):
        file.unlink()
    with (tmp_path / "spiece.model").open("wb") as file:
        pieces.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 20), model_writer=file, vocab_size=60, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    SiglipTokenizer(str(tmp_path / "spiece.model")).save_pretrained(folder)
    ids = Encoder.from_folder(folder, device="cpu").tokenize(["red cat " * 50, "a cat"])["input_ids"]
    assert ids.shape == (2, 16)
    assert ids[:, -1].tolist() == [1, 1]


def test_a_tokenizer_that_needs_a_package_names_it(saved, monkeypatch):
    def lacks(*_: Any, **__: Any) -> None:
        raise ImportError("\nSiglipTokenizer requires the SentencePiece library but it was not found in …")

    monkeypatch.setattr("hf_clipdyn.models.encoder.AutoTokenizer.from_pretrained", lacks)
    with pytest.raises(ModelError, match=r"requires the SentencePiece library: .* 'hf-clipdyn\[siglip\]'"):
        Encoder.from_folder(saved("siglip"), device="cpu")


def test_the_tokenizer_of_another_model_is_one_sentence(saved):
    config = clip().config
    config.text_config.vocab_size = 5
    encoder = Encoder.from_folder(saved("clip", model=CLIPModel(config)), device="cpu")
    with pytest.raises(
        ModelError, match=r"gives the token \d+, but the CLIPModel only knows 5: save the processor"
    ):
        encoder.embed_texts(["a cat"])


def test_siglip_texts_are_padded_to_the_full_length_without_a_mask(saved):
    encoder = Encoder.from_folder(saved("siglip"), device="cpu")
    batch = encoder.tokenize(["a cat"])
    assert batch["input_ids"].shape == (1, 12)
    assert "attention_mask" not in batch


def test_bfloat16_is_close_to_float32(saved, pixels):
    folder = saved("clip")
    reference = Encoder.from_folder(folder, device="cpu").embed_images(pixels).projection
    rough = Encoder.from_folder(folder, device="cpu", dtype=torch.bfloat16).embed_images(pixels).projection
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, reference, atol=0.1)
    assert not np.array_equal(rough, reference)


def test_truncated_weights_are_named(saved):
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    broken = saved("clip", seed=1)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"model\.safetensors: SafetensorError"):
        encoder.load(broken)
    with pytest.raises(ModelError, match=f"{broken}: SafetensorError"):
        Encoder.from_folder(broken, device="cpu")


def test_missing_tensors_are_an_error_and_not_random_numbers(saved):
    from safetensors.torch import load_file, save_file

    folder = saved("clip")
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors are missing, such as visual_projection\.weight"):
        Encoder.from_folder(folder, device="cpu")


@pytest.mark.parametrize(
    ("present", "used"), [("cuda:1", "cuda:1"), ("xpu:0", "xpu:0"), ("mps", "cpu"), ("cpu", "cpu")]
)
def test_the_default_device_is_that_of_the_process_but_not_one_without_double_precision(
    present, used, monkeypatch
):
    state = SimpleNamespace(device=torch.device(present))
    monkeypatch.setattr("hf_clipdyn.models.encoder.PartialState", lambda: state)
    assert default_device() == torch.device(used)


def test_a_language_model_is_no_image_encoder(tmp_path):
    config = BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=99
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="image"):
        Encoder.from_folder(tmp_path, device="cpu")


def test_a_revision_that_is_not_in_the_store_is_named_at_once(tmp_path):
    with pytest.raises(RevisionNotFoundError, match="no complete revision 'epoch-009' of 'me/run'"):
        snapshot_folder("me/run", "epoch-009", cache_dir=tmp_path, local_files_only=True)


def test_asking_for_attention_without_eager_attention_is_an_error_not_an_empty_answer(saved, pixels):
    encoder = Encoder.from_folder(saved("clip"), device="cpu")
    with pytest.raises(ModelError, match="attention maps"):
        encoder.embed_images(pixels, attentions=True)


def test_the_clip_processor_agrees_with_the_adapter(saved, pixels):
    folder = saved("clip")
    size = ModelSize(SIZE, 8, Tower(16, 1, 2), Tower(16, 1, 2), 16, context_length=12)
    processor = CLIPProcessor(clip_image_processor(size), TOKENIZER)
    expected = processor(images=list(pixels), return_tensors="pt")["pixel_values"]
    assert torch.equal(Encoder.from_folder(folder, device="cpu").pixel_values(pixels), expected)
    assert isinstance(Encoder.from_folder(folder, device="cpu").model.config, CLIPConfig)


@pytest.mark.parametrize(
    ("processor", "says"),
    [
        (LlavaNextImageProcessor(), "ValueError: axes"),
        (Siglip2ImageProcessor(), "it gives patches of images"),
    ],
)
def test_the_processor_of_another_model_is_refused_before_any_data_are_decoded(
    tmp_path: Path, processor: Any, says: str
) -> None:
    clip().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    expected = f"{type(processor).__name__} in .*, in a clip model: {says}"
    with pytest.raises(ModelError, match=expected):
        check_image_processor(*reversed(read_input(tmp_path)), tmp_path)
