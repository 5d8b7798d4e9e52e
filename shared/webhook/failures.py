"""Says what went wrong with a call in words for the endpoint's owner."""

import os
import ssl

import aiohttp

from shared.errors import AfterwordError

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the host name could not be resolved"),
    (aiohttp.ClientSSLError, "the TLS connection could not be made"),
    (aiohttp.ServerDisconnectedError, "the receiver hung up without an answer"),
    (aiohttp.ClientPayloadError, "the answer broke off"),
    (aiohttp.ClientResponseError, "the answer was not valid HTTP"),
)


class ForbiddenAddress(OSError):
    """The connection would have left the public internet; the text does not tell where it would go."""


def sentence(failure: Exception) -> str:
    """The reason of a failed call, without any address of our network and without the URL.

    Either could be a secret: what a name resolves to inside, a token in the path.
    """
    cause = failure
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        cause = failure.certificate_error
    elif isinstance(failure, aiohttp.ClientConnectorError):
        cause = failure.os_error
    if isinstance(cause, ForbiddenAddress | AfterwordError):
        return str(cause)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {cause.verify_message}"
    for kind, text in _SENTENCES:
        if isinstance(failure, kind):
            return text
    if isinstance(cause, OSError):
        reason = os.strerror(cause.errno).lower() if cause.errno else "unknown reason"
        return f"the connection failed: {reason}"
    return "the request could not be made with this URL and these headers"
