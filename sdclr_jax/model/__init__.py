"""Backbones, heads and normalisation."""
