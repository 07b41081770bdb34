"""The sizes of the models, and their tokenizers: trained ones, and CLIP's own."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPModel, CLIPTokenizer

from hf_clipdyn.models.sizes import MODEL_SIZES, clip_config, model_size
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer

CAPTIONS = ["a photo of a cat", "two dogs run on the beach .", "the cat's red car", "a child climbs stairs"]


@pytest.fixture(scope="module")
def trained() -> CLIPTokenizer:
    return train_tokenizer(CAPTIONS, vocab_size=560, context_length=24)


@pytest.mark.parametrize("name", ["vit-b-32", "vit-b-16", "vit-l-14"])
def test_the_large_scales_have_the_parameters_of_openai(name: str) -> None:
    with torch.device("meta"):
        model = CLIPModel(clip_config(model_size(name), clip_tokenizer()))
    assert sum(p.numel() for p in model.parameters()) == MODEL_SIZES[name].parameters


def test_clips_own_tokenizer_gives_the_published_ids() -> None:
    tokenizer = clip_tokenizer()
    assert tokenizer("a photo of")["input_ids"] == [49406, 320, 1125, 539, 49407]
    assert (len(tokenizer), tokenizer.eos_token_id, tokenizer.model_max_length) == (49408, 49407, 77)


def test_frequent_words_become_single_tokens(trained: CLIPTokenizer) -> None:
    assert len(trained("a cat")["input_ids"]) == 4
    assert len(trained) <= 560


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_no_text_holds_an_end_token_before_its_end(trained: CLIPTokenizer, text: str) -> None:
    """The text tower pools at the first end token: an unknown token, which is the same one, would cut there."""
    for special in ("<|endoftext|>", "<|startoftext|>"):
        text = text.replace(special, "")
    ids = trained(text)["input_ids"]
    assert ids.index(trained.eos_token_id) == len(ids) - 1


def test_training_gives_the_same_vocabulary_in_every_process_and_order() -> None:
    """The library numbers word ends in the order of a hash table, unless they are known beforehand."""
    words = [f"w{i % 37} {i % 11}x y{i % 5}" for i in range(200)]
    program = (
        "import json, sys; from hf_clipdyn.models.tokenizers import train_tokenizer;"
        "t = train_tokenizer(json.load(sys.stdin), vocab_size=700, context_length=8);"
        "json.dump(t.get_vocab(), sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(words[::-1]),
        capture_output=True,
        text=True,
        check=True,
    )
    vocabulary = train_tokenizer(words, vocab_size=700, context_length=8).get_vocab()
    assert json.loads(done.stdout) == vocabulary
