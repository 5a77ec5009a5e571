"""Settings of ``rayatari train-world`` and ``rayatari train-mapper``."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks."""

    history: int = 4
    """Past frames that the decoder sees; at least 2, since one frame shows no velocity."""
    decoder: Literal["unet", "blind"] = "unet"
    """``unet``: sees all of the past at every resolution. ``blind``: the ancestor's design, as a baseline:
    codes and a glance at the present at the codes' resolution (configs/ancestor.yaml)."""
    patch: int = 4
    """Side of the square of pixels that one cell of the finest feature map stands for."""
    moves: int = 0
    """Displacements among which a patch may choose where its next content comes from, measured on the
    dataset; 0 draws every pixel by its colour alone."""
    flow: bool = False
    """Whether the decoder is told by which of the ``moves`` the patches of the past came about."""
    things: int = 0
    """Small things, such as a ball, that are found by their motion and carried on as a whole, at most so many
    in a frame; 0 leaves all to the decoder."""
    flying: int = 0
    """Most things that the game has in flight at once; what flies beyond that is taken away, the newest
    first. A decoder draws a second ball where it expects a bounce to lead elsewhere. 0 for no limit."""
    bodies: int = 0
    """Rigid shapes that slide along a line, such as a paddle, measured on the dataset, at most so many: drawn
    in part, they are shown whole. 0 leaves all to the decoder."""
    pieces: int = 0
    """Most small pieces that stand free at once, such as a ball; their sizes are measured on the dataset, and
    they are shown whole, without crumbs. 0 leaves all to the decoder."""
    presence: bool = False
    """Whether it is counted on the dataset when the game's one piece (``pieces`` must be 1) comes, hides and
    leaves, where, and which reward or loss of a life follows; and the game is played by that."""
    foresight: int = 0
    """Width of a small network that foretells from whole numbers, before anything is drawn, where that piece
    goes and which tile goes with it; the decoder is told. 0 leaves both to the decoder and the ``things``."""
    tiles: int = 0
    """Rectangles of one colour that are there as a whole or not at all, such as a wall's bricks, measured on
    the dataset, at most so many. 0 leaves all to the decoder."""
    signs: int = 0
    """Places of the screen that show one of few pictures at a time, such as digits, measured on the dataset,
    at most so many: they show nothing else. 0 leaves all to the decoder."""
    channels: tuple[int, ...] = (32, 64, 128, 192)
    """Decoder channels from the finest level to the bottleneck; each level halves height and width."""
    encoder_channels: tuple[int, ...] = (24, 48, 96, 128)
    """Channels of the latent-action encoder, of as many levels."""
    quantizer: Literal["vq", "fsq"] = "vq"
    """``vq``: learned codebook (van den Oord et al., 2017); ``fsq``: fixed grid (Mentzer et al., 2023)."""
    codes: int = 256
    """Size K of the codebook; for ``fsq`` a power of 2."""
    code_dim: int = 16
    """Dimension of a code vector of ``vq``."""
    mapper_channels: int = 128
    """Channels of the mapper's blocks."""
    mapper_blocks: int = 2
    """Residual blocks of the mapper."""

    def __post_init__(self) -> None:
        if self.presence and self.pieces != 1:
            raise ValueError("presence=true needs pieces=1: it follows the one piece of a game")
        if self.foresight and not self.presence:
            raise ValueError("foresight needs presence=true: it tells how the one piece of a game goes on")


@dataclass(frozen=True)
class LossWeights:
    """Weights of all training losses, against 1 for the palette cross-entropy: the sweep's space."""

    motion: float = 20.0
    """Extra weight of a pixel that changes in the step, as the world model's training begins; the loss of
    an unchanged one counts 1. A high weight finds the ball soon, a low one ends its ghosts."""
    near: float = 0.0
    """Extra weight of every pixel near to where the last frames move, whether it changes or not: missed
    objects and ghosts weigh alike."""
    motion_mapper: float = 20.0
    """The same as the mapper's training begins."""
    motion_final: float = 8.0
    """The same at the end of both trainings, where it moves linearly."""
    rare_color: float = 0.0
    """Exponent of the inverse colour frequency in the pixel weight; 0 treats colours alike."""
    commitment: float = 0.25
    """Pull of the encoder's output toward its code (``vq`` only)."""
    entropy: float = 0.0
    """Reward for using all codes alike: minus the entropy, in nats, of the batch's mean code use."""
    perceptual: float = 0.0
    """Mean squared difference of the trained DQN's features (needs the run's agent)."""
    code: float = 0.02
    """Cross-entropy of the mapper on the encoder's codes, in nats per cell."""
    reward: float = 0.02
    """Cross-entropy of the reward head."""
    done: float = 0.02
    """Cross-entropy of the game-over head."""
    lives: float = 0.02
    """Cross-entropy of the lives head."""
    thing: float = 0.1
    """Cross-entropy of where things go (``world.model.things``)."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Loshchilov & Hutter, 2019) or Muon with warm-up and cosine decay."""

    kind: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon (Jordan et al., 2024) for the convolutions, AdamW for all else."""
    newton_schulz: int = 5
    """Newton-Schulz steps of Muon."""
    batch: int = 8
    """Windows per step, over all workers together."""
    lr: float = 2e-3
    """Peak learning rate."""
    final_lr: float = 0.02
    """Share of the peak learning rate at the last step."""
    warmup: int = 50
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    averaging: float = 0.995
    """Decay of the exponential moving average of the weights, which is what is kept; 0 keeps the last."""


@dataclass(frozen=True)
class SamplingConfig:
    """How often training windows with rare events are drawn, against 1 for all others."""

    reward: float = 2.0
    """Weight of a step that scores."""
    life_loss: float = 4.0
    """Weight of a step that costs a life or ends the game."""


@dataclass(frozen=True)
class WorldConfig:
    """The latent-action VQ-VAE, learned from video alone."""

    steps: int = 20_000
    """Optimizer steps."""
    minutes: float = 0.0
    """Minutes after which training ends even so, its schedules kept in proportion; 0 sets no limit."""
    dataset: str = ""
    """Dataset to learn from, a folder or URI; empty is the run's own."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the networks."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses, also those of the mapper."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How often rare events are shown, also to the mapper."""
    code_dropout: float = 0.5
    """Share of samples whose codes are withheld, so that the decoder learns the physics from the past."""
    corruption: float = 0.2
    """Share of samples whose past frames are damaged in places, so that the decoder learns to heal."""


@dataclass(frozen=True)
class ThingsConfig:
    """Training of where things go, before the mapper's; it is small, and learns on beside the mapper."""

    steps: int = 4_000
    """Optimizer steps; 0 leaves all to the training of the mapper."""
    minutes: float = 0.0
    """Minutes after which training ends even so, its schedules kept in proportion; 0 sets no limit."""
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(batch=32, lr=1e-3))
    """Optimizer."""
    turns: float = 4.0
    """How often a window is drawn in which something turns or vanishes, against 1 for all others."""


@dataclass(frozen=True)
class ForesightConfig:
    """Training of ``world.model.foresight``, before the mapper's: minutes of one core, in one process."""

    steps: int = 16_000
    """Optimizer steps."""
    batch: int = 512
    """Moments per step."""
    lr: float = 2e-3
    """Peak learning rate, of one cycle (Smith and Topin, 2018)."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    smoothing: float = 0.01
    """Label smoothing."""
    straight: float = 0.25
    """How often a moment is drawn after which all goes on as before, against 1 for all others."""


@dataclass(frozen=True)
class MapperConfig:
    """The mapper from past frames and action to latent-action codes, trained through the decoder."""

    steps: int = 20_000
    """Optimizer steps."""
    minutes: float = 0.0
    """Minutes after which training ends even so, its schedules kept in proportion; 0 sets no limit."""
    start_from: str = ""
    """Neural game that training begins from, a folder, or ``shipped`` for the game's own in the package; the
    run then needs no world model. Parts that it lacks begin untrained: ``world.model.moves``,
    ``world.model.flow``, ``world.model.things``, ``world.model.foresight`` (which takes a mover's place),
    ``action_history``. Empty takes the run's world model and an untrained mapper."""
    things: ThingsConfig = field(default_factory=ThingsConfig)
    """What comes first, with ``world.model.things``."""
    foresight: ForesightConfig = field(default_factory=ForesightConfig)
    """What comes first, with ``world.model.foresight``."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer."""
    through: Literal["decoder", "codes", "heads"] = "decoder"
    """``decoder``: the mapper learns from the frames that the decoder draws of its codes, and the decoder
    learns on. ``codes``: the ancestor's way, as a baseline: from the right codes alone, decoder fixed.
    ``heads``: of the game that ``start_from`` brought, only what tells rewards, lives and the end."""
    decoder_rate: float = 0.25
    """Share of the learning rate at which the decoder learns on, or all that ``start_from`` brought."""
    unroll: int = 4
    """Longest unroll: the frame that is learned from follows on up to ``unroll`` - 1 of the model's own."""
    unroll_from: float = 0.2
    """Share of training after which unrolls begin; they grow to full length over half of the rest."""
    own_share: float = 0.5
    """Share of the steps that are taken from the model's own frames once unrolls have begun."""
    corruption: float = 0.2
    """Share of samples whose past frames are damaged in places."""
    decode_steps: int = 2
    """Rounds of masked decoding (Chang et al., 2022) in which the codes of a frame are sampled at play."""
    action_history: int = 0
    """Past actions, before the one to be played, that mapper and decoder see: what a console keeps in
    memory and shows on no frame, such as how far a paddle's knob was turned beyond the wall."""
    action_dropout: float = 0.2
    """Share of samples whose older past actions are withheld, so that a game can go on from frames alone."""
    start_frames: int = 8
    """Starts of real episodes that go into the bundle, from which games begin."""
