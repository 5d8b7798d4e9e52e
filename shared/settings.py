"""What every process is told by its environment; each service adds its own fields to these."""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.log.login import Login
from shared.tls import TlsFiles
from shared.tokens import KeyRing


class Settings(BaseSettings):
    """Read from AFTERWORD_* once, in `main`, and passed down; never changed."""

    model_config = SettingsConfigDict(env_prefix="AFTERWORD_", frozen=True, extra="ignore")

    log_url: str = Field(
        description="kafka://host:port[,host:port]?prefix=..., with TLS kafka+ssl://..., or sqlite:///directory"
    )
    kafka_username: str | None = Field(
        None, description="Logs in by SCRAM-SHA-512; over TLS, or on this machine"
    )
    kafka_password: SecretStr | None = Field(None, description="The password of kafka_username")
    kafka_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign a broker's certificate; the system's without it."
        " This and the next two are re-read when they change, for new connections",
    )
    kafka_certificate_file: Path | None = Field(
        None, description="PEM file of the certificate to show to brokers that ask for one (mTLS)"
    )
    kafka_key_file: Path | None = Field(
        None, description="PEM file of its private key, without a password"
    )
    database_url: str = Field(
        description="postgresql://user@host/database?sslmode=verify-full or sqlite:///directory"
    )
    database_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign the database's certificate, re-read when it changes;"
        " with it sslmode is verify-full unless the URL says verify-ca",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="The origin that customers' links start with"
    )
    access_file: Path = Field(
        description="YAML file of workspaces and hashed API keys, re-read when it changes"
    )
    token_keys: SecretStr | None = Field(
        None, description="Key ring of survey links, id:base64[,id:base64]; the first one signs"
    )
    token_keys_file: Path | None = Field(
        None,
        description="The key ring as a file, a key on each line, re-read when it changes; instead of token_keys",
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, description="Port to listen on", ge=0, le=65535)
    trusted_proxies: str = Field(
        "",
        description="Addresses or networks of the proxies in front, a comma between them: only their X-Forwarded-For"
        " says who the client is. None by default: the client is whoever connects",
    )
    metrics_port: int | None = Field(
        None, description="Port of /metrics; none without it", ge=0, le=65535
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    traces_url: str | None = Field(
        None,
        description="The OpenTelemetry collector, http://host:4318 (OTLP over HTTP; /v1/traces is added); without it"
        " no trace is recorded. Needs afterword[traces]",
    )
    traces_ratio: float = Field(
        0.01,
        description="Of the traces that begin here, how many are recorded, 0 to 1; one that came with a traceparent is"
        " recorded if that says so",
        ge=0,
        le=1,
    )
    grace_seconds: float = Field(
        25.0, description="How long a shutdown may take to finish what was accepted", gt=0
    )
    relay_lease_seconds: float = Field(
        20.0,
        description="How soon another replica publishes for one that died; more than a send to the log may take",
        gt=0,
    )
    allow_loopback: bool = Field(
        False, description="Development only: let webhooks go to this machine"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        """Each part must be an address or a network: a name would be compared as a text and never match."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        for part in parts:
            ip_network(part)
        return ",".join(parts)

    @field_validator("traces_url")
    @classmethod
    def _collector(cls, url: str | None) -> str | None:
        """Nothing but a place: what is logged of it must hold no password."""
        parts = urlsplit(url or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://host:port or https://host:port")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must hold no login, no ? and no #: a collector of yours knows them")
        return url or None

    @model_validator(mode="after")
    def _one_key_ring(self) -> "Settings":
        if (self.token_keys is None) == (self.token_keys_file is None):
            raise ValueError(
                "set one of AFTERWORD_TOKEN_KEYS_FILE and AFTERWORD_TOKEN_KEYS, the key ring of survey links"
                " (afterword access token-key makes a key)"
            )
        return self

    def log_login(self) -> Login:
        """Who this process is to Kafka."""
        files = (self.kafka_ca_file, self.kafka_certificate_file, self.kafka_key_file)
        return Login(self.kafka_username, self.kafka_password, TlsFiles("AFTERWORD_KAFKA", *files))

    def key_ring(self) -> KeyRing:
        """The keys of survey links. Raises `StartupError` for what is none."""
        if self.token_keys_file is not None:
            return KeyRing.load(self.token_keys_file)
        return KeyRing.parse(self.token_keys.get_secret_value() if self.token_keys else "")
