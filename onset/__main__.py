"""``python -m onset``: the command line."""

from onset.command_line import main

if __name__ == "__main__":
    main()
