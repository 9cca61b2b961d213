"""Write the generated pages: ``python -m tests.docs.reference``."""

from tests.docs.reference import write

if __name__ == "__main__":
    for path in write():
        print(path)
