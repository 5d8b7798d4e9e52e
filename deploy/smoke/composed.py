"""deploy/compose.yaml as it runs on this machine under a name of its own, and what Docker Compose is told for that."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy import programs
from deploy.claims import Failed
from deploy.cluster.kubectl import Object
from deploy.local.ports import free_port
from deploy.programs import Answer
from deploy.smoke.engine import Engine
from deploy.smoke.ground import files_of, make_files
from deploy.smoke.journey import Journey

FILE = Path(__file__).parents[1] / "compose.yaml"
PROJECT = "afterword-smoke"
LISTENING_PORT = 9100
_HEX_PASSWORD = "5f" * 24  # for a database that nobody else reaches, and that is removed
# The receiver of webhooks has alerting's network.
_ALSO = {"services": {"alerting": {"environment": {"AFTERWORD_ALLOW_LOOPBACK": "true"}}}}


@dataclass(frozen=True)
class Composed:
    """How it is spoken to: by Compose with settings in a file, by the engine, and at its origin with a key."""

    engine: Engine
    compose: Sequence[str]
    directory: Path
    settings: Mapping[str, str]
    key: str

    @property
    def origin(self) -> str:
        return self.settings["AFTERWORD_PUBLIC_URL"]

    def living(self) -> list[str]:
        """The services that the file means to run on."""
        return [name for name, each in model().items() if "disable" not in each["healthcheck"]]

    def preparing(self) -> list[str]:
        """Those that end."""
        return [name for name in model() if name not in self.living()]

    def ours(self) -> list[str]:
        """The living ones of our image."""
        return [name for name in self.living() if "AFTERWORD_IMAGE" in model()[name]["image"]]

    def run(self, *arguments: str, given: str | None = None, without: str | None = None) -> Answer:
        """Run Compose, with a setting left unsaid where one is named."""
        said = "".join(f"{n}={v}\n" for n, v in self.settings.items() if n != without)
        (self.directory / ".env").write_text(said)
        return programs.run(*self._command(), *arguments, given=given, env=self._environment())

    def must(self, *arguments: str, given: str | None = None) -> Answer:
        """Run Compose; `Failed` with its words when it does not succeed."""
        answer = self.run(*arguments, given=given)
        if answer.code:
            raise Failed(f"{' '.join(arguments)}: {answer.err.strip()[-1500:]}")
        return answer

    def containers(self) -> dict[str, Object]:
        """What the engine knows of each container, by its service."""
        label = "com.docker.compose"
        found = self.engine.containers(f"{label}.project={PROJECT}")
        return {each["Config"]["Labels"][f"{label}.service"]: each for each in found}

    def journey(self) -> Journey:
        """A purchase that is told to a receiver beside alerting."""
        return Journey(self.origin, self.key, self.directory, LISTENING_PORT, self._listen)

    def _listen(self, journey: Journey) -> "Neighbour":
        beside = self.containers()["alerting"]["Id"]
        return Neighbour(self.engine, beside, self.settings["AFTERWORD_IMAGE"], journey.key)

    def _command(self) -> tuple[str, ...]:
        also = self.directory / "also.yaml"
        also.write_text(yaml.safe_dump(_ALSO))
        files = ("--file", str(FILE), "--file", str(also))
        return (
            *self.compose,
            *("--project-name", PROJECT, *files, "--env-file", str(self.directory / ".env")),
        )

    def _environment(self) -> dict[str, str]:
        """Without what would come before the file."""
        return {n: v for n, v in self.engine.environment.items() if n not in self.settings}


def model() -> dict[str, Object]:
    """What the file says of each service."""
    services: dict[str, Object] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return services


class Neighbour:
    """`afterword listen` in a container that has another one's network."""

    def __init__(self, engine: Engine, beside: str, image: str, key: str) -> None:
        self._engine = engine
        settings = ("--env=AFTERWORD_URL=http://origin:8000", f"--env=AFTERWORD_API_KEY={key}")
        command = ("listen", "--json", "--port", str(LISTENING_PORT))
        self._id = engine.must(
            "run", "--detach", f"--network=container:{beside}", *settings, image, *command
        ).strip()
        programs.wait_for(lambda: "listening on" in self.said or None, "the listener", 30.0)

    @property
    def said(self) -> str:
        return self._engine.logs(self._id)

    def end(self, how: signal.Signals) -> None:
        self._engine.run("rm", "--force", self._id)


@contextmanager
def composed(
    engine: Engine, compose: Sequence[str], image: str, directory: Path
) -> Iterator[Composed]:
    """Ready to be started; containers, networks and volumes are gone afterwards. `Failed` where there are some before."""
    port = free_port()
    settings = {
        "AFTERWORD_IMAGE": image,
        "AFTERWORD_FILES": str(files_of(directory)),
        "AFTERWORD_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "AFTERWORD_PORT": str(port),
        "POSTGRES_PASSWORD": _HEX_PASSWORD,
    }
    system = Composed(engine, compose, directory, settings, make_files(directory))
    if system.containers():
        raise Failed(f"there are containers of the project {PROJECT} already: remove them first")
    try:
        yield system
    finally:
        system.run("down", "--volumes", "--timeout", "5")
