"""World models, the neural game they make, and its Gymnasium environment."""
