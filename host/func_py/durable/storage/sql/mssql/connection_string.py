"""Connection strings as .NET programs write them, in the words of the driver."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DEFAULT_CONNECT_TIMEOUT_S = 15

_PAIR = re.compile(
    r"""
    [\s;]* (?P<key>[^=;]+?) \s*=\s*
    (?: "(?P<double>(?:[^"]|"")*)" | '(?P<single>(?:[^']|'')*)' | \{(?P<braced>(?:[^}]|\}\})*)\}
      | (?P<plain>[^;]*) )
    \s* (?:;|$)
    """,
    re.VERBOSE,
)

_YES = frozenset({"true", "yes", "sspi", "1"})
_NO = frozenset({"false", "no", "0"})


def _text(value: str) -> str:
    return value


def _truth(value: str) -> str:
    word = value.strip().lower()
    return "yes" if word in _YES else "no" if word in _NO else value


def _authentication(value: str) -> str:
    word = value.replace(" ", "")
    return "ActiveDirectoryMSI" if word.lower() == "activedirectorymanagedidentity" else word


_KEYS: dict[str, tuple[str, Callable[[str], str]]] = {
    **dict.fromkeys(
        ("server", "datasource", "address", "addr", "networkaddress"), ("Server", _text)
    ),
    **dict.fromkeys(("database", "initialcatalog"), ("Database", _text)),
    **dict.fromkeys(("userid", "user", "username", "uid"), ("UID", _text)),
    **dict.fromkeys(("password", "pwd"), ("PWD", _text)),
    **dict.fromkeys(("integratedsecurity", "trustedconnection"), ("Trusted_Connection", _truth)),
    "authentication": ("Authentication", _authentication),
    "encrypt": ("Encrypt", _truth),
    "trustservercertificate": ("TrustServerCertificate", _truth),
    "hostnameincertificate": ("HostnameInCertificate", _text),
    "servercertificate": ("ServerCertificate", _text),
    "serverspn": ("ServerSPN", _text),
    "multisubnetfailover": ("MultiSubnetFailover", _truth),
    "applicationintent": ("ApplicationIntent", _text),
    "connectretrycount": ("ConnectRetryCount", _text),
    "connectretryinterval": ("ConnectRetryInterval", _text),
    "keepalive": ("KeepAlive", _text),
    "keepaliveinterval": ("KeepAliveInterval", _text),
    "ipaddresspreference": ("IpAddressPreference", _text),
    "packetsize": ("PacketSize", _text),
}
"""A word of .NET or ODBC, without blanks and underscores → the driver's word, how to write it."""

_TIMEOUT = frozenset({"connecttimeout", "connectiontimeout", "timeout"})

_WITHOUT_EFFECT = frozenset(
    re.findall(
        r"\w+",
        """
    app applicationname asynchronousprocessing columnencryptionsetting commandtimeout
    connectionlifetime connectionreset currentlanguage driver enlist failoverpartner language
    loadbalancetimeout maxpoolsize minpoolsize multipleactiveresultsets networklibrary
    persistsecurityinfo poolblockingperiod pooling replication transactionbinding
    typesystemversion userinstance workstationid wsid
    """,
    )
)
"""What speaks of the .NET client, of its pool for example."""


class BadConnectionString(ValueError):
    """Says what is wrong, and never a value: one of them is the password."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and as whom."""

    keywords: dict[str, str]
    """The driver's words → values."""
    connect_timeout_s: int = DEFAULT_CONNECT_TIMEOUT_S

    @property
    def server(self) -> str:
        """Host, and port or instance, as they were given."""
        return self.keywords["Server"]

    @property
    def database(self) -> str:
        """Empty: the login's own."""
        return self.keywords.get("Database", "")

    @property
    def text(self) -> str:
        """The connection string of the driver."""
        return "".join(f"{key}={_braced(value)};" for key, value in self.keywords.items())

    def of_database(self, database: str) -> Target:
        """The same server, another database."""
        return Target({**self.keywords, "Database": database}, self.connect_timeout_s)


def parse_connection_string(text: str) -> Target:
    """Read a connection string; of a word that comes twice the last one counts, as in .NET.

    Raises:
        BadConnectionString: It has another form, a word that is not known, or no server.
    """
    keywords: dict[str, str] = {}
    timeout_s = DEFAULT_CONNECT_TIMEOUT_S
    for key, value in _pairs(text):
        word = re.sub(r"[\s_]", "", key).lower()
        if word in _KEYS:
            name, spell = _KEYS[word]
            if value:
                keywords[name] = spell(value)
        elif word in _TIMEOUT:
            if not value.isdecimal():
                raise BadConnectionString(f"'{key}' is no number of seconds")
            timeout_s = int(value)
        elif word not in _WITHOUT_EFFECT:
            raise BadConnectionString(_unknown(key, word))
    if "Server" not in keywords:
        raise BadConnectionString("it names no Server")
    if keywords.get("Authentication", "").lower() == "sqlpassword":
        del keywords["Authentication"]
    return Target(keywords, timeout_s)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip("; \t\r\n")
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise BadConnectionString("it does not consist of 'word=value' pairs with ';' between")
        at = match.end()
        if match["double"] is not None:
            value = match["double"].replace('""', '"')
        elif match["single"] is not None:
            value = match["single"].replace("''", "'")
        elif match["braced"] is not None:
            value = match["braced"].replace("}}", "}")
        else:
            value = match["plain"].strip()
        yield match["key"], value


def _unknown(key: str, word: str) -> str:
    near = difflib.get_close_matches(word, [*_KEYS, *_TIMEOUT, *_WITHOUT_EFFECT], n=1, cutoff=0.75)
    meant = f". Did you mean '{near[0]}'? Blanks and case do not matter" if near else ""
    return f"the word '{key}' is not known{meant}"


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"
