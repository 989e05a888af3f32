"""TLS to the broker: the options of its URL, as kombu's transports want to have them.

The URL spells them as redis-py does, for RabbitMQ too: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`,
`ssl_cert_reqs` (required, optional, none), `ssl_check_hostname`. Certificates are checked if nothing is said:
kombu left to itself would take any.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from penstock_broker_config.sentinel import is_sentinel, sentinel_address
from penstock_plugins.errors import ConfigurationError

_CERT_REQS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
#: What py-amqp calls them.
_AMQP_NAMES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_PREFIX = "ssl_"


def broker_ssl(url: str) -> dict[str, Any] | bool:
    """What kombu's connection takes as `ssl`. False: the URL asks for no TLS.

    Raises:
        ConfigurationError: an option has no meaning.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if is_sentinel(url):
        address = sentinel_address(url)
        return {"ssl_cert_reqs": "required", **address.ssl} if address.tls else False
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith(_PREFIX)}
    if scheme == "rediss":
        checked = given.get("ssl_check_hostname", "true").lower() not in {"0", "f", "false", "n", "no"}
        return {"ssl_cert_reqs": "required", **given, "ssl_check_hostname": checked}
    if scheme == "amqps":
        return _for_amqp(given, parts.hostname or "")
    return False


def without_tls_options(url: str) -> str:
    """The URL without what `broker_ssl` says."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith(_PREFIX)]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def _for_amqp(given: dict[str, str], host: str) -> dict[str, Any]:
    unknown = given.keys() - _AMQP_NAMES.keys() - {"ssl_cert_reqs", "ssl_check_hostname"}
    reqs = given.get("ssl_cert_reqs", "required")
    if unknown or reqs not in _CERT_REQS:
        wrong = ", ".join(f"{name}={given[name]}" for name in sorted(unknown)) or f"ssl_cert_reqs={reqs}"
        raise ConfigurationError(
            f"The broker's URL has an option of TLS that amqps:// does not know: {wrong}"
        )
    options: dict[str, Any] = {
        _AMQP_NAMES[name]: value for name, value in given.items() if name in _AMQP_NAMES
    }
    options["cert_reqs"] = _CERT_REQS[reqs]
    # py-amqp checks the name exactly when it is told one.
    if given.get("ssl_check_hostname", "true").lower() == "true" and reqs == "required":
        options["server_hostname"] = host
    return options
