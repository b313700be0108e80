"""One-ring attention: the public function (`api`), a plain reference and the form for XLA."""
