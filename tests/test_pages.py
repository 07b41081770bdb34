"""The pages of docs/ and the README: links, anchors, length, and whether the written reference is current."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from scipy import stats

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data.registry import dataset_names
from hf_clipdyn.metrics.estimate import Influence
from hf_clipdyn.results.read import read_results
from hf_clipdyn.statistics.contrasts import Estimate, RunContrast, combine
from hf_clipdyn.statistics.evidence import read_evidence
from hf_clipdyn.statistics.verdicts import minimum_detectable_effect
from hf_clipdyn.statistics.windows import Window

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NOTEBOOKS = sorted(CHECKOUT.glob("notebooks/*.ipynb"))
PROSE = [page for page in PAGES if DOCS / "reference" not in page.parents]
MOST_WORDS = 900
BELOW = "<!-- `make docs` writes what follows"


def place(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


@cache
def text_of(page: Path) -> str:
    """A page, or the text cells of a notebook, without blocks of code and comments."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return without_blocks(text)


def without_blocks(text: str) -> str:
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, by GitHub's rule, which is the site's too."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings]
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in named}


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", text_of(page))
    broken = []
    for link in re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            broken.append(link)
    return broken


def words(text: str) -> int:
    """The words of prose: no tables, no pictures, no addresses of links."""
    prose = re.sub(r"^ *\|.*$", "", text, flags=re.MULTILINE)
    prose = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", prose)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    return sum(bool(re.search(r"\w", word)) for word in prose.split())


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=place)
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_to_a_page_or_a_heading_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One & `two_3`\n\n```text\n# no heading\n```\n")
    page = tmp_path / "page.md"
    links = ("other.md", "other.md#one--two_3", "other.md#no-heading", "absent.md", "#here", "#there")
    page.write_text("## Here\n\n" + " ".join(f"[a]({link})" for link in links))
    assert broken_links(page) == ["other.md#no-heading", "absent.md", "#there"]


@pytest.mark.parametrize("page", PROSE, ids=place)
def test_a_page_has_at_most_900_words_of_prose(page: Path) -> None:
    """What a person wrote: below that, a page of a benchmark has the reference."""
    above, _, _ = page.read_text(encoding="utf-8").partition(BELOW)
    assert words(without_blocks(above)) <= MOST_WORDS


def test_code_tables_pictures_and_addresses_are_no_words_of_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Two [words](a-page.md).\n\n```text\nsome code\n```\n\n| a | table |\n\n![a picture](b.png) <!-- a note -->\n"
    )
    assert words(text_of(page)) == 2


STUMBLES = re.compile(
    r"\b(?:anew|afresh|so many|told from|bears? on|bear out|borne out|is said of|whereof|thereof|as it came|spoilt|mute"
    r"|is called like|by themselves|first look whether|exclude each other|is others|are others"
    r"|partly by construction|serve a question|looked at:|gave the method its name"
    r"|(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|better\b)[a-z]+)\b",
    re.IGNORECASE,
)
READ_BY_USERS = [
    *PAGES,
    *NOTEBOOKS,
    CHECKOUT / "CHANGELOG.md",
    *CHECKOUT.glob("model_cards/*.jinja"),
    *CHECKOUT.glob("metrics/*/README.md"),
    *(
        path
        for path in (CHECKOUT / "hf_clipdyn").rglob("*")
        if path.suffix in (".py", ".js", ".jinja", ".yaml")
    ),
]


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=place)
def test_a_number_below_one_has_a_zero_before_its_point(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text_of(page))
    assert re.findall(r"(?<![\w.\])])\.\d.*", text) == []


def test_phrases_that_readers_had_to_read_twice_do_not_return() -> None:
    """Each was replaced in pages, help texts and errors; `is no X` means `is not an X`."""
    found = []
    for path in READ_BY_USERS:
        joined = re.sub(r"[\"']?\s*\n[\s#/*]*f?[\"']?", " ", path.read_text(encoding="utf-8"))
        found += [f"{place(path)}: {match[0]}" for match in STUMBLES.finditer(joined)]
    assert found == []


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/write_reference.py. Its folder is on the path only meanwhile: it has a script called evaluate, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKOUT / "scripts")
        return import_module("write_reference")


@pytest.fixture(scope="module")
def written(script: ModuleType) -> dict[str, str]:
    pages = script.pages()
    assert len({page.path for page in pages}) == len(pages)
    return {page.path: page.text(DOCS) for page in pages}


def test_the_reference_is_what_the_code_declares(script: ModuleType, written: dict[str, str]) -> None:
    """If not: `make docs`."""
    absent = [path for path in written if not (DOCS / path).exists()]
    assert absent == []
    assert [path for path, text in written.items() if (DOCS / path).read_text("utf-8") != text] == []


def test_a_page_that_a_person_begins_says_from_where_on_it_is_written(
    script: ModuleType, tmp_path: Path
) -> None:
    page = script.Page("begun.md", "", "", ["## Written", "New."], is_begun=True)
    (tmp_path / "begun.md").write_text("# Begun\n")
    with pytest.raises(ValueError, match=r"begun\.md lacks the line below which"):
        page.text(tmp_path)
    line = script.BELOW
    (tmp_path / "begun.md").write_text(f"# Begun\n\nBy hand.\n\n{line}\n\n## Written\n\nOld.\n")
    assert page.text(tmp_path) == f"# Begun\n\nBy hand.\n\n{line}\n\n## Written\n\nNew.\n"


def test_the_table_of_models_says_what_applies(written: dict[str, str]) -> None:
    lines = [line for line in written["reference/models.md"].splitlines() if line.startswith("| [`")]
    assert [re.findall(r"`(\w+)`", line)[0] for line in lines] == [
        one.name for one in sorted(kinds().values(), key=lambda one: (one.terms.rank, one.name))
    ]
    ends = {re.findall(r"`(\w+)`", line)[0]: line.partition(") | ")[2] for line in lines}
    assert ends["retrieval"] == "yes | no | no |"
    assert ends["zero_shot"] == "yes | head | head |"
    assert ends["saliency"] == "yes | yes | yes, with `gradient_input`, `grad_cam` |"


def test_no_written_page_is_left_that_nothing_declares_any_more(
    script: ModuleType, written: dict[str, str], tmp_path: Path
) -> None:
    pages = [script.Page(path, "", "", []) for path in written]
    assert script.outdated(pages) == []
    old = script.Page("old.md", "An old page", "", [])
    (tmp_path / "old.md").write_text(old.text(tmp_path))
    (tmp_path / "by-hand.md").write_text("# A page that a person wrote\n")
    assert script.outdated([], tmp_path) == [tmp_path / "old.md"]
    assert script.outdated([old], tmp_path) == []


def test_every_data_set_is_on_the_page_of_data_sets() -> None:
    assert set(dataset_names()) <= anchors(text_of(DOCS / "reference" / "data-sets.md"))


PYTHON = [DOCS / "reference" / "python.md", *sorted((DOCS / "reference" / "python").rglob("*.md"))]


@pytest.mark.parametrize("page", PYTHON, ids=place)
def test_a_page_that_explains_a_function_links_back_to_its_reference(page: Path) -> None:
    text = text_of(page)
    names = re.findall(r"^\| `(\w+)` \|.*\[page\]\((\S+)\) \|$", text, re.MULTILINE)
    wanted = [(f"`{name}`", page.parent / path) for name, path in names]
    wanted += [("", page.parent / path) for path in re.findall(r"\[The explanation\]\((\S+)\)", text)]
    lacking = []
    for name, target in wanted:
        explained = text_of(target.resolve())
        links = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", explained)
        if not any(name in said and (target.parent / path).resolve() == page for said, path in links):
            lacking.append((name, place(target.resolve())))
    assert lacking == []


def test_no_page_shows_what_only_the_site_understands() -> None:
    """The site puts docstrings where a comment names them; on GitHub `:::` would be read as it stands."""
    assert [place(page) for page in PAGES if re.search(r"^:::", page.read_text("utf-8"), re.MULTILINE)] == []


def test_the_site_fills_in_the_docstrings_and_links_the_names_to_them() -> None:
    found = spec_from_file_location("docs_site", CHECKOUT / "scripts" / "docs_site.py")
    assert found is not None
    assert found.loader is not None
    site = module_from_spec(found)
    found.loader.exec_module(site)
    page = "| name |\n| --- |\n| `one` |\n\n<!-- docstring: a.b.one -->\n\n<!-- a note -->\n"
    shown = "| name |\n| --- |\n| [`one`](#a.b.one) |\n\n::: a.b.one\n\n<!-- a note -->\n"
    assert site.on_page_markdown(page) == shown


def test_every_public_function_says_which_page_explains_it(written: dict[str, str]) -> None:
    lacking = []
    for path, text in written.items():
        if re.match(r"reference/python(\.md|/(?!errors|metrics))", path):
            lacking += re.findall(r"^\| `(\w+)` \|(?!.*\[page\])", text, re.MULTILINE)
    assert [name for name in lacking if name != "__version__"] == []


def test_every_citation_of_a_data_set_is_once_in_the_file(written: dict[str, str]) -> None:
    keys = re.findall(r"^@\w+\{(\w+),", written["reference/data-sets.bib"], re.MULTILINE)
    cited = re.findall(r"^- Cite: `(\w+)`", written["reference/data-sets.md"], re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert set(cited) == set(keys)


EARLY, LATE = [200, 400], [1800, 2000]  # steps of the embedded study
KEY = ["scale", "seed", "step"]
MASKING = {"condition": "masking_contrast", "variant": "cosine", "probe": "projection"}


def printed(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}"


@cache
def rows_of(study: str) -> pd.DataFrame:
    columns = [*KEY, "arm", "metric", "probe", "condition", "variant", "level", "role", "value"]
    metrics = ["chance_corrected_drop", "drop_when_right", "threshold", "log_rmse", "slope"]
    wanted = [("metric", "in", [*metrics, "shape_bias", "top_class_share"]), ("texts", "=", "own")]
    path = CHECKOUT / "model_cards" / study / "results.parquet"
    return pd.read_parquet(path, columns=columns, filters=wanted)


def course(study: str, metric: str, role: str = "value", arm: str = "", **wanted: object) -> pd.DataFrame:
    """A row for each run and a column for each step; the mean over sigma .1 to .4 of a drop."""
    rows = rows_of(study)
    for column, value in {"metric": metric, "role": role, "arm": arm, **wanted}.items():
        rows = rows[rows[column] == value]
    if metric.endswith(("_drop", "_right")) and "level" not in wanted:
        rows = rows[rows["level"].isin([0.1, 0.2, 0.3, 0.4])]
    held = rows.groupby(KEY)["value"]
    table: pd.DataFrame = held.mean().where(held.count() == held.size()).unstack()
    return table


def early_minus_late(table: pd.DataFrame) -> pd.Series:
    difference: pd.Series = table[EARLY].mean(axis=1) - table[LATE].mean(axis=1)
    return difference


def interval(contrast: pd.Series) -> str:
    """Over the seeds only, at 99 %."""
    runs = [
        RunContrast(run=f"{scale}{seed}", scale=scale, seed=seed, value=value)
        for (scale, seed), value in contrast.items()
    ]
    return estimated(combine(runs, 0.99))


def estimated(estimate: Estimate) -> str:
    return f"{printed(estimate.value)} [{printed(estimate.ci_low)}, {printed(estimate.ci_high)}]"


def registered_contrasts() -> Iterator[str]:
    table = pd.read_parquet(CHECKOUT / "model_cards" / "study" / "verdicts.parquet").dropna(subset="ci_low")
    for row in table.itertuples():
        ends = f"[{printed(row.ci_low)}, {printed(row.ci_high)}]"
        effects = f"{printed(row.smallest_effect).rstrip('0')} | {printed(row.minimum_detectable_effect)}"
        yield f"| {printed(row.value)} {ends} | {effects} |"


def measures_of_noise() -> Iterator[str]:
    drops = {}
    for metric, words in (
        ("chance_corrected_drop", ("grows", "falls")),
        ("drop_when_right", ("grows", "falls")),
        ("threshold", ("falls", "rises")),
    ):
        for probe, name, word in zip(
            ("projection", "linear_probe"), ("zero-shot", "linear probe"), words, strict=True
        ):
            table = drops[metric, name] = course("study", metric, probe=probe, condition="gaussian")
            change = early_minus_late(table) * (-1 if metric == "threshold" else 1)
            runs = (change < 0) if name == "zero-shot" else (change > 0)
            yield f"| {name} | {interval(change)} |"
            yield f"| {word} in {runs.sum()} of {len(change)} |"
    zero_shot, probe = (drops["chance_corrected_drop", name] for name in ("zero-shot", "linear probe"))
    at = {step: printed(mean, 2) for step, mean in zero_shot.mean().items()}
    yield f"is {at[32]} at step 32, {at[128]} at step 128, {at[200]} and {at[400]} in *early* (steps 200 and 400), "
    yield f"{at[600]} at step 600 and {at[2000]} at the end"
    yield f"({zero_shot[32].isna().sum()} of 15 at step 32)"
    at = {step: printed(mean, 2) for step, mean in probe.mean().items()}
    yield f"from {at[0]} before training to {at[1200]} at step 1,200 and ends at {at[2000]}"


def numbers_of_the_longer_run(*quoted: str) -> Callable[[], Iterator[str]]:
    """Sentences with numbers of the run on photographs that has one seed and 20 epochs."""

    def sentences() -> Iterator[str]:
        rows = pd.read_parquet(CHECKOUT / "model_cards" / "flickr8k" / "results.parquet")
        rows = rows[(rows["role"] == "value") & (rows["variant"].fillna("") == "")]
        bias = rows[(rows["metric"] == "shape_bias") & (rows["texts"] == "own")]
        rollout = rows[(rows["dataset"] == "osie") & (rows["probe"] == "rollout")].set_index(
            ["metric", "epoch"]
        )["value"]
        accuracy = rows[(rows["metric"] == "top1") & (rows["epoch"] == 1) & (rows["kind"] == "zero_shot")]
        own, last = (accuracy.loc[accuracy["texts"] == texts, "value"].iloc[0] for texts in ("own", "last"))
        numbers = {
            "unclear": (~bias["interpretable"].astype(bool)).sum(),
            "all": len(bias),
            "own": printed(own),
            "last": printed(last),
        } | {f"{metric}_{epoch}": printed(value, 2) for (metric, epoch), value in rollout.items()}
        for one in quoted:
            yield one.format(**numbers)

    return sentences


def claim_5_of_the_repeated_runs() -> Iterator[str]:
    """Early is the revision that has a threshold, where only one of the two has."""
    read = read_results(CHECKOUT / "model_cards" / "study" / "repeated.parquet")
    evidence = read_evidence(read, study="world", show_progress=False)
    test = evidence.claims.claims[4].test("world")
    registered, windows = test.parts[0].contrast, evidence.windows(test)
    alone = [windows | {"early": Window(name="early", start=at, end=at)} for at in (0.1, 0.2)]
    for metric in ("chance_corrected_drop", "drop_when_right", "threshold"):
        for probe, name in (("projection", "zero-shot"), ("linear_probe", "linear probe")):
            levels = () if metric == "threshold" else registered.endpoint.levels
            endpoint = replace(registered.endpoint, metric=metric, probe=probe, levels=levels)
            sign = -1 if metric == "threshold" else 1
            weights = {window: sign * weight for window, weight in registered.weights.items()}
            contrast = replace(registered, endpoint=endpoint, weights=weights)
            tries = zip(*(evidence.contrasts(contrast, chosen) for chosen in (windows, *alone)), strict=True)
            runs = [next(run for run in of_run if not math.isnan(run.value)) for of_run in tries]
            of_seeds = [replace(run, influence=Influence.unknown("seeds only")) for run in runs]
            for_claim = sum(run.value > 0 for run in runs)
            for_name = 15 - for_claim if name == "zero-shot" else for_claim
            seeds, items = (combine(chosen, 0.99) for chosen in (of_seeds, runs))
            ends = f"[{printed(items.ci_low)}, {printed(items.ci_high)}]"
            yield f"| {name} | {estimated(seeds)} | {ends} |"
            yield f" in {for_name} of 15 |"


def error_of_masking() -> Iterator[str]:
    table = course("study", "log_rmse", **MASKING)
    flat, pixels = (
        course("study", "log_rmse", role, condition="masking_contrast")[0].iloc[0]
        for role in ("null", "baseline")
    )
    yield f"a masking error of {printed(flat)}; the pixels have {printed(pixels)}"
    yield f"in {100 * (table > flat).to_numpy().mean():.0f} % of the revisions"
    assert (table[2000] < table[0]).all()
    yield f"{(table[2000] > flat).sum()} of them are still worse than the flat observer"
    slope = course("study", "slope", **MASKING)[LATE].mean(axis=1)
    yield f"The models' slope is negative: {printed(slope.mean(), 2)} in *late*"
    first, means = table.loc[:, 1:600], table.loc[:, 1:].mean()
    lowest = [f"{printed(part.min())} at step {part.idxmin():,}" for part in (first.mean(), means)]
    yield f"their mean error is {printed(table[128].mean())}"
    yield f"Within the first 30 % the lowest is {lowest[0]}, over the whole course {lowest[1]}"
    yield f"In {(first.idxmin(axis=1) == 128).sum()} of 15 runs step 128 is the minimum"


def power_at_the_detectable_effect() -> Iterator[str]:
    power = {}
    for degrees in (2, 4, 12):
        effect = minimum_detectable_effect(1, degrees, 0.99)
        power[degrees] = f"{100 * stats.nct.sf(stats.t.ppf(0.995, degrees), degrees, effect):.0f} %"
    yield f"{power[12]} with 12 degrees of freedom, {power[4]} with 4, and {power[2]} with 2"


def turns_of_the_controls() -> Iterator[str]:
    for arm in ("texture-always", "swapped-roles"):
        turn = -early_minus_late(course("study", "shape_bias", arm=arm))
        assert (turn < 0).all()
        yield printed(turn.mean())
    yield "All six contrasts are negative"


def tuning_measured_again() -> Iterator[str]:
    rows = pd.read_parquet(CHECKOUT / "model_cards" / "study" / "tuning.parquet")
    rows = rows[(rows["role"] == "value") & rows["texts"].isin(["", "own"])]
    accuracy = rows[rows["metric"] == "top1"].set_index(["arm", *KEY])["value"]
    chosen = {"micro": "2e-3", "tiny": "1e-3", "mini": "1e-3"}
    for scale in chosen:
        for rate in ("5e-4", "1e-3", "2e-3", "4e-3"):
            arm = "" if rate == chosen[scale] else f"rate-{rate}"
            if (arm, scale, 0, 2000) in accuracy.index:
                yield f", {printed(accuracy[arm, scale, 0, 2000])}"
    seed_1 = [printed(accuracy["", scale, 1, 2000]) for scale in chosen]
    yield "Seed 1 ends at {} (`micro`), {} (`tiny`) and {} (`mini`)".format(*seed_1)
    early = accuracy[""].unstack()[EARLY].mean(axis=1)
    yield f"The lowest is {printed(early.min(), 2)} (`{early.idxmin()[0]}`)"
    bias = rows[rows["metric"] == "shape_bias"].groupby(["arm", "step"])["value"].mean().unstack()
    for arm, words in (
        ("texture-always", "from {} in *early* to {} at the end"),
        ("swapped-roles", "from {} to {}."),
    ):
        at = bias.loc[arm]
        yield words.format(printed(at[EARLY].mean(), 2), printed(at[2000], 2))
    is_masking = (rows["metric"] == "log_rmse") & (rows["arm"] == "") & rows["layer"].isna()
    for column, value in MASKING.items():
        is_masking &= rows[column] == value
    error = rows[is_masking].groupby("step")["value"].mean()
    assert error.loc[1:600].idxmin() == 128
    yield f"({printed(error[128])}; step 600: {printed(error[600])})"
    yield f"is {printed(error.loc[1:].min())}, at step {error.loc[1:].idxmin():,}"


def first_answers() -> Iterator[str]:
    share = 100 * course("study", "top_class_share")[0]
    yield f"one class gets {share.min():.0f} to {share.max():.0f} % of them"


def peak_on_photographs() -> Iterator[str]:
    table = course("real-study", "log_rmse", **MASKING)
    yield f"differs by {(table[0] - table[2]).mean():.4f}"
    yield f"Before training the error is {printed(table[0].mean(), 2)}"
    slope = course("real-study", "slope", **MASKING)
    yield f"the slope of masking is {printed(slope[0].mean(), 2)}"
    at_sigma = {"probe": "linear_probe", "condition": "gaussian", "level": 0.2}
    drop = course("real-study", "chance_corrected_drop", **at_sigma)
    at = {step: printed(mean, 2) for step, mean in drop.mean().items()}
    yield f"from {at[0]} before training to {at[105]} after epoch 1, then to {at[420]} at the end"
    assert (drop[420] > drop[105]).all()


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("study.md", registered_contrasts),
        ("study.md", measures_of_noise),
        ("study-checks.md", claim_5_of_the_repeated_runs),
        ("study.md", error_of_masking),
        ("study.md", power_at_the_detectable_effect),
        ("study.md", turns_of_the_controls),
        ("study-checks.md", tuning_measured_again),
        ("interpretable.md", first_answers),
        ("study-on-photographs.md", peak_on_photographs),
        ("study-on-photographs.md", numbers_of_the_longer_run("in {unclear} of {all} revisions it is")),
        ("interpretable.md", numbers_of_the_longer_run("in {unclear} of its {all} revisions")),
        (
            "benchmarks/zero-shot.md",
            numbers_of_the_longer_run("reached {own} at", "and {last} with those of"),
        ),
        (
            "benchmarks/saliency.md",
            numbers_of_the_longer_run(
                "untrained | {nss_0} | {sauc_0} |", "20 epochs | {nss_20} | {sauc_20} |"
            ),
        ),
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_a_page_has_the_numbers_of_the_tables(page: str, sentences: Callable[[], Iterator[str]]) -> None:
    text = " ".join(text_of(DOCS / "explanation" / page).split())
    assert [one for one in sentences() if one not in text] == []
