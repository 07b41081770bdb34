"""What the browser of stimuli says and offers: facts of each stimulus, answers in words, filters, orders, choices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.views import class_title

_WRONG = ("lure", "other", "tie")
_FIRST_LETTER = ord("0")
_SIGNS = {"right": "✓", "wrong": "✗", "neither": "·"}  # so that an answer does not rest on its colour


class Words:
    """Some stimuli of a gallery in words.

    Attributes:
        facts: the gallery's facts about these stimuli.
        said: each distinct answer in its words, with the sign and the verdict on it: ``truth``, ``lure``, ``other``,
            ``tie`` or ``none``.
    """

    def __init__(self, gallery: Gallery, items: pd.Index, classes: Sequence[str]) -> None:
        self.gallery, self._classes = gallery, classes
        self.facts = gallery.facts.loc[items]
        self.said: dict[tuple[str, str, str], int] = {}
        cues = self.facts.reindex(columns=[gallery.right, "lure"]).astype(object)
        self._cues = cues.where(cues.notna(), None).to_numpy().tolist()

    def encoded(self, frame: pd.DataFrame) -> Any:
        """Answers, stimulus by stimulus and revision by revision: values as a list, others a letter each.

        The letters are those from ``0`` on, in the order of `said`.
        """
        if self.gallery.answer == "value":
            return rounded(frame)
        rows = zip(frame.to_numpy(object), self._cues, strict=True)
        return "".join(self._letter(answer, *cues) for answers, cues in rows for answer in answers)

    def _letter(self, answer: Any, right: Any, lure: Any) -> str:
        if pd.isna(answer):
            said = ("no answer", "–", "none")
        elif self.gallery.answer == "picture" and answer < 0:
            said = ("a tie", "=", "tie")
        else:
            verdict = "truth" if answer == right else "lure" if answer == lure else "other"
            words, called = self.name(answer), self.gallery.verdicts.get(verdict, "")
            sign = words[:1] if self.gallery.answer == "picture" else _SIGNS.get(called, called[:1].upper())
            said = (f"{words} ({called})" if called else words, sign, verdict)
        return chr(_FIRST_LETTER + self.said.setdefault(said, len(self.said)))

    def name(self, value: Any) -> str:
        """A fact or an answer in words."""
        if pd.isna(value):
            return "unknown"
        if self.gallery.answer == "class" or isinstance(value, str):
            return class_title(value, self._classes)
        return self.gallery.pictures[int(value)].title if self.gallery.answer == "picture" else f"{value:.3f}"

    def lines(self, known: Mapping[Any, Any]) -> Iterator[str]:
        """What is shown, its group, and what people said: the facts of a stimulus."""
        titles = self.gallery.titles
        if "truth" in known:
            cues = (cue for cue in ("truth", "lure") if cue in known)
            yield ", ".join(f"{titles[cue]} {self.name(known[cue])}" for cue in cues)
        if "group" in known:
            yield f"{titles['group']}: {self.name(known['group'])}"
        if not pd.isna(known.get("people")):
            share = known.get("share")
            most = "" if pd.isna(share) else f" ({100 * share:.0f} % of observers)"
            yield f"{titles['people']}: {self.name(known['people'])}{most}"

    def filters(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The key, the words, and what is asked for.

        That is the verdict ``now`` at the slider, one ``before`` it, one ``never``, whether the answer ``changed``, and
        whether people are right (``agreed``).
        """
        right, lure = (self.gallery.verdicts.get(verdict) for verdict in ("truth", "lure"))
        yield "all", "all stimuli", {}
        if lure:
            yield "to-truth", f"changed from {lure} to {right}", {"now": ["truth"], "before": "lure"}
            yield "to-lure", f"changed from {right} to {lure}", {"now": ["lure"], "before": "truth"}
            yield "lure", f"{lure} at the slider's revision", {"now": ["lure"]}
        if self.gallery.right == "truth":
            if "people" in self.facts:
                yield "people", "observers right, model wrong", {"now": _WRONG, "agreed": True}
            yield "right", f"{right} at the slider's revision", {"now": ["truth"]}
            yield "wrong", f"not {right} at the slider's revision", {"now": _WRONG}
            yield "never", f"never {right}", {"never": "truth"}
        if self.gallery.right == "people":
            yield "people", "model and observers choose differently", {"now": _WRONG}
            yield "right", "model and observers choose alike", {"now": ["truth"]}
        if self.gallery.answer != "value":
            yield "changed", "answer changed", {"changed": True}
            yield "constant", "answer never changed", {"changed": False}

    def orders(self, group: str) -> dict[str, str]:
        """The orders of stimuli by key; stimuli of different ``group`` may take turns."""
        mixed = f"each {group} in turn" if group else "answers that change first"
        found = {"mixed": mixed, "item": "as in the data set"}
        if self.gallery.answer != "value":
            of_people = {"share": "observers most agreed first"} if "share" in self.facts else {}
            return found | {"changes": "most changes first"} | of_people
        found |= {
            "high": "largest value first",
            "low": "smallest value first",
            "span": "largest change first",
        }
        return found | ({"people": "farthest from observers first"} if "people" in self.facts else {})


def rounded(numbers: "pd.Series[Any] | pd.DataFrame") -> list[float | None]:
    """Numbers with three decimals, row by row; None for what is missing."""
    known = numbers.to_numpy(np.float64, na_value=np.nan).ravel().tolist()
    return [round(number, 3) if math.isfinite(number) else None for number in known]
