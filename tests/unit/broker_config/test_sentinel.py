"""Sentinel URLs: what they say, and what is refused in words."""

from __future__ import annotations

import pytest

from penstock_broker_config.sentinel import kombu_options, sentinel_address
from penstock_broker_config.tls import broker_ssl
from penstock_broker_config.urls import check_broker_url, redacted
from penstock_plugins.errors import ConfigurationError

FULL = (
    "sentinels://me:s%40cret@a:7001,[::1],c/main/3?ssl_ca_certs=ca.pem&ssl_check_hostname=false"
    "&sentinel_username=asker&sentinel_password=hush&socket_timeout=7"
)


def test_all_parts_are_read() -> None:
    """Credentials of the master and of the sentinels are apart; TLS is for both."""
    address = sentinel_address(FULL)

    assert address.hosts == (("a", 7001), ("::1", 26379), ("c", 26379))
    assert (address.service, address.db, address.tls) == ("main", 3, True)
    assert address.options == {
        "username": "me",
        "password": "s@cret",
        "ssl_ca_certs": "ca.pem",
        "ssl_check_hostname": False,
        "socket_timeout": 7.0,
    }
    assert address.sentinel_options["username"] == "asker"
    assert address.sentinel_options["password"] == "hush"  # noqa: S105  # of a test
    assert address.sentinel_options["ssl_ca_certs"] == "ca.pem"


def test_kombu_is_told_the_same() -> None:
    """The service and TLS go beside kombu's URL."""
    assert kombu_options(FULL)["master_name"] == "main"
    assert broker_ssl(FULL) == {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": "ca.pem",
        "ssl_check_hostname": False,
    }
    assert broker_ssl("sentinel://a/main") is False


@pytest.mark.parametrize(
    "url", ["sentinel://a:26379", "sentinel:///main", "sentinel://a/main/x", "sentinel://a:b/main"]
)
def test_what_says_too_little_is_refused_in_words(url: str) -> None:
    """At the start, not when the first call is made."""
    with pytest.raises(ConfigurationError, match="Sentinel URL"):
        check_broker_url(url)


@pytest.mark.parametrize("option", ["ssl_ciphers=x", "ssl_cert_reqs=perhaps"])
def test_an_option_that_amqps_does_not_know_is_refused(option: str) -> None:
    """It would otherwise be dropped without a word."""
    with pytest.raises(ConfigurationError, match=option):
        check_broker_url(f"amqps://h//?{option}")


def test_a_host_name_is_checked_unless_the_url_says_otherwise() -> None:
    """py-amqp checks it only when it is told one."""
    checked = broker_ssl("amqps://h//?ssl_ca_certs=ca.pem")
    unchecked = broker_ssl("amqps://h//?ssl_ca_certs=ca.pem&ssl_check_hostname=false")

    assert isinstance(checked, dict)
    assert isinstance(unchecked, dict)
    assert checked["server_hostname"] == "h"
    assert "server_hostname" not in unchecked


def test_no_password_reaches_a_message() -> None:
    """Neither the master's nor the sentinels'."""
    assert "s%40cret" not in redacted(FULL)
    assert "hush" not in redacted(FULL)
