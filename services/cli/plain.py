"""Text from elsewhere made harmless for a terminal: a customer's words must not move the cursor."""

from typing import Any


def plain(value: Any, *, limit: int = 200) -> str:
    """The value as one line of printable characters, cut to `limit`; all others are escaped as Python does."""
    text = (
        value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)
    )
    cut = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut
    )
