"""The certificate that TLS listeners show, and whom they trust: followed, so that a change needs no restart."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprofile import ConfigurationError
from edgeprofile_sidecar.followed import Followed

if TYPE_CHECKING:
    from edgeprofile.config import SidecarConfig

__all__ = ["Certificates"]


class Certificates(Followed[None]):
    """``context`` is for the next connection: a new one after each change, since trust cannot be taken out of one.

    Raises `ConfigurationError` when a file is absent or unusable at first.
    """

    def __init__(self, config: SidecarConfig) -> None:
        self._config = config
        files = (config.certificate, config.certificate_key, config.client_authorities)
        super().__init__("certificate", [Path(file) for file in files if file], self._load)

    def _load(self) -> None:
        made = _context()
        _fill(made, self._config)
        self.context = made


def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made


def _fill(context: ssl.SSLContext, config: SidecarConfig) -> None:
    try:
        context.load_cert_chain(config.certificate, config.certificate_key or None, password=_no_password)
    except (OSError, ValueError) as reason:
        raise ConfigurationError(
            f'"{config.certificate}" cannot be used with its key: {_said(reason)}', option="sidecar.certificate"
        ) from None
    if not config.client_authorities:
        return
    try:
        context.load_verify_locations(config.client_authorities)
    except (OSError, ValueError) as reason:
        raise ConfigurationError(
            f'"{config.client_authorities}" cannot be used: {_said(reason)}', option="sidecar.clientAuthorities"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED


def _no_password() -> str:
    raise ValueError("its key is encrypted: there is nobody to ask for a password")


def _said(reason: Exception) -> str:
    return getattr(reason, "strerror", None) or str(reason).partition(" (_ssl.c")[0]
