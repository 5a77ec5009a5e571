"""Every measure of the report in plain words."""

MEASURES = {
    "changed_pixel_error": (
        "Error on changed pixels",
        "Of the pixels that really change from one frame to the next, the share that is predicted "
        "wrong. The screen hardly changes in a step, so this is where a game happens. Copying the last "
        "frame gets 100 %.",
    ),
    "wrong_pixels": (
        "Wrong pixels",
        "Of all 33,600 pixels of the screen, the share whose colour is wrong. Small numbers are "
        "deceptive here: the whole ball of Breakout is 0.024 % of the screen.",
    ),
    "psnr_db": (
        "PSNR",
        "Peak signal-to-noise ratio on grey levels, 10 log10(255² / mean squared error), in decibels; "
        "higher is better. The error is averaged over all frames first. A dash means that there was no "
        "error.",
    ),
    "ssim": (
        "SSIM",
        "Structural similarity on grey levels (Wang et al., 2004; Gaussian window of 11 × 11 pixels, "
        "deviation 1.5); 1 is equal.",
    ),
    "cells": (
        "Codes right",
        "The neural game draws each frame from a small grid of codes. This is the share of the grid's "
        "cells in which the code guessed from the past and the action is the one that the encoder, "
        "which has seen the next frame, would give.",
    ),
    "frames": (
        "Whole grids right",
        "Share of the frames in which every single cell is right.",
    ),
    "lift": (
        "Lift",
        "Codes right less what always guessing each cell's most common code gets right (found on other "
        "episodes), in percentage points.",
    ),
    "pixel_error": (
        "Pixel error",
        "The neural game runs on its own frames while recorded actions are played; the share of wrong "
        "pixels after that many steps. One step is frame_skip / 60 seconds. Chance (where the ball is "
        "served) makes a perfect game differ from the recording too, so large horizons say less and "
        "less.",
    ),
    "ball_recall": (
        "Ball recall",
        "Of the real frames with a ball up to that step, the share whose neural frame has a ball too, "
        "wherever.",
    ),
    "ghost_share": (
        "Ghosts",
        "Share of the frames up to that step with more ball-like things than the real frame has.",
    ),
    "ball_error_px": (
        "Ball error",
        "Median distance in pixels between neural and real ball at that step.",
    ),
    "paddle_error_px": (
        "Paddle error",
        "Median distance in pixels between neural and real paddle at that step.",
    ),
    "divergence": (
        "First divergence",
        "Median step at which ball or paddle is first more than 4 pixels off or missing.",
    ),
    "ball_visible": (
        "Ball visible",
        "Share of the frames that show a ball. While it waits to be served, none does.",
    ),
    "ball_whole": (
        "Ball whole",
        "Share of the frames that show exactly one ball-like thing, and it is a legal ball.",
    ),
    "field_legal": (
        "Field legal",
        "Share of the frames in which whole bricks, one paddle and one ball explain every pixel "
        "between the walls: nothing torn, doubled or smeared.",
    ),
    "paddle_obeys": (
        "Paddle obeys",
        "Steps in which the paddle moves as told, or stands when told nothing. Left out are steps with "
        "a new order and steps that begin at an end of the field: there the real paddle lags too.",
    ),
    "points_match_bricks": (
        "Points match bricks",
        "Whenever bricks vanish or the score on the screen rises: the share in which the two agree (1, "
        "1, 4, 4, 7, 7 points for the rows from below).",
    ),
    "reward_matches_screen": (
        "Reward matches screen",
        "Whenever the game reports points or the score on the screen rises: the share in which the two "
        "agree.",
    ),
    "bricks_stay_gone": (
        "Bricks stay gone",
        "Share of the steps in which no brick comes back (a whole new wall after an empty one is legal).",
    ),
    "lives_fall_with_ball": (
        "Lives fall with the ball",
        "Whenever the ball disappears or a life is lost: the share in which both happen together.",
    ),
    "score_and_lives_legal": (
        "Score and lives legal",
        "Share of the steps in which both can be read, the score does not fall, and lives stay or fall "
        "by one.",
    ),
    "score": (
        "Points a game",
        "Mean points of a game, cut at the same number of steps in both games.",
    ),
    "steps": (
        "Steps a game",
        "Mean length of a game, cut likewise.",
    ),
    "game_over": (
        "Games over",
        "Share of the games that ended before the cut.",
    ),
    "interval": (
        "Interval and n",
        "Below each number: its 95 % bootstrap interval over starts or games, which are few and come "
        "from the same few episodes, so read it as a lower bound of the doubt; n is what was counted.",
    ),
}
"""Key in report.json -> (title in the report, explanation)."""


def title(measure: str) -> str:
    """The measure's title in the report."""
    return MEASURES[measure][0]
