"""Pictures and pages of coloured meshes."""
