"""Tells which IP addresses may never be called on a stranger's behalf.

`ipaddress.is_global` alone does not do: it calls all multicast, NAT64, 6to4 and 192.88.99.1 global.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

_THIS_HOST = "an address of this host"
_PRIVATE = "a private network"
_LINK = "a link-local address, where clouds serve credentials"
_DOCUMENTATION = "a range for documentation"
_RESERVED = "a reserved range"
_MULTICAST = "multicast"
_TUNNEL = "an IPv6 address that hides an IPv4 address"

FORBIDDEN_V4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", _THIS_HOST),
        ("10.0.0.0/8", _PRIVATE),
        ("100.64.0.0/10", "a carrier's shared network"),
        ("127.0.0.0/8", _THIS_HOST),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.0.0/16", _LINK),
        ("172.16.0.0/12", _PRIVATE),
        ("192.0.0.0/24", _RESERVED),
        ("192.0.2.0/24", _DOCUMENTATION),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", _PRIVATE),
        ("198.18.0.0/15", "a range for benchmarks"),
        ("198.51.100.0/24", _DOCUMENTATION),
        ("203.0.113.0/24", _DOCUMENTATION),
        ("224.0.0.0/4", _MULTICAST),
        ("240.0.0.0/4", _RESERVED),
    )
)
FORBIDDEN_V6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::1/128", _THIS_HOST),
        ("::/128", _THIS_HOST),
        ("::/96", _TUNNEL),  # v4-compatible: nobody routes it, so what it hides does not matter
        ("64:ff9b::/96", _TUNNEL),
        ("64:ff9b:1::/48", _TUNNEL),
        ("100::/64", "a range that discards"),
        ("2001::/32", _TUNNEL),
        ("2001::/23", _RESERVED),
        ("2001:db8::/32", _DOCUMENTATION),
        ("2002::/16", _TUNNEL),
        ("3fff::/20", _DOCUMENTATION),
        ("5f00::/16", "a range for segment routing"),
        ("fc00::/7", _PRIVATE),
        ("fe80::/10", _LINK),
        ("fec0::/10", _PRIVATE),
        ("ff00::/8", _MULTICAST),
    )
)
_GLOBAL_V6 = IPv6Network(
    "2000::/3"
)  # all that is routed to the public; the rest is refused unnamed


def forbidden(ip: str | IPv4Address | IPv6Address, *, allow_loopback: bool) -> str | None:
    """The reason why this address must not be connected to, or None when it is a public one.

    An IPv4 address mapped into IPv6 is judged as the IPv4 address it is. With `allow_loopback` (a
    development setting) 127.0.0.0/8 and ::1 pass. Text that is no address is forbidden.
    """
    if isinstance(ip, str):
        try:
            ip = ip_address(ip)
        except ValueError:
            return "not an IP address"
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if allow_loopback and ip.is_loopback:
        return None
    return _reason_v4(ip) if isinstance(ip, IPv4Address) else _reason_v6(ip)


def _reason_v4(ip: IPv4Address) -> str | None:
    return next((reason for network, reason in FORBIDDEN_V4 if ip in network), None)


def _reason_v6(ip: IPv6Address) -> str | None:
    named = next((reason for network, reason in FORBIDDEN_V6 if ip in network), None)
    if named is None and ip not in _GLOBAL_V6:
        return _RESERVED
    return named
