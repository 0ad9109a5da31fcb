"""`python -m func_py`: the same as the `func-py` command."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # `-m` puts the current directory first: an app's own `click.py` would become ours.
        del sys.path[0]
    from func_py.cli import main

    main()
