"""One-ring attention: the public function with a plain reference (`api`), and the form for XLA (`xla`)."""
