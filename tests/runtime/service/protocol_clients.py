"""Clients of other servers' WebSocket protocols, sending what their own clients send."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import websockets


def pieces(samples: np.ndarray, size: int) -> list[bytes]:
    """16-bit PCM, ``size`` samples each."""
    pcm = samples.astype("<i2").tobytes()
    return [pcm[at : at + 2 * size] for at in range(0, len(pcm), 2 * size)]


async def vosk(url: str, samples: np.ndarray, rate: int = 16000, **config: Any) -> list[Any]:
    """As websocket/test.py of alphacep/vosk-server: an answer is read after each message.

    Returns:
        All answers.
    """
    found = []
    async with websockets.connect(url) as socket:
        given = json.dumps({"sample_rate": rate, **config})
        await socket.send('{ "config" : %s }' % given)  # noqa: UP031 as it writes it
        for data in pieces(samples, int(rate * 0.2)):
            await socket.send(data)
            found.append(json.loads(await socket.recv()))
        await socket.send('{"eof" : 1}')
        found.append(json.loads(await socket.recv()))
    return found
