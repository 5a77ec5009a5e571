"""Training of the world model and the mapper: one loop, two backends, two stages."""
