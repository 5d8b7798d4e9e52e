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
    base = base or _debian(podman)
    print(f"Building {IMAGE} on {base} ...", flush=True)
    command = ("make", "-C", str(_ROOT), "image", "BUILDER=buildah")
    programs.must(*command, f"IMAGE={IMAGE}", f"BASE={base}", env=podman.environment)
    return IMAGE


def _debian(podman: Podman) -> str:
    """The smallest Debian with a Python, by the very packages and mirrors that this machine has its own from."""
    about = platform.freedesktop_os_release()
    if about["ID"] != "debian":
        raise Failed("this is no Debian: name an image with the Python of .venv, as BASE=...")
    name = f"{BASE}:{about['VERSION_CODENAME']}"
    if not podman.has_image(name):
        if shutil.which("mmdebstrap") is None:
            raise MissingPart("mmdebstrap, which makes a base: install it, or name a base")
        print(f"Making {name} of Debian's packages (once, minutes) ...", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            archive = f"{directory}/base.tar"
            programs.must(
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}"),
                *(about["VERSION_CODENAME"], archive),
            )
            podman.must("import", archive, name)
    return name
