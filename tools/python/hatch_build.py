"""Build hook of h5augur: compiles the HDF5 plugin with cargo and puts it into the wheel.

In the repository the Rust crates lie two directories up; a source distribution carries copies of
them under `rust/`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CRATES = ("core", "filter", "h5-plugin")


class PluginBuildHook(BuildHookInterface):
    """Adds the compiled plugin to wheels, and the crates that it is made of to source distributions."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds the target."""
        sources = self._sources()
        if self.target_name == "sdist":
            self._carry_sources(sources, build_data)
            return
        plugin = self._compile(sources)
        include = "force_include_editable" if version == "editable" else "force_include"
        build_data[include][str(plugin)] = f"h5augur/plugins/{plugin.name}"
        if version == "editable":  # the package is imported from the source tree
            target = Path(self.root, "src", "h5augur", "plugins")
            target.mkdir(exist_ok=True)
            shutil.copy2(plugin, target / plugin.name)
        build_data["pure_python"] = False
        platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
        build_data["tag"] = f"py3-none-{platform}"

    def _sources(self) -> Path:
        """The cargo workspace: the repository, or the copy in a source distribution."""
        for workspace in (Path(self.root, "rust"), Path(self.root).resolve().parents[1]):
            if (workspace / "h5-plugin" / "Cargo.toml").is_file():
                return workspace
        raise SystemExit(
            "h5augur: the Rust sources of the plugin are missing. Install from a checkout of the whole "
            "repository (pip install ./tools/python) or from a source distribution that carries rust/."
        )

    def _compile(self, workspace: Path) -> Path:
        """Builds the plugin and returns the file that cargo says it made."""
        cargo = os.environ.get("CARGO") or shutil.which("cargo") or shutil.which("cargo", path=Path.home() / ".cargo/bin")
        if not cargo:
            raise SystemExit(
                "h5augur: cargo was not found. The plugin is compiled from Rust; install Rust 1.89 or newer "
                "(https://rustup.rs), see that `cargo --version` works in this shell, and run pip again."
            )
        command = [cargo, "build", "--release", "--lib", "--message-format=json-render-diagnostics"]
        command += ["--manifest-path", str(workspace / "h5-plugin" / "Cargo.toml")]
        self.app.display_info("h5augur: " + " ".join(command))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit(f"h5augur: cargo failed with exit status {done.returncode}; its messages are above.")
        for line in reversed(done.stdout.splitlines()):
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("reason") == "compiler-artifact" and "cdylib" in message["target"]["kind"]:
                for name in message["filenames"]:
                    if name.endswith((".so", ".dylib", ".dll")):
                        return Path(name)
        raise SystemExit("h5augur: cargo built no shared library from h5-plugin; its Cargo.toml must have a cdylib target.")

    def _carry_sources(self, workspace: Path, build_data: dict[str, Any]) -> None:
        """Puts the crates under rust/, with a workspace manifest that names only them."""
        include = build_data["force_include"]
        for crate in CRATES:
            for file in sorted((workspace / crate).rglob("*")):
                parts = file.relative_to(workspace).parts
                if file.is_file() and not {"target", "fuzz"} & set(parts):
                    include[str(file)] = "/".join(("rust", *parts))
        include[str(workspace / "Cargo.lock")] = "rust/Cargo.lock"
        members = ", ".join(f'"{crate}"' for crate in CRATES)
        text = (workspace / "Cargo.toml").read_text(encoding="utf-8")
        text, replaced = re.subn(r"(?ms)^members\s*=\s*\[.*?\]", f"members = [{members}]", text)
        if replaced != 1:
            raise SystemExit(f"h5augur: {workspace / 'Cargo.toml'} has no list of workspace members.")
        self._temporary = tempfile.TemporaryDirectory()
        manifest = Path(self._temporary.name, "Cargo.toml")
        manifest.write_text(text, encoding="utf-8")
        include[str(manifest)] = "rust/Cargo.toml"
