"""The deny table: both edges of every range, and every way to hide an IPv4 address in IPv6."""

import ipaddress
import re

import pytest

from shared.webhook import forbidden

FORBIDDEN = tuple(
    re.findall(
        r"\S+",
        """
        0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
        127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255
        172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.192 192.0.0.255 192.0.2.1
        192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7
        203.0.113.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::2 ::127.0.0.1
        ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
        64:ff9b::a9fe:a9fe 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1
        2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:db8::1 2002:7f00:1::
        2002:a9fe:a9fe::1 3fff::1 3fff:fff:ffff::1 5f00::1 fc00::1 fd00:ec2::254 fdff:ffff::1
        fe80::1 fe80::1%eth0 febf::1 fec0::1 feff::1 ff02::1 ff0e::1 4000::1 1fff::1
        """,
    )
)
ALLOWED = tuple(
    re.findall(
        r"\S+",
        """
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255
        128.0.0.1 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0
        192.0.3.0 192.88.98.255 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
        198.51.101.0 203.0.112.255 223.255.255.255 ::ffff:8.8.8.8 2001:200::1
        2001:4860:4860::8888 2003::1 2606:4700:4700::1111 2a00:1450:4001:800::200e 3ffe:ffff::1
        3fff:1000::1
        """,
    )
)
NONSENSE = [
    "",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "１２７.0.0.1",
    "1.2.3.4 ",
    "[::1]",
]


@pytest.mark.parametrize("ip", [*FORBIDDEN, *NONSENSE])
def test_forbidden(ip: str) -> None:
    assert forbidden(ip, allow_loopback=False)


@pytest.mark.parametrize("ip", ALLOWED)
def test_public(ip: str) -> None:
    assert forbidden(ip, allow_loopback=False) is None
    assert forbidden(ipaddress.ip_address(ip), allow_loopback=False) is None


LOOPBACK = {"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize("ip", [*FORBIDDEN, *NONSENSE])
def test_the_development_setting_opens_loopback_and_nothing_else(ip: str) -> None:
    assert (forbidden(ip, allow_loopback=True) is None) == (ip in LOOPBACK)
