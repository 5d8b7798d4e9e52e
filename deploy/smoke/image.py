"""Builds the image as `make image` does, on a base of this machine's own Debian where no other is named."""

import platform
import shutil
import tempfile
from pathlib import Path

from deploy import programs
from deploy.claims import Failed
from deploy.local.process import MissingPart
from deploy.smoke.podman import Podman

BASE = "localhost/afterword-base"
IMAGE = "localhost/afterword:dev"
"""What the dev overlay runs."""

_PACKAGES = "python3,python3-venv,ca-certificates"
_ROOT = Path(__file__).parents[2]


def build(podman: Podman, base: str | None) -> str:
    """The name of the image, built on this base, or on one of Debian's packages that is made once."""
    base = base or debian(podman, BASE, _PACKAGES)
    print(f"Building {IMAGE} on {base} ...", flush=True)
    command = ("make", "-C", str(_ROOT), "image", "BUILDER=buildah")
    programs.must(*command, f"IMAGE={IMAGE}", f"BASE={base}", env=podman.environment)
    return IMAGE


def debian(podman: Podman, base: str, packages: str) -> str:
    """The smallest Debian with these packages, by the very mirrors that this machine has its own from; made once."""
    about = platform.freedesktop_os_release()
    if about["ID"] != "debian":
        raise Failed(f"this is no Debian: {base} cannot be made; name an image with BASE=...")
    name = f"{base}:{about['VERSION_CODENAME']}"
    if not podman.has_image(name):
        if shutil.which("mmdebstrap") is None:
            raise MissingPart("mmdebstrap, which makes a base: install it, or name a base")
        print(f"Making {name} of Debian's packages (once, minutes) ...", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            archive = f"{directory}/base.tar"
            programs.must(
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}"),
                *(about["VERSION_CODENAME"], archive),
            )
            podman.must("import", archive, name)
    return name
