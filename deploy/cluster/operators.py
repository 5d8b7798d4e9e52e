"""Stands in where no operator runs: the Secrets that Strimzi, CloudNativePG and External Secrets would make of their
objects, and those that are made by hand, each with the keys that it has then and values of the right form."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from deploy.cluster.kubectl import Object

BY_HAND: Mapping[str, Mapping[str, str]] = {
    "afterword-access": {"access.yaml": "workspaces: []\nkeys: []\n", "token-keys": ""},
    "afterword": {
        "AFTERWORD_LOG_URL": "kafka://kafka-bootstrap.kafka:9092",
        "AFTERWORD_DATABASE_URL": "postgresql://afterword:none@postgresql-rw.postgresql/afterword",
    },
}
"""The two Secrets of docs/operate/install.md."""

_PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
_Secrets = Iterator[tuple[str, Mapping[str, str]]]


def secrets_of(objects: Iterable[Object]) -> list[Object]:
    """The Secrets that the operators would make of these objects."""
    objects = list(objects)
    made = [
        (each["metadata"]["namespace"], name, content)
        for each in objects
        if (make := _MAKERS.get(f"{each['apiVersion'].partition('/')[0]} {each['kind']}"))
        for name, content in make(each, objects)
    ]
    return [secret(namespace, name, content) for namespace, name, content in made]


def standing_in(objects: Iterable[Object], namespace: str) -> list[Object]:
    """The Secrets that pods need: made of these objects by operators, or by hand where none is."""
    by_hand = [secret(namespace, name, content) for name, content in BY_HAND.items()]
    return secrets_of(objects) or by_hand


def secret(namespace: str, name: str, content: Mapping[str, str]) -> Object:
    """A Secret that holds this."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": dict(content),
    }


def _of_kafka(cluster: Object, _: list[Object]) -> _Secrets:
    name = cluster["metadata"]["name"]
    authority = {"ca.crt": _PEM, "ca.p12": "none", "ca.password": "none"}
    yield f"{name}-cluster-ca-cert", authority
    yield f"{name}-clients-ca-cert", authority


def _of_user(user: Object, objects: list[Object]) -> _Secrets:
    """Its Secret is called like the user, behind what the cluster says that all have in front."""
    name = user["metadata"]["name"]
    prefix = next(
        each["spec"]["entityOperator"]["userOperator"].get("secretPrefix", "")
        for each in objects
        if each["kind"] == "Kafka"
        and each["metadata"]["name"] == user["metadata"]["labels"]["strimzi.io/cluster"]
    )
    if user["spec"]["authentication"]["type"] == "scram-sha-512":
        login = f'ScramLoginModule required username="{name}" password="none";'
        yield f"{prefix}{name}", {"password": "none", "sasl.jaas.config": login}
    else:
        keys = ("ca.crt", "user.crt", "user.key", "user.p12", "user.password")
        yield f"{prefix}{name}", dict.fromkeys(keys, _PEM)


def _of_database(cluster: Object, _: list[Object]) -> _Secrets:
    name, namespace = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    initial = cluster["spec"]["bootstrap"]["initdb"]
    user, database, host = initial["owner"], initial["database"], f"{name}-rw"
    place = f"{host}.{namespace}:5432/{database}"
    yield (
        f"{name}-app",
        {
            "username": user,
            "user": user,
            "password": "none",
            "host": host,
            "port": "5432",
            "dbname": database,
            "pgpass": f"{host}:5432:{database}:{user}:none\n",
            "uri": f"postgresql://{user}:none@{place}",
            "jdbc-uri": f"jdbc:postgresql://{place}?password=none&user={user}",
        },
    )
    yield f"{name}-ca", {"ca.crt": _PEM, "ca.key": "none"}


def _of_store(external: Object, _: list[Object]) -> _Secrets:
    """What is named one by one; a whole entry of the store has what the Secret made by hand has."""
    spec = external["spec"]
    name = spec["target"]["name"]
    content = {each["secretKey"]: "none" for each in spec.get("data", ())}
    if "dataFrom" in spec:
        content |= BY_HAND.get(name, {})
    yield name, content


_MAKERS: Mapping[str, Callable[[Object, list[Object]], _Secrets]] = {
    "kafka.strimzi.io Kafka": _of_kafka,
    "kafka.strimzi.io KafkaUser": _of_user,
    "postgresql.cnpg.io Cluster": _of_database,
    "external-secrets.io ExternalSecret": _of_store,
}
