"""The rows of the table: each is one fault, done once per trial while the workload runs."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.crash import Point
from tests.faults.faults import (
    backups,
    broker,
    clients,
    clocks,
    consumers,
    database,
    disks,
    embedded,
    flood,
    letters,
    migrations,
    overtaking,
    poison,
    receivers,
    retention,
    senders,
    services,
    soak,
    upgrades,
    webhooks,
)
from tests.faults.setup import Setup

_PLAIN = Setup()


@dataclass(frozen=True)
class Row:
    """One fault: what is done, how often in the short and in the long form, and how often between two checks."""

    id: str
    title: str
    fault: Callable[[Any, random.Random], Awaitable[None]]
    """Takes the laboratory that the setup opens."""
    short: int
    long: int
    together: int = 1
    setup: Setup = _PLAIN


QUICK = frozenset(
    ["S1", "R", "F2", "F3b", "F7", "F13", "F17", "F19", "F20", "F30", "F31", "E1", "E3"]
)
"""What CI does: few laboratories, each law of the design at stake, and one build that must be found out."""

_PAIRS = Setup(replicas=2)
_APART = Setup(replicas=2, clocks_apart=True)
_SIDE = Setup(replicas=2, side_door=True)
_CLUSTER = Setup(brokers=3)
_SMALL = Setup(disk_mb=384)
_RELEASES = Setup(replicas=2, previous=True)
_EMBEDDED = Setup(embedded=True)
_EMBEDDED_SMALL = Setup(embedded=True, disk_mb=48)

ROWS: Sequence[Row] = (
    *(
        Row(
            f"S{n}",
            f"a {build} build is found out",
            services.nothing,
            1,
            1,
            setup=Setup(sabotage=build),
        )
        for n, build in enumerate(("lossy", "double-sending", "double-counting"), 1)
    ),
    Row("R", "each service killed at a random moment", services.random_kills, 3, 300, 10),
    *(
        Row(id, title, services.crash_points(points), 1, 100, 10)
        for id, (title, points) in sorted(services.CRASHES.items())
    ),
    Row(
        "F4a",
        "sender killed before its call",
        senders.sender_killed(Point.SENDER_AFTER_CLAIM),
        1,
        50,
        5,
    ),
    Row(
        "F4b",
        "sender killed after its call",
        senders.sender_killed(Point.SENDER_AFTER_SEND),
        1,
        50,
        5,
    ),
    Row(
        "F6", "SIGTERM, one service after the other, under load", services.rolling_restart, 1, 20, 5
    ),
    Row("F7", "broker killed and started again", broker.broker_killed, 1, 20, 5),
    Row("F8", "broker frozen", broker.broker_frozen(8.0), 1, 0),
    Row("F8+", "broker frozen for a minute", broker.broker_frozen(60.0), 0, 5),
    Row("F9", "each of three brokers killed", broker.each_broker_killed, 1, 20, 2, setup=_CLUSTER),
    Row("F10", "the whole cluster killed", broker.all_brokers_killed(10.0), 1, 0, setup=_CLUSTER),
    Row(
        "F10+",
        "the whole cluster gone for ten minutes",
        broker.all_brokers_killed(600.0),
        0,
        2,
        setup=_CLUSTER,
    ),
    Row("F11", "database killed and started again", database.database_killed, 1, 20, 5),
    Row("F12", "database connections terminated, a storm", database.backends_terminated, 1, 30, 5),
    Row("F13", "COMMIT that happened and was not told", database.commit_in_doubt, 5, 500, 50),
    Row(
        "F14",
        "database behind a network that drops everything",
        database.database_cut_off,
        1,
        20,
        5,
    ),
    Row("F14b", "a busy table locked", database.table_locked, 1, 20, 5),
    Row("F15", "200 clients that leave in mid-request", clients.disconnecting, 1, 20, 5),
    Row("F16a", "the broker's disk full", disks.disk_full(disks.BROKER), 1, 20, 5, setup=_SMALL),
    Row(
        "F16b", "the database's disk full", disks.disk_full(disks.DATABASE), 1, 20, 5, setup=_SMALL
    ),
    Row("F17", "a group's offsets lost: all comes again", consumers.offsets_reset, 1, 20, 5),
    Row("F18", "answers overtake the copy of their invitation", overtaking.copies_late, 1, 50, 10),
    Row("F19", "poison of every kind on our own topics", poison.poison, 1, 20, 5),
    Row("F20", "a flood of poison stops its partition alone", flood.flood, 1, 10, 2),
    Row("F21", "replicas come and go", consumers.rebalances, 1, 40, 5, setup=_PAIRS),
    Row(
        "F22", "a consumer wakes after another took over", consumers.zombie, 1, 100, 5, setup=_PAIRS
    ),
    Row("F24", "records deleted before they were read", retention.records_deleted, 1, 20, 5),
    Row("F25", "half of the replicas cut off", broker.half_cut_off, 1, 40, 5, setup=_SIDE),
    Row("F26", "clocks twenty minutes apart", clocks.clocks_apart, 1, 20, 4, setup=_APART),
    Row("F27", "receivers that misbehave in every way", receivers.receivers_misbehave, 1, 10),
    Row("F28", "receiver down past the schedule, replays", webhooks.schedule_exhausted, 1, 20, 5),
    Row("F29", "secret rotated under load", webhooks.secrets_rotated, 1, 50, 5),
    Row("F30", "dead letters replayed under load", letters.replayed_live, 1, 50, 5),
    Row("F31", "everything killed, started in any order", services.everything_killed, 1, 20, 1),
    Row("F32", "schemas migrated under load", migrations.migrated_under_load, 1, 20, 5),
    Row(
        "U1",
        "upgraded from the previous release, and back",
        upgrades.there_and_back,
        1,
        10,
        setup=_RELEASES,
    ),
    Row("F33", "a long run, with a fault every minute", soak.soak, 0, 1),
    Row("F34", "the database lost, an older backup restored", backups.restored, 1, 50, 5),
    Row(
        "E1",
        "the one process killed at a random moment",
        embedded.killed,
        3,
        300,
        25,
        setup=_EMBEDDED,
    ),
    Row(
        "E2",
        "a second process on the same directory",
        embedded.second_process,
        1,
        5,
        5,
        setup=_EMBEDDED,
    ),
    Row(
        "E3",
        "killed, and the last page written torn",
        embedded.torn_page,
        2,
        50,
        10,
        setup=_EMBEDDED,
    ),
    Row(
        "E4", "the data directory's disk full", embedded.disk_full, 1, 10, 5, setup=_EMBEDDED_SMALL
    ),
)
