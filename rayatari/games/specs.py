"""The seven games of the DQN paper (Mnih et al., 2013)."""

from rayatari.games.spec import DEFAULT_KEYMAP, GameSpec
SPECS = {n: GameSpec(n, n.title().replace("_",""), (), ()) for n in "breakout pong enduro beam_rider qbert seaquest space_invaders".split()}
