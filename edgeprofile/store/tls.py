"""TLS as a destination is configured, and what its refusals mean."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeprofile.errors import ConfigurationError

if TYPE_CHECKING:
    from edgeprofile.config import RedisConfig

__all__ = ["Tls", "explained"]

_OURS: Final = "destinations.config.clientCertificate"


class Tls:
    """Makes contexts: one for all connections, until a file that it was made of changes. Construction does no I/O."""

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        self._made: tuple[Any, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Raises `ConfigurationError` for certificates that cannot be used."""
        version = self._version()
        made = self._made
        if made is None or made[0] != version:
            made = self._made = (version, self._make())
        return made[1]

    def _version(self) -> list[tuple[int, int, int]]:
        files = filter(None, (self._config.client_certificate, self._config.client_key))
        try:
            found = [Path(file).stat() for file in files]
        except OSError as error:
            raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}", option=_OURS) from error
        return [(each.st_mtime_ns, each.st_ino, each.st_size) for each in found]

    def _make(self) -> ssl.SSLContext:
        config = self._config
        context = self._trusting()
        if config.client_certificate:
            try:
                context.load_cert_chain(config.client_certificate, config.client_key or None, password=_no_passphrase)
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or error
                raise ConfigurationError(f"it cannot be used with its key: {reason}", option=_OURS) from error
        return context

    def _trusting(self) -> ssl.SSLContext:
        if self._config.skip_verify:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            return ssl.create_default_context(cadata=self._config.ca_certificate.strip() or None)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"it cannot be read: {error.reason}", option="destinations.config.caCertificate"
            ) from error


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted, and nobody is here to give its passphrase: store it without one")


_ABOUT_THEIRS: Final = {
    9: "its TLS certificate is not valid yet: is a clock wrong?",
    10: "its TLS certificate has expired: renew it on the server",
    23: "its TLS certificate was revoked",
    **dict.fromkeys(
        (2, 18, 19, 20, 21),
        "its TLS certificate comes from an authority that is not trusted here: "
        "put the authority's certificate into caCertificate",
    ),
    **dict.fromkeys((62, 64), "its TLS certificate is for another host: name the host as the certificate does"),
}
"""By OpenSSL's ``X509_V_ERR_…`` numbers."""

_ABOUT_OURS: Final = {
    "CERTIFICATE_REQUIRED": "it asks for a client certificate: set clientCertificate and clientKey",
    "HANDSHAKE_FAILURE": "it refused the TLS handshake: does it ask for a client certificate (clientCertificate)?",
    "ALERT_UNKNOWN_CA": "it does not trust the authority of our client certificate (clientCertificate)",
    "CERTIFICATE_EXPIRED": "our client certificate has expired: renew the file named by clientCertificate",
    "BAD_CERTIFICATE": "it does not accept our client certificate (clientCertificate)",
    "CERTIFICATE_UNKNOWN": "it does not accept our client certificate (clientCertificate)",
    "CERTIFICATE_REVOKED": "our client certificate was revoked (clientCertificate)",
    "UNSUPPORTED_CERTIFICATE": "it does not accept the kind of our client certificate (clientCertificate)",
}
"""By the end of OpenSSL's reason for an alert that the server sent."""


def explained(error: BaseException | None) -> str | None:
    """What a failure of TLS says about certificates, in words that name the option to change; `None`: nothing."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _ABOUT_THEIRS.get(error.verify_code)
        detail = f" ({error.verify_message.rstrip('.')})"
        return known + detail if known else f"its TLS certificate is not accepted{detail}"
    if not isinstance(error, ssl.SSLError) or not error.reason:
        return None
    return next((words for end, words in _ABOUT_OURS.items() if error.reason.endswith(end)), None)
