"""What a provider for signing in knows us by, from the settings. Who calls it is `app.accounts.provider`."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.errors import AttestError
from app.settings import Settings

DONE = "/sign-in/provider/done"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Registration:
    """What the provider knows us by. address: of this Attest, as browsers see it."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    address: str

    @property
    def redirect(self) -> str:
        return self.address.rstrip("/") + DONE


def registration(settings: Settings) -> Registration | None:
    """Of the settings; None if they name no issuer. Raises AttestError if they are not whole."""
    if not settings.oidc_issuer:
        return None
    secret = settings.oidc_client_secret
    if settings.oidc_client_secret_file:
        try:
            with open(settings.oidc_client_secret_file, encoding="utf-8") as file:
                secret = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AttestError(
                f"oidc_client_secret_file: {settings.oidc_client_secret_file} cannot be read; check it"
            ) from error
    if not settings.oidc_client_id or not secret or not settings.oidc_address:
        raise AttestError(
            "signing in at a provider takes oidc_client_id, oidc_client_secret (or oidc_client_secret_file) "
            "and oidc_address beside oidc_issuer; see docs/users.md"
        )
    for name, url in (("oidc_issuer", settings.oidc_issuer), ("oidc_address", settings.oidc_address)):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise AttestError(f"{name} is {url!r}; give an https address")
    return Registration(settings.oidc_issuer, settings.oidc_client_id, secret, settings.oidc_address)
