"""What becomes of the progress that processes tell when one of them is killed."""

from __future__ import annotations

import multiprocessing
import threading

from asrpack.pipeline.events import Event
from asrpack.pipeline.personalize import _relayed


def test_a_process_that_was_killed_amid_a_message_does_not_hold_up_the_end() -> None:
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    queue._wlock.acquire()  # as it leaves it

    def relay() -> None:
        with _relayed(queue, "cpu", lambda event: None):
            pass

    ending = threading.Thread(target=relay, daemon=True)
    ending.start()
    ending.join(60)
    assert not ending.is_alive()


def test_all_that_was_told_is_shown() -> None:
    shown: list[str] = []
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    with _relayed(queue, "cpu", lambda event: shown.append(event.text)) as messages:
        for number in range(20):
            messages.put((f"c{number}", Event("start", "cpu", "seal", "")))
    assert shown == [f"c{number}: seal" for number in range(20)]
