"""Executes the notebooks of this folder on the outputs of some runs.

    python notebooks/run.py [OUTPUTS]

Says SKIPPED and ends well where Jupyter, polars or matplotlib is missing; ends with 1 where a cell
fails. Nothing is written: the notebooks stay as they are.
"""

import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ["nbclient", "nbformat", "ipykernel", "polars", "matplotlib"]


def main() -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"SKIPPED: missing {', '.join(missing)}; pip install {' '.join(missing)}")
        return 0
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    folder = Path(__file__).resolve().parent
    outputs = Path(sys.argv[1]) if len(sys.argv) > 1 else folder.parent / "outputs"
    os.environ["PIFI_OUTPUTS"] = str(outputs.resolve())
    os.environ.setdefault("MPLBACKEND", "agg")
    failed = 0
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
        try:
            client.execute()
            print(f"ok: {path.name}")
        except CellExecutionError as error:
            failed += 1
            print(f"FAILED: {path.name}\n{error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
