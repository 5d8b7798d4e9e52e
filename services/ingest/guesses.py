"""How many wrong survey links an address may open in a minute: a guesser is slowed down, and nobody else notices."""

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address

_WINDOW_SECONDS = 60.0
_ROUNDING = 1e-6


@dataclass
class Guesses:
    """The wrong links of each address, in one process. It is asked about wrong links only: a right one is proved by
    its MAC, so those who share an address with a guesser are never refused. `addresses` bounds what is remembered."""

    per_minute: int
    addresses: int = 10_000
    _spent_until: OrderedDict[str, float] = field(default_factory=OrderedDict, init=False)

    def wait_seconds(self, address: str, at: float) -> float:
        """Count a wrong link opened at this moment of a monotonic clock: 0 while the address may go on,
        else how long until it may open another; one that is refused is not counted again."""
        each = _WINDOW_SECONDS / self.per_minute
        spent = max(self._spent_until.pop(address, at), at) + each
        wait = spent - at - _WINDOW_SECONDS
        refused = wait > _ROUNDING
        self._spent_until[address] = spent - each if refused else spent
        if len(self._spent_until) > self.addresses:
            self._spent_until.popitem(last=False)
        return wait if refused else 0.0


def address_of(host: str | None) -> str:
    """Who counts as one: an IPv4 address, and of IPv6 the /64 network that any single line is given."""
    if host is None or ":" not in host:
        return (host or "")[:64]
    try:
        ip = IPv6Address(host)
    except ValueError:
        return host[:64]
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Address(int(ip) >> 64 << 64))
