"""What items contribute to the numbers of each kind, against scoring the trials again without some of them."""

import numpy as np
import pandas as pd
import pytest
from made_trials import TRIALS

from hf_clipdyn.benchmarks.registry import kind_named

ONE_WAY = sorted(set(TRIALS) - {"representation/objects92"})  # tests/metrics/test_rsa.py has both of its ways
LEFT_OUT = 6


@pytest.mark.parametrize("benchmark", ONE_WAY)
def test_an_item_contributes_to_a_number_what_leaving_it_out_changes(benchmark: str) -> None:
    kind = kind_named(benchmark.partition("/")[0])
    trials = TRIALS[benchmark](np.random.default_rng(0), 0.45)

    def values(rows: pd.DataFrame) -> dict[object, float]:
        return {one.number_key: one.value for one, _ in kind.score(rows)}

    whole = values(trials)
    (way,) = {"exemplar", "item"} & set(trials) - ({"item"} if "exemplar" in trials else set())
    item_of = trials.drop_duplicates("item").set_index("item", drop=False)[way]
    names = trials[way].unique()
    some = names[:: max(1, len(names) // LEFT_OUT)]
    without = pd.DataFrame([values(trials[trials[way] != name]) for name in some])
    compared = set()
    for one in (number for number, _ in kind.score(trials) if number.role == "value"):
        # Groups are left out by the metric itself; what an image does as a mate shows in the trials, not in the score.
        known = one.influence
        if known is None or known.index.name not in ("item", way) or "preference" in one.metric:
            continue
        of_names = known if known.index.name == way else known.groupby(item_of).sum()
        assert of_names.sum() == pytest.approx(0, abs=1e-9), one.number_key
        expected = (whole[one.number_key] - without[one.number_key]) * (len(names) - 1) / len(names)
        found = of_names.reindex(some, fill_value=0.0).to_numpy()
        error = np.sqrt(np.square(found - expected).mean())
        assert error <= 0.2 * of_names.std() + 1e-9, one.number_key
        compared.add(one.metric)
    assert compared
