"""What every test gets: caches of its own, no way out to a network, and the real data where they are."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# Read at import by huggingface_hub, datasets and torch, hence set before any of them is loaded.
# Port 9 (discard) of the loopback is closed: whoever tries to reach the Hub is refused at once.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="clipdyn-hf-home-")
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel processes already
for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(name, None)

import pytest  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))  # tests/hub_server, the test Hub

from hub_server.fixtures import hub  # noqa: E402, F401

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("osie")`: the folder of real data of that name; skips the test where it is absent."""
    roots = [Path(os.environ["CLIPDYN_DATA"])] if "CLIPDYN_DATA" in os.environ else []
    roots.append(CHECKOUT.parent / "shared" / "data")

    def find(name: str) -> Path:
        for root in roots:
            if (root / name).exists():
                return root / name
        pytest.skip(f"no real data {name!r}: set CLIPDYN_DATA to the folder that holds it")

    return find
