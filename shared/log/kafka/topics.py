"""Creates topics as they must be, tells how they differ, and looks up partitions and committed offsets."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from shared.errors import StartupError, Unavailable
from shared.log import TopicPartition, TopicSpec
from shared.log.kafka.connecting import Connection
from shared.log.kafka.settings import CALL_SECONDS, SIGNATURE, KafkaSettings, unavailable

log = structlog.get_logger()
DAY_MS = 24 * 60 * 60 * 1000
REQUEST_SECONDS = 20.0


class TopicAdmin:
    """One administrative client, connected at its first use and kept. Every call may raise `Unavailable`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._connection = Connection(settings, "administration", self._start, _stop)

    async def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create what is missing, wait until it can be used, return the names created."""
        client = await self._connection.get(CALL_SECONDS)
        replicas = await self._replicas(client)
        there = await self._describe(client, [spec.name for spec in specs])
        missing = [spec for spec in specs if spec.name not in there]
        if not missing:
            return []
        new = [
            NewTopic(
                self._settings.there(spec.name),
                spec.partitions,
                replicas,
                topic_configs=configs(spec, replicas),
            )
            for spec in missing
        ]
        with unavailable("creating topics"):
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await client.create_topics(new, timeout_ms=int(CALL_SECONDS * 1000))
        created = self._created(response)
        await self._wait_for_leaders(client, missing)
        return created

    async def verify(self, specs: Sequence[TopicSpec]) -> list[str]:
        """One sentence for each difference."""
        client = await self._connection.get(CALL_SECONDS)
        replicas = await self._replicas(client)
        there = await self._describe(client, [spec.name for spec in specs])
        found = await self._configs(client, [spec.name for spec in specs if spec.name in there])
        differences: list[str] = []
        for spec in specs:
            partitions = there.get(spec.name)
            if partitions is None:
                differences.append(f"topic {spec.name} does not exist")
                continue
            if len(partitions) != spec.partitions:
                differences.append(
                    f"topic {spec.name} has {len(partitions)} partitions, not {spec.partitions}"
                )
            fewest = min(len(partition["replicas"]) for partition in partitions)
            if fewest < replicas:
                differences.append(f"topic {spec.name} has {fewest} replicas, not {replicas}")
            differences += [
                f"topic {spec.name} has {name}={found[spec.name].get(name)}, not {value}"
                for name, value in configs(spec, replicas).items()
                if found[spec.name].get(name) != value
            ]
        return differences

    async def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        """Every partition of the topics; raises `Unavailable` when one does not exist."""
        client = await self._connection.get(CALL_SECONDS)
        there = await self._describe(client, topics)
        if missing := [topic for topic in topics if topic not in there]:
            raise Unavailable(f"no such topic: {', '.join(missing)}; create the topics first")
        return [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in sorted(entry["partition"] for entry in there[topic])
        ]

    async def committed(self, group: str) -> Mapping[TopicPartition, tuple[int, bool]]:
        """Where the group goes on, for the partitions it has committed, and whether we did not commit that."""
        client = await self._connection.get(CALL_SECONDS)
        with unavailable(f"looking up the offsets of group {group}"):
            async with asyncio.timeout(CALL_SECONDS):
                offsets = await client.list_consumer_group_offsets(self._settings.there(group))
        return {
            self._settings.ours(at): (found.offset, found.metadata != SIGNATURE)
            for at, found in offsets.items()
            if found.offset >= 0
        }

    async def close(self) -> None:
        await self._connection.close()

    async def _replicas(self, client: AIOKafkaAdminClient) -> int:
        with unavailable("looking up the brokers"):
            async with asyncio.timeout(CALL_SECONDS):
                cluster = await client.describe_cluster()
        return min(3, len(cluster["brokers"]))

    async def _describe(
        self, client: AIOKafkaAdminClient, topics: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """The partitions of those topics that exist; asks for all, since asking by name may create one."""
        wanted = {self._settings.there(topic): topic for topic in topics}
        with unavailable("looking up topics"):
            async with asyncio.timeout(CALL_SECONDS):
                entries = await client.describe_topics()
        return {
            wanted[entry["topic"]]: entry["partitions"]
            for entry in entries
            if entry["topic"] in wanted
            and not isinstance(for_code(entry["error_code"])(), UnknownTopicOrPartitionError)
        }

    async def _configs(
        self, client: AIOKafkaAdminClient, topics: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        wanted = {self._settings.there(topic): topic for topic in topics}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        with unavailable("looking up the configuration of topics"):
            async with asyncio.timeout(CALL_SECONDS):
                responses = await client.describe_configs(resources)
        found: dict[str, dict[str, str]] = {}
        for response in responses:
            for _code, _message, _kind, name, entries in response.resources:
                found[wanted[name]] = {entry[0]: entry[1] for entry in entries}
        return found

    def _created(self, response: Any) -> list[str]:
        created: list[str] = []
        for name, code, *words in response.topic_errors:
            topic = name[len(self._settings.prefix) :]
            error = for_code(code)
            if code == 0:
                created.append(topic)
            elif error is not TopicAlreadyExistsError:
                kind = Unavailable if error.retriable else StartupError
                raise kind(
                    f"Kafka did not create topic {topic}: {error.__name__} {' '.join(filter(None, words))}"
                )
        return created

    async def _wait_for_leaders(
        self, client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]
    ) -> None:
        with unavailable("waiting for new topics"):
            async with asyncio.timeout(REQUEST_SECONDS):
                # Kafka tells nobody when a leader is there: asking again is all there is.
                while not await self._led(client, specs):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def _led(self, client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> bool:
        there = await self._describe(client, [spec.name for spec in specs])
        return all(
            spec.name in there
            and there[spec.name]
            and all(partition["leader"] >= 0 for partition in there[spec.name])
            for spec in specs
        )

    async def _start(self) -> AIOKafkaAdminClient:
        client = AIOKafkaAdminClient(**self._settings.client_options(REQUEST_SECONDS))
        try:
            await client.start()
        except BaseException:
            await client.close()
            raise
        return client


def configs(spec: TopicSpec, replicas: int) -> dict[str, str]:
    """The topic's configuration; what is compacted rolls daily and keeps tombstones 30 days."""
    wanted = {"message.timestamp.type": "LogAppendTime"}
    if replicas >= 3:
        wanted["min.insync.replicas"] = "2"
    if spec.compacted:
        wanted["cleanup.policy"] = "compact"
        wanted["segment.ms"] = str(DAY_MS)
        wanted["max.compaction.lag.ms"] = str(DAY_MS)
        wanted["delete.retention.ms"] = str(30 * DAY_MS)
    else:
        wanted["cleanup.policy"] = "delete"
        wanted["retention.ms"] = str(-1 if spec.retention_ms is None else spec.retention_ms)
    return wanted


async def _stop(client: AIOKafkaAdminClient) -> None:
    await client.close()
