"""Drive the user's orchestrator: history events in, decisions out. Pure: no I/O, no clock."""

from func_py.durable.replay.inputs import decode_start_input, encode_start_input
from func_py.durable.replay.muting import is_muted
from func_py.durable.replay.session import Session
from func_py.durable.replay.verify import RaisedInReplay, verify

__all__ = [
    "RaisedInReplay",
    "Session",
    "decode_start_input",
    "encode_start_input",
    "is_muted",
    "verify",
]
