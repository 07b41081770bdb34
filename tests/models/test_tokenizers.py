"""Tokenizers: trained ones, and CLIP's own."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer

CAPTIONS = ["a photo of a cat", "two dogs run on the beach .", "the cat's red car", "a child climbs stairs"]


@pytest.fixture(scope="module")
def trained() -> CLIPTokenizer:
    return train_tokenizer(CAPTIONS, vocab_size=560, context_length=24)


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
    program = (
        "import sys, hashlib; from hf_clipdyn.models.tokenizers import train_tokenizer;"
        "words = [f'w{i % 37} {i % 11}x y{i % 5}' for i in range(200)];"
        "t = train_tokenizer(words[::int(sys.argv[1])], vocab_size=700, context_length=8);"
        "print(hashlib.sha256(str(sorted(t.get_vocab().items())).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, step], capture_output=True, text=True, check=True
        ).stdout
        for step in ("1", "-1")
    }
    assert len(digests) == 1


def test_a_saved_tokenizer_is_read_by_transformers_alone(trained: CLIPTokenizer, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again("the red car")["input_ids"] == trained("the red car")["input_ids"]
    assert again.model_max_length == 24
