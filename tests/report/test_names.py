"""No code parses a name: other names for everything give the same report up to the names."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from result_rows import VOCABULARY, row

from hf_clipdyn.report import read_study
from hf_clipdyn.report.tables import (
    overview_tables,
    provenance_table,
)
from hf_clipdyn.report.words import find
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.terms import DatasetTerms, KindTerms, Vocabulary

_COLUMNS = ("metric", "condition", "variant", "subset", "kind", "dataset", "probe", "reference", "preprocess")
_FIXED = {"", "none", "projection"}  # the schema gives these a meaning, and no kind does


def _new_name(name: str) -> str:
    """Another name without letters of the old one, in an alphabetical order of its own."""
    return (
        name
        if name in _FIXED
        else "".join(chr(ord("z") - ord(c) % 23) for c in reversed(name)) + f"q{len(name)}"
    )


def _renamed(one: Row, known: dict[str, str]) -> Row:
    known |= {old: _new_name(old) for name in _COLUMNS for old in [getattr(one, name)]}
    return replace(one, **{name: _new_name(getattr(one, name)) for name in _COLUMNS})


def _renamed_words(words: Vocabulary) -> Vocabulary:
    def kind(terms: KindTerms) -> KindTerms:
        def keys(held: Mapping[str, Any], change: Callable[[Any], Any] = lambda one: one) -> dict[str, Any]:
            return {_new_name(name): change(one) for name, one in held.items()}

        def term(one: Any) -> Any:
            overview = one.overview and replace(one.overview, condition=_new_name(one.overview.condition))
            return replace(
                one, rests_on=_new_name(one.rests_on), mirrors=_new_name(one.mirrors), overview=overview
            )

        return replace(
            terms,
            terms=keys(terms.terms, term),
            **{name: keys(getattr(terms, name)) for name in ("conditions", "variants", "subsets", "probes")},
            references=tuple(replace(one, name=_new_name(one.name)) for one in terms.references),
        )

    def dataset(one: DatasetTerms) -> DatasetTerms:
        return replace(one, human_reference={_new_name(k): v for k, v in one.human_reference.items()})

    return Vocabulary(
        kinds={_new_name(name): kind(one) for name, one in words.kinds.items()},
        datasets={_new_name(name): dataset(one) for name, one in words.datasets.items()},
    )


def _everything(path: Any) -> str:
    """Panels, tables and sentences of a table of results, as one text."""
    study = read_study(path)
    panels = [
        {
            "form": [
                panel.title,
                panel.place,
                panel.form,
                panel.alt,
                dict(panel.choices),
                panel.ramp,
                panel.main,
            ],
            "lines": [(line.label, line.place, line.role, len(line.y)) for line in panel.lines],
            "levels": [(level.title, level.role) for level in panel.levels],
        }
        for panels in study.planner.benchmarks.values()
        for panel in panels
    ]
    overview = [panel.title for panel in study.planner.glance]
    made = [
        provenance_table(study),
        *overview_tables(study),
    ]
    sentences = [asdict(one) for one in find(study)]
    return json.dumps([panels, overview, [asdict(one) for one in made], sentences], indent=1)


def _more_rows() -> list[Row]:
    """Parts, layers, baselines and numbers without words, beside those of the study."""
    rows = []
    for epoch in range(6):
        at: dict[str, Any] = {"epoch": epoch, "half": 0.01}
        hidden = {"probe": "hidden_state", **at}
        rows += [row("quality/t", "alignment", 0.5, layer=layer, **hidden) for layer in (0, 1)]
        rows += [row("quality/t", "alignment", 0.4, condition=name, **at) for name in ("jpeg", "haze")]
        rows += [row("similarity/b", "two_afc", 0.4, subset=name, **at) for name in ("cnn", "old")]
        rows.append(row("quality/t", "alignment", 0.3, probe="", role="baseline", reference="psnr", **at))
        rows.append(row("quality/t", "alignment", 0.2, variant="cosine", preprocess="squash", **at))
        rows.append(row("unknown/t", "glow", 0.2, variant="raw", role="value", **at))
        rows.append(row("unknown/t", "glow", 0.1, variant="raw", role="chance", **at))
    return rows


def test_other_names_for_everything_give_the_same_charts_tables_and_sentences(study, write):
    rows = [*study(), *study("me/other", "cue_conflict"), *_more_rows()]
    known: dict[str, str] = {}
    renamed = [_renamed(one, known) for one in rows]
    assert len(set(known.values())) == len(known)
    before = _everything(write(rows))
    after = _everything(write(renamed, "renamed.parquet", vocabulary=_renamed_words(VOCABULARY)))
    assert all(new in after for new in map(_new_name, ("unknown", "glow", "raw", "jpeg", "cnn")))
    # What has no title is shown under its name: with spaces for underscores, or with dashes in names of files.
    for old, new in sorted(known.items(), key=lambda pair: -len(pair[1])):
        if old not in _FIXED:
            file_name = re.sub("[^a-z0-9.]+", "-", new.lower()).strip("-")
            after = after.replace(f"{file_name}-", f"{old.replace('_', '-')}-").replace(
                new.replace("_", " "), old.replace("_", " ")
            )
            after = after.replace(new, old)
    assert _plain(after) == _plain(before)


def _plain(text: str) -> list[str]:
    """Lines with one sign for what separates words, and capitals at their beginnings as they may be."""
    return [re.sub(r"[-_ ]+", " ", line).lower() for line in text.splitlines()]


def test_a_word_for_every_column_of_a_key_is_renamed_in_this_test():
    texts = {one.name for one in fields(Row) if one.metadata["key"] and one.type is str}
    cell = {
        "repo_id",
        "revision",
        "commit",
        "split",
        "data_fingerprint",
        "settings",
        "dtype",
        "texts",
        "text_commit",
        "other",
    }
    assert texts - cell <= set(_COLUMNS)
