"""``personalize``: from one build a bundle of their own for each of many customers."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import GateError, InputError, ToolchainError, UsageError
from asrpack.pipeline.artifact import clear_all
from asrpack.pipeline.build import check_tools
from asrpack.pipeline.cache import Cache, Entry, default_root
from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.customer import BUNDLE, OWN, CustomerBuilds, Outcome, Plan
from asrpack.pipeline.events import Event, Listener
from asrpack.pipeline.locked import Locked, read_locked
from asrpack.pipeline.node import cache_key
from asrpack.pipeline.plan import SourceDigests, Step, make_plan
from asrpack.pipeline.runner import Runner
from asrpack.pipeline.worker import die_with_parent
from asrpack.recipe.customers import Customer

MAX_NAMED = 3
DISK_RESERVE = 256 << 20
# Of the weights that ship, while a bundle is made: marked, encrypted, sealed.
COPIES_AT_WORK = 3


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        artifact: the folder that `asrpack build` left.
        out: gets a folder for each customer.
        registry: the SQLite file that says who got what.
        escrow: the vendor's private key for bundles under a licence.
        jobs: customers at a time, each in a process.
        overrides: of the recipe, after those of the build.
        force: make bundles that are there anew.
        cache: without it, the user's.
    """

    artifact: Path
    customers: Sequence[Customer]
    out: Path
    registry: Path
    escrow: SecretSource | None = None
    jobs: int = 1
    overrides: tuple[str, ...] = ()
    force: bool = False
    cache: Path | None = None


def plan_customers(request: Request) -> list[Outcome]:
    """What a run would do for each customer: ``make``, or nothing, as it is ``kept``.

    Raises:
        AsrpackError: as :func:`personalize` would before it makes anything.
    """
    plan, steps = prepare(request)
    _check_same(plan.locked, steps)
    builds = CustomerBuilds(plan, lambda event: None)
    outcomes = []
    for customer in request.customers:
        kept = None if request.force else builds.kept(customer)
        make = Outcome(customer.name, "make", plan.out / customer.name, customer.key_id)
        outcomes.append(kept or make)
    return outcomes


def personalize(request: Request, listen: Listener, tell: Callable[[Outcome], None]) -> None:
    """Makes every customer's bundle that is not there; what a killed run finished is there.

    Args:
        tell: called with each customer's outcome as it comes.

    Raises:
        GateError: some did not meet the gate, each kept under its ``rejected/``; the others were
            made.
        AsrpackError: as a stage raised it; the customers finished so far are whole.
    """
    plan, steps = prepare(request)
    _check_same(plan.locked, steps)
    check_tools(steps)
    build = plan.locked.build
    plan.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(build, Cache(plan.cache), plan.digests, plan.out / "logs", listen)
    plan = replace(plan, entries=runner.run(steps))
    _check_outputs(plan.locked, plan.entries)
    _check_disk(plan, request)
    rejected = []
    total = len(request.customers)
    listen(Event("start", build, "customers", f"{total} to look at"))
    outcomes = _all(plan, request, listen)
    for done, outcome in enumerate(outcomes, 1):
        tell(outcome)
        listen(Event("progress", build, "customers", outcome.customer, done, total))
        listen(Event("note", build, "customers", f"  {_line(outcome)}"))
        if outcome.status == "rejected":
            rejected.append(outcome)
    listen(Event("done", build, "customers"))
    if rejected:
        raise _rejection(rejected, total)


def prepare(request: Request) -> tuple[Plan, list[Step]]:
    """The plan, and the stages that all customers share."""
    locked = read_locked(request.artifact, request.overrides)
    loaded = locked.loaded
    if loaded.recipe.protect.watermark is None or "watermark" not in locked.stages:
        raise InputError(
            "the build has no watermark: copies that cannot be told apart are no customers' own",
            code="personalize-unmarked",
            place=str(request.artifact),
            remedy="add `protect.watermark` to the recipe, with any customer, and build again",
        )
    _check_escrow(request)
    checked = check_recipe(loaded)
    cache, digests = request.cache or default_root(), SourceDigests()
    nodes = compose(loaded, checked, locked.build)
    check_tools([Step(node, "run", "for each customer") for node in nodes if node.name in OWN])
    shared = [node for node in nodes if node.name not in OWN]
    before = {name: stage["components"] for name, stage in locked.stages.items()}
    steps = make_plan(shared, Cache(cache), digests, previous=before)
    plan = Plan(
        locked, checked, {}, digests, cache.absolute(), request.out.absolute(),
        request.registry.absolute(), request.escrow, request.force,
    )  # fmt: skip
    return plan, steps


def _check_escrow(request: Request) -> None:
    licensed = [customer for customer in request.customers if customer.licensed]
    if not licensed:
        return
    if request.escrow is None:
        raise UsageError(
            f"{licensed[0].name} gets a licence, and no key is given that its bundle is encrypted "
            "for",
            code="escrow-missing",
            place="--escrow",
            remedy="give the vendor's own private key (asrpack keys generate recipient), the same "
            "for all; renewals need it, too",
        )
    escrow = recipient_private(request.escrow.read(), str(request.escrow)).fingerprint
    for customer in request.customers:
        if customer.key_id == escrow:
            raise InputError(
                "the customer's key is the escrow key, which opens the licensed bundles of all",
                code="escrow-customer",
                place=customer.name,
                remedy="give the customer's own public key",
            )


def _check_same(locked: Locked, steps: Sequence[Step]) -> None:
    """Nothing that would give another model than the artifact's is run."""
    for step in steps:
        before = locked.stages.get(step.node.name)
        known = before and cache_key(before["components"])
        if step.status == "run" and step.key is not None and step.key != known:
            raise _other_model(locked, f"stage {step.node.name}: {step.reason}")


def _check_outputs(locked: Locked, entries: Mapping[str, Entry]) -> None:
    wanted = locked.stages["watermark"]["components"]["inputs"].values()
    found = {digest for entry in entries.values() for digest in entry.outputs.values()}
    if not found.issuperset(wanted):
        raise _other_model(locked, "the stages before the mark now give other weights")


def _other_model(locked: Locked, cause: str) -> InputError:
    return InputError(
        f"the recipe no longer gives the model of this build: {cause}",
        code="artifact-stale",
        place=str(locked.folder),
        remedy="build again, then personalize what that leaves",
    )


def _check_disk(plan: Plan, request: Request) -> None:
    size = sum(
        item.stat().st_size
        for item in plan.entries["quantize"].path("").rglob("*")
        if item.is_file()
    )
    new = sum(not (plan.out / item.name / BUNDLE).is_dir() for item in request.customers)
    copies = new + COPIES_AT_WORK * request.jobs
    needed, free = size * copies + DISK_RESERVE, shutil.disk_usage(plan.out).free
    if free < needed:
        raise ToolchainError(
            f"{free >> 20} MiB are free, the bundles need about {needed >> 20} MiB",
            code="disk-full",
            place=str(plan.out),
            remedy="free space, choose a larger disk with --out, or do fewer customers at a time",
        )


def _all(plan: Plan, request: Request, listen: Listener) -> Iterator[Outcome]:
    """Outcomes as they come, from a pool of processes."""
    context = multiprocessing.get_context("spawn")
    jobs = min(request.jobs, len(request.customers))
    with (
        _relayed(context.SimpleQueue(), plan.locked.build, listen) as messages,
        ProcessPoolExecutor(
            jobs, context, initializer=_begin, initargs=(plan, messages, os.getpid())
        ) as pool,
    ):
        futures: list[Future[Outcome]] = []
        try:
            futures = [pool.submit(_make, customer) for customer in request.customers]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ToolchainError(
                "a process that made a bundle was killed",
                code="worker-died",
                place="personalize",
                remedy="the same command goes on where it stopped; give fewer --jobs where memory "
                "is short",
            ) from None
        except BaseException:
            for future in futures:
                future.cancel()
            for process in multiprocessing.active_children():
                process.terminate()
                process.join()
            clear_all(plan.out)
            raise


@contextmanager
def _relayed(queue: Any, build: str, listen: Listener) -> Iterator[Any]:
    """A queue whose events, of any process, are shown as the progress of all."""

    def relay() -> None:
        while (message := queue.get()) is not None:
            customer, event = message
            listen(Event("progress", build, "customers", f"{customer}: {event.stage}"))

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        # A process that was killed amid a message keeps others from sending, for ever.
        threading.Thread(target=queue.put, args=(None,), daemon=True).start()
        thread.join(timeout=1)


def _line(outcome: Outcome) -> str:
    match outcome.status:
        case "made":
            return f"{outcome.customer}  made in {sum(outcome.seconds.values()):.1f} s"
        case "rejected":
            return f"{outcome.customer}  rejected: {'; '.join(outcome.reasons)}"
        case _:
            return f"{outcome.customer}  kept"


def _rejection(rejected: Sequence[Outcome], total: int) -> GateError:
    told = ", ".join(
        f"{item.customer} ({'; '.join(item.reasons)})" for item in rejected[:MAX_NAMED]
    )
    more = f" and {len(rejected) - MAX_NAMED} more" if len(rejected) > MAX_NAMED else ""
    return GateError(
        f"{len(rejected)} of {total} customers' models do not meet the gate: {told}{more}",
        code="gate",
        place=str(rejected[0].folder / "rejected"),
        remedy="read the report there; choose a smaller `protect.watermark.strength`, or change "
        "the recipe's gate",
    )


# In a worker process.
_builds: CustomerBuilds | None = None
_customer = ""


def _begin(plan: Plan, messages: Any, parent: int) -> None:
    global _builds
    die_with_parent(parent)
    # Interrupted, a worker has nothing to say: the first process clears what it was at.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _builds = CustomerBuilds(plan, lambda event: _send(messages, event))


def _send(messages: Any, event: Event) -> None:
    if event.kind == "start":
        messages.put((_customer, event))


def _make(customer: Customer) -> Outcome:
    global _customer
    _customer = customer.name
    assert _builds is not None
    return _builds.make(customer)
