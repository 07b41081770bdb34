"""How many functions of the package receive the configuration before the work begins?

python scripts/count_receivers.py train
python scripts/count_receivers.py evaluate runs/demo

Counts the distinct functions that get the configuration, or a part of it, as an argument, and those that get an object
that holds it (``self`` too): between the call of `train` and its first step, or between the call of
`evaluate_revisions` and its first cell. The configuration's own methods and generated ones do not count. A house where
a value goes straight to where it is used has few.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[0] = str(CHECKOUT)  # this folder has an evaluate.py of its own

PACKAGE = str(CHECKOUT / "hf_clipdyn")


class EnoughError(Exception):
    """The work has begun."""


def vars_of(value: Any) -> list[Any]:
    """What an object holds, if it is one of the package's."""
    mine = type(value).__module__.startswith("hf_clipdyn")
    return list(getattr(value, "__dict__", {}).values()) if mine else []


def receivers(call: Callable[[], Any], parts: tuple[type, ...], last: str) -> tuple[list[str], list[str]]:
    """Names of the functions that get one of the parts, and of those that get a holder, until ``last`` begins."""
    direct: set[str] = set()
    holding: set[str] = set()

    def is_part(value: Any) -> bool:
        inside = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        )
        return isinstance(value, parts) or any(isinstance(part, parts) for part in inside)

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        if code.co_qualname == last:
            raise EnoughError
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        name = f"{Path(code.co_filename).relative_to(CHECKOUT)}:{code.co_firstlineno} {code.co_qualname}"
        if any(is_part(frame.f_locals.get(given)) for given in names if given not in ("self", "cls")):
            direct.add(name)
        elif any(map(is_part, (part for given in names for part in vars_of(frame.f_locals.get(given))))):
            holding.add(name)

    sys.setprofile(look)
    try:
        call()
    except EnoughError:
        pass
    finally:
        sys.setprofile(None)
    return sorted(direct), sorted(holding)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "evaluate"))
    parser.add_argument("run", nargs="?", help="what to evaluate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "train":
            from hf_clipdyn import TrainingConfig, train

            config = TrainingConfig(
                scale="tiny", dataset_config_name="captions_small", max_train_samples=64, num_train_epochs=1,
                per_device_train_batch_size=32, output_dir=f"{folder}/run", quiet=True,
            )  # fmt: skip
            direct, holding = receivers(
                lambda: train(config), (TrainingConfig,), "accumulated.<locals>.backward"
            )
        else:
            from hf_clipdyn import evaluate_revisions
            from hf_clipdyn.benchmarks.kind import Benchmark, Common, KindSettings

            def call() -> None:
                evaluate_revisions(
                    options.run, show_progress=False
                )  # without the rows that training recorded

            direct, holding = receivers(call, (Common, KindSettings, Benchmark), "CellStore.write")
    print(*direct, f"{len(direct)} functions get it, {len(holding)} more an object that holds it", sep="\n")


if __name__ == "__main__":
    main()
