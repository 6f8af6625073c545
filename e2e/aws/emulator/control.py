"""What a test decides about an account, see endpoint.py for how it does."""

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Settings:
    # How many times slower than usual services settle.
    pace: float = 1.0
    # How the next deployment of a service fails, by the service's name:
    # {"how": "exit" | "health" | "pull", "lines": [what its tasks log]}.
    doomed: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Actions that iam:SimulatePrincipalPolicy says are not allowed; None
    # refuses the simulation itself.
    denied: list[str] | None = None


_all: dict[str, Settings] = {}
_lock = threading.Lock()


def settings(account: str) -> Settings:
    with _lock:
        return _all.setdefault(account, Settings())
