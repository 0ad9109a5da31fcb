"""Drive the user's orchestrator: history events in, decisions out. Pure: no I/O, no clock."""
