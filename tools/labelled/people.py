"""The people whom a network sees in the frames of dataset folders, and whether each of them is the hero."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.bars import progress_bar
from model.dataset import evenly_spread, read_pair, recording_of
from model.engines import Engine
from model.evidence import Looks
from model.pair_files import PathPair, list_pairs
from model.scoring import HERO, PEOPLE
from server.sight.people import crops_of, hero_mask, looks_of, parts_of_people, person_mask

# A part is the hero if at least this share of its people's pixels is the hero's, and somebody else if no pixel is.
HERO_SHARE = 0.5


class LabelledPerson(NamedTuple):
    """One person seen in a frame whose truth is known.

    Args:
        recording: the recording of the frame, as "folder/recording".
        looks: the network's output on the person, without a second look.
        crop: (*CROP_PX, 4) uint8, see `model.crops`.
        is_hero: the truth.
    """

    recording: str
    looks: Looks
    crop: np.ndarray
    is_hero: bool


def chosen_pairs(
    folders: Sequence[Path],
    recordings: Collection[str] = (),
    but: Collection[str] = (),
    most: int = 0,
    may_lack: bool = False,
) -> list[tuple[str, list[PathPair]]]:
    """The name and the pairs of each dataset folder.

    Args:
        folders: dataset folders, with train/ in them.
        recordings: recordings to take; all if empty.
        but: recordings to leave out.
        most: greatest number of pairs of a folder, evenly spread; 0: all.
        may_lack: leave out a folder without any of the recordings, instead of raising.

    Raises:
        ValueError: if a folder has no such pairs, or a recording has none.
    """
    chosen, missing = [], set(recordings)
    for folder in folders:
        pairs = [pair for pair in list_pairs(folder / "train") if recording_of(pair[0].name) not in but]
        if recordings:
            pairs = [pair for pair in pairs if recording_of(pair[0].name) in recordings]
            missing -= {recording_of(image.name) for image, _ in pairs}
        if not pairs and may_lack:
            continue
        if not pairs:
            raise ValueError(f"expected frames of {', '.join(recordings) or 'any recording'} in {folder}, got none")
        if 0 < most < len(pairs):
            pairs = [pairs[number] for number in evenly_spread(len(pairs), most)]
        chosen.append((folder.name, pairs))
    if missing:
        where = ", ".join(map(str, folders))
        raise ValueError(f"expected frames of {', '.join(sorted(missing))} in {where}, got none")
    return chosen


def people_in(
    engine: Engine, folder: str, pairs: Sequence[PathPair], target: str | None = None
) -> Iterator[LabelledPerson]:
    """The people whom a network sees in pairs of a folder; without those who are neither clearly the hero nor not.

    Args:
        engine: the network.
        folder: name of the folder.
        pairs: of the folder. Masks with several targets have those of the network, in its order.
        target: the target that counts as the hero; None for the first on the network's card.
    """
    card, px = engine.card.following(target), engine.input_px
    hero = HERO + card.targets.index(card.profile.name)
    no_depth = np.zeros((px, px), np.uint8)
    for pair in progress_bar(pairs, desc=f"seeing {folder}"):
        image, mask = read_pair(pair[0], pair[1], px, len(card.targets))
        probabilities = engine.infer(image[None])[0]
        masks = person_mask(probabilities, card), hero_mask(probabilities, card)
        parts = parts_of_people(*masks, no_depth, window=1, card=card)
        if parts is None:
            continue
        under = mask[parts.rows, parts.columns]
        heroes, others = parts.sum(under == hero), parts.sum((under >= PEOPLE) & (under != hero))
        clear = np.flatnonzero((heroes == 0) | (heroes >= HERO_SHARE * (heroes + others))).tolist()
        looks = looks_of(parts, probabilities, image, card)
        for number, crop in zip(clear, crops_of(parts, image, clear), strict=True):
            name = f"{folder}/{recording_of(pair[0].name)}"
            yield LabelledPerson(name, looks[number], crop, bool(heroes[number] > 0))
