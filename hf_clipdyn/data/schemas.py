"""The columns of every kind of data set, once for all loaders.

======================  ====================================================================================
kind                    columns
======================  ====================================================================================
``cue_conflict``        image, image_id, shape, texture, shape_exemplar, texture_exemplar, human_responses:
                        the classes of both cues, the images that they were made from (``cat1``), and the
                        answers of the human observers as {subject, response} (empty if there are none)
``quality``             reference, distorted, reference_id, distortion, level, score, score_std,
                        higher_is_better: the human score of one distorted image on the archive's own scale
                        and in its direction; level is null if the archive has no steps, score_std NaN if it
                        was not published
``triplet``             reference, image_0, image_1, judgement, votes, subset: judgement in [0, 1] is the
                        proportion of votes for image_1; votes is their number (null if unknown)
``same_different``      image_0, image_1, same, subset: the proportion in [0, 1] of "same" answers
``fixations``           image, image_id, width, height, fixations, fixation_map: fixations as
                        {x, y, duration, subject} in their order in time per subject, x and y in pixels from
                        the top left corner (some lie outside the image), duration in milliseconds (NaN:
                        unknown), subject "" if unknown; fixation_map is the archive's own blurred map (null
                        if it has none)
``labels``              image, label (a ClassLabel)
``classification``      image, image_id, subset, condition, category, exemplar, human_responses: the class that the
                        image shows, what was done to it, the object or photograph that it was made from, and the
                        answers of the human observers as in ``cue_conflict``
``captions``            image, image_id, captions: one row for each image, with the list of its captions
``odd_one_out``         image, image_id, is_reference, odd_in: one row for each image; is_reference, whether it is
                        the photograph that observers saw; odd_in, the triplets in which an observer chose it as the
                        odd one, as {other_0, other_1, only_repeated}: ids of its partners, and whether the triplet
                        was repeated to measure agreement between observers and is not asked of a model
``dissimilarities``     image, image_id, category, place, dissimilarities: place is the row of the image in the
                        archive's matrices, dissimilarities are that row of each matrix, as {observer, name,
                        values}: observer is ``person``, or ``reference`` for other systems (brains, models);
                        NaN in the column of a missing image
``label_counts``        image, label (a ClassLabel), counts: how many observers chose each class
``distortion_ladder``   reference, distorted, reference_id, distortion, level: level is a synthetic order of
                        severity, never a human score
======================  ====================================================================================

Names of classes, distortions, subsets and all identifiers are strings. An ``image_id`` is the stem of the
official file name, so that it stays the same when an archive was converted from BMP to PNG.
"""

from collections.abc import Sequence

from datasets import ClassLabel, Features, Image, List, Value


def _text(*names: str) -> dict[str, Value]:
    return {name: Value("string") for name in names}


def _images(*names: str) -> dict[str, Image]:
    return {name: Image() for name in names}


_COLUMNS = {
    "cue_conflict": _images("image")
    | _text("image_id", "shape", "texture", "shape_exemplar", "texture_exemplar")
    | {"human_responses": List(_text("subject", "response"))},
    "quality": _images("reference", "distorted")
    | _text("reference_id", "distortion")
    | {
        "level": Value("int64"),
        "score": Value("float64"),
        "score_std": Value("float64"),
        "higher_is_better": Value("bool"),
    },
    "triplet": _images("reference", "image_0", "image_1")
    | {"judgement": Value("float64"), "votes": Value("int64"), "subset": Value("string")},
    "same_different": _images("image_0", "image_1") | {"same": Value("float64"), "subset": Value("string")},
    "fixations": _images("image")
    | _text("image_id")
    | {
        "width": Value("int64"),
        "height": Value("int64"),
        "fixations": List(
            {
                "x": Value("float64"),
                "y": Value("float64"),
                "duration": Value("float64"),
                "subject": Value("string"),
            }
        ),
        "fixation_map": Image(),
    },
    "odd_one_out": _images("image")
    | _text("image_id")
    | {
        "is_reference": Value("bool"),
        "odd_in": List(_text("other_0", "other_1") | {"only_repeated": Value("bool")}),
    },
    "classification": _images("image")
    | _text("image_id", "subset", "condition", "category", "exemplar")
    | {"human_responses": List(_text("subject", "response"))},
    "dissimilarities": _images("image")
    | _text("image_id", "category")
    | {
        "place": Value("int64"),
        "dissimilarities": List(_text("observer", "name") | {"values": List(Value("float64"))}),
    },
    "captions": _images("image") | _text("image_id") | {"captions": List(Value("string"))},
    "distortion_ladder": _images("reference", "distorted")
    | _text("reference_id", "distortion")
    | {"level": Value("int64")},
}

KINDS = (*_COLUMNS, "labels", "label_counts")


def features_of(kind: str, class_names: Sequence[str] = ()) -> Features:
    """The features of a ``kind``; only ``labels`` and ``label_counts`` need ``class_names``."""
    labelled = {"image": Image(), "label": ClassLabel(names=list(class_names))}
    if kind == "labels":
        return Features(labelled)
    if kind == "label_counts":
        return Features(labelled | {"counts": List(Value("int64"))})
    return Features(_COLUMNS[kind])
