"""Runs a real Kafka broker (KRaft) on this machine, from the jars that Maven resolves."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.java import find_java
from deploy.local.ports import free_port
from deploy.local.process import MissingPart, ServerProcess, interruptible

_HERE = Path(__file__).parent
_POM = _HERE / "pom.xml"
_CACHE = _HERE.parents[1] / "build" / "kafka"
_STARTED = "Kafka Server started"

_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{told}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={directory}/data
auto.create.topics.enable=false
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
# Groups form at once, and a member that was killed may be missed within a second.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a kill the broker waits for its former self's registration to run out (9 s by default).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Many small topics in little memory.
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
"""


@dataclass(frozen=True)
class Member:
    """One broker of a cluster: its number, where its controller listens, and what all of them know alike."""

    node: int
    controller_port: int
    voters: str
    cluster: str
    replicas: int


@dataclass(frozen=True)
class Listener:
    """A listener beside the plain one, with its own lines of server.properties. Clients that are told another port
    than its own take a way round."""

    name: str
    port: int
    told: int
    protocol: str = "PLAINTEXT"
    settings: str = ""


class KafkaBroker:
    """One broker and controller on 127.0.0.1 in a directory of its own, 512 MB of heap.

    `start`, `stop`, `kill` and `restart` keep the port and the data; `close` drops both. All block.
    """

    def __init__(
        self,
        *,
        under: Path | None = None,
        member: Member | None = None,
        listeners: Sequence[Listener] = (),
        passwords: Mapping[str, str] | None = None,
        settings: str = "",
    ) -> None:
        """Find the parts and choose the ports, keeping the data in a new directory under the one that is given;
        MissingPart when Java or Maven is not installed. Without a cluster to be a member of it is one by itself.
        `passwords` are those of the users that may log in by SCRAM-SHA-512, `settings` more lines of server.properties."""
        self._java = find_java()
        self._jars = fetch_jars(self._java)
        self._directory = Path(tempfile.mkdtemp(prefix="afterword-kafka-", dir=under))
        self.port = free_port()
        self._properties = self._directory / "server.properties"
        self._member = member or alone()
        self._properties.write_text(
            _PROPERTIES.format(
                port=self.port,
                listeners="".join(f",{each.name}://127.0.0.1:{each.port}" for each in listeners),
                told="".join(f",{each.name}://127.0.0.1:{each.told}" for each in listeners),
                protocols="".join(f",{each.name}:{each.protocol}" for each in listeners),
                node=self._member.node,
                controller_port=self._member.controller_port,
                voters=self._member.voters,
                replicas=self._member.replicas,
                in_sync=min(2, self._member.replicas),
                directory=self._directory,
            )
            + "".join(each.settings for each in listeners)
            + settings
        )
        self._passwords = passwords or {}
        self._process: ServerProcess | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    @property
    def running(self) -> bool:
        """Whether it runs; a broker ends itself when its disk fails."""
        return self._process is not None and self._process.running

    @property
    def said(self) -> str:
        """What it has printed since it was started."""
        return self._process.said if self._process is not None else ""

    def start(self) -> None:
        """Return when the broker serves requests; StartFailed with its last words when it does not."""
        if not (self._directory / "data").exists():
            self._format()
        log4j = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}"
        command = self._main("kafka.Kafka", "-Xms256m", "-Xmx512m", log4j)
        process = ServerProcess(
            [*command, str(self._properties)], output=self._directory / "broker.log"
        )
        self._process = process
        process.wait_until(lambda: _STARTED in process.said)

    def stop(self) -> None:
        """Shut the broker down in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a power cut would end its process."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in mid-air: it answers nothing, and no connection breaks. Only for a running broker."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._send(signal.SIGCONT)

    def restart(self) -> None:
        """Start again on the same port with the same data, after `stop` or `kill` or on its own."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the broker and remove its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> "KafkaBroker":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def console_consumer(self, topic: str, *options: str) -> list[str]:
        """The command of Kafka's own console consumer; it reads until its options end it."""
        return [
            *self._main("org.apache.kafka.tools.consumer.ConsoleConsumer"),
            *("--bootstrap-server", self.bootstrap, "--topic", topic, *options),
        ]

    def console_producer(self, topic: str, *options: str) -> list[str]:
        """The command of Kafka's own console producer; it sends the lines of its input."""
        return [
            *self._main("org.apache.kafka.tools.ConsoleProducer"),
            *("--bootstrap-server", self.bootstrap, "--topic", topic, *options),
        ]

    def console_topics(self, *options: str) -> list[str]:
        """The command of Kafka's own topic tool."""
        command = self._main("org.apache.kafka.tools.TopicCommand")
        return [*command, "--bootstrap-server", self.bootstrap, *options]

    def delete_group(self, group: str) -> None:
        """Delete a consumer group with its offsets, by Kafka's own tool. Raises `RuntimeError` while it has members."""
        self._groups("--delete", "--group", group)

    def move_group(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Have a group go on from this offset, by Kafka's own tool. Raises `RuntimeError` while it has members."""
        at = ("--topic", f"{topic}:{partition}", "--to-offset", str(offset))
        self._groups("--reset-offsets", "--group", group, *at, "--execute")

    def _groups(self, *options: str) -> None:
        command = self._main("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
        answer = subprocess.run(
            [*command, "--bootstrap-server", self.bootstrap, *options],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if (
            answer.returncode or "Error" in answer.stdout
        ):  # the tool ends with 0 when it did nothing
            raise RuntimeError(f"{' '.join(options)}: {answer.stdout.strip()[-1000:]}")

    def _main(self, name: str, *flags: str) -> list[str]:
        return [str(self._java), *(flags or _TOOL_FLAGS), "-cp", f"{self._jars}/*", name]

    def _format(self) -> None:
        users = [
            part
            for name, password in self._passwords.items()
            for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
        subprocess.run(
            [
                *self._main("kafka.tools.StorageTool"),
                *("format", "--cluster-id", self._member.cluster),
                *("--config", str(self._properties), *users),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None


def alone() -> Member:
    """A cluster of one: nothing to replicate to."""
    port = free_port()
    return Member(1, port, f"1@127.0.0.1:{port}", str(uuid.uuid4()), replicas=1)


# A tool lives for a second: do not spend it on compiling, nor memory on a second broker's worth.
_TOOL_FLAGS = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def fetch_jars(java: Path) -> Path:
    """The directory of the broker's jars, resolved by Maven once per version of the pom."""
    jars = _CACHE / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    if jars.exists():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingPart("Maven, which fetches Kafka: install maven")
    print("Fetching Kafka with Maven (once) ...", file=sys.stderr)
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as fresh:
        answer = subprocess.run(
            [
                *(maven, "-q", "-B", "-Dstyle.color=never", "-f", _POM),
                *("dependency:copy-dependencies", f"-DoutputDirectory={fresh}/jars"),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAVA_HOME": str(java.resolve().parents[1])},
        )
        if answer.returncode:
            raise MissingPart(f"Kafka, which Maven could not fetch: {answer.stdout[:500].strip()}")
        _publish(Path(fresh, "jars"), jars)
    return jars


def _publish(fresh: Path, jars: Path) -> None:
    """Move in one step, so that no one sees half; whoever was first is as good as we are."""
    try:
        fresh.rename(jars)
    except OSError:
        if not jars.exists():
            raise


def main() -> None:
    """Run a broker in the foreground until Ctrl-C."""
    try:
        with interruptible(), KafkaBroker() as broker:
            print(f"Kafka is up; its data goes when you press Ctrl-C.\n{broker.url}", flush=True)
            signal.pause()
    except MissingPart as missing:
        sys.exit(f"missing: {missing}")


if __name__ == "__main__":
    main()
