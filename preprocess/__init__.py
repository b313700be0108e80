"""Meshes of any format in, scene files out."""

import pathlib

from trainlib.core.caches import prepare_caches

prepare_caches(pathlib.Path(__file__).parent)
