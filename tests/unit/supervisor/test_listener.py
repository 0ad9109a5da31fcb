"""The listening socket and the words for a port that cannot be had."""

from __future__ import annotations

import pytest

from func_py.errors import UserError
from func_py.supervisor.listener import base_url, open_listener


def test_port_zero_takes_a_free_one() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

        assert port > 0
        assert base_url(listener) == f"http://localhost:{port}"


def test_a_port_in_use_says_what_to_do() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(UserError) as raised:
            open_listener("127.0.0.1", port)

    assert str(raised.value) == (
        f"Port {port} is unavailable. Close the process using that port, "
        "or specify another port using --port [-p]."
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("example.org", "Invalid --address value 'example.org'. Expected an IP address"),
        ("192.0.2.1", "This machine has no address 192.0.2.1"),
    ],
)
def test_an_unusable_address_is_named(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_listener(address, 0)


def test_all_addresses_are_reached_as_localhost() -> None:
    with open_listener("0.0.0.0", 0) as listener:
        assert base_url(listener).startswith("http://localhost:")
