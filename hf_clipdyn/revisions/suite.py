"""Checks of a suite that others published, without a manifest, from metadata alone.

The metadata of the Hub have the SHA-256 of every large file. So weights are compared without a download, also those of
old `.bin` files, and each shard by itself: public suites serve single shards of another step.
"""

import json
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice, pairwise, takewhile
from pathlib import PurePosixPath

from hf_clipdyn.errors import counted, printable
from hf_clipdyn.revisions.repository import MAIN, FileRecord, Weights, is_weights, weight_forms, weights_of

__all__ = [
    "SHARD",
    "Finding",
    "Gap",
    "NumberedName",
    "Position",
    "Report",
    "State",
    "checkpoint_files",
    "gaps",
    "missing_numbers",
    "missing_shards",
    "numbered",
    "suite_findings",
]

SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{1,9})-of-(?P<total>\d{1,9})\.(?P<suffix>[a-z]+)")
"""The name of a shard of weights."""

_OTHER_SIZE = 0.01  # `.bin` files of one model differ by some bytes


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        revision: the revision it concerns; `main` or `revisions.json` for the whole.
        kind: the kind of fault in a fixed word, for programs.
        message: a sentence for people.
    """

    revision: str
    kind: str
    message: str


@dataclass(frozen=True)
class Position:
    """Where a revision is on the path of its run, by a sample of its weights; None where a number is not defined.

    Attributes:
        revision: its name.
        shard: the file of weights; empty if there is only one.
        r: correlation with the revision before.
        r0: correlation with the first revision.
        rho: `(|a-b|^2 + |b-c|^2) / |a-c|^2` with its two neighbours: 0.5 on a straight line, 2 around a fixed point.
        clock: by what unused input embeddings have decayed since the first revision, `-ln` of their length.
    """

    revision: str
    shard: str
    r: float | None
    r0: float | None
    rho: float | None
    clock: float | None

    def __str__(self) -> str:
        numbers = {name: getattr(self, name) for name in ("r", "r0", "rho")}
        parts = [f"{name} {value:.2f}" for name, value in numbers.items() if value is not None]
        parts += [f"clock {self.clock:.4f}"] if self.clock is not None else []
        return f"{self.shard + ': ' if self.shard else ''}{', '.join(parts)}"


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        where: name and location of the repository.
        revisions: the names that were checked, in order.
        findings: what is wrong; empty if nothing is.
        has_manifest: False for suites that this package did not publish.
        deep: whether files were read and hashed.
        hashed: the revisions whose files were all compared with a recorded hash; empty without ``deep``.
        checkpoints: numbered weight files on `main`, which are checked too if there is no manifest.
        notes: what a sample of the weights says and may be right; empty without ``continuity``.
        positions: what the sample says of each revision and shard.
        sentences: what is consistent, and what is not excluded.
    """

    where: str
    revisions: tuple[str, ...]
    findings: tuple[Finding, ...]
    has_manifest: bool
    deep: bool
    hashed: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()
    positions: tuple[Position, ...] = ()
    sentences: tuple[str, ...] = ()

    def render(self, *, as_json: bool = False) -> str:
        """A table with a line per revision and the findings, or JSON."""
        if as_json:
            return json.dumps({**asdict(self), "ok": not self.findings}, indent=1)
        by_revision: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            by_revision[finding.revision].append(finding)
        beside: dict[str, list[str]] = defaultdict(list)  # notes, not findings
        for position in self.positions:
            beside[position.revision].append(str(position))
        for note in self.notes:
            beside[note.revision].append(f"note: {note.message}")
        names = list(dict.fromkeys([*self.revisions, *by_revision, *beside]))
        width = min(max((len(name) for name in names), default=0), 60)
        lines = []
        for name in names:
            findings = by_revision[name]
            lines.append(f"{name.ljust(width)}  {', '.join(item.kind for item in findings) or 'ok'}")
            lines += [
                f"{' ' * width}    {text}" for text in [*(item.message for item in findings), *beside[name]]
            ]
        return "\n".join(printable(line) for line in [*lines, *self.sentences, self._summary()])

    def _summary(self) -> str:
        parts = [counted(len(self.revisions), "revision")]
        if not self.has_manifest:
            parts.append("no manifest")
        if self.checkpoints:
            parts.append(counted(len(self.checkpoints), "checkpoint file") + " on main")
        kinds = Counter(finding.kind for finding in self.findings)
        each = f": {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}" if kinds else ""
        parts.append(counted(len(self.findings), "finding") + each)
        return f"{self.where}: {', '.join(parts)} ({self._how()})."

    def _how(self) -> str:
        if not self.deep:
            sampled = "from metadata and a sample of the weights" if self.positions else "from metadata"
            return f"{sampled}; --deep hashes the files themselves"
        others = [name for name in self.revisions if name not in self.hashed]
        if not others:
            return "file contents hashed"
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return (
            f"file contents hashed in {len(self.hashed)} of {len(self.revisions)} revisions; "
            f"files are missing or have no recorded hash in {', '.join(others[:3])}{more}"
        )


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
    """What is wrong among the revisions of a suite."""
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
        parts = [match for path in form.paths if (match := SHARD.fullmatch(path))]
        if not parts:
            continue
        total = int(parts[0]["total"])
        present, width = {int(part["index"]) for part in parts}, len(parts[0]["index"])
        start = 0 if 0 in present else 1
        lacking = (index for index in range(start, start + total) if index not in present)
        absent = [label.replace("*", f"{index:0{width}d}", 1) for index in islice(lacking, 3)]
        index_file = f"{parts[0]['stem']}.{parts[0]['suffix']}.index.json"
        if index_file not in state.files:
            absent.append(index_file)
        if absent:
            message = f"The revision has {len(present)} of {total} shards and lacks {', '.join(absent)}."
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
    identical: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for label in dict.fromkeys(label for state in states for label in state.forms):
        contents = {
            state.name: state.forms[label].content for state in _and(states, main) if label in state.forms
        }
        for name, others in _alike(contents):
            identical[name][label] = others
    for state in states:
        of_forms = identical.get(state.name, {})
        if len(of_forms) == len(state.forms) and len({tuple(others) for others in of_forms.values()}) == 1:
            of_forms = {"The weights": next(iter(of_forms.values()))}
        for label, others in of_forms.items():
            verb = "are identical to those" if label == "The weights" else "is identical to that"
            yield Finding(state.name, "identical-weights", f"{label} {verb} of {_some(others)}.")


def _identical_shards(states: Sequence[State], main: State | None) -> Iterator[Finding]:
    """Compare single shards of revisions whose weights differ as a whole."""
    shards: dict[str, dict[str, str]] = defaultdict(dict)
    whole: dict[tuple[str, str], str] = {}
    for state in _and(states, main):
        for form in (form for form in state.forms.values() if len(form.paths) > 1):
            for path in form.paths:
                shards[path][state.name] = state.files[path].sha256 or state.files[path].blob
                whole[path, state.name] = form.content
    for path, contents in shards.items():
        if len(contents) > 2 and len(set(contents.values())) == 1 < len(
            {whole[path, state] for state in contents}
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
    for label, by_name in sizes.items():
        usual = Counter(by_name.values()).most_common(1)[0][0]
        for name, size in by_name.items():
            if len(by_name) > 2 and abs(size - usual) > _OTHER_SIZE * usual:
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
    places = {name: parts.place for name in contents if (parts := numbered(name)) is not None}
    for group in groups.values():
        counted = [name for name in group if name in places or (not places and name != MAIN)]
        if len({places.get(name, (name, 0)) for name in counted}) > 1:
            for name in counted:
                yield name, [other for other in group if other != name]


def _and(states: Sequence[State], main: State | None) -> list[State]:
    return [*states, *([] if main is None else [main])]


def _is_first_shard(path: str) -> bool:
    shard = SHARD.fullmatch(path)
    return shard is None or int(shard["index"]) <= 1


def _some(names: Sequence[str]) -> str:
    """At most three names, and `main` if it is among them."""
    shown = [*names[:3], *([MAIN] if MAIN in names[3:] else [])]
    more = len(names) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more else ", ".join(shown)


# --- the numbers in names of revisions or checkpoint files, and those that a suite lacks ---

# A number of 18 digits at most, as in `names`.
_NUMBER = re.compile(
    r"(?:^|[^a-z])(step|epoch|checkpoint|ckpt|iteration|iter)s?[-_]?(\d{1,18})(?!\d)", re.IGNORECASE
)
# What grows together with the number: `step1000-tokens4B`, `epoch-002-step-00000512`.
_TOKENS = re.compile(r"(?<![a-z])(tokens?[-_]?)\d+(?:\.\d+)?[kmbt]?(?![a-z\d])", re.IGNORECASE)
_EPOCH_BEFORE_STEP = re.compile(r"(?<![a-z])(epochs?[-_]?)\d+(?=[-_.]?$)", re.IGNORECASE)
_MOST_GAPS = 100  # of one sequence: one absurd number must not become a billion findings
_IN_A_ROW = 3  # equal differences in a row that make a stride


@dataclass(frozen=True)
class NumberedName:
    """A name with a number, split.

    Attributes:
        before, after: the rest of the name; what grows with the number is replaced by `*`. Names that share both are
            one sequence.
        digits: the number as it is written.
        word: what the number counts, `step` or `epoch` for example.
    """

    before: str
    digits: str
    after: str
    word: str

    @property
    def number(self) -> int:
        return int(self.digits)

    @property
    def place(self) -> tuple[str, int]:
        """Equal for names of one state in several spellings: `step-1000`, `step1000`, `step1000-tokens4B`."""
        return re.sub("[-_]", "", self.before.lower()), self.number


@dataclass(frozen=True)
class Gap:
    """A number that a sequence lacks.

    Attributes:
        name: as the suite would write it.
        after: the last name before the gap.
        word: what the number counts.
        spelling: a name of another form that has this number; None if there is none.
        last: whether further gaps of the sequence are not listed.
    """

    name: str
    after: str
    word: str
    spelling: str | None = None
    last: bool = False


def numbered(name: str) -> NumberedName | None:
    """The number of a name; None if it has none. The last one counts, as in `stage1-step1000`."""
    last = None
    for match in _NUMBER.finditer(name):
        last = match
    if last is None:
        return None
    start, end = last.span(2)
    word_start = last.start(1)
    before = _EPOCH_BEFORE_STEP.sub(r"\1*", name[:word_start]) + name[word_start:start]
    return NumberedName(before, last[2], _TOKENS.sub(r"\1*", name[end:]), last[1].lower())


def gaps(names: Iterable[str]) -> Iterator[Gap]:
    """What the sequences among some names lack, at most a hundred numbers of each."""
    sequences: dict[tuple[str, str], dict[int, NumberedName]] = defaultdict(dict)
    spellings: dict[tuple[str, int], str] = {}
    full: dict[NumberedName, str] = {}
    for name in names:
        parts = numbered(name)
        if parts is not None:
            sequences[parts.before, parts.after][parts.number] = parts
            spellings[parts.place] = full[parts] = name
    for sequence in sequences.values():
        ordered = sorted(sequence)
        missing = list(islice(missing_numbers(ordered), _MOST_GAPS + 1))
        for number in missing[:_MOST_GAPS]:
            before = sequence[ordered[bisect(ordered, number) - 1]]
            width = len(before.digits) if before.digits.startswith("0") else 0
            absent = replace(before, digits=f"{number:0{width}d}")
            last = len(missing) > _MOST_GAPS and number == missing[_MOST_GAPS - 1]
            name = f"{absent.before}{absent.digits}{absent.after}"
            yield Gap(name, full[before], absent.word, spellings.get(absent.place), last)


def missing_numbers(numbers: Iterable[int]) -> Iterator[int]:
    """Numbers missing from a suite's sequence of steps or epochs, one at a time: a gap may have any size.

    A suite may begin with powers of two and go on with a regular grid, whose stride may change: three equal
    differences in a row are a stride, unless finer strides surround them. Without such a row, the most frequent
    difference is the stride. Nothing is expected before the first and after the last number, nor below the stride.
    """
    present = sorted(set(numbers))
    doubling = _doubling(present)
    if doubling:
        yield from (power for power in _powers(doubling[0], doubling[-1]) if power not in doubling)
        present = present[present.index(doubling[-1]) :]
    for (low, high), (stride, phase) in zip(pairwise(present), _grid(present), strict=True):
        first = low + ((phase - low) % stride or stride)
        yield from range(first, high, stride)


def _doubling(present: Sequence[int]) -> list[int]:
    """The powers of two with which a suite begins; none if it begins with a grid."""
    powers = list(
        takewhile(lambda number: number & (number - 1) == 0, (number for number in present if number > 0))
    )
    rest = present[bisect(present, powers[-1]) :] if powers else []
    jumps = bool(rest) and rest[0] > 2 * powers[-1]
    if len(powers) < (3 if jumps else 4):  # 1, 2, 4, 5 is a grid that lacks 3
        return []
    stride = _most_frequent(rest) if len(rest) > 1 else powers[-1]
    return [number for number in powers if number <= stride]


def _powers(low: int, high: int) -> Iterator[int]:
    while low <= high:
        yield low
        low *= 2


def _grid(present: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For each pair of successive numbers the stride that is expected there, and a number on that grid."""
    differences = [high - low for low, high in pairwise(present)]
    rows = _rows(differences)
    if not rows and differences:
        stride = _most_frequent(present)
        start = differences.index(stride)
        rows = [(start, start + 1, stride)]
    starts = [start for start, _, _ in rows]
    for pair in range(len(differences)):
        after = bisect(starts, pair)  # the row that begins after this pair
        start, end, stride = rows[max(after - 1, 0)]
        if not start <= pair < end and after < len(rows):
            start, _, stride = max(rows[max(after - 1, 0)], rows[after], key=lambda row: row[2])
        yield stride, present[start]


def _rows(differences: Sequence[int]) -> list[tuple[int, int, int]]:
    """Where equal differences follow each other: the first, the one after the last, and their value."""
    rows, start = [], 0
    for stride, group in groupby(differences):
        end = start + len(list(group))
        if end - start >= _IN_A_ROW:
            rows.append((start, end, stride))
        start = end
    around = [0, *(stride for _, _, stride in rows), 0]
    return [
        row
        for row, before, after in zip(rows, around, around[2:], strict=False)
        if not (before and after and row[2] > max(before, after))  # holes in a finer grid are not a stride
    ]


def _most_frequent(numbers: Sequence[int]) -> int:
    """The most frequent difference, the largest of several."""
    counts = Counter(high - low for low, high in pairwise(numbers))
    return max(counts, key=lambda difference: (counts[difference], difference))
