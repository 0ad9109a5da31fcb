"""The child process: loads the app and serves it. The only place that wires objects together."""
