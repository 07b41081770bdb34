"""Checks of a suite that others published, without a manifest, from metadata alone.

The metadata of the Hub have the SHA-256 of every large file. So weights are compared without a download, also those of
old `.bin` files, and each shard by itself: public suites serve single shards of another step.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath

from hf_clipdyn.revisions.findings import Finding
from hf_clipdyn.revisions.repository import MAIN, FileRecord, Weights, is_weights, weight_forms, weights_of
from hf_clipdyn.revisions.sequences import gaps, numbered

__all__ = ["State", "checkpoint_files", "missing_shards", "suite_findings"]

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{1,9})-of-(?P<total>\d{1,9})\.(?P<suffix>[a-z]+)")
_OTHER_SIZE = 0.01  # `.bin` files of one model differ by some bytes


@dataclass(frozen=True)
class State:
    """A revision as the repository serves it.

    Attributes:
        name: the branch or tag.
        commit: 40 hexadecimal digits.
        files: from metadata.
        weights: those that `from_pretrained` takes; None if there are none.
        forms: all forms of the weights by their name, `pytorch_model.bin` and `model-*-of-00003.safetensors`.
    """

    name: str
    commit: str
    files: Mapping[str, FileRecord]
    weights: Weights | None
    forms: Mapping[str, Weights] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, commit: str, files: Mapping[str, FileRecord]) -> "State":
        """The revision with these files."""
        return cls(name, commit, files, weights_of(files), weight_forms(files))


def suite_findings(states: Sequence[State], main: State | None) -> Iterator[Finding]:
    """What is wrong among the revisions of a suite.

    Args:
        states: the revisions without `main`, in training order.
        main: None if there is none.
    """
    names = [state.name for state in states]
    yield from _gaps(names)
    yield from _identical_weights(states, main)
    yield from _identical_shards(states, main)
    yield from _other_sizes(states)
    files = checkpoint_files(main)
    if states and main is not None and main.weights is None and not files:
        yield Finding(MAIN, "no-weights", "main has no weights: `from_pretrained` without a revision fails.")
    elif main is not None:
        yield from _old_main(states, main)
    yield from _gaps(path for path in files if _is_first_shard(path))
    for path, others in _alike({path: record.sha256 or record.blob for path, record in files.items()}):
        yield Finding(path, "identical-weights", f"The file is identical to {_some(others)}.")


def missing_shards(state: State) -> Iterator[Finding]:
    """Check that a revision has all shards that their names announce, and their index."""
    for label, form in state.forms.items():
        parts = [match for path in form.paths if (match := _SHARD.fullmatch(path))]
        if not parts:
            continue
        total = int(parts[0]["total"])
        held, width = {int(part["index"]) for part in parts}, len(parts[0]["index"])
        start = 0 if 0 in held else 1
        lacking = (index for index in range(start, start + total) if index not in held)
        absent = [label.replace("*", f"{index:0{width}d}", 1) for index in islice(lacking, 3)]
        index_file = f"{parts[0]['stem']}.{parts[0]['suffix']}.index.json"
        if index_file not in state.files:
            absent.append(index_file)
        if absent:
            message = f"The revision has {len(held)} of {total} shards and lacks {', '.join(absent)}."
            yield Finding(state.name, "missing-file", message)


def checkpoint_files(main: State | None) -> dict[str, FileRecord]:
    """Files of weights on `main` that are numbered, as `run/epoch_3.pt`: in some suites they are the revisions."""
    if main is None:
        return {}
    return {
        path: record
        for path, record in main.files.items()
        if is_weights(PurePosixPath(path).name) and numbered(path) is not None
    }


def _gaps(names: Iterable[str]) -> Iterator[Finding]:
    for gap in gaps(names):
        message = f"The sequence continues after {gap.after} without this {gap.word}."
        if gap.spelling is not None:
            message += f" {gap.spelling} has this number under another form of name."
        if gap.last:
            message += " Further gaps of this sequence are not listed."
        yield Finding(gap.name, "gap", message)


def _identical_weights(states: Sequence[State], main: State | None) -> Iterator[Finding]:
    """Compare the weights of all revisions, in each of their forms."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for label in dict.fromkeys(label for state in states for label in state.forms):
        held = {one.name: one.forms[label].content for one in _and(states, main) if label in one.forms}
        for name, others in _alike(held):
            found[name][label] = others
    for state in states:
        of_forms = found.get(state.name, {})
        if len(of_forms) == len(state.forms) and len({tuple(others) for others in of_forms.values()}) == 1:
            of_forms = {"The weights": next(iter(of_forms.values()))}
        for label, others in of_forms.items():
            verb = "are identical to those" if label == "The weights" else "is identical to that"
            yield Finding(state.name, "identical-weights", f"{label} {verb} of {_some(others)}.")


def _identical_shards(states: Sequence[State], main: State | None) -> Iterator[Finding]:
    """Compare single shards of revisions whose weights differ as a whole."""
    held: dict[str, dict[str, str]] = defaultdict(dict)
    whole: dict[tuple[str, str], str] = {}
    for one in _and(states, main):
        for form in (form for form in one.forms.values() if len(form.paths) > 1):
            for path in form.paths:
                held[path][one.name] = one.files[path].sha256 or one.files[path].blob
                whole[path, one.name] = form.content
    for path, contents in held.items():
        if len(contents) > 2 and len(set(contents.values())) == 1 < len(
            {whole[path, one] for one in contents}
        ):
            message = (
                f"{path} is identical in all {len(contents)} revisions: its parameters were not trained."
            )
            yield Finding(next(iter(contents)), "identical-shard", message)
            continue
        for name, others in _alike(contents):
            partly = [other for other in others if whole[path, other] != whole[path, name]]
            if partly:
                message = f"{path} is identical to that of {_some(partly)}, but other shards differ."
                yield Finding(name, "identical-shard", message)


def _other_sizes(states: Sequence[State]) -> Iterator[Finding]:
    """Compare the size of the weights: a truncated file, a pointer in its place, another precision."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for state in states:
        for label, form in state.forms.items():
            sizes[re.sub(r"-\*-of-\d+", "", label)][state.name] = form.size
    for label, held in sizes.items():
        usual = Counter(held.values()).most_common(1)[0][0]
        for name, size in held.items():
            if len(held) > 2 and abs(size - usual) > _OTHER_SIZE * usual:
                message = f"{label} has {size:,} bytes, but {usual:,} in most revisions."
                yield Finding(name, "other-size", message)


def _old_main(states: Sequence[State], main: State) -> Iterator[Finding]:
    """Find a `main` that serves a revision other than the last one of a sequence."""
    last: dict[tuple[str, str], str] = {}  # a sequence to its last revision, since the revisions are ordered
    for state in states:
        one = numbered(state.name)
        last[(one.before, one.after) if one else (state.name, "")] = state.name
    for label, form in main.forms.items():
        same = [one.name for one in states if label in one.forms and one.forms[label].content == form.content]
        if same and not set(same) & set(last.values()):
            message = f"{label} of main equals that of {_some(same)}, which is not the last revision."
            yield Finding(MAIN, "main-not-newest", message)


def _alike(contents: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Each name whose content others share, and those others.

    A name without a number (`main`, `final`) is an alias: it is named among the others only. So is the same number in
    another spelling. Where no name has a number, all are compared.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name, content in contents.items():
        groups[content].append(name)
    places = {name: one.place for name in contents if (one := numbered(name)) is not None}
    for group in groups.values():
        counted = [name for name in group if name in places or (not places and name != MAIN)]
        if len({places.get(name, (name, 0)) for name in counted}) > 1:
            for name in counted:
                yield name, [other for other in group if other != name]


def _and(states: Sequence[State], main: State | None) -> list[State]:
    return [*states, *([] if main is None else [main])]


def _is_first_shard(path: str) -> bool:
    shard = _SHARD.fullmatch(path)
    return shard is None or int(shard["index"]) <= 1


def _some(names: Sequence[str]) -> str:
    """At most three names, and `main` if it is among them."""
    shown = [*names[:3], *([MAIN] if MAIN in names[3:] else [])]
    more = len(names) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more else ", ".join(shown)
