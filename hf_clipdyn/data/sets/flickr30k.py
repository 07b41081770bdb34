"""Flickr30k (Young et al. 2014)."""

from hf_clipdyn.data.captioned import CaptionListBuilder
from hf_clipdyn.data.metadata import DatasetMetadata


class Flickr30k(CaptionListBuilder):
    """31,783 photographs with five captions each; kind ``captions``, split ``train``."""

    metadata = DatasetMetadata(
        kind="captions",
        title="Flickr30k",
        rows={"train": 31_783},
        licence="research use only; the photographs belong to their authors on Flickr",
        where="shannon.cs.illinois.edu/DenotationGraph, or nlphuji/flickr30k on the Hub",
        citation="""@article{young2014image,
  title = {From image descriptions to visual denotations: New similarity metrics for semantic inference over
           event descriptions},
  author = {Young, Peter and Lai, Alice and Hodosh, Micah and Hockenmaier, Julia},
  journal = {Transactions of the Association for Computational Linguistics},
  volume = {2},
  pages = {67--78},
  year = {2014}
}""",
    )
