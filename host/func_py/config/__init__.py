"""Configuration: host.json, local.settings.json and the environment as frozen, typed values.

Import from the submodules: the supervisor needs `local_settings` without what `host_json` imports.
"""
