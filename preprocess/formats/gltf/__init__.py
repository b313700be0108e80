"""Binary glTF 2.0 (GLB) files."""
