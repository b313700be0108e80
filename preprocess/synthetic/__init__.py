"""Synthetic rooms: plans, furniture, surfaces and what a scanner does to them."""
