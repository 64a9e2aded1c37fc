"""The WebSockets of other servers' protocols, each at its own path, and all of them at ``/``.

Clients that take a host and a port, not a path, connect to ``/``: the first message tells which
protocol they speak.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service
from asrpack.runtime.service.conversation import Conversation, json_object
from asrpack.runtime.service.errors import RequestError
from asrpack.runtime.service.funasr_api import FunasrConversation
from asrpack.runtime.service.vosk_api import VoskConversation
from asrpack.runtime.service.wenet_api import WenetConversation

_PATHS: dict[str, type[Conversation]] = {
    "/vosk": VoskConversation,
    "/wenet": WenetConversation,
    "/funasr": FunasrConversation,
}
# By a key that the first message of each has; samples alone are Vosk's.
_FIRST: dict[str, type[Conversation]] = {
    "signal": WenetConversation,
    "config": VoskConversation,
    "eof": VoskConversation,
    "is_speaking": FunasrConversation,
}


def stream_routes(service: Service) -> list[BaseRoute]:
    """All of them."""
    kinds: dict[str, type[Conversation]] = {"/": _Undecided, **_PATHS}
    return [WebSocketRoute(path, _endpoint(service, kind)) for path, kind in kinds.items()]


def _endpoint(
    service: Service, kind: type[Conversation]
) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    async def converse(socket: WebSocket) -> None:
        await kind(service, socket).run()

    return converse


class _Undecided(Conversation):
    """One whose first message tells the protocol."""

    ENDING = "the message that ends it"

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._chosen: Conversation | None = None

    async def text(self, message: str) -> bool:
        if self._chosen is None:
            first = json_object(message)
            kinds = [kind for key, kind in _FIRST.items() if key in first]
            if not kinds:
                raise RequestError(
                    "the first message is of no protocol that is spoken here",
                    code="message",
                    remedy=f"begin with one of {', '.join(_FIRST)}, or connect to "
                    f"{' or '.join(_PATHS)}",
                )
            self._chosen = self._choose(kinds[0])
        return await self._chosen.text(message)

    async def audio(self, pcm: bytes) -> bool:
        if self._chosen is None:
            self._chosen = self._choose(VoskConversation)
        return await self._chosen.audio(pcm)

    @property
    def streaming(self) -> bool:
        return self._chosen is not None and self._chosen.streaming

    def failure(self, error: AsrpackError) -> dict[str, Any] | None:
        return None if self._chosen is None else self._chosen.failure(error)

    def _choose(self, kind: type[Conversation]) -> Conversation:
        chosen = kind(self.service, self.socket)
        chosen.stack, chosen.incoming = self.stack, self.incoming
        return chosen
