"""One recording before the load: what is wrong with an address or a key shows here."""

from __future__ import annotations

import ssl

from asrpack.errors import AsrpackError, InputError, KeyFileError, ToolchainError, UsageError
from asrpack.stress.answers import FailedError, RefusedError
from asrpack.stress.protocols import Protocol
from asrpack.stress.recordings import Sound
from asrpack.stress.target import Target

_DENIED = ("status 401", "status 403")
_SOUND = ("status 400", "status 413", "status 415")
_OTHER = ("protocol", "closed", "status 3", "status 4")


async def probe(protocol: Protocol, target: Target, sound: Sound) -> None:
    """Returns where the service answers, be it that it has no room.

    Raises:
        KeyFileError: it wants another key.
        UsageError: it does not speak the protocol there.
        InputError: it does not take the recording.
        ToolchainError: there is no connection, no answer, or the service fails.
    """
    client = protocol.client(target)
    try:
        await client.recognise(sound)
    except RefusedError:
        pass
    except FailedError as error:
        raise _told(error, target, sound) from None
    finally:
        await client.close()


def _told(error: FailedError, target: Target, sound: Sound) -> AsrpackError:
    kind, cause = error.kind, str(error)
    if kind in _DENIED:
        return KeyFileError(
            f"the service wants another API key ({cause})",
            code="api-key",
            place=target.url,
            remedy="give one of its keys with --api-key FILE",
        )
    if kind in _SOUND:
        return InputError(
            f"the service does not take the recording ({cause})",
            code="stress-audio",
            place=sound.name,
            remedy="give recordings that it takes",
        )
    if kind.startswith(_OTHER):
        return UsageError(
            f"not an answer of this protocol ({cause})",
            code="stress-protocol",
            place=target.url,
            remedy="give the --protocol that the service speaks there, or the whole URL, path too",
        )
    remedy = "check that the service runs there, its host and port, and http or https"
    if kind == "tls":
        paths = ssl.get_default_verify_paths()
        remedy = (
            "give the authority of its certificate with --ca FILE "
            f"(else it is the system's, {paths.cafile or paths.capath})"
        )
    if kind == "timeout":
        remedy = "see the service's log, or wait longer with --timeout"
    return ToolchainError(
        f"the service does not answer ({cause})",
        code="stress-connection",
        place=target.url,
        remedy=remedy,
    )
