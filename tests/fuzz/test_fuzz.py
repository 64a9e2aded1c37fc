"""A short run of each fuzzer; ``python -m tests.fuzz`` is the long one."""

from __future__ import annotations

import json
import random

import pytest

from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS, REFUSALS, seeds
from tests.fuzz.run import fuzz

pytest.importorskip("atheris", reason="Atheris has wheels for x86-64 only")
RUNS = 5000
NO_JSON = {"customer-list", "customers", "key"}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_reader_refuses_or_accepts(reader: str) -> None:
    found = fuzz(reader, RUNS)
    assert found.finding is None, found.finding
    assert found.inputs >= RUNS
    assert found.corpus > len(seeds(reader))


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_fuzzer_starts_from_what_the_reader_accepts(reader: str) -> None:
    for data in seeds(reader):
        READERS[reader].read(data)


@pytest.mark.parametrize("reader", sorted(set(READERS) - NO_JSON))
def test_changed_documents_come_past_the_parser(reader: str) -> None:
    (seed, *_), told = seeds(reader), set()
    for number in range(300):
        changed = mutate(seed, random.Random(number))
        assert changed is not None
        json.loads(changed)
        try:
            READERS[reader].read(changed)
        except REFUSALS as refusal:
            told.add(str(refusal))
    assert len(told) >= 5
