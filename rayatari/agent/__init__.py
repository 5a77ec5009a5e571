"""The agent: a deep Q-network trained with RLlib, and a policy that plays without it."""
