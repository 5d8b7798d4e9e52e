"""Grants what Strimzi's user operator would grant, on a broker with an authorizer."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

_KINDS = {"topic": 2, "group": 3}
_OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _ALLOW = 3, 3
Grants = Mapping[str, Mapping[tuple[str, str], tuple[str, ...]]]
INLET = "acme-in"


@dataclass(frozen=True)
class Granted:
    """A broker whose topics of one prefix are there, and whose users have been granted what Strimzi's would be."""

    plain: int
    by_password: int
    prefix: str

    def url(self, *, send_timeout: float = 10) -> str:
        """Through the door that asks who comes."""
        return f"kafka+ssl://127.0.0.1:{self.by_password}?prefix={self.prefix}&send_timeout={send_timeout}"

    @property
    def everything(self) -> str:
        """Through the door without a lock, as a superuser."""
        return f"kafka://127.0.0.1:{self.plain}?prefix={self.prefix}"


async def grant(bootstrap: str, prefix: str, grants: Grants) -> None:
    """Let each user do with the topics and groups of the prefix what the grants say; only a superuser may."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for user, granted in grants.items():
            for (kind, name), operations in granted.items():
                for operation in operations:
                    answer = await admin._send_to_controller(
                        CreateAclsRequest(
                            _KINDS[kind],
                            f"{prefix}{name}",
                            _LITERAL,
                            f"User:{user}",
                            "*",
                            _OPERATIONS[operation],
                            _ALLOW,
                        )
                    )
                    assert [code for code, _ in answer.creation_responses] == [0], answer
    finally:
        await admin.close()
