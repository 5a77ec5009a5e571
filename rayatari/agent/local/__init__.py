"""The agent learned in one process without Ray, with the replay memory on the learner's device."""
