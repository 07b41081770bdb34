"""Conceptual Captions: photographs of the web with their cleaned alternative texts."""

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.shards import ShardBuilder


class Cc3m(ShardBuilder):
    """About 3.3 million pairs at publication; kind ``captions``, splits ``train`` and ``validation``."""

    metadata = DatasetMetadata(
        kind="captions",
        title="Conceptual Captions",
        licence="Google's terms for the captions; the photographs belong to their authors",
        where="ai.google.com/research/ConceptualCaptions (links), or pixparse/cc3m-wds on the Hub (shards)",
        citation="""@inproceedings{sharma2018conceptual,
  title = {Conceptual Captions: A Cleaned, Hypernymed, Image Alt-text Dataset For Automatic Image Captioning},
  author = {Sharma, Piyush and Ding, Nan and Goodman, Sebastian and Soricut, Radu},
  booktitle = {Annual Meeting of the Association for Computational Linguistics},
  year = {2018}
}""",
        mirror="pixparse/cc3m-wds",
    )
