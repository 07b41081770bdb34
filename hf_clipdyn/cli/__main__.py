"""`python -m hf_clipdyn.cli` is `clipdyn`."""

from hf_clipdyn.cli import main

if __name__ == "__main__":
    main()
