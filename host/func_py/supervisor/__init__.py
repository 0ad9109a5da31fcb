"""The parent process: the listening socket, the child that runs the app, restarts and shutdown.

Never imports what runs in the child; it knows the child's entry point by name only.
"""
