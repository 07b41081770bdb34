"""What the browser of stimuli says and offers: facts of each stimulus, answers in words, filters, orders, choices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.views import class_title

_WRONG = ("lure", "other", "tie")
_FIRST_LETTER = ord("0")
_SIGNS = {"truth": "✓", "other": "✗"}


class Shown:
    """Some stimuli of a gallery in words.

    Attributes:
        facts: those of the gallery that any of the stimuli has.
        said: each distinct answer in its words, with the sign and the verdict on it: ``truth``, ``lure``, ``other``,
            ``tie`` or ``none``.
    """

    def __init__(self, gallery: Gallery, items: pd.Index, classes: Sequence[str]) -> None:
        self.gallery, self._classes = gallery, classes
        facts = {name: values.reindex(items) for name, values in gallery.facts.items()}
        self.facts = {name: values for name, values in facts.items() if values.notna().any()}
        self.said: dict[tuple[str, str, str], int] = {}
        unknown = pd.Series(None, items, dtype=object)
        truth = "people" if gallery.answer == "picture" else "truth"
        cues = (self.facts.get(name, unknown).astype(object) for name in (truth, "lure"))
        self._right, self._lure = (cue.where(cue.notna(), None).tolist() for cue in cues)

    def encoded(self, frame: pd.DataFrame) -> Any:
        """Answers, stimulus by stimulus and revision by revision: values as a list, others a letter each.

        The letters are those from ``0`` on, in the order of `said`.
        """
        if self.gallery.answer == "value":
            return _rounded(frame)
        rows = zip(frame.to_numpy(object), self._right, self._lure, strict=True)
        return "".join(self._letter(answer, *cues) for answers, *cues in rows for answer in answers)

    def _letter(self, answer: Any, right: Any, lure: Any) -> str:
        if pd.isna(answer):
            said = ("no answer", "–", "none")
        elif self.gallery.answer == "picture" and answer < 0:
            said = ("a tie", "=", "tie")
        else:
            verdict = "truth" if answer == right else "lure" if answer == lure else "other"
            called = self._called.get(verdict)
            words = self._name(answer) + (f" ({called})" if called else "")
            said = (words, self._sign(answer, verdict), verdict)
        return chr(_FIRST_LETTER + self.said.setdefault(said, len(self.said)))

    def _sign(self, answer: Any, verdict: str) -> str:
        """One sign for an answer, so that it does not rest on its colour."""
        if self.gallery.answer == "picture":
            return self._name(answer)[:1]
        if "lure" in self.facts:
            return "·" if verdict == "other" else self.gallery.titles[verdict][:1].upper()
        return _SIGNS[verdict]

    @cached_property
    def _called(self) -> Mapping[str, str]:
        """What an answer is called, by the verdict on it."""
        titles = self.gallery.titles
        if self.gallery.answer == "picture":
            return {"truth": "as observers", "other": "unlike observers"} if "people" in self.facts else {}
        if "lure" in self.facts:
            return {"truth": titles["truth"], "lure": titles["lure"], "other": "neither"}
        return {"truth": "right", "other": "wrong"} if "truth" in self.facts else {}

    def _name(self, value: Any) -> str:
        """A fact or an answer in words."""
        if self.gallery.answer == "value":
            return f"{value:.3f}"
        if self.gallery.answer == "picture":
            return self.gallery.pictures[int(value)].title
        return "unknown" if pd.isna(value) else class_title(value, self._classes)

    def described(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A part of `stimuli.payload` with its words; call it after `encoded`.

        Returns:
            The part, and

            - ``introduction``: a sentence or more; ``said``; ``heading``: what is before a revision's answer.
            - ``answer``, as of `Gallery`; ``pictures``: their titles.
            - ``choices``: key, label and options of each select.
            - ``filters``: by name what they ask for: verdicts ``now`` at the slider, one ``before`` it, one ``never``,
              whether the answer ``changed``, and whether people are right (``agreed``).
            - in ``items`` also ``facts``, lines of words, ``stratum``, the group of each, and, for filters and orders,
              ``agreed``, ``people`` and ``share``; None for what is unknown.
        """
        gallery, facts = self.gallery, self.facts
        by_truth = "truth" in facts and gallery.answer == "class"
        group = "group" if "group" in facts else "truth" if by_truth else ""
        named = _short if group == "group" else self._name
        groups = [named(value) for value in sorted(set(facts[group].dropna()))] if group else []
        title, value = gallery.titles[group] if group else "", gallery.titles["value"]
        offered = {name: name for name in groups if len(groups) > 1}
        filters = list(self._filters())
        known = {name: _rounded(facts[name]) for name in ("share",) if name in facts}
        if gallery.answer == "value" and "people" in facts:
            known["people"] = _rounded(facts["people"])
        agreed = None
        if by_truth and "people" in facts:
            agreed = (facts["people"] == facts["truth"]).fillna(False).astype(bool).tolist()
        return {
            **part,
            "introduction": " ".join(self._introduction(part, title)),
            "said": [dict(zip(("words", "sign", "kind"), said, strict=True)) for said in self.said],
            "heading": f"{value[:1].upper()}{value[1:]}, " if gallery.answer == "value" else "",
            "answer": gallery.answer,
            "pictures": [picture.title for picture in gallery.pictures],
            "filters": {name: asked for name, _, asked in filters},
            "choices": [
                ("filter", "Show", {name: words for name, words, _ in filters}),
                ("run", "Run", list(part["runs"])),
                ("way", "Measured by", dict(enumerate(part["ways"]))),
                ("group", title.capitalize(), {"": "all"} | offered),
                ("sort", "Order", self._sorts(title)),
            ],
            "items": {
                **part["items"],
                "stratum": [named(value) for value in facts[group]] if group else [],
                "facts": [list(self._said_of(at)) for at in range(part["shown"])],
                "agreed": agreed,
                **{name: known.get(name) for name in ("share", "people")},
            },
        }

    def _introduction(self, part: Mapping[str, Any], group: str) -> Iterator[str]:
        if part["shown"] == part["total"]:
            yield f"All {part['total']:,} stimuli."
        else:
            each = f"from each {group} " if group else ""
            yield (
                f"{part['shown']:,} of {part['total']:,} stimuli are in this page: {each}the ones whose answers "
                "change most, and others at even spacing."
            )
        if "looked" in self.facts:
            yield "Bright means high in maps; each map is scaled to its own maximum."
        if part["why"]:
            yield part["why"]
        elif part["sheet"] and part["sheet"]["scale"] == 1:
            yield "Pictures are small and compressed: fine distortions do not show."
        if self.gallery.note:
            yield self.gallery.note
        if part["sparse"]:
            yield "Runs with many revisions show only some of them, spaced evenly over training."
        if part["strangers"]:
            yield f"Not shown here, since they saw other stimuli: {', '.join(part['strangers'])}."

    def _said_of(self, at: int) -> Iterator[str]:
        """What is shown, its group, and what people said."""
        titles = self.gallery.titles
        known = {name: values.iloc[at] for name, values in self.facts.items()}
        if "truth" in known:
            cues = [cue for cue in ("truth", "lure") if cue in known]
            yield ", ".join(f"{titles[cue]} {self._name(known[cue])}" for cue in cues)
        if "group" in known:
            yield f"{titles['group']}: {_short(known['group'])}"
        if not pd.isna(known.get("people")):
            share = known.get("share")
            most = "" if pd.isna(share) else f" ({100 * share:.0f} % of observers)"
            yield f"{titles['people']}: {self._name(known['people'])}{most}"

    def _filters(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        answer, facts = self.gallery.answer, self.facts
        truth, lure = self.gallery.titles["truth"], self.gallery.titles["lure"]
        yield "all", "all stimuli", {}
        if "lure" in facts:
            yield "to-truth", f"changed from {lure} to {truth}", {"now": ["truth"], "before": "lure"}
            yield "to-lure", f"changed from {truth} to {lure}", {"now": ["lure"], "before": "truth"}
            yield "lure", f"{lure} at the slider's revision", {"now": ["lure"]}
        if answer == "class" and "truth" in facts:
            right = truth if "lure" in facts else "right"
            if "people" in facts:
                yield "people", "observers right, model wrong", {"now": _WRONG, "agreed": True}
            yield "right", f"{right} at the slider's revision", {"now": ["truth"]}
            yield "wrong", f"not {right} at the slider's revision", {"now": _WRONG}
            yield "never", f"never {right}", {"never": "truth"}
        if answer == "picture" and "people" in facts:
            yield "people", "model and observers choose differently", {"now": _WRONG}
            yield "right", "model and observers choose alike", {"now": ["truth"]}
        if answer != "value":
            yield "changed", "answer changed", {"changed": True}
            yield "constant", "answer never changed", {"changed": False}

    def _sorts(self, group: str) -> dict[str, str]:
        mixed = f"each {group} in turn" if group else "answers that change first"
        found = {"mixed": mixed, "item": "as in the data set"}
        if self.gallery.answer != "value":
            found |= {"changes": "most changes first"}
            return found | ({"share": "observers most agreed first"} if "share" in self.facts else {})
        found |= {"high": "largest value first", "low": "smallest value first"}
        found |= {"span": "largest change first"}
        return found | ({"people": "farthest from observers first"} if "people" in self.facts else {})


def _rounded(numbers: "pd.Series[Any] | pd.DataFrame") -> list[float | None]:
    """Numbers with three decimals, row by row; None for what is missing."""
    known = numbers.to_numpy(np.float64, na_value=np.nan).ravel().tolist()
    return [round(number, 3) if math.isfinite(number) else None for number in known]


def _short(value: Any) -> str:
    return str(value)[:100]
