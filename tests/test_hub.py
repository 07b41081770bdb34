"""Which errors are tried again, and when."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.server import HubServer
from huggingface_hub import HfApi, get_session, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http
from huggingface_hub.utils._http import default_client_factory

from hf_clipdyn import hub as hub_module
from hf_clipdyn.errors import RevisionError
from hf_clipdyn.hub import answered, is_transient, pause_after, persistently, push_folder
from hf_clipdyn.revisions import list_revisions


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FIRST_PAUSE", 0.01)


def _raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


def _error(hub: HubServer, fault: Fault) -> Exception:
    hub.plant("whoami", fault)
    return _raised(HfApi().whoami)


def _own_time_out() -> None:
    raise TimeoutError("its own")


@pytest.mark.parametrize(
    ("statuses", "transient"),
    [
        ((408, 412, 425, 429, 500, 502, 503, 504), True),
        ((400, 401, 402, 403, 404, 409, 413, 422), False),
    ],
)
def test_of_the_answers_of_the_hub_only_what_may_pass_is_tried_again(
    hub: HubServer, statuses: tuple[int, ...], transient: bool
) -> None:
    found = {status: is_transient(_error(hub, Fault(status=status))) for status in statuses}
    assert found == dict.fromkeys(statuses, transient)


def test_a_lost_connection_a_time_out_and_a_wrapped_error_are_transient(hub: HubServer) -> None:
    assert is_transient(_error(hub, Fault(cut=True)))
    hub.plant("whoami", Fault(hang=0.5))
    late = _raised(lambda: answered(HfApi().whoami, 0.2))
    assert isinstance(late, TimeoutError)
    assert is_transient(late)
    with pytest.raises(TimeoutError, match="its own"):
        answered(_own_time_out, 5)
    wrapped = RuntimeError("while uploading")
    wrapped.__cause__ = _error(hub, Fault(status=503))
    assert is_transient(wrapped)
    hub.stop()
    assert is_transient(_raised(HfApi().whoami))
    assert not is_transient(ValueError("a mistake of ours"))


def test_waits_double_up_to_the_longest_unless_the_server_says_how_long(hub: HubServer) -> None:
    waits = [pause_after(ValueError(), failures) for failures in (0, 1, 2, 10, 10_000)]
    for wait, longest in zip(waits, (1, 2, 4, 60, 60), strict=True):
        assert 0.75 * longest <= wait <= longest
    assert pause_after(_error(hub, Fault(status=429, headers={"Retry-After": "7"})), 3) == 7
    assert pause_after(_error(hub, Fault(status=503, headers={"Retry-After": "soon"})), 0) <= 1


@pytest.mark.usefixtures("quickly")
def test_a_call_is_given_up_at_once_or_when_the_patience_ends(hub: HubServer) -> None:
    hub.plant("whoami", Fault(status=403), times=99)
    with pytest.raises(HfHubHTTPError):
        persistently(HfApi().whoami)
    assert hub.count("whoami") == 1
    hub.faults.clear()
    hub.plant("whoami", Fault(status=503), times=10_000)
    started = time.monotonic()
    with pytest.raises(HfHubHTTPError):
        persistently(HfApi().whoami, 0.3)
    assert 0.1 < time.monotonic() - started < 5
    assert 1 < hub.count("whoami") < 10_000
    hub.faults.clear()
    hub.plant("whoami", Fault(hang=2), times=99)
    with pytest.raises(TimeoutError, match="no answer within"):
        persistently(HfApi().whoami, 0.3)


def test_the_client_of_the_process_is_left_alone(hub: HubServer) -> None:
    """Its settings are the user's: proxies, headers, certificates, and whether it waits for ever."""

    def mine():
        client = default_client_factory()
        client.headers["X-Proxy-Ticket"] = "mine"
        return client

    set_client_factory(mine)
    try:
        session = get_session()
        HfApi().create_repo("me/run")
        assert list_revisions("me/run")[0].name == "main"
        push_folder(Path(__file__).parent / "hub_server", "me/table", "Add")
        assert get_session() is session
        assert get_session().timeout.read is None
        assert _http._GLOBAL_CLIENT_FACTORY is mine
    finally:
        set_client_factory(default_client_factory)


def test_a_hub_that_cannot_be_reached_is_said_within_ten_seconds(hub: HubServer) -> None:
    hub.stop()
    started = time.monotonic()
    with pytest.raises(RevisionError, match="me/run") as caught:
        list_revisions("me/run")
    assert time.monotonic() - started < 10
    assert is_transient(caught.value)
