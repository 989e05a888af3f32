"""Redis and RabbitMQ that speak TLS only, with certificates of a test's own authority."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from tests.support.certificates import Authority
from tests.support.ports import LOOPBACK, free_port
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer


class TlsRedisServer(RedisServer):
    """A Redis that takes clients with a certificate of the authority, and no others."""

    def __init__(
        self, folder: Path, authority: Authority, *, name: str = "tls-redis", shared: bool = False
    ) -> None:
        """Describe the server; nothing is started."""
        certificate, key = authority.certificate(name)
        self._client_options = client_options(authority)
        super().__init__(
            folder,
            durability="always",
            name=name,
            shared=shared,
            options=[
                *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
                *("--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "yes"),
            ],
        )
        # The port that it was given is TLS's.
        self.argv = (*self.argv, "--port", "0", "--tls-port", str(self.port))

    @property
    def url(self) -> str:
        """Where it listens, with all that a client needs."""
        return f"rediss://{LOOPBACK}:{self.port}/0?{self._client_options}"

    @property
    def bare_url(self) -> str:
        """The same, and nothing about whom to trust."""
        return f"rediss://{LOOPBACK}:{self.port}/0"


class TlsRabbitServer(RabbitServer):
    """A RabbitMQ that takes clients with a certificate of the authority on its TLS port."""

    def __init__(
        self, folder: Path, authority: Authority, *, name: str = "tls-rabbitmq", shared: bool = False
    ) -> None:
        """Describe the server; nothing is started."""
        certificate, key = authority.certificate(name)
        self.tls_port = free_port()
        self._client_options = client_options(authority)
        super().__init__(
            folder,
            name=name,
            shared=shared,
            settings=f"""\
listeners.ssl.1 = {LOOPBACK}:{self.tls_port}
ssl_options.cacertfile = {authority.ca}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
""",
        )

    @property
    def tls_url(self) -> str:
        """Where it listens, with all that a client needs."""
        return f"amqps://guest:guest@{LOOPBACK}:{self.tls_port}/%2F?{self._client_options}"


def client_options(authority: Authority) -> str:
    """The query of a URL: whom a client trusts, and who it is."""
    certificate, key = authority.certificate("client", names="DNS:client")
    return urlencode(
        {"ssl_ca_certs": str(authority.ca), "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    )
