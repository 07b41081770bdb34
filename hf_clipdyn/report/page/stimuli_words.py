"""What the browser of stimuli says and offers: facts of each stimulus, filters, orders and choices, for JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WRONG = ("lure", "other", "tie")


def described(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of `stimuli.payload` with its words.

    Returns:
        The part, and

        - ``introduction``: a sentence or more; ``called``: what an answer is called, by its verdict (``truth``, ...).
        - ``filters``: ``name``, ``title``, and what they ask for: verdicts ``now`` at the slider, one ``before`` it,
          one ``never``, whether the answer ``changed``, and whether people are right (``agreed``).
        - ``sorts``: ``name`` and ``title``; ``groups``: names by which stimuli can be chosen, ``groupTitle``.
        - in ``items`` also ``facts``, lines of words, and ``stratum``, the group of each.
    """
    items, names, titles = part["items"], part["names"], part["titles"]
    grouped = bool(items["group"])
    by_truth = not grouped and items["truth"] is not None and part["answer"] == "class"
    stratum = items["group"] if grouped else _named(names, items["truth"]) if by_truth else []
    known = sorted(set(stratum), key=None if grouped else names.index)
    title = titles["group"] if grouped else titles["truth"] if by_truth else ""
    return {
        **part,
        "introduction": " ".join(_introduction(part, title)),
        "called": _called(part),
        "filters": list(_filters(part)),
        "sorts": list(_sorts(part, title)),
        "groups": known if len(known) > 1 else [],
        "groupTitle": title,
        "items": {
            **items,
            "stratum": stratum,
            "facts": [list(_facts(part, at)) for at in range(part["shown"])],
        },
    }


def _named(names: Sequence[str], places: Sequence[int | None]) -> list[str]:
    return ["unknown" if at is None or not 0 <= at < len(names) else names[at] for at in places]


def _introduction(part: Mapping[str, Any], group: str) -> Iterator[str]:
    if part["shown"] == part["total"]:
        yield f"All {part['total']:,} stimuli."
    else:
        each = f"from each {group} " if group else ""
        yield (
            f"{part['shown']:,} of {part['total']:,} stimuli are in this page: {each}those whose answers change "
            "most, and others at even spacing."
        )
    if part["items"]["peopleMap"]:
        yield "Bright means high in maps; each map is scaled to its own maximum."
    if part["why"]:
        yield part["why"]
    elif not part["pixelated"] and part["sheet"]:
        yield "Pictures are small and compressed: fine distortions do not show."
    if part["note"]:
        yield part["note"]
    if part["sparse"]:
        yield "Runs with many revisions show only some of them, spaced evenly over training."
    if part["strangers"]:
        yield f"Not shown here, since they saw other stimuli: {', '.join(part['strangers'])}."


def _called(part: Mapping[str, Any]) -> dict[str, str]:
    items, titles = part["items"], part["titles"]
    if part["answer"] == "picture":
        return {"truth": "as people", "other": "unlike people"} if items["people"] else {}
    if items["lure"]:
        return {"truth": titles["truth"], "lure": titles["lure"], "other": "neither"}
    return {"truth": "right", "other": "wrong"} if items["truth"] else {}


def _facts(part: Mapping[str, Any], at: int) -> Iterator[str]:
    """What is shown, its group, and what people said."""
    items, names, titles = part["items"], part["names"], part["titles"]
    cues = [cue for cue in ("truth", "lure") if items[cue]]
    if items["truth"]:
        yield ", ".join(f"{titles[cue]} {_named(names, [items[cue][at]])[0]}" for cue in cues)
    if items["group"]:
        yield f"{titles['group']}: {items['group'][at]}"
    if items["people"] and items["people"][at] is not None:
        said = items["people"][at]
        if part["answer"] == "value":
            words = f"{said:.3f}"
        else:
            words = part["pictures"][said] if part["answer"] == "picture" else _named(names, [said])[0]
        share = items["share"][at] if items["share"] else None
        yield f"{titles['people']}: {words}" + ("" if share is None else f" ({100 * share:.0f} % of people)")


def _filters(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items, answer = part["items"], part["answer"]
    truth, lure = part["titles"]["truth"], part["titles"]["lure"]
    yield {"name": "all", "title": "all stimuli"}
    if items["lure"]:
        to_truth, to_lure = f"changed from {lure} to {truth}", f"changed from {truth} to {lure}"
        yield {"name": "to-truth", "title": to_truth, "now": ["truth"], "before": "lure"}
        yield {"name": "to-lure", "title": to_lure, "now": ["lure"], "before": "truth"}
        yield {"name": "lure", "title": f"{lure} at the slider's revision", "now": ["lure"]}
    if answer == "class" and items["truth"]:
        right = truth if items["lure"] else "right"
        if items["people"]:
            yield {"name": "people", "title": "people right, model wrong", "now": _WRONG, "agreed": True}
        yield {"name": "right", "title": f"{right} at the slider's revision", "now": ["truth"]}
        yield {"name": "wrong", "title": f"not {right} at the slider's revision", "now": _WRONG}
        yield {"name": "never", "title": f"never {right}", "never": "truth"}
    if answer == "picture" and items["people"]:
        yield {"name": "people", "title": "model and people choose differently", "now": _WRONG}
        yield {"name": "right", "title": "model and people choose alike", "now": ["truth"]}
    if answer != "value":
        yield {"name": "changed", "title": "answer changed", "changed": True}
        yield {"name": "constant", "title": "answer never changed", "changed": False}


def _sorts(part: Mapping[str, Any], group: str) -> Iterator[dict[str, str]]:
    titles = {
        "mixed": f"each {group} in turn" if group else "those that change first",
        "item": "as in the data set",
    }
    if part["answer"] != "value":
        titles["changes"] = "most changes first"
        titles |= {"share": "people most agreed first"} if part["items"]["share"] else {}
    else:
        titles |= {
            "high": "largest value first",
            "low": "smallest value first",
            "span": "largest change first",
        }
        titles |= {"people": "farthest from people first"} if part["items"]["people"] else {}
    yield from ({"name": name, "title": title} for name, title in titles.items())


def choices(part: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[Any, str]]]]:
    """The selects of the browser: key, label, options."""
    offered = {name: [(each["name"], each["title"]) for each in part[name]] for name in ("filters", "sorts")}
    return [
        ("filter", "Show", offered["filters"]),
        ("run", "Run", [(run, run) for run in part["runs"]]),
        ("way", "Measured by", list(enumerate(part["ways"]))),
        ("group", part["groupTitle"].capitalize(), [("", "all"), *((name, name) for name in part["groups"])]),
        ("sort", "Order", offered["sorts"]),
    ]


def changed(
    benchmarks: Sequence[Mapping[str, Any]], parts: Mapping[str, Any], n_runs: int
) -> dict[str, str] | None:
    """The stimuli of the first screen: of which benchmark, and in words; one with two cues comes first."""
    known = [each for each in benchmarks if parts.get(each["name"], {}).get("follows")]
    for benchmark in sorted(known, key=lambda each: not parts[each["name"]]["items"]["lure"]):
        part = parts[benchmark["name"]]
        to, titles = part["follows"]["to"], part["titles"]
        ends = [titles["lure"], titles["truth"]] if part["items"]["lure"] else ["wrong", "right"]
        if part["answer"] == "picture":
            ends = ["unlike people", "as people"]
        early, late = ends if to else ends[::-1]
        course = f"Images that follow the course, {early} before and {late} after"
        which = "Images whose answer changed most" if to is None else course
        where = f"{benchmark['title']}, {part['follows']['run']}" if n_runs > 1 else benchmark["title"]
        return {
            "name": benchmark["name"],
            "words": f"{which} ({where}), each with its answer at every revision.",
        }
    return None
