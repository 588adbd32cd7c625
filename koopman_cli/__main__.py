"""``python -m koopman_cli`` is ``koopman``."""

from koopman_cli.cli import main

if __name__ == "__main__":
    main()
