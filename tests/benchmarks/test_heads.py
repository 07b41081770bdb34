"""A head's classes are found by the names of a data set, and its answers are those of the published rule."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.heads import Head, read_label_map
from hf_clipdyn.data.prompts import imagenet_names, unique_names
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES, IMAGENET_CATEGORIES, shape_decisions

WNIDS = list(imagenet_names())
NAMES = list(unique_names(imagenet_names()).values())
# As transformers lists them: synonyms, some of which two classes share.
SYNONYMS = [f"{name}, its Latin name" for name in imagenet_names().values()]
SPELLINGS = {
    "names": list(imagenet_names().values()),
    "synonyms": [*SYNONYMS[:-1], "toilet tissue, toilet paper, bathroom tissue"],
    "numbers": WNIDS,
    "indices": [str(at) for at in range(1000)],
    "transformers' default": [f"LABEL_{at}" for at in range(1000)],
}


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(0).normal(0, 3, (200, 1000)).astype(np.float32)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_imagenets_classes_are_found_in_any_spelling(spelling, logits):
    head = Head(SPELLINGS[spelling])
    assert head.missing(NAMES) == []
    np.testing.assert_array_equal(head.scores(logits, NAMES[::-1]), logits[:, ::-1])


def test_a_class_of_the_background_before_imagenets_is_ignored(logits):
    wider = np.pad(logits, ((0, 0), (1, 0)), constant_values=100)
    np.testing.assert_array_equal(Head(["background", *SPELLINGS["synonyms"]]).scores(wider, NAMES), logits)


@pytest.mark.parametrize("labels", [SPELLINGS["numbers"], SPELLINGS["numbers"][::-1]])
def test_imagenets_classes_decide_among_sixteen_by_the_published_rule(labels, logits):
    own = logits if labels == WNIDS else logits[:, ::-1]
    scores = Head(labels).scores(own, GEIRHOS_CLASSES)
    decided = [GEIRHOS_CLASSES[at] for at in scores.argmax(axis=1)]
    assert decided == shape_decisions(logits, protocol="1000-way")
    exact = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    bear = exact[:, list(IMAGENET_CATEGORIES["bear"])].mean(axis=1)
    np.testing.assert_allclose(np.exp(scores[:, GEIRHOS_CLASSES.index("bear")]), bear)


def test_names_match_whatever_their_case_and_dashes_and_a_shared_synonym_is_nobodys():
    head = Head(["Ice_cream", "crane, bird", "crane, machine", "t-shirt"])
    assert head.missing(["ice cream", "bird", "T shirt", "crane"]) == ["crane"]


def test_a_map_renames_by_label_or_by_index_and_joins_classes_of_one_name():
    head = Head(["LABEL_0", "LABEL_1", "tabby"], {"LABEL_0": "dog", "1": "dog", "tabby": "cat"})
    shares = np.array([[0.3, 0.3, 0.4], [0.1, 0.1, 0.8]], np.float32)
    np.testing.assert_allclose(
        np.exp(head.scores(np.log(shares), ["dog", "cat"])), [[0.3, 0.4], [0.1, 0.8]], rtol=1e-6
    )


@pytest.mark.parametrize("content", ['{"0": "cat", "1": "dog"}', '["cat", "dog"]'])
def test_a_map_is_an_object_or_a_list(content, tmp_path):
    (tmp_path / "names.json").write_text(content)
    assert read_label_map(tmp_path / "names.json") == {"0": "cat", "1": "dog"}


@pytest.mark.parametrize("content", ["{}", "3", '{"0": 1}', "{"])
def test_a_map_of_anything_else_is_refused_by_its_name(content, tmp_path):
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(ConfigError, match=r"names\.json"):
        read_label_map(tmp_path / "names.json")
