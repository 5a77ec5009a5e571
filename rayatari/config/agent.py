"""Settings of ``rayatari train-agent``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AgentConfig:
    """Deep Q-learning (Mnih et al., 2015) with the extensions that can be switched here.

    The defaults are what learns fastest by the clock on two cores (docs/agents.md).

    A step is one environment step, ``emulator.frame_skip`` frames of one game.
    """

    backend: Literal["ray", "local"] = "ray"
    """``ray``: RLlib's runners and learners. ``local``: one process without Ray, made for a GPU, with the
    replay memory on it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the local backend learns; ``auto`` takes a GPU when there is one."""
    steps: int = 5_000_000
    """Environment steps to train for, all games together."""
    minutes: float = 0.0
    """Wall-clock minutes after which training ends even so, evaluations included; 0 is no limit."""
    start_from: str = ""
    """Policy bundle that training begins from, a folder, or ``shipped`` for the game's own in the package;
    empty begins untrained. The network's settings must be the bundle's."""
    learning_starts: int = 5_000
    """Frames in the replay memory before the first update."""
    train_every: float = 4.0
    """Environment steps per update."""
    batch_size: int = 32
    """Transitions per update."""
    lr: float = 3e-4
    """Learning rate of Adam."""
    lr_final: float = 1.0
    """Share of the learning rate that is left at the end, where it moves linearly."""
    averaging: float = 0.0
    """Decay, by update, of the exponential moving average of the weights, which is then what is evaluated and
    kept; 0 keeps the last ones."""
    adam_epsilon: float = 1.5e-4
    """Adam's epsilon (Hessel et al., 2018)."""
    grad_clip: float = 10.0
    """Largest global norm of the gradient."""
    gamma: float = 0.99
    """Discount per step."""
    n_step: int = 10
    """Rewards summed before the bootstrap."""
    double: bool = True
    """Double DQN: the online network chooses the action that the target network judges."""
    dueling: bool = True
    """Separate heads for value and advantages."""
    distribution: Literal["none", "c51", "qr", "iqn"] = "none"
    """What is learned of the returns. ``none``: their mean; ``c51``: their distribution over fixed atoms;
    ``qr``: their quantiles (QR-DQN); ``iqn``: any quantile asked for (implicit quantile networks)."""
    atoms: int = 51
    """Atoms of C51."""
    value_min: float = -10.0
    """Return of C51's first atom."""
    value_max: float = 10.0
    """Return of C51's last atom."""
    quantiles: int = 32
    """Quantiles of QR-DQN."""
    iqn_samples: int = 8
    """Quantiles that IQN draws for each side of its loss, and averages to act."""
    error: Literal["huber", "squared"] = "huber"
    """Loss of a TD error where only the mean is learned (``distribution=none``)."""
    munchausen: bool = False
    """Munchausen DQN: the log-policy is added to the reward, and the next state counts with its softmax
    policy, not with its best action. Needs ``double=false``; with ``n_step`` above 1 it is added to the
    first of the rewards."""
    munchausen_alpha: float = 0.9
    """Weight of the log-policy."""
    munchausen_temperature: float = 0.03
    """Temperature of the softmax policy, in units of Q."""
    munchausen_floor: float = -1.0
    """Least log-policy, times the temperature, that is added."""
    noisy: bool = False
    """Noisy networks: the heads' weights carry learned noise, which explores. Bundles hold the means."""
    noisy_sigma: float = 0.5
    """Noise at the start."""
    channels: tuple[int, int, int] = (16, 32, 32)
    """Channels of the three convolutions; 32, 64, 64 in Mnih et al. (2015)."""
    hidden: int = 256
    """Width of the hidden layer of each head; 512 there."""
    target_update: int = 1_000
    """Environment steps between two copies of the network to its target."""
    clip_rewards: bool = True
    """Learn from the sign of the rewards; scores are always reported in points."""
    life_loss_ends: bool = False
    """Learn as if losing a life ended the game (the game goes on)."""
    living_penalty: float = 0.0
    """Taken from the reward of every step that is learned from, after clipping."""
    life_penalty: float = 0.0
    """Taken from the reward of a step that loses a life, after clipping."""

    teacher: str = ""
    """Player whose actions are learned from beside the rewards, as in ``record.players``: ``intercept`` in
    Breakout, ``policy:PATH`` in any game. It is asked about every frame that is met; empty is none."""
    teacher_share: float = 0.25
    """Share of the games that the teacher plays itself."""
    teacher_weight: float = 1.0
    """Weight of the large-margin loss, which wants one of the teacher's actions to be the best."""
    teacher_margin: float = 0.8
    """By how much, in units of Q."""

    replay_capacity: int = 500_000
    """Frames in the replay memory, 7 kB each."""
    replay_alpha: float = 0.5
    """Exponent of the priorities (Schaul et al., 2016); 0 replays uniformly."""
    replay_beta: float = 0.4
    """Importance-weight exponent at the start; it reaches 1 at the end."""

    exploration: Literal["epsilon", "boltzmann", "greedy"] = "epsilon"
    """``epsilon``: epsilon-greedy; ``boltzmann``: actions sampled from softmax(Q / temperature); ``greedy``:
    the best action, where ``noisy`` or ``rnd`` explores."""
    epsilon_start: float = 1.0
    """Epsilon at the first step."""
    epsilon_end: float = 0.01
    """Epsilon after ``epsilon_steps``."""
    epsilon_steps: int = 30_000
    """Environment steps in which epsilon falls."""
    epsilon_ladder: float = 0.0
    """Above 0, game i of N explores with epsilon ** (1 + ladder * i / (N - 1)), as in Ape-X (Horgan et al.,
    2018, with epsilon 0.4 and ladder 7), so that some explore and some play well."""
    temperature_start: float = 1.0
    """Temperature at the first step, in units of Q."""
    temperature_end: float = 0.05
    """Temperature after ``temperature_steps``."""
    temperature_steps: int = 250_000
    """Environment steps in which the temperature falls."""

    rnd: bool = False
    """Random network distillation (Burda et al., 2019) with two agents that share one replay memory: the
    exploring one learns (1 - alpha) * reward + alpha * novelty, the other, which is evaluated and
    exported, the reward alone. Novelty is that of the state which a transition leads to."""
    rnd_share: float = 0.5
    """Share of the games that the exploring agent plays."""
    rnd_alpha_start: float = 0.5
    """Alpha at the first step."""
    rnd_alpha_end: float = 0.0
    """Alpha after ``rnd_alpha_steps``."""
    rnd_alpha_steps: int = 2_000_000
    """Environment steps in which alpha falls."""
    rnd_lr: float = 1e-4
    """Learning rate of the network that predicts the random one."""
    rnd_features: int = 256
    """Outputs of both."""

    envs: int = 8
    """Games per runner, stepped together."""
    groups: int = 2
    """Parts of the games that take turns: the emulators of one run while another's actions are chosen
    (local backend)."""
    rollout: int = 4
    """Steps of each game between two visits to the learner."""
    runners: int = 0
    """Remote environment runners (one CPU each); 0 plays in the driver's process."""
    play_ahead: Literal["auto", "always", "never"] = "auto"
    """Play the next rollout while the last one is learned from, with weights that are one rollout old.
    ``auto`` does so with remote runners or learners, and in one process where updates are so rare (32 samples
    for 16 steps or more) that a core is better spent on playing than on the other half of an update."""
    block: int = 8
    """Most updates that are made in one go: what they replay is drawn before the first of them, and its
    priorities are set after the last. It saves RLlib's work around an update."""
    sync_every: int = 2
    """Updates between two transfers of the weights to the runners."""
    learners: int = 0
    """Remote learners; 0 learns in the driver's process."""
    gpus_per_learner: float = 0.0
    """GPUs of each learner."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Arithmetic of the learner's forward and backward pass; weights stay in fp32."""
    threads: int = 0
    """Torch threads of the driver; 0 takes the cores that playing leaves, but at least half of them."""
    emulator_threads: int = 0
    """Emulator threads of each runner; 0 takes all cores, or one where others play or learn beside it."""

    report_every: int = 1_000
    """Environment steps between two progress updates and records in metrics.jsonl."""
    score_window: int = 50
    """Latest training episodes that the reported training score is the mean of."""
    checkpoint_every: int = 100_000
    """Environment steps between two resumable checkpoints."""
    checkpoint_replay: bool = True
    """Whether checkpoints hold the replay memory (compressed, mostly below 1 kB a frame)."""
    evaluation_every: int = 250_000
    """Environment steps between two evaluations; each leaves a policy bundle."""
    evaluation_episodes: int = 10
    """Full episodes per evaluation."""
    evaluation_steps: int = 0
    """Steps after which an evaluation's episode is cut off (4,500 are the five minutes of Mnih et al.,
    2015); 0 cuts where ``emulator.max_steps`` does."""
    evaluation_epsilon: float = 0.01
    """Share of random actions in evaluations."""
    final_episodes: int = 30
    """Full episodes, on other seeds, that the best policy's card reports."""
    policies: int = 5
    """Policy bundles of different strength that are kept, the best among them."""
    gif_steps: int = 1_500
    """Steps of the best evaluation episode shown as a GIF; 0 makes none."""
