"""Ports given out: free, together where asked, and never to two programs at once."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from deploy.local.ports import free_port

ASK = "from deploy.local.ports import free_port; print(*[free_port() for _ in range(100)], flush=True)"


def test_a_port_is_given_out_once_in_a_while() -> None:
    assert len({free_port() for _ in range(100)}) == 100


def test_the_following_ports_are_free_too() -> None:
    with contextlib.ExitStack() as held:
        for first in (free_port(following=5) for _ in range(3)):
            for port in range(first, first + 6):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))


def test_a_port_that_somebody_holds_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port() + 1))
        assert free_port() != taken.getsockname()[1]


def test_two_programs_at_once_get_different_ports() -> None:
    command = [sys.executable, "-c", ASK + "; input()"]
    with contextlib.ExitStack() as running:
        programs = [
            running.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"PYTHONPATH": str(Path.cwd())},
                )
            )
            for _ in range(3)
        ]
        given = [program.stdout.readline().split() for program in programs if program.stdout]
    assert len({port for ports in given for port in ports}) == 300
