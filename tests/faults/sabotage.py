"""Starts a service that is broken on purpose, so that the checker can be seen to find it.

`SABOTAGE=lossy python -m tests.faults.sabotage serve trigger`
"""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

from services.cli.main import main
from services.scoring.store import cells
from services.trigger import rules
from services.trigger.worker import Handlers


def lose() -> None:
    """Pass over one record of every third batch of events."""
    handle, number = Handlers.events, itertools.count()

    async def events(self: Handlers, batch: Sequence[Any]) -> None:
        await handle(self, batch[1:] if next(number) % 3 == 0 else batch)

    setattr(Handlers, "events", events)  # noqa: B010 - a frozen class is broken on purpose


def ask_twice() -> None:
    """Forget the contact policy."""
    setattr(rules, "_contact_policy", lambda *_: None)  # noqa: B010


def count_twice() -> None:
    """Add what every third batch changes a second time."""
    add, number = cells.add, itertools.count()

    async def twice(tx: Any, changes: Any) -> None:
        await add(tx, changes)
        if next(number) % 3 == 0:
            await add(tx, changes)

    setattr(cells, "add", twice)  # noqa: B010


BUILDS: dict[str, Callable[[], None]] = {
    "lossy": lose,
    "double-sending": ask_twice,
    "double-counting": count_twice,
}

if __name__ == "__main__":
    BUILDS[os.environ["SABOTAGE"]]()
    main()
