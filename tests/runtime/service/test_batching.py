"""Batch size and wait follow what was measured."""

from __future__ import annotations

from functools import partial

import pytest

from asrpack.runtime.service.batching import BatchPolicy


def measured(*costs: float, most: int = 16, target: float = 1.0) -> BatchPolicy:
    """Costs of a second of audio in batches of 1, 2, 4, …"""
    policy = BatchPolicy(most, target)
    for power, cost in enumerate(costs):
        for _ in range(20):
            policy.done(1 << power, 1 << power, cost * (1 << power))
    return policy


@pytest.mark.parametrize(
    ("costs", "size"),
    [
        ((), 1),
        ((0.01,), 2),
        ((0.01, 0.008), 4),
        ((0.01, 0.012), 1),
        ((0.01, 0.008, 0.009), 2),
        ((0.01, 0.008, 0.006, 0.004, 0.003), 16),
    ],
)
def test_it_grows_while_that_is_cheaper(costs: tuple[float, ...], size: int) -> None:
    assert measured(*costs).size(longest=1.0, age=0.0) == size


def test_it_never_exceeds_the_most() -> None:
    assert measured(0.01, most=1).size(1.0, 0.0) == 1


def test_it_tries_the_next_size_again_in_time() -> None:
    policy = measured(0.01, 0.02)
    sizes = set()
    for _ in range(200):
        sizes.add(size := policy.size(1.0, 0.0))
        policy.done(size, size, 0.01 * size)
    assert {1, 2} <= sizes


def test_it_keeps_within_the_target_and_past_it_goes_for_throughput() -> None:
    policy = measured(0.1, 0.09, 0.08, 0.07, 0.09)
    assert policy.size(longest=1.0, age=0.0) == 8
    assert policy.size(longest=1.0, age=0.6) == 4
    assert policy.size(longest=1.0, age=0.85) == 1
    assert policy.size(longest=1.0, age=5.0) == 8


def test_it_waits_only_where_more_come_soon() -> None:
    policy = measured(0.1, 0.05, 0.03)
    wait = partial(policy.wait, longest=1.0, age=0.0, now=10.99)
    assert wait(1, 4) == 0  # nothing is known of arrivals
    for second in range(5):
        policy.arrived(float(second))
    assert wait(1, 4) == 0  # one a second
    for place in range(100):
        policy.arrived(10 + place / 100)
    assert 0.02 < wait(1, 4) < 0.05
    assert wait(4, 4) == 0
    assert policy.wait(1, 4, longest=1.0, age=0.95, now=10.99) == 0
    assert wait(1, 8) == 0  # what eight cost is not known


def test_it_waits_for_less_time_than_a_larger_batch_saves() -> None:
    for costs, waits in (((0.01, 0.008, 0.008), False), ((0.01, 0.008, 0.002), True)):
        policy = measured(*costs)
        for place in range(100):
            policy.arrived(place / 100)
        assert (policy.wait(1, 4, longest=1.0, age=0.0, now=0.99) > 0) == waits


def test_it_does_not_wait_on_when_nobody_came() -> None:
    """Clients that wait for their texts send nothing, however fast they all came before."""
    policy = measured(0.1, 0.05, 0.03)
    for place in range(100):
        policy.arrived(place / 100)
    first = policy.wait(1, 4, longest=1.0, age=0.0, now=0.99)
    assert policy.wait(1, 4, longest=1.0, age=first, now=1.0 + first) == 0
