"""Check what the recordings hold and what they lack, and say what to record."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from model.calibration import FAR_PX
from model.dataset import NEAR_SHARE, Recording
from model.pair_files import IMAGE_PX
from model.profile import Profile

LEARNING, HELD_OUT = "train", "validation"  # uses of a `Recording`
NEAR_PX = NEAR_SHARE * IMAGE_PX**2
LEAST_WITH_TARGET, LEAST_HELD_OUT = 300, 50  # frames; fewer are too few to learn from, or to score
LEAST_SHARE = 0.05  # of near and of far targets, among those in view
LEAST_WITHOUT, MOST_WITHOUT = 0.1, 0.85  # share of frames without the target
LEAST_OTHERS = 0.1  # share of frames with others and without the target
ENOUGH_RECORDINGS = 6


class Check(NamedTuple):
    """Results of the check of the recordings.

    Args:
        rows: a line of figures for each recording, ready for JSON.
        problems: reasons why nothing can be learned from them.
        advice: advice on what would make the network better.
    """

    rows: list[dict[str, Any]]
    problems: list[str]
    advice: list[str]


def check_data(recordings: Sequence[Recording], names: Mapping[str, str], profile: Profile, skipped: int) -> Check:
    """Look at what each recording holds.

    Args:
        recordings: of the set.
        names: name of a recording in the set → its name for people.
        profile: the target.
        skipped: frames that could not be read.
    """
    rows = [row(each, names) for each in recordings]
    learning, held_out = ([each for each in recordings if each.use == use] for use in (LEARNING, HELD_OUT))
    name, others = profile.name, profile.others
    problems = []
    for which, chosen in (("recordings to learn from", learning), ("held-out recordings", held_out)):
        if not sum(len(each.hero_px) for each in chosen):
            there = ", ".join(names[each.name] for each in chosen)
            problems.append(
                f"None of the {which} ({there}) shows the {name}. It must be in the layer of the hero, cam3. If this "
                "layer is empty, the target was not chosen as the hero in the simulator, or it was never in view."
            )
    advice = [] if problems else _advice(learning, held_out, name, others)
    if skipped:
        advice.append(f"{skipped} frames were left out because some of their files are missing or damaged.")
    return Check(rows, problems, advice)


def _advice(learning: Sequence[Recording], held_out: Sequence[Recording], name: str, others: str) -> list[str]:
    frames, sizes = sum(each.frames for each in learning), np.concatenate([each.hero_px for each in learning])
    others_only = sum(each.with_people_only for each in learning)
    tested = sum(len(each.hero_px) for each in held_out)
    near, far = float(np.mean(sizes > NEAR_PX)), float(np.mean(sizes < FAR_PX))
    without = 1 - len(sizes) / frames
    said = [
        (
            len(sizes) < LEAST_WITH_TARGET,
            f"Only {len(sizes)} frames to learn from show the {name}; {LEAST_WITH_TARGET} are a good start. "
            f"At a frame each 3 s, {_minutes(LEAST_WITH_TARGET - len(sizes))} more with it in view.",
        ),
        (
            tested < LEAST_HELD_OUT,
            f"Only {tested} held-out frames show the {name}, so thresholds and scores are rough; {LEAST_HELD_OUT} are "
            f"enough: {_minutes(LEAST_HELD_OUT - tested)} more in a recording of its own.",
        ),
        (
            near < LEAST_SHARE,
            f"The {name} is hardly ever near (over {NEAR_PX:.0f} pixels in {near:.0%} of its frames): record following "
            "it closely, as the drone will.",
        ),
        (
            far < LEAST_SHARE,
            f"The {name} is hardly ever far away (under {FAR_PX} pixels in {far:.0%} of its frames): record from a "
            "patrol at a distance, where the drone has to find it.",
        ),
        (
            without < LEAST_WITHOUT,
            f"Nearly every frame shows the {name}: record streets without it, or the network will find it everywhere.",
        ),
        (
            without > MOST_WITHOUT,
            f"The {name} is in view in only {1 - without:.0%} of the frames: fly nearer to where it is.",
        ),
        (
            others_only < LEAST_OTHERS * frames,
            f"Few frames show {others} without the {name} ({others_only / frames:.0%}): record them, or the network "
            "will not learn to tell them apart.",
        ),
        (
            len(learning) + len(held_out) < ENOUGH_RECORDINGS,
            f"{len(learning) + len(held_out)} recordings are few: another place, time of day or flight teaches more "
            "than a longer one.",
        ),
    ]
    return [words for is_so, words in said if is_so]


def _minutes(frames: int) -> str:
    return f"{max(1, round(frames * 3 / 60))} min"


def row(recording: Recording, names: Mapping[str, str]) -> dict[str, Any]:
    """Figures of a recording, ready for JSON; sizes in pixels, None if no frame shows the target."""
    sizes = np.percentile(recording.hero_px, (5, 50, 95)).round().tolist() if len(recording.hero_px) else [None] * 3
    return {
        "recording": names[recording.name],
        "is_held_out": recording.use == HELD_OUT,
        "frames": recording.frames,
        "with_target": len(recording.hero_px),
        "others_only": recording.with_people_only,
        **dict(zip(("px_5", "px_50", "px_95"), sizes, strict=True)),
    }


def words(check: Check, name: str) -> str:
    """A check as text for a terminal."""
    lines = []
    for is_held_out, title in ((False, "to learn from"), (True, "held out")):
        rows = [each for each in check.rows if each["is_held_out"] == is_held_out]
        frames, shown = (sum(each[key] for each in rows) for key in ("frames", "with_target"))
        lines.append(f"{title}: {len(rows)} recordings, {frames} frames, {shown} of them with the {name}")
        lines += [
            f"  {each['recording']}: {each['frames']} frames, {each['with_target']} with the {name}"
            + (f" of {each['px_5']:.0f} / {each['px_50']:.0f} / {each['px_95']:.0f} px" if each["with_target"] else "")
            + f", {each['others_only']} with others only"
            for each in rows
        ]
    lines += [f"- {line}" for line in (*check.problems, *check.advice)] or ["- Nothing is missing."]
    return "\n".join(lines)
