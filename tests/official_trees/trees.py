"""One small tree in the official layout for every data set that is read from files."""

from collections.abc import Callable
from pathlib import Path

from official_trees import captioned, labelled, objects, quality, saliency, similarity

Make = Callable[[Path], None]

TREES: dict[str, Make] = {
    "bapps": similarity.bapps,
    "cat2000": saliency.cat2000,
    "cc12m": captioned.webdataset,
    "cc3m": captioned.webdataset,
    "cifar10": labelled.cifar10,
    "cifar100": labelled.cifar100,
    "cifar10h": objects.cifar10h,
    "coco_captions": captioned.coco_captions,
    "csiq": quality.csiq,
    "cue_conflict": labelled.cue_conflict,
    "flickr30k": captioned.flickr30k,
    "flickr8k": captioned.flickr8k,
    "imagefolder": captioned.imagefolder,
    "imagenet": labelled.imagenet,
    "kadid10k": quality.kadid10k,
    "live": quality.live,
    "material_similarity": similarity.material_similarity,
    "mit1003": saliency.mit1003,
    "model_vs_human": labelled.model_vs_human,
    "nights": similarity.nights,
    "objects92": objects.objects92,
    "osie": saliency.osie,
    "raid": quality.raid,
    "salicon": saliency.salicon,
    "things": similarity.things,
    "tid2008": quality.tid,
    "tid2013": quality.tid,
    "tiny_imagenet": labelled.tiny_imagenet,
    "webdataset": captioned.webdataset,
}
