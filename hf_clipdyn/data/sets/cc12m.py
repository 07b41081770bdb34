"""Conceptual 12M: photographs of the web with their cleaned alternative texts."""

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.shards import ShardBuilder


class Cc12m(ShardBuilder):
    """About 12 million pairs at publication; kind ``captions``, split ``train``."""

    metadata = DatasetMetadata(
        kind="captions",
        title="Conceptual 12M",
        licence="Google's terms for the captions; the photographs belong to their authors",
        where="github.com/google-research-datasets/conceptual-12m (links), or pixparse/cc12m-wds on the Hub (shards)",
        citation="""@inproceedings{changpinyo2021conceptual,
  title = {Conceptual {12M}: Pushing Web-Scale Image-Text Pre-Training To Recognize Long-Tail Visual Concepts},
  author = {Changpinyo, Soravit and Sharma, Piyush and Ding, Nan and Soricut, Radu},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2021}
}""",
        mirror="pixparse/cc12m-wds",
    )
