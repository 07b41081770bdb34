"""Numbers that pages quote, computed again from the committed tables."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pandas as pd
import pytest
import yaml
from scipy import stats
from test_pages import CHECKOUT, DOCS, text_of

from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.statistics.claims import Window, read_claims
from hf_clipdyn.statistics.contrasts import Estimate, RunValue, combine
from hf_clipdyn.statistics.judge import Judge

SECOND = CHECKOUT / "model_cards" / "second-study"
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
        RunValue(run=f"{scale}{seed}", scale=scale, seed=seed, value=value)
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
    table = load(CHECKOUT / "model_cards" / "study" / "repeated.parquet")
    claims = read_claims(CHECKOUT / "tests" / "statistics" / "claims" / "first-worlds.yaml")
    registered, drop = claims.claims[6].parts[0], claims.endpoints["drop"]
    assert registered.title == "drop falls (early - late)"
    alone = [{**claims.windows, "early": Window(shares=(at, at))} for at in (0.1, 0.2)]
    for metric in ("chance_corrected_drop", "drop_when_right", "threshold"):
        for probe, name in (("projection", "zero-shot"), ("linear_probe", "linear probe")):
            levels = () if metric == "threshold" else drop.levels
            endpoint = drop.model_copy(update={"metric": metric, "probe": probe, "levels": levels})
            sign = -1 if metric == "threshold" else 1
            weights = {window: sign * weight for window, weight in registered.weights.items()}
            part, tries = registered.but(weights=weights), []
            for windows in (claims.windows, *alone):
                changes = {"endpoints": {**claims.endpoints, "drop": endpoint}, "windows": windows}
                tries.append(Judge(table, claims.model_copy(update=changes)).contrast(part, ""))
            runs = [
                next(run for run in of_run if not math.isnan(run.value))
                for of_run in zip(*tries, strict=True)
            ]
            of_seeds = [replace(run, influence=Influence.unknown("seeds only")) for run in runs]
            for_claim = sum(run.value > 0 for run in runs)
            for_name = 15 - for_claim if name == "zero-shot" else for_claim
            seeds, items = (combine(chosen, 0.99, one_t=True) for chosen in (of_seeds, runs))
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


def power_at_the_detectable_effect() -> Iterator[str]:
    power = {}
    for degrees in (2, 4, 12):
        effect = stats.t.ppf([0.995, 0.8], degrees).sum()
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
    at_sigma = {"probe": "linear_probe", "condition": "gaussian", "level": 0.2}
    drop = course("real-study", "chance_corrected_drop", **at_sigma)
    at = {step: printed(mean, 2) for step, mean in drop.mean().items()}
    yield f"from {at[0]} before training to {at[105]} after epoch 1, then to {at[420]} at the end"
    assert (drop[420] > drop[105]).all()


@cache
def demo() -> pd.DataFrame:
    """The values of the demo's revisions, asked with their own texts."""
    rows = pd.read_parquet(CHECKOUT / "model_cards" / "demo" / "results.parquet")
    own: pd.DataFrame = rows[(rows["role"] == "value") & rows["texts"].isin(["", "own"])]
    return own


def of_demo(kind: str, metric: str, **wanted: object) -> pd.Series:
    """A number of the demo by epoch."""
    rows = demo()
    for column, value in {"kind": kind, "metric": metric, **wanted}.items():
        held = rows[column].isna() if value is None else rows[column] == value
        rows = rows[held]
    of_epochs: pd.Series = rows.dropna(subset="value").set_index("epoch")["value"].sort_index()
    assert of_epochs.index.is_unique, (kind, metric, wanted)
    return of_epochs


def two(number: float) -> str:
    return printed(number, 2)


def cue_learning_of_the_demo() -> Iterator[str]:
    name = "cue_learning-shape_bias"
    shape, texture, other = (
        of_demo(name, f"{cue}_share", reference="") for cue in ("shape", "texture", "other")
    )
    yield f"Before training {100 * other[0]:.0f} % of the answers are for another class"
    assert texture.idxmax() == 2
    yield f"rise to {two(texture[2])} by epoch 2 and fall to {two(texture[10])}"
    yield f"are at {two(shape[1])} after one epoch and at {two(shape[10])} in the end"
    decoded = of_demo("decodability", "texture", probe="projection")
    assert decoded.idxmax() == 4
    yield f"{two(decoded[2])} at epoch 2, {two(decoded[4])} at epoch 4, {two(decoded[10])} at the end"
    layers, answers = (
        two(of_demo(name, "shape_half_rise", probe=probe, reference="")[10])
        for probe in ("linear_probe", "projection")
    )
    yield f"at {layers} octaves in the representation and at {answers} in the answers"
    yield f"a lead of {two(of_demo(name, 'shape_lead', reference='')[10])}"


def error_consistency_of_the_demo() -> Iterator[str]:
    kappa = {
        (kind, reference): of_demo(
            f"error_consistency-{kind}", "kappa", probe="projection", reference=reference
        )
        for kind in ("zero_shot", "shape_bias")
        for reference in ("previous", "last")
    }
    objects, last = kappa["zero_shot", "previous"], kappa["zero_shot", "last"]
    yield f"kappa on objects falls to {two(objects[2])} at epoch 2 and rises to {two(objects[10])}"
    yield f"it rises from {two(last[0])} before training to {two(last[9])} one epoch before the end"
    conflicts = kappa["shape_bias", "previous"]
    yield f"kappa with the previous revision is {two(conflicts[2])} at epoch 2 and {two(conflicts[10])} at"
    right = of_demo("zero_shot", "top1", probe="projection")[10]
    yield f"Of 1,000 objects, the last revision has {1000 * (1 - right):.0f} wrong"


def learning_order_of_the_demo() -> Iterator[str]:
    rows = pd.read_parquet(CHECKOUT / "model_cards" / "demo" / "results.parquet")
    rows = rows[(rows["kind"] == "learning_order-zero_shot") & (rows["epoch"] == 10)]
    at = rows.set_index(["metric", "role"])["value"]
    assert at["median_first_learned", "value"] == 3
    assert at["never_learned", "value"] == pytest.approx(0.002)
    events = [two(at["forgetting_events", role]) for role in ("value", "chance")]
    yield "There are {} forgetting events per image; a random learner would have {}".format(*events)
    kept = [f"{100 * at['unforgettable', role]:.0f} %" for role in ("value", "chance")]
    yield "{} are learned and never forgotten, against {}".format(*kept)


def representation_of_the_demo() -> Iterator[str]:
    name = "representation-geometry"
    layers = (*range(5), None)
    before = [of_demo(name, "cka_debiased", reference="last", layer=layer)[0] for layer in layers]
    yield (
        f"is {two(before[0])} for the patches (layer 0), {two(before[4])} for layer 4 and {two(before[5])} for"
    )


def weights_of_the_demo() -> Iterator[str]:
    steps = of_demo("weights", "step", subset="")
    yield f"The steps shrink from {printed(steps[1], 1)} to {printed(steps[10], 1)}"
    whole, image, text = (
        two(of_demo("weights", "straightness", subset=part)[10]) for part in ("", "image", "text")
    )
    yield f"The distance is {whole} of the path (image encoder {image}, text encoder {text})"


def decodability_of_the_demo() -> Iterator[str]:
    texture, shape = (of_demo("decodability", cue, probe="projection") for cue in ("texture", "shape"))
    ends = f"{two(texture[10])} at the end, shape with {two(shape[0])} and {two(shape[10])}"
    yield f"with an accuracy of {two(texture[0])} before training and {ends}"
    yield f"{two(texture[1])} after one epoch, against {two(shape[1])} for shape"
    yield f"from {two(texture[4])} at epoch 4"


def geometry_of_the_demo() -> Iterator[str]:
    gap = of_demo("geometry", "gap")
    yield f"from {two(gap[0])} before training to {two(gap[4])} after four epochs"
    assert (gap[4:] - gap[4]).abs().max() < 0.03
    ratio = of_demo("geometry", "participation_ratio_debiased_image")
    yield f"from {printed(ratio[0], 1)} to {printed(ratio[10], 1)}"


def ease_of_both_cues() -> Iterator[str]:
    rows = pd.read_csv(CHECKOUT / "model_cards" / "second-study" / "worlds-tuning.csv")

    def steps(arm: str) -> list[int | None]:
        """Of each tuning seed, the first revision with an accuracy of .5 that the next one keeps."""
        reached: list[int | None] = []
        for _, run in rows[rows["arm"] == arm].groupby("seed"):
            accuracy = run.sort_values("step").set_index("step")["accuracy"]
            is_kept = (accuracy >= 0.5) & (accuracy.shift(-1) >= 0.5)
            reached.append(int(accuracy.index[is_kept][0]) if is_kept.any() else None)
        return reached

    easy, beside_easy, hard, beside_hard = (
        steps(f"{cue}-alone-{contrast}") for contrast in (70, 25) for cue in ("texture", "shape")
    )
    yield f"the easy texture alone needed {easy[0]} and {easy[1]} steps"
    yield f"and shape alone, shown with the easy texture, {beside_easy[0]:,} and {beside_easy[1]:,}"
    assert hard == [None, None]
    yield f"shape alone, shown with the hard texture, needed {beside_hard[0]} and {beside_hard[1]}"
    assert all(fast <= 2 / 3 * slow for fast, slow in zip(easy, beside_easy, strict=True) if fast and slow)
    assert all(one and 1.5 * one <= 2000 for one in beside_hard)


def gates_of_the_tuning_seeds() -> Iterator[str]:
    early, late = ["epoch-001", "epoch-002"], ["epoch-007", "epoch-008"]
    columns: list[dict[str, str]] = []
    for seed in (0, 1):
        folder = CHECKOUT / "model_cards" / "second-study" / "photographs-tuning" / f"photo-m-seed{seed}"
        rows = pd.read_parquet(folder / "results.parquet")
        rows = rows[(rows["texts"] == "own") & (rows["variant"].fillna("") == "")]

        def number(kind: str, metric: str, rows: pd.DataFrame = rows, **wanted: object) -> pd.DataFrame:
            chosen = (rows["kind"] == kind) & (rows["metric"] == metric) & (rows["role"] == "value")
            for column, value in wanted.items():
                chosen &= rows[column] == value
            return rows[chosen].set_index("revision")

        top1 = number("zero_shot", "top1", dataset="tiny_photographs")["value"]
        clean = number("noise", "accuracy", dataset="cifar10", probe="projection", condition="none")["value"]
        bits = number("simplicity", "information")["value"]
        conflicts = {"dataset": "cue_conflict_64", "condition": "none"}
        bias = number("shape_bias", "shape_bias", **conflicts)["interpretable"]
        shape = number("shape_bias", "shape_accuracy", **conflicts)
        shape = shape[shape["interpretable"].notna()]
        drop = number("noise", "chance_corrected_drop", dataset="cifar10", condition="gaussian")
        at = drop.loc["epoch-008"].set_index(["probe", "level"])["value"]
        assert bias[[*early, *late]].all()
        assert shape.loc[late, "interpretable"].all()
        columns.append(
            {
                "200 classes by prompts, at the end": printed(top1["epoch-008"]),
                "CIFAR-10 by prompts, early; late": "; ".join(
                    two(clean[window].mean()) for window in (early, late)
                ),
                "shape bias interpretable, early and late": "yes",
                "shape answers above their shuffled 97.5 %, late": "yes",
                "information on animal or not, early": f"{two(bits[early].mean())} bit",
            }
            | {
                f"loss at sigma {sigma}, prompts; probe": "; ".join(
                    two(at[probe, sigma]) for probe in ("projection", "linear_probe")
                )
                for sigma in (0.05, 0.1, 0.15, 0.2)
            }
        )
    for name in columns[0]:
        yield f"| {name} | {columns[0][name]} | {columns[1][name]} |"


def judged(part: str, claim: int, words: str) -> str:
    """A verdict of the second study and its contrasts, as a row of the page ends; {1} is the first contrast."""
    rows = pd.read_parquet(SECOND / f"{part}-verdicts.parquet")
    rows = rows[rows["claim"] == claim]
    contrasts = [
        f"{printed(row.value)} [{printed(row.ci_low)}, {printed(row.ci_high)}]" for row in rows.itertuples()
    ]
    return f"| {rows['verdict'].iloc[0]} | {words.format(None, *contrasts)} |"


def verdicts_of_the_second_study() -> Iterator[str]:
    photographs, worlds = partial(judged, "photographs"), partial(judged, "worlds")
    yield photographs(1, "0.5 - early: {1}; late - early: {2}")
    yield photographs(1, "0.5 - early: {3}; late - early: {4}")
    yield photographs(5, "early - late, prompts: {1}; probe: {2}")
    yield photographs(8, "humans - late: {1}")
    yield photographs(21, "{1}")
    yield photographs(22, "prompts: {1}; probe: {2}")
    yield photographs(23, "CKA: {1}; angular distance: {2}")
    yield photographs(24, "pixels: {1}; colours: {2}")
    yield worlds(5, "early - late, prompts: {1}; probe: {2}")
    yield worlds(6, "main - noise, prompts: {1}; probe: {3}")
    yield worlds(12, "hard - easy at equal accuracy, preference: {1}; bias: {2}")
    yield worlds(13, "80 - 100 %, preference: {1}; bias: {2}")
    yield worlds(25, "answers for texture, half - late: {1}; its decodability, late - half: {2}")
    yield worlds(26, "{1} octaves")
    first = pd.read_parquet(CHECKOUT / "model_cards" / "real-study" / "verdicts.parquet")
    assert set(first.loc[first["gate"].eq(True), "claim"]) == {2}
    yield "on 2,700 photographs only one claim passed its gate"
    rows = pd.read_parquet(SECOND / "photographs-verdicts.parquet").set_index(["claim", "part"])
    turn = rows.loc[(1, 6)]  # text-free preference - bias by prompts
    low, high = printed(-turn["ci_high"]), printed(-turn["ci_low"])
    yield f"the shift to shape is larger by prompts, by {printed(-turn['value'])} [{low}, {high}]"
    early = rows.loc[(1, 5)]
    yield f"{printed(early['value'])} [{printed(early['ci_low'])}, {printed(early['ci_high'])}], the shift to shape"
    lead = pd.read_parquet(SECOND / "worlds-verdicts.parquet").query("claim == 26")["value"].iloc[0]
    yield f"by {100 * (2**lead - 1):.0f} % of the samples"


def sensitivities_of_the_second_study() -> Iterator[str]:
    """The reference lists those whose word is not the word of their contrast."""
    listed = (DOCS / "reference" / "verdicts.md").read_text(encoding="utf-8").partition("## Sensitivities")[2]
    others = len(re.findall(r"\*[^*]+\*: ", listed.partition("\n## ")[0]))
    tables = [pd.read_parquet(SECOND / f"{part}-verdicts.parquet") for part in ("photographs", "worlds")]
    registered = sum((rows["role"] == "sensitivity").sum() for rows in tables)
    yield f"Of {registered} registered sensitivities these {others} have another word"
    rows = tables[0].query("claim == 5")
    assert len(rows[rows["role"] == "sensitivity"]) == 8
    assert set(rows.loc[rows["role"] != "difference", "part_verdict"]) == {"contradicted"}


@cache
def second_study(part: str) -> dict[str, pd.DataFrame]:
    """Each registered endpoint: a row for each run, by arm, and a column for each revision."""
    table = load(sorted((SECOND / part).rglob("results.parquet")))
    study = {"photographs": "photographs", "worlds": "world"}[part]
    endpoints = yaml.safe_load((SECOND / "claims-2.yaml").read_text())["studies"][study]["endpoints"]
    return {name: courses_of(table, endpoint) for name, endpoint in endpoints.items()}


def courses_of(table: Table, endpoint: dict[str, Any]) -> pd.DataFrame:
    """The mean over the levels of an endpoint; NaN where it is not interpretable."""
    columns = {"role": "value", "variant": "", "probe": "projection", "subset": "", "condition": "none"}
    columns |= {"texts": "own", "reference": "", **endpoint}
    levels = columns.pop("levels", [math.nan])
    rows = table.where(**columns).rows
    rows = rows[rows["level"].isin(levels)].astype({"arm": str, "run": str, "revision": str})
    values = rows["value"].where(rows["usable"])
    found = values.groupby([rows["arm"], rows["run"], rows["revision"]]).agg(lambda of: of.mean(skipna=False))
    in_order = rows.sort_values("order", kind="stable")["revision"].unique()
    courses: pd.DataFrame = found.unstack("revision")[in_order]
    return courses


def both(name: str, arm: str = "") -> tuple[pd.Series, pd.Series]:
    """An endpoint on photographs, early and late, of each run of an arm."""
    runs = second_study("photographs")[name].loc[arm]
    return runs[["epoch-001", "epoch-002"]].mean(axis=1), runs[["epoch-006", "epoch-007"]].mean(axis=1)


def means(name: str, arm: str = "") -> list[str]:
    """The same, averaged over the runs."""
    return [two(one.mean()) for one in both(name, arm)]


def photographs_of_the_second_study() -> Iterator[str]:
    of = second_study("photographs")
    drop, probe = both("drop"), both("drop_probe")
    assert (drop[0] < drop[1]).all()
    assert (probe[0] < probe[1]).all()
    for readout in ("preference", "bias"):
        lean, end = both(readout)
        assert (lean < 0.5).all()
        assert (lean < end).all()
    assert (of["preference"].loc[""] < 0.5).all(axis=None)
    assert (of["preference_grey"].loc["", ["epoch-001", "epoch-002", "epoch-006", "epoch-007"]] > 0.5).all(
        axis=None
    )
    for name in ("settling", "settling_angular", "order"):
        assert (of[name].loc[""] > 0).all(axis=None)
    for name in ("explained_pixels", "explained_colours"):
        first, last = both(name)
        assert (first > last).all()
    bias = of["bias"].loc[""].mean()
    assert (bias["epoch-001":"epoch-002"] < 0.5).all()
    assert (bias["epoch-003":] > 0.5).all()
    assert of["preference"].loc[""].mean().idxmin() == "epoch-001"
    yield f"The shape bias ends at {means('bias')[1]}"
    yield "the text-free preference is {} early and {} late".format(*means("preference_grey"))
    assert of["drop_probe"].loc[""].mean().idxmin() == "step-00000256"
    yield "Its shape bias rises from {} to {}".format(*means("bias", "classes"))
    yield "noise takes {} early and {} late by prompts. By the probe".format(*means("drop", "classes"))
    ends = both("drop_probe", "classes")[1], probe[1].iloc[:3]
    yield "more robust than CLIP: {} against {}".format(*(two(one.mean()) for one in ends))
    clean = of["clean"].loc["", "epoch-007"]
    yield f"{two(clean.min())} to {two(clean.max())} of CIFAR-10"


@cache
def noise_of_the_second_study(part: str, metric: str) -> pd.DataFrame:
    """A row for each probe, run of the main arm, revision and level of Gaussian noise; of all images and own texts."""
    wanted = [("kind", "==", "noise"), ("metric", "==", metric), ("role", "==", "value"), ("arm", "==", "")]
    wanted += [("dataset", "in", ["cifar10", "crossed_world"])]
    columns = ["repo_id", "revision", "probe", "texts", "variant", "subset", "level", "value"]
    files = sorted((SECOND / part).rglob("results.parquet"))
    rows = pd.concat(pd.read_parquet(file, columns=columns, filters=wanted) for file in files)
    return rows[rows["texts"].isin(["", "own"]) & (rows["variant"] == "") & (rows["subset"] == "")]


def accuracy_in_the_second_study(part: str, *, noisy: bool = True) -> pd.DataFrame:
    """The mean over the levels, or without noise: a row for each probe and run, and a column for each revision."""
    rows = noise_of_the_second_study(part, "accuracy")
    rows = rows[rows["level"] > 0 if noisy else rows["level"] == 0]
    return rows.groupby(["probe", "repo_id", "revision"])["value"].mean().unstack()


def courses_of_the_second_study() -> Iterator[str]:
    """Untrained, two steps before *early*, and both windows: each readout of preference and of noise."""
    of = second_study("photographs")
    clean, noisy = (accuracy_in_the_second_study("photographs", noisy=one) for one in (False, True))
    tables = {
        "text-free shape preference": of["preference"].loc[""],
        "shape bias by prompts": of["bias"].loc[""],
        "accuracy by prompts": clean.loc["projection"],
        "the same under noise, by prompts": noisy.loc["projection"],
        "relative loss to noise, by prompts": of["drop"].loc[""],
        "accuracy by the probe": clean.loc["linear_probe"],
        "the same under noise, by the probe": noisy.loc["linear_probe"],
        "relative loss to noise, by the probe": of["drop_probe"].loc[""],
    }
    for name, table in tables.items():
        assert len(table) == 5
        alone = [["epoch-000"], ["step-00000064"], ["step-00000256"]]
        windows = [*alone, ["epoch-001", "epoch-002"], ["epoch-006", "epoch-007"]]
        cells = [
            two(table[window].mean(axis=None)) if table[window].notna().all(axis=None) else "–"
            for window in windows
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def what_the_choice_of_early_does() -> Iterator[str]:
    of = second_study("photographs")
    loss, prompts = of["drop_probe"].loc[""], of["drop"].loc[""]
    late = loss[["epoch-006", "epoch-007"]].mean(axis=1)
    yield f"models to *late* it falls in {(loss['epoch-000'] > late).sum()} of 5 seeds"
    grows = [(loss[step] < late).sum() for step in ("step-00000064", "step-00000256")]
    yield "from step 64 it grows in {}, from step 256 in {}.".format(*grows)
    assert prompts["epoch-000"].isna().sum() == 4
    preference = of["preference"].loc[""]
    first, last = preference["epoch-000"], preference[["epoch-006", "epoch-007"]].mean(axis=1)
    windows = "{} and recovers to {}".format(*means("preference"))
    yield f"from {two(first.mean())} before training to {windows}"
    yield f"further from shape than untrained in {(last < first).sum()} of 5 seeds"
    noisy = accuracy_in_the_second_study("worlds")
    early, end = ["epoch-001", "step-00000300", "epoch-002"], ["epoch-009", "epoch-010"]
    pairs = [
        f"{two(noisy.loc[probe, early].mean(axis=None))} to {two(noisy.loc[probe, end].mean(axis=None))}"
        for probe in ("projection", "linear_probe")
    ]
    yield "rises by both: {}, and {}.".format(*pairs)


def thresholds_of_the_second_study() -> Iterator[str]:
    photographs, worlds = (
        noise_of_the_second_study(part, "threshold")
        .set_index(["probe", "repo_id", "revision"])["value"]
        .unstack()
        for part in ("photographs", "worlds")
    )
    early, late = ["epoch-001", "epoch-002"], ["epoch-006", "epoch-007"]
    prompts = photographs.loc["projection"]
    count, mean = prompts[late].notna().sum(), prompts[late].mean().map(printed)
    yield (
        f"{count['epoch-006']} of {len(prompts)} seeds have one at epoch 6 and {count['epoch-007']} at epoch 7 "
        f"(means {mean['epoch-006']} and {mean['epoch-007']}), none early"
    )
    assert prompts[early].isna().all(axis=None)
    assert photographs.loc["linear_probe", early + late].isna().all(axis=None)
    early, late = ["epoch-001", "step-00000300", "epoch-002"], ["epoch-009", "epoch-010"]
    some = worlds.loc["projection", early].notna().sum()
    most = two(worlds.loc["projection", late].mean().mean())
    yield f"{most} late by prompts, early in {some.min()} to {some.max()} of 16"
    probe = [two(worlds.loc["linear_probe", window].mean().mean()) for window in (early, late)]
    yield "{} early and {} late by the probe".format(*probe)


def bias_of_oriented_gradients() -> Iterator[str]:
    share = pd.read_csv(SECOND / "reference.csv").set_index(["features", "asked"])["share"]["gradients"]
    yield f"{two(share['shape'] / (share['shape'] + share['texture']))}."


def two_sets_of_texts_in_the_study() -> Iterator[str]:
    path = CHECKOUT / "model_cards" / "study" / "results.parquet"
    wanted = [("metric", "==", "top1"), ("role", "==", "value"), ("scale", "==", "tiny"), ("arm", "==", "")]
    rows = pd.read_parquet(path, columns=["step", "seed", "texts", "value"], filters=wanted)
    mean = rows.groupby(["step", "texts"])["value"].mean().unstack()
    own, last = mean.loc[200]
    yield f"is {two(own)} with their own texts and {two(last)} with the last ones" if own > last else ""
    assert (mean.loc[1000:, "own"] - mean.loc[1000:, "last"]).abs().max() <= 0.03


def arms_of_the_study() -> Iterator[str]:
    """Each arm minus the main arm of its seed, late. Without trials, intervals lack the error over the images."""
    table = load(CHECKOUT / "model_cards" / "study" / "results.parquet")
    claims = read_claims(CHECKOUT / "tests" / "statistics" / "claims" / "first-worlds.yaml")
    page = text_of(CHECKOUT / "model_cards" / "study" / "arms.md")
    for effect in Judge(table, claims).arm_effects():
        metrics = "shape_bias", "log_rmse", "chance_corrected_drop"
        if effect.window == "late" and effect.endpoint.probe == "projection":
            at = 3 + metrics.index(effect.endpoint.metric)
            (row,) = (line for line in page.splitlines() if line.startswith(f"| `{effect.arm}` |"))
            assert row.split("|")[at].split()[0] == two(effect.effect.value), row
            yield row


def answers_of_the_second_study() -> Iterator[str]:
    rows = pd.concat(map(pd.read_parquet, sorted((SECOND / "photographs").glob("*/results.parquet"))))
    rows = rows[rows["texts"].isin(["", "own"]) & (rows["variant"] == "") & (rows["subset"] == "")]
    own = rows[(rows["kind"] == "shape_bias") & (rows["condition"] == "none") & (rows["arm"] == "")]
    own = own[own["metric"] == "shape_accuracy"]

    def mean(epochs: list[int], role: str = "value") -> str:
        of_window = own[own["epoch"].isin(epochs) & (own["role"] == role)]
        of_window = of_window[of_window["probe"].isin(["projection", ""])]
        return printed(float(of_window["value"].mean()))

    yield f"names the shape in {mean([1, 2])} of the 660 conflicts early and in {mean([6, 7])} late"
    yield f"shuffled answers: {mean([6, 7], 'null')}; human observers: {mean([6, 7], 'human')}"
    linear = pd.read_csv(SECOND / "reference.csv").set_index(["features", "asked"])["share"]
    for features in ("pixels", "colours", "gradients"):
        shape, texture = linear[features, "shape"], linear[features, "texture"]
        yield f"{two(shape / (shape + texture))} on {features.replace('gradients', 'oriented gradients')}"
    last = rows[(rows["epoch"] == 7) & (rows["arm"] == "") & rows["probe"].isin(["projection", ""])]
    named = last[(last["kind"] == "zero_shot") & (last["metric"] == "top1") & (last["role"] == "value")]
    named = named[named["dataset"] == "tiny_photographs"]["value"]
    yield f"{two(named.min())} to {two(named.max())} of 200 classes"
    drawn = last[(last["kind"] == "classification") & (last["metric"] == "accuracy")].groupby("role")["value"]
    low, high = (two(one["value"]) for one in (drawn.min(), drawn.max()))
    yield f"{low} to {high} of the edges and silhouettes. Human observers name {two(drawn.mean()['human'])} of these."


def courses_of_the_worlds() -> Iterator[str]:
    of = second_study("worlds")
    early, late = ["epoch-001", "step-00000300", "epoch-002"], ["epoch-009", "epoch-010"]
    main = {name: table.loc[""] for name, table in of.items()}
    change = {
        name: main[name][early].mean(axis=1) - main[name][late].mean(axis=1)
        for name in ("drop", "drop_probe")
    }
    yield f"By prompts the loss grows in {(change['drop'] < 0).sum()} of 16 seeds"
    yield f"by the probe it falls in {(change['drop_probe'] > 0).sum()} of 16."
    yield f"leads its answers** in {(main['lead']['epoch-010'] > 0).sum()} of 16 seeds"
    crossed = []
    for name in ("preference", "bias"):
        mean = main[name].mean()
        assert mean.idxmin() == "epoch-003"  # step 600
        crossed.append(int((mean["epoch-005":"epoch-010"] < 0.5).sum()) + 4)
    yield "lowest at step 600 and crosses 0.5 between epochs {} and {}, by prompts between epochs {} and {}".format(
        *(epoch + after for epoch in crossed for after in (0, 1))
    )


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("world.md", ease_of_both_cues),
        ("world.md", two_sets_of_texts_in_the_study),
        ("../../model_cards/study/arms.md", arms_of_the_study),
        ("../../model_cards/second-study/README.md", bias_of_oriented_gradients),
        ("../../model_cards/second-study/plan.md", gates_of_the_tuning_seeds),
        ("second-study.md", verdicts_of_the_second_study),
        ("second-study.md", photographs_of_the_second_study),
        ("second-study.md", answers_of_the_second_study),
        ("second-study.md", sensitivities_of_the_second_study),
        ("second-study.md", courses_of_the_second_study),
        ("second-study.md", what_the_choice_of_early_does),
        ("second-study.md", thresholds_of_the_second_study),
        ("second-study.md", courses_of_the_worlds),
        ("dynamics/index.md", cue_learning_of_the_demo),
        ("dynamics/index.md", error_consistency_of_the_demo),
        ("dynamics/index.md", learning_order_of_the_demo),
        ("dynamics/index.md", representation_of_the_demo),
        ("dynamics/index.md", weights_of_the_demo),
        ("benchmarks/decodability.md", decodability_of_the_demo),
        ("benchmarks/geometry.md", geometry_of_the_demo),
        ("study.md", registered_contrasts),
        ("study.md", measures_of_noise),
        ("../../model_cards/study/checks.md", claim_5_of_the_repeated_runs),
        ("study.md", error_of_masking),
        ("study.md", power_at_the_detectable_effect),
        ("study.md", turns_of_the_controls),
        ("../../model_cards/study/checks.md", tuning_measured_again),
        ("interpretable.md", first_answers),
        ("study.md", peak_on_photographs),
        ("study.md", numbers_of_the_longer_run("in {unclear} of {all} revisions it is")),
        (
            "benchmarks/zero-shot.md",
            numbers_of_the_longer_run("reached {own} at", "and {last} with the texts of"),
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
