"""``python -m h5augur``: prints the directory of the plugin, for HDF5_PLUGIN_PATH.

.. code-block:: sh

    export HDF5_PLUGIN_PATH=$(python -m h5augur)
"""

from __future__ import annotations

import argparse

from . import PLUGIN_PATH, version


def main() -> None:
    """Prints the plugin's directory."""
    parser = argparse.ArgumentParser(
        prog="python -m h5augur",
        description="Prints the directory of the Augur HDF5 plugin: export HDF5_PLUGIN_PATH=$(python -m h5augur)",
    )
    parser.add_argument("--version", action="version", version=f"h5augur {version}")
    parser.parse_args()
    print(PLUGIN_PATH)


if __name__ == "__main__":
    main()
