"""Moves a consumer group to other offsets, which only works while it has no member."""

import asyncio
from collections.abc import Mapping

import aiokafka
from aiokafka.errors import CommitFailedError, IllegalGenerationError, UnknownMemberIdError

from shared.errors import GroupInUse, Unavailable
from shared.log import TopicPartition
from shared.log.kafka.settings import CALL_SECONDS, SIGNATURE, KafkaSettings, unavailable


async def move(
    settings: KafkaSettings, group: str, next_offsets: Mapping[TopicPartition, int]
) -> None:
    """Commit the offsets for the group as one who is no member of it: the broker refuses that while there is one."""
    there = {settings.theirs(at): offset for at, offset in next_offsets.items()}
    client = aiokafka.AIOKafkaConsumer(
        **settings.client_options(CALL_SECONDS),
        group_id=settings.there(group),
        enable_auto_commit=False,
    )
    try:
        with unavailable(f"moving group {group}"):
            async with asyncio.timeout(CALL_SECONDS):
                await client.start()
                client.assign(list(there))
                await client.commit({at: (end, SIGNATURE) for at, end in there.items()})
    except Unavailable as error:
        if isinstance(
            error.__cause__, CommitFailedError | UnknownMemberIdError | IllegalGenerationError
        ):
            raise GroupInUse(
                f"group {group} has members: stop the service, and wait until they are gone"
            ) from error
        raise
    finally:
        await client.stop()
