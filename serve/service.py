"""What the parts of the API share: the engine, the files, the rules."""

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from videollm.serve.engine import Engine
from videollm.serve.live_sessions import LiveSessions
from videollm.serve.media_sources import MediaSources
from videollm.serve.media_store import MediaStore

__all__ = ["Keys", "Service"]


class Keys:
    """Know who may use the API.

    Args:
        keys: Secrets, each of somebody; none lets everybody in.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = tuple(key.encode() for key in keys)

    @property
    def is_open(self) -> bool:
        """Return whether no key is needed."""
        return not self._keys

    def owner(self, header: str | None) -> str | None:
        """Return who a request is from, as a name that tells no key; None where its key is wrong.

        Args:
            header: Its Authorization header.
        """
        if self.is_open:
            return ""
        kind, _, given = (header or "").partition(" ")
        if kind.lower() != "bearer":
            return None
        found = [key for key in self._keys if hmac.compare_digest(key, given.strip().encode())]
        return sha256(found[0]).hexdigest()[:16] if found else None


@dataclass(frozen=True, kw_only=True)
class Service:
    """Hold what the API needs.

    Args:
        engine: Answers.
        store: Keeps files.
        sources: Finds the file of an address.
        live: The live sessions.
        keys: Who may use it.
        started: When it began, in seconds since 1970.
    """

    engine: Engine
    store: MediaStore
    sources: MediaSources
    live: LiveSessions
    keys: Keys = field(default_factory=Keys)
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def model_id(self) -> str:
        """Return the model's name without the folder that it lies in."""
        return Path(self.engine.model_name).name
