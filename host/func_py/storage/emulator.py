"""The emulator of Azure Storage, as connection strings know it."""

from __future__ import annotations

EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Of the account `devstoreaccount1` of every emulator; it is public."""

EMULATOR_PORTS = {"Blob": 10000, "Queue": 10001, "Table": 10002}


def connection_string(text: str) -> str:
    """A connection string in the form that the SDK's clients understand.

    `UseDevelopmentStorage=true` is written out; the host may be another one, after
    `DevelopmentStorageProxyUri=`.
    """
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";") if part.strip())
    given = {key.lower(): value for key, value in parts.items()}
    if given.get("usedevelopmentstorage", "").lower() != "true":
        return text
    host = given.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
    endpoints = "".join(
        f"{service}Endpoint={host}:{port}/devstoreaccount1;"
        for service, port in EMULATOR_PORTS.items()
    )
    return (
        f"DefaultEndpointsProtocol={host.partition(':')[0]};AccountName=devstoreaccount1;"
        f"AccountKey={EMULATOR_KEY};{endpoints}"
    )


def is_emulator(url: str) -> bool:
    """Whether the URL of a service is one of an emulator."""
    return "/devstoreaccount1" in url
