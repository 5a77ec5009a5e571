"""The Ray edge of the agent: RLlib's DQN with our module, learner, environment runner and replay."""
