"""The checked mesh: what is wrong with one, its units, its up axis, equal vertices."""
