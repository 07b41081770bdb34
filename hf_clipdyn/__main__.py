"""`python -m hf_clipdyn` is `clipdyn`."""

from hf_clipdyn.cli import main

if __name__ == "__main__":
    main()
