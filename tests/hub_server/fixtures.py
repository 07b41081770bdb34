"""`hub`: a test Hub of one's own, to which the real clients in this process talk."""

import sys
import warnings
from collections.abc import Iterator

import pytest
from hub_server.server import WRITE_TOKEN, HubServer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub on the loopback, empty, with a token that may write in the environment.

    Hand `hub.env` to child processes. In this process the clients have read HF_ENDPOINT long ago, at
    their import, so the setting is changed where they keep it.
    """
    import huggingface_hub
    from huggingface_hub import constants, hf_api

    # huggingface_hub hands files to httpx2 in a way that httpx2 has deprecated; the warning is its own.
    warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)  # pytest undoes it after the test
    server = HubServer()
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(hf_api.api, "endpoint", server.url)
    for library in ("datasets", "evaluate"):
        if f"{library}.config" in sys.modules:
            config = sys.modules[f"{library}.config"]
            for setting in [name for name in vars(config) if isinstance(getattr(config, name), str)]:
                value = getattr(config, setting)
                if value.startswith("http://127.0.0.1:9"):
                    monkeypatch.setattr(config, setting, value.replace("http://127.0.0.1:9", server.url, 1))
    huggingface_hub.close_session()
    yield server
    huggingface_hub.close_session()
    server.stop()
