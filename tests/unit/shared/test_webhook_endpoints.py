"""What an endpoint may configure: URLs in every odd spelling, and headers that would break the framing."""

import pytest
from yarl import URL

from shared.webhook import HeaderError, UrlError, check_headers, check_url

GOOD = [
    "https://crm.example.com",
    "https://crm.example.com/hooks/feedback?key=a%20b&c=d",
    "HTTPS://CRM.Example.COM/hook",
    "https://crm.example.com:8443/hook",
    "https://crm.example.com:443/",
    "https://bücher.example/hook",
    "https://客户.example.cn/",
    "https://xn--bcher-kva.example/",
    "https://a_b.example.com/",
    "https://8.8.8.8/hook",
    "https://[2606:4700:4700::1111]:8443/hook",
    "https://[::ffff:8.8.8.8]/hook",
    "https://1password.example/",
]
BAD = {
    "": "https://",
    "crm.example.com/hook": "https://",
    "//crm.example.com/hook": "https://",
    "https:///hook": "host",
    "https://": "host",
    "https://:443/": "host",
    "http://crm.example.com/": "https://",
    "file:///etc/passwd": "https://",
    "gopher://crm.example.com/": "https://",
    "ftp://crm.example.com/": "https://",
    "javascript:alert(1)": "https://",
    "https://user@crm.example.com/": "user name",
    "https://user:pass@crm.example.com/": "user name",
    "https://crm.example.com@127.0.0.1/": "user name",
    "https://crm.example.com/#top": "fragment",
    "https://crm.example.com/#": "fragment",
    "https://crm.example.com/%00": "%00",
    "https://crm.example.com/%0d%0aX:1": "%00",
    "https://crm.example.com%00.evil.example/": "%00",
    "https://crm%20x.example.com/": "host",
    "https://crm x.example.com/": "space",
    " https://crm.example.com/": "space",
    "https://crm.example.com/a b": "space",
    "https://crm.example.com/\n": "control",
    "ht\ntps://crm.example.com/": "control",
    "https://crm.example.com/\x7f": "control",
    "https://crm.example.com\\@127.0.0.1/": "backslash",
    "https://crm.example.com/\u202e": "control",
    "https://crm.example.com/路径": "percent-encode",
    "https://crm.example.com:99999/": "port 99999",
    "https://crm.example.com:0/": "port 0",
    "https://crm.example.com:22/": "port 22",
    "https://crm.example.com:25/": "port 25",
    "https://crm.example.com:6379/": "port 6379",
    "https://crm.example.com:/": "port",
    "https://crm.example.com:４４３/": "port",
    "https://crm.example.com:-1/": "port",
    "https://crm.example.com:1e3/": "port",
    "https://crm": "full host name",
    "https://-crm.example.com/": "host name",
    "https://crm..example.com/": "host name",
    "https://crm.example.com./": "host name",
    "https://.example.com/": "host name",
    f"https://{'a' * 64}.example.com/": "host name",
    f"https://{'a.' * 127}com/": "host name",
    f"https://{'ü' * 70}.example.com/": "IDNA",
    "https://\u200d.example.com/": "",
    "https://℀.example.com/": "",
    "https://[::1": "",
    "https://[crm.example.com]/": "",
    "https://[v1.fe]/": "",
    "https://[fe80::1%25eth0]/": "",
    "https://localhost/": "localhost",
    "https://a.localhost/": "localhost",
    "https://LOCALHOST:8443/": "localhost",
    "https://127.0.0.1/": "127.0.0.1",
    "https://169.254.169.254/latest/meta-data": "169.254.169.254",
    "https://[0000:0000:0000:0000:0000:ffff:7f00:1]/": "cannot be called",
    "https://[::]/": "cannot be called",
    "https://[64:ff9b::a9fe:a9fe]/": "cannot be called",
    "https://0/": "unusual spelling",
    "https://127.1/": "unusual spelling",
    "https://2130706433/": "unusual spelling",
    "https://0x7f.1/": "unusual spelling",
    "https://0x7f000001/": "unusual spelling",
    "https://0177.0.0.1/": "unusual spelling",
    "https://127.0.0.1./": "",
    "https://1.2.3.4.5/": "unusual spelling",
    "https://256.1.1.1/": "unusual spelling",
    "https://example.0x/": "unusual spelling",
    "https://127。0。0。1/": "127.0.0.1",
    "https://１２７.0.0.1/": "127.0.0.1",
    "https://①②⑦.0.0.1/": "127.0.0.1",
    "https://crm.example.com/" + "a" * 2_048: "2048",
}


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    check_url(url, allow_loopback=False)
    check_url(url, allow_loopback=True)


@pytest.mark.parametrize("url", GOOD)
def test_what_the_http_client_makes_of_it_is_still_good(url: str) -> None:
    check_url(str(URL(url)), allow_loopback=False)


@pytest.mark.parametrize(("url", "word"), BAD.items())
def test_bad_urls_are_explained(url: str, word: str) -> None:
    with pytest.raises(UrlError) as refused:
        check_url(url, allow_loopback=False)
    assert word in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/hook",
        "http://app.localhost:8000/",
        "http://127.0.0.1:8000/hook",
        "http://[::1]:8000/",
        "https://localhost/",
        "https://127.0.0.1/",
    ],
)
def test_the_development_setting_allows_this_host_by_plain_http(url: str) -> None:
    check_url(url, allow_loopback=True)
    with pytest.raises(UrlError):
        check_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.com/",
        "http://8.8.8.8/",
        "http://10.0.0.1/",
        "https://10.0.0.1/",
        "http://0/",
    ],
)
def test_the_development_setting_allows_nothing_else(url: str) -> None:
    with pytest.raises(UrlError):
        check_url(url, allow_loopback=True)


def test_useful_headers_pass() -> None:
    check_headers(
        {"Authorization": "Bearer abc", "X-Team": "cx\tteam", "content-type": "text/json"}
    )


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Webhook-Id",
        "webhook-signature",
        "WEBHOOK-anything",
        "Connection",
        "Accept-Encoding",
        "Expect",
        "Proxy-Authorization",
        "",
        "a b",
        "a:b",
        "a\r\nb",
        "名",
    ],
)
def test_headers_that_are_ours_or_none_are_refused(name: str) -> None:
    with pytest.raises(HeaderError):
        check_headers({name: "x"})


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b", "a\x1bb", "密码", "a" * 2_001])
def test_a_header_value_is_one_line_and_never_repeated(value: str) -> None:
    with pytest.raises(HeaderError) as refused:
        check_headers({"X-Key": value})
    assert value not in str(refused.value)
