"""What is claimed of a running system, shown from outside: each claim a function that sees for itself and says what it saw."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


class Failed(Exception):
    """What was to be shown is not so; the words say what was seen."""


class NotShown(Exception):
    """Why it cannot be shown here."""


def shown(words: str, claim: Callable[[T], str], subject: T) -> bool:
    """Print what a claim saw of its subject; False when it does not hold."""
    try:
        print(f"  shown           {words}: {claim(subject)}", flush=True)
    except NotShown as why:
        print(f"  not shown here  {words}: {why}", flush=True)
    except Failed as what:
        print(f"  FAILED          {words}: {what}", flush=True)
        return False
    return True


def in_order(claims: Iterable[Callable[[T], str]], subject: T) -> bool:
    """Show each claim by its name, and after the first that does not hold none."""
    return all(shown(claim.__name__.replace("_", " "), claim, subject) for claim in claims)
