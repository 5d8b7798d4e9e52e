"""docker or podman as functions: run it, and look into its containers."""

import json
from collections.abc import Mapping

from deploy import programs
from deploy.cluster.kubectl import Object
from deploy.programs import Answer


class Engine:
    """A container engine by the name of its program, and what its environment says."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self.program = program
        self.environment = dict(environment)

    def run(self, *arguments: str, given: str | None = None) -> Answer:
        """Run it, whatever comes of it."""
        return programs.run(self.program, *arguments, given=given, env=self.environment)

    def must(self, *arguments: str, given: str | None = None) -> str:
        """What it says; `Failed` with its words when it does not succeed."""
        return programs.must(self.program, *arguments, given=given, env=self.environment).out

    def has_image(self, name: str) -> bool:
        return self.run("image", "inspect", name).code == 0

    def containers(self, *labels: str) -> list[Object]:
        """What is known of each container with these labels but those that only hold a pod together."""
        filters = [f"--filter=label={label}" for label in labels]
        names = self.must("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        found: list[Object] = json.loads(self.must("inspect", *names)) if names else []
        return [each for each in found if not each.get("IsInfra")]

    def logs(self, container: str) -> str:
        """All that it has said."""
        answer = self.run("logs", container)
        return answer.out + answer.err

    def read(self, container: str, path: str) -> str:
        """A file as the container sees it."""
        return self.must("exec", container, "cat", path)
