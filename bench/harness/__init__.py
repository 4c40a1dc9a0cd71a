"""Real recorders, as processes and in containers: what tests and measurements stand on."""
