"""What can go wrong with a request, on demand."""

import threading
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    Attributes:
        status: answered instead of the true answer; None leaves it.
        headers: sent with that status (`Retry-After`).
        message: the error text of that answer.
        applied: the request takes effect first, and only then is the status answered.
        hang: seconds without an answer; then the connection is closed.
        delay: seconds before the request is handled.
        cut: the answer, or the upload, breaks off half way.
        spoil: the request takes effect, but this file of the commit gets another content.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "planted fault"
    applied: bool = False
    hang: float = 0.0
    delay: float = 0.0
    cut: bool = False
    spoil: str = ""


class Faults:
    """Faults that were planted for the n-th request of a kind, counted from the planting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[tuple[str, range, Fault, count[int]]] = []

    def plant(self, kind: str, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Let ``times`` requests of a kind fail, beginning with the ``nth``; `*` is every kind."""
        with self._lock:
            self._planted.append((kind, range(nth, nth + times), fault, count(1)))

    def clear(self) -> None:
        with self._lock:
            self._planted.clear()

    def for_request(self, kind: str) -> Fault:
        """The fault of this request, if one is planted, else one that does nothing; counts it."""
        with self._lock:
            for planted, numbers, fault, counter in self._planted:
                if planted in (kind, "*") and next(counter) in numbers:
                    return fault
        return Fault()
