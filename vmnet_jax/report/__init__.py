"""The results of an evaluation as text, tables and charts."""
