"""The head of an image classifier as benchmarks ask it: its own classes, by the names of a data set."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.data.prompts import imagenet_names, unique_names
from hf_clipdyn.errors import ConfigError, naming, shorten, shown
from hf_clipdyn.metrics.shape_decisions import IMAGENET_CATEGORIES
from hf_clipdyn.results.row import NumberKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hf_clipdyn.metrics.checks import Floats

HEAD = "head"
"""What the columns ``protocol`` of trials and ``probe`` of numbers say of the answers of a classifier's own head."""

_THOUSAND = len(imagenet_names())
_INDEX = re.compile(r"(?:LABEL_)?(\d+)")
_BACKGROUND = "background"
_PROJECTION = NumberKey(metric="").probe


class Head:
    """The classes of a classifier, found by the names of a data set's classes.

    Names match whatever their case, and with spaces, dashes or underscores. Labels that list synonyms
    ("tench, Tinca tinca") match by each that no other label has. ImageNet's 1,000 classes also match by their WordNet
    numbers; in their usual order also by index, and with a class "background" before them. They answer with the 16
    categories of model-vs-human as published: a category has the mean probability of its classes.

    Args:
        labels: of the head, in the order of its scores.
        label_map: other names by label or by index, see `read_label_map`. Classes of one name are one class.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.benchmarks.heads import Head
        >>> head = Head(("tabby, tabby cat", "aeroplane", "LABEL_2"), {"aeroplane": "airplane", "2": "cat", "0": "cat"})
        >>> head.scores(np.log([[0.2, 0.5, 0.3]]), ["airplane", "cat"]).argmax(axis=1).tolist()
        [0]
        >>> head.missing(["airplane", "dog"])
        ['dog']
    """

    def __init__(self, labels: Sequence[str], label_map: Mapping[str, str] | None = None) -> None:
        self.labels = tuple(labels)
        given = label_map or {}
        own = _imagenet(self.labels) or self.labels
        names = [
            given.get(str(at), given.get(label, name))
            for at, (label, name) in enumerate(zip(labels, own, strict=True))
        ]
        self._classes: dict[str, tuple[int, ...]] = {}
        synonyms: dict[str, set[int]] = {}
        for at, name in enumerate(names):
            self._classes[_plain(name)] = (*self._classes.get(_plain(name), ()), at)
            for word in name.split(","):
                synonyms.setdefault(_plain(word), set()).add(at)
        for word, classes in synonyms.items():
            if len(classes) == 1:
                self._classes.setdefault(word, tuple(classes))
        thousand = [self._classes.get(_plain(name), ()) for name in unique_names(imagenet_names()).values()]
        if all(len(classes) == 1 for classes in thousand):
            for category, indices in IMAGENET_CATEGORIES.items():
                self._classes.setdefault(category, tuple(thousand[index][0] for index in indices))

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of the classes that the head does not have."""
        return [name for name in names if _plain(name) not in self._classes]

    def scores(self, logits: "NDArray[np.float32]", names: Sequence[str]) -> "Floats":
        """Logits (n, all classes of the head) as those of the named classes, (n, names).

        If one of them has several classes of the head, the logarithms of their mean probabilities.
        """
        import numpy as np

        groups = [list(self._classes[_plain(name)]) for name in names]
        table = np.asarray(logits, np.float64)
        if all(len(group) == 1 for group in groups):
            return table[:, [group[0] for group in groups]]
        from scipy.special import softmax

        probabilities = softmax(table, axis=1)
        means = np.stack([probabilities[:, group].mean(axis=1) for group in groups], axis=1)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(means))

    def without(self, names: Sequence[str]) -> str:
        """Which of the classes it lacks, and what it has, in words; empty if it has all."""
        absent = self.missing(names)
        if not absent:
            return ""
        return f"{_few(absent)} ({len(absent):,} of {len(names):,}); its head has {_few(self.labels)}"


def _few(names: Sequence[str]) -> str:
    first = ", ".join(shorten(name, 30) for name in names[:3])
    return f"{first}, …" if len(names) > 3 else first


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[_-]", " ", name).casefold().split())


def _imagenet(labels: tuple[str, ...]) -> list[str] | None:
    """The names of the classes in `unique_names` of ImageNet's, if the labels are ImageNet's in any spelling."""
    if len(labels) == _THOUSAND + 1 and _plain(labels[0]) == _BACKGROUND:
        rest = _imagenet(labels[1:])
        return None if rest is None else [_BACKGROUND, *rest]
    numbered = [match and int(match[1]) for match in map(_INDEX.fullmatch, labels)]
    if numbered == list(range(_THOUSAND)):
        return list(unique_names(imagenet_names()).values())
    from hf_clipdyn.data.labels import WordnetBuilder

    names = list(WordnetBuilder.label_names(labels))
    return None if names == list(labels) else names


def read_label_map(path: Path) -> dict[str, str]:
    """Names of a head's classes: a JSON object of names by label or index, or a list in the order of its scores.

    Raises:
        ConfigError: the file cannot be read, or contains something else.
    """
    with naming(path, ConfigError):
        content: Any = json.loads(path.read_bytes())
    pairs = enumerate(content) if isinstance(content, list) else content
    entries = dict(pairs) if isinstance(pairs, dict | enumerate) else {}
    if not entries or not all(isinstance(name, str) for name in entries.values()):
        raise ConfigError(
            f"{path} contains {shown(content)}: give a JSON object of class names by label or index of the model's "
            'head, for example {"0": "airplane"}, or a list of names in the order of the head.'
        )
    return {str(key): name for key, name in entries.items()}


def probe_of(protocol: str) -> str:
    """Where the decisions under a protocol are read out."""
    return HEAD if protocol == HEAD else _PROJECTION
