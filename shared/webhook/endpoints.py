"""Checks what an endpoint's owner may configure: the URL to call and extra headers, in plain sentences.

What passes here is checked again when it is called: a name can point elsewhere by then.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from shared.errors import AfterwordError
from shared.webhook.addresses import forbidden

_LONGEST_URL = 2_048
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPED_CONTROL = re.compile(r"%(00|0a|0d)", re.IGNORECASE)
_NOT_HTTP_PORTS = frozenset(
    {1433, 1521, 1720, 1723, 2049, 2181, 2375, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060}
    | {5061, 5432, 5672, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697}
    | {9042, 9092, 10080, 11211, 27017}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t -~]{0,2000}")
_OUR_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "expect", "host"}
    | {"keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OUR_PREFIXES = ("webhook-", "proxy-")


class UrlError(AfterwordError, ValueError):
    """One sentence: what is wrong with the URL and what would be right."""


class HeaderError(AfterwordError, ValueError):
    """One sentence: which header cannot be set and why; never its value, which may be a password."""


def check_url(text: str, *, allow_loopback: bool) -> None:
    """Raise `UrlError` unless webhooks may be sent to this URL.

    It resolves no name, so it may run in a request; `allow_loopback` is the development setting that lets
    a receiver on this host be called, by plain http too.
    """
    parts = _split(text)
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        raise UrlError(
            "the URL needs a host, and a port only as a number, like https://example.com:8443/hook"
        )
    local = _check_host(authority["host"], allow_loopback=allow_loopback)
    if parts.scheme == "http" and not local:
        raise UrlError(
            "the URL must start with https://, so that nobody on the way can read or change it"
        )
    if authority["port"] is not None:
        _check_port(int(authority["port"]))


def check_headers(extra: Mapping[str, str]) -> None:
    """Raise `HeaderError` unless each extra header can be sent and is not one that we set ourselves."""
    for name, value in extra.items():
        if not _HEADER_NAME.fullmatch(name):
            raise HeaderError(
                f"{name[:100]!r} is not a header name: use letters, digits and hyphens"
            )
        if name.lower() in _OUR_HEADERS or name.lower().startswith(_OUR_PREFIXES):
            raise HeaderError(f"the header {name} is set by Afterword and cannot be overridden")
        if not _HEADER_VALUE.fullmatch(value):
            raise HeaderError(
                f"the value of the header {name} must be one line of at most 2000 ASCII characters"
            )


def _split(text: str) -> SplitResult:
    _check_characters(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UrlError(
            "the URL cannot be read: it should look like https://example.com/hook"
        ) from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UrlError("the URL must start with https:// and a host, like https://example.com/hook")
    if "@" in parts.netloc:
        raise UrlError(
            "the URL contains a user name or password: send them as an Authorization header"
        )
    if not (parts.path + parts.query).isascii():
        raise UrlError("the URL's path contains characters beyond ASCII: percent-encode them")
    return parts


def _check_characters(text: str) -> None:
    if len(text) > _LONGEST_URL:
        raise UrlError(f"the URL is longer than {_LONGEST_URL} characters")
    if not text.isprintable() or " " in text or "\\" in text:
        raise UrlError(
            "the URL contains a space, a control character or a backslash: percent-encode it"
        )
    if _ESCAPED_CONTROL.search(text):
        raise UrlError(
            "the URL contains an escaped NUL or line break (%00, %0a, %0d): leave it out"
        )
    if "#" in text:
        raise UrlError("the URL has a fragment (#...), which is never sent: leave it out")


def _check_host(host: str, *, allow_loopback: bool) -> bool:
    """Raise `UrlError` for a host that cannot be a public receiver; True when it is this very host."""
    if host.startswith("["):
        return _check_literal(host[1:-1], allow_loopback=allow_loopback)
    name = _ascii(host)
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _check_literal(name, allow_loopback=allow_loopback)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlError(
            f"{host[:100]!r} is not a host name: use letters, digits, hyphens and single dots"
        )
    if labels[-1] == "localhost":
        if not allow_loopback:
            raise UrlError(
                "localhost cannot be called: use a host that is reachable from the internet"
            )
        return True
    if len(labels) == 1:
        raise UrlError(
            f"{host[:100]!r} is not a full host name: write it with its domain, like crm.example.com"
        )
    return False


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise UrlError(
            "the host name cannot be turned into its ASCII form (IDNA): check its spelling"
        ) from None


def _check_literal(text: str, *, allow_loopback: bool) -> bool:
    try:
        ip = ip_address(text)
    except ValueError:
        raise UrlError(
            f"{text[:100]!r} is an unusual spelling of an IP address:"
            " write four decimal numbers with dots, IPv6 in brackets, or better a host name"
        ) from None
    reason = forbidden(ip, allow_loopback=allow_loopback)
    if reason is not None:
        raise UrlError(f"{text} cannot be called ({reason}): use a public address or host name")
    return forbidden(ip, allow_loopback=False) is not None


def _check_port(port: int) -> None:
    web = port in {80, 443} or 1024 <= port <= 65_535
    if not web or port in _NOT_HTTP_PORTS:
        raise UrlError(f"port {port} is not one for HTTP: use 443, 8443 or another above 1023")
