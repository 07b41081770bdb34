from pathlib import Path

import pytest
from jobs_room import DONE, KILLED_ONCE, Plugins


@pytest.fixture
def one_is_killed(tmp_path: Path) -> Plugins:
    """Two jobs; the second one kills itself with SIGKILL when it is called first."""
    return Plugins(tmp_path, {"a": DONE, "b": KILLED_ONCE})
