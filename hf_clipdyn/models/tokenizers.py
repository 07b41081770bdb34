"""Tokenizers: one trained on the captions for the small scales, CLIP's own for the large.

Both are `CLIPTokenizer`, so that `CLIPProcessor.from_pretrained` reads them without code of this package.
"""

import gzip
import itertools
import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hf_clipdyn.errors import ModelError

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_CLIP_MERGES = 49152 - 256 - 2  # open_clip's file lists more merges than CLIP uses
_CLIP_ON_THE_HUB = "openai/clip-vit-base-patch32"


def _from_merges(pairs: Iterable[Sequence[str]], context_length: int) -> CLIPTokenizer:
    """CLIP's vocabulary: the bytes, the bytes that end a word, a token per merge, start and end.

    All 512 byte tokens are there, so that no text meets the unknown token: CLIP's is the end token,
    and an end token in the middle would cut the caption where the text tower pools.
    """
    merges = [(left, right) for left, right in pairs]
    alphabet = list(bytes_to_unicode().values())
    tokens = [*alphabet, *(byte + _WORD_END for byte in alphabet), *("".join(pair) for pair in merges)]
    vocab = {token: index for index, token in enumerate(dict.fromkeys([*tokens, _START, _END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=context_length)


def train_tokenizer(captions: Iterable[str], *, vocab_size: int, context_length: int) -> CLIPTokenizer:
    """Train a byte-level BPE with CLIP's normalisation and word split on ``captions``."""
    pipeline = CLIPTokenizer().backend_tokenizer
    backend = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END))
    backend.normalizer = pipeline.normalizer
    backend.pre_tokenizer = pipeline.pre_tokenizer
    alphabet = list(bytes_to_unicode().values())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2,  # start and end are added below
        initial_alphabet=alphabet,
        # Known beforehand, these get fixed ids. Else the trainer numbers them in the order of a hash
        # table, breaks ties between merges by it, and gives another vocabulary in each process.
        special_tokens=[byte + _WORD_END for byte in alphabet],
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    backend.train_from_iterator(captions, trainer=trainer)
    merges = json.loads(backend.to_str())["model"]["merges"]
    return _from_merges(merges, context_length)


def stand_in_tokenizer(*, vocab_size: int | None, context_length: int) -> CLIPTokenizer:
    """A tokenizer of a given size that splits texts in no meaningful way, for a model that is only measured."""
    merges = _CLIP_MERGES if vocab_size is None else vocab_size - 2 * 256 - 2
    alphabet = bytes_to_unicode().values()
    return _from_merges(itertools.islice(itertools.product(alphabet, repeat=2), merges), context_length)


def clip_tokenizer(context_length: int = 77) -> CLIPTokenizer:
    """CLIP's own tokenizer, from the merges that open_clip_torch ships, else from the Hub or its cache."""
    spec = find_spec("open_clip")
    if spec is not None and spec.origin is not None:
        merges_file = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
        if merges_file.is_file():
            lines = gzip.decompress(merges_file.read_bytes()).decode().splitlines()
            return _from_merges([line.split() for line in lines[1 : _CLIP_MERGES + 1]], context_length)
    try:
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
            _CLIP_ON_THE_HUB, model_max_length=context_length
        )
    except OSError as error:
        raise ModelError(
            "CLIP's own tokenizer is not available: install hf-clipdyn[open-clip], which includes it, "
            f"or connect once to the Hub, to download {_CLIP_ON_THE_HUB}."
        ) from error
    return tokenizer
