"""`python -m gradbench` is the `gradbench` command."""

from gradbench.cli.main import main

if __name__ == "__main__":
    main()
