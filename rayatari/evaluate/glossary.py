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
    "frames_right": (
        "Steps all right",
        "Of the steps in which anything changes, the share in which every changed pixel is predicted right.",
    ),
    "recall": (
        "Recall",
        "Of the real things of that kind (ball, paddle, cars) up to that step, the share that the neural "
        "frames show too, wherever.",
    ),
    "ghosts": (
        "Ghosts",
        "Share of the frames up to that step with more things of that kind, whole or broken, than the real "
        "frame has.",
    ),
    "error_px": (
        "Error",
        "Median distance in pixels between neural and real thing at that step. A missing one counts as "
        "infinitely far: where half of them are missing there is no number.",
    ),
    "divergence": (
        "First divergence",
        "Median step at which the thing (of several any one) is first more than 4 pixels off or missing.",
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
        "Share of the frames that the game could draw: Breakout's and Pong's digits can be read, and whole "
        "bricks, paddles and at most one ball explain every pixel of the field; in Enduro the own car, "
        "odometer, counter and time of the day can be read.",
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
    "screen_agrees": (
        "Screen agrees",
        "Whenever the numbers on the screen change or should: the share in which they follow what happened. "
        "Breakout: bricks vanish, the ball is lost. Pong: the ball leaves, the game reports a point. "
        "Enduro: share of all steps in which odometer and position can be read, move as they may and "
        "follow the cars that are reported as passed.",
    ),
    "point_when_ball_leaves": (
        "Point when the ball leaves",
        "Whenever the ball disappears at a side or a score changes: the share in which exactly one point "
        "goes to the right player at that moment.",
    ),
    "scores_legal": (
        "Scores legal",
        "Share of the steps in which both scores can be read, none falls, and one rises by one at most.",
    ),
    "car_visible": ("Own car visible", "Share of the frames that show a whole own car."),
    "car_obeys": (
        "Car obeys",
        "Steps held in one direction in which the car does not move the other way. Curves and crashes push "
        "the real car too.",
    ),
    "odometer_runs": (
        "Odometer runs",
        "Share of the steps in which the odometer can be read and moves on by what a car can drive, or "
        "stands.",
    ),
    "position_legal": (
        "Position legal",
        "Share of the steps in which day and cars to pass can be read and change by two cars at most, or by "
        "a new day.",
    ),
    "position_matches_reward": (
        "Position matches reward",
        "Whenever the game reports a pass or the counter changes: the share in which the two agree.",
    ),
    "phases_in_order": (
        "Times of the day in order",
        "Share of the steps that stay in the time of the day or go on to the next: day, snow, dusk, night, "
        "fog, night.",
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
    "first_score": (
        "Points of the first game",
        "Mean points of the first game of each lane of the long games, cut where the lane is cut.",
    ),
    "first_steps": ("Steps of the first game", "Mean length of those games."),
    "sane": (
        "Sane to the end",
        "Share of the long games in which, over all their steps, none of this happens: for more than a "
        "second (15 steps) no frame is legal; the ball is gone for more than 60 steps (in Breakout counted "
        "from a press of the serve button a second after its last sight); a brick that was gone for a "
        "second stands again for a second; "
        "score, odometer or day falls, or lives rise, for good. Single bad frames that heal at once are "
        "forgiven here and counted by the rules.",
    ),
    "first_insanity": (
        "First insanity",
        "Median step of the first such event; beyond the last step where over half of the games have none.",
    ),
    "score_ratio": (
        "Score, neural / real",
        "Mean points of the same trained agent in the neural game over those in the real one.",
    ),
    "score_difference": (
        "Score, neural - real",
        "The same as a difference in points.",
    ),
    "accuracy": (
        "Classifier right",
        "A small network sees 16 frames and says whether they are real or neural, on episodes that it was "
        "not trained on. 50 % is guessing: a perfect neural game. It knows nothing of the game.",
    ),
    "control": (
        "Control",
        "The same between real clips under labels drawn by lot: what chance gives.",
    ),
    "inside": (
        "Learned inside",
        "Points in the real game of an agent that has only ever played the neural one, beside the same "
        "network untrained.",
    ),
    "interval": (
        "Interval and n",
        "Below each number: its 95 % bootstrap interval over episodes, all starts of an episode drawn "
        "together; a single episode has none. n is what was counted.",
    ),
}
"""Key in report.json -> (title in the report, explanation)."""


def title(measure: str) -> str:
    """The measure's title in the report."""
    return MEASURES[measure][0]
