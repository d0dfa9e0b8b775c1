"""`python -m app` is `attest`."""

from app.cli import main

if __name__ == "__main__":
    main()
