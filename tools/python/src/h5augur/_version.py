"""Version of the package; the plugin that it carries has the same."""

version = "0.1.0"
