"""Runs a command beside a real broker and a real database, and ends them when it ends."""

import os
import subprocess
import sys

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from deploy.local.process import MissingPart, interruptible


def main() -> None:
    """`python -m deploy.local.stack COMMAND...`; the command finds both in its environment."""
    command = sys.argv[1:]
    if not command:
        sys.exit("usage: python -m deploy.local.stack COMMAND...")
    code = 0
    try:
        with interruptible(), KafkaBroker() as broker, PostgresServer() as server:
            urls = {"AFTERWORD_LOG_URL": broker.url, "AFTERWORD_DATABASE_URL": server.url}
            for name, url in urls.items():
                print(f"{name}={url}", flush=True)
            code = _run(command, os.environ | urls)
    except MissingPart as missing:
        sys.exit(f"missing: {missing}")
    sys.exit(code)


def _run(command: list[str], env: dict[str, str]) -> int:
    """Ctrl-C reaches the command by itself, SIGTERM does not; either way wait for it to finish."""
    with subprocess.Popen(command, env=env) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()


if __name__ == "__main__":
    main()
