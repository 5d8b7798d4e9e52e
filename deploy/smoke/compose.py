"""Runs deploy/compose.yaml for real, as docs/operate/compose.md says, and follows a purchase to its alert.

With Docker it needs `--image`, and pulls what is named of others. With podman (and buildah, runc, iptables, aardvark-dns,
and a Docker Compose 2 named by `--compose`) it builds the image; `--stand-ins` builds what stands in for the images of
Kafka and PostgreSQL. It leaves no container, network or volume; images stay.
"""

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from deploy.claims import Failed, in_order
from deploy.local.process import MissingPart, StartFailed, interruptible
from deploy.smoke import compose_claims, journey
from deploy.smoke.composed import PROJECT, Composed, composed, model
from deploy.smoke.engine import Engine
from deploy.smoke.image import build
from deploy.smoke.podman import Podman
from deploy.smoke.podman_socket import served
from deploy.smoke.standing_in import standing_in


def main() -> None:
    """Show each claim; exit 1 when one does not hold."""
    options = _options()
    held = False
    try:
        with (
            interruptible(),
            tempfile.TemporaryDirectory(prefix="afterword-smoke-") as directory,
            ExitStack() as stack,
        ):
            engine, image = _engine(Path(directory), options, stack)
            compose = shlex.split(options.compose)
            with composed(engine, compose, image, Path(directory)) as system:
                held = _check(system)
    except (Failed, MissingPart, StartFailed) as what:
        sys.exit(str(what))
    sys.exit(0 if held else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.smoke.compose", description=__doc__)
    parser.add_argument("--podman", action="store_true", help="podman, even where Docker is")
    parser.add_argument("--compose", default="docker compose", help="Docker Compose 2")
    parser.add_argument("--image", help="The image to run, instead of one that is built")
    parser.add_argument("--base", help="The image to build on, which can be pulled or is here")
    parser.add_argument("--stand-ins", action="store_true", help="Images of others, built here")
    return parser.parse_args()


def _engine(directory: Path, options: argparse.Namespace, stack: ExitStack) -> tuple[Engine, str]:
    if shutil.which("docker") and not options.podman:
        if not options.image or options.stand_ins:
            raise Failed("with Docker, name what `make image` has built: --image afterword:0.1.0")
        return Engine("docker", os.environ), options.image
    podman = Podman(directory)
    image = options.image or build(podman, options.base)
    if options.stand_ins:
        images = sorted(each["image"] for each in model().values() if "$" not in each["image"])
        stack.enter_context(standing_in(podman, images))
    label = f"com.docker.compose.project={PROJECT}"
    return stack.enter_context(served(podman, directory, label)), image


def _check(system: Composed) -> bool:
    if not in_order(compose_claims.CLAIMS_AT_START, system):
        return False
    purchase = system.journey()
    try:
        if not in_order(journey.CLAIMS, purchase):
            return False
    finally:
        purchase.close()
    return in_order(compose_claims.CLAIMS_AT_END, system)


if __name__ == "__main__":
    main()
