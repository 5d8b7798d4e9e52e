"""Opens survey pages over and over: `python -m bench.page_load PORT TOKENS CONNECTIONS WARM SECONDS`.

TOKENS is a file with a token on each line; a right answer is the form of that very token.
"""

import sys
from pathlib import Path

from bench.driving import Ask, drive


def ask_of(token: str) -> Ask:
    """The GET of a phone that prefers Chinese."""
    lines = [
        f"GET /s/{token} HTTP/1.1",
        "host: 127.0.0.1",
        "accept: text/html",
        "accept-language: zh-CN,zh;q=0.9,en;q=0.8",
    ]
    form = f'<form method="post" action="/s/{token}"'
    return Ask("\r\n".join([*lines, "", ""]).encode(), b"HTTP/1.1 200", form.encode())


if __name__ == "__main__":
    port, tokens, connections, warm, seconds = sys.argv[1:]
    asks = [ask_of(token) for token in Path(tokens).read_text(encoding="ascii").split()]
    drive(int(port), asks, int(connections), float(warm), float(seconds))
