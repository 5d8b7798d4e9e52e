"""Builds the image, plays the dev overlay's pods beside a real broker and a real database, and follows a purchase to its alert.

It needs podman, buildah, runc and kubectl, and the right to start containers; where no base is named, Debian and mmdebstrap.
It refuses a machine that has pods or a secret of ours, and leaves none; the image stays.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.claims import Failed, in_order
from deploy.local.ports import free_port
from deploy.local.process import MissingPart, StartFailed, interruptible
from deploy.smoke import journey, system
from deploy.smoke.ground import Ground, open_ground, origin_of, refuse_to_lose_anything, system_on
from deploy.smoke.image import build
from deploy.smoke.journey import Journey
from deploy.smoke.podman import Podman
from deploy.smoke.system import System

OVERLAY = "dev"


def main() -> None:
    """Show each claim; exit 1 when one does not hold."""
    options = _options()
    held = False
    try:
        with interruptible(), tempfile.TemporaryDirectory(prefix="afterword-smoke-") as directory:
            held = _check(Path(directory), options)
    except (Failed, MissingPart, StartFailed) as what:
        sys.exit(str(what))
    sys.exit(0 if held else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.smoke", description=__doc__)
    parser.add_argument("--base", help="The image to build on, which can be pulled or is here")
    parser.add_argument("--image", help="An image to play, instead of one that is built")
    return parser.parse_args()


def _check(directory: Path, options: argparse.Namespace) -> bool:
    if shutil.which("kubectl") is None:
        raise MissingPart("kubectl: .ci/kubectl.py")
    podman = Podman(directory)
    refuse_to_lose_anything(podman)
    image = options.image or build(podman, options.base)
    with open_ground(directory) as ground, system_on(ground, podman, OVERLAY, image) as pods:
        without = ", ".join(f"{n} {kind}" for kind, n in sorted(pods.played.left_out.items()))
        print(f"\n{OVERLAY}, as podman plays it; not given to it: {without}", flush=True)
        return in_order(system.CLAIMS_AT_START, pods) and _follow(ground, pods)


def _follow(ground: Ground, pods: System) -> bool:
    """Send the purchase on its way, and the pods to their end, whatever has become of it."""
    with origin_of(ground, pods.places):
        purchase = Journey(
            ground.origin, ground.key, ground.directory, free_port(), journey.listen_here
        )
        try:
            arrived = in_order(journey.CLAIMS, purchase)
        finally:
            purchase.close()
    return in_order(system.CLAIMS_AT_END, pods) and arrived
