"""`python -m services.cli.ready`: whether the process of this container is ready, for a container engine's health check.

Nothing but Python's own is imported, for it is asked every few seconds; no proxy of the environment stands in between.
"""

import http.client
import os
import sys

SECONDS = 3.0


def is_ready(port: int) -> bool:
    """What `/health/ready` of this machine's port says; False where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(os.environ["AFTERWORD_PORT"])) else 1)
