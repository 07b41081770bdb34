"""The numbers in the names of a suite's revisions or checkpoint files, and the numbers that a suite lacks."""

import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, pairwise, takewhile

__all__ = ["Gap", "NumberedName", "gaps", "missing_numbers", "numbered"]

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
    """The number of a name; None if it has none. The last one counts, as in `stage1-step1000`.

    Examples:
        >>> from hf_clipdyn.revisions.sequences import numbered
        >>> numbered("stage1-step1000-tokens4B")
        NumberedName(before='stage1-step', digits='1000', after='-tokens*', word='step')
    """
    found = None
    for match in _NUMBER.finditer(name):
        found = match
    if found is None:
        return None
    start, end = found.span(2)
    word_start = found.start(1)
    before = _EPOCH_BEFORE_STEP.sub(r"\1*", name[:word_start]) + name[word_start:start]
    return NumberedName(before, found[2], _TOKENS.sub(r"\1*", name[end:]), found[1].lower())


def gaps(names: Iterable[str]) -> Iterator[Gap]:
    """What the sequences among some names lack, at most a hundred numbers of each."""
    sequences: dict[tuple[str, str], dict[int, NumberedName]] = defaultdict(dict)
    spellings: dict[tuple[str, int], str] = {}
    full: dict[NumberedName, str] = {}
    for name in names:
        one = numbered(name)
        if one is not None:
            sequences[one.before, one.after][one.number] = one
            spellings[one.place] = full[one] = name
    for held in sequences.values():
        ordered = sorted(held)
        missing = list(islice(missing_numbers(ordered), _MOST_GAPS + 1))
        for number in missing[:_MOST_GAPS]:
            before = held[ordered[bisect(ordered, number) - 1]]
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

    Examples:
        >>> from hf_clipdyn.revisions.sequences import missing_numbers
        >>> list(missing_numbers([0, 1, 2, 8, 1000, 2000, 4000, 5000]))
        [4, 3000]
    """
    held = sorted(set(numbers))
    doubling = _doubling(held)
    if doubling:
        yield from (power for power in _powers(doubling[0], doubling[-1]) if power not in doubling)
        held = held[held.index(doubling[-1]) :]
    for (low, high), (stride, phase) in zip(pairwise(held), _grid(held), strict=True):
        first = low + ((phase - low) % stride or stride)
        yield from range(first, high, stride)


def _doubling(held: Sequence[int]) -> list[int]:
    """The powers of two with which a suite begins; none if it begins with a grid."""
    powers = list(takewhile(lambda number: number & (number - 1) == 0, (one for one in held if one > 0)))
    rest = held[bisect(held, powers[-1]) :] if powers else []
    jumps = bool(rest) and rest[0] > 2 * powers[-1]
    if len(powers) < (3 if jumps else 4):  # 1, 2, 4, 5 is a grid that lacks 3
        return []
    stride = _most_frequent(rest) if len(rest) > 1 else powers[-1]
    return [one for one in powers if one <= stride]


def _powers(low: int, high: int) -> Iterator[int]:
    while low <= high:
        yield low
        low *= 2


def _grid(held: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For each pair of successive numbers the stride that is expected there, and a number on that grid."""
    differences = [high - low for low, high in pairwise(held)]
    rows = _rows(differences)
    if not rows and differences:
        stride = _most_frequent(held)
        start = differences.index(stride)
        rows = [(start, start + 1, stride)]
    starts = [start for start, _, _ in rows]
    for pair in range(len(differences)):
        after = bisect(starts, pair)  # the row that begins after this pair
        start, end, stride = rows[max(after - 1, 0)]
        if not start <= pair < end and after < len(rows):
            start, _, stride = max(rows[max(after - 1, 0)], rows[after], key=lambda row: row[2])
        yield stride, held[start]


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


def _most_frequent(held: Sequence[int]) -> int:
    """The most frequent difference, the largest of several."""
    counts = Counter(high - low for low, high in pairwise(held))
    return max(counts, key=lambda difference: (counts[difference], difference))
