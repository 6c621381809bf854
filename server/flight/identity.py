"""Which of the people is the hero: a probability for each, from the evidence of all frames.

There is exactly one hero: among the people tracked, or elsewhere. With E the belief in a person, nats, and p the chance
of anybody to be the hero,

    P(person is the hero) = p·exp(E) / (1 + the same of everybody)

where the 1 stands for "elsewhere". Frames of one person err alike as long as distance, light and pose stay: the
evidence of a stranger has a correlation of 0.7 after a second and of 0.2 after four and more. Their sum would make a
slight resemblance a certainty; they are worth hardly more than three independent frames. Therefore the evidence of all
frames is kept as two means: the present look, a short mean, and the settled one, a long mean.

Others are either ordinary people, or lookalikes, whom only the second look distinguishes from the hero. How many
lookalikes there are is learned: the more have been met, the less likely is somebody far away, beyond the second look,
to be the hero.
"""

import math
from collections.abc import Container, Iterable
from typing import NamedTuple

from model.evidence import LOOKALIKE_SHARE, among_lookalikes

# One hero among some thirty people in QuadSim's scenes, of whom half come into view. Chosen with `SETTLED_WORTH` on
# flights of the stand-in, seeds 500 to 505.
CHANCE = 1 / 15
# The time constants of the two means. The short one: long enough for the noise of single frames, short enough to notice
# that a track has passed from one person to another. The long one: as the correlation above, which was measured on
# strangers in flights of the stand-in, seeds 500 to 502.
PRESENT_S, SETTLED_S = 1.0, 2.5
# After a longer gap, a frame changes the long mean as if the gap had been this long.
LONGEST_STEP_S = 0.4
# What the long mean is worth, beside the short one.
SETTLED_WORTH = 2.0
# The largest settled evidence either way: no network is so sure that it could not be talked out of it.
LARGEST_SETTLED = 5.0
# A resemblance from afar is soon forgotten, so that it does not outweigh the hero who comes into view elsewhere; that
# somebody is not the hero is remembered.
FOR_FORGOTTEN_S, AGAINST_FORGOTTEN_S = 10.0, 60.0
# A lookalike has at least this evidence for the hero by the first look, and against by the second, nats. Chosen on
# flights of the stand-in with lookalikes, seeds 510 to 525: the drone gives them up soon after.
MET_NATS = 4.0
MOST_LOOKALIKES = 0.5  # as a share of those who are not the hero


class Means(NamedTuple):
    """The evidence of all frames, nats.

    Args:
        present: its short mean.
        settled: what the long mean is worth.
        weight: of all frames in the short mean; the latest one has 1, and those before it the less, the older they are.
    """

    present: float
    settled: float = 0.0
    weight: float = 1.0

    @property
    def nats(self) -> float:
        """Both together."""
        return self.present + self.settled

    def after(self, evidence: float, step_s: float) -> "Means":
        """After a frame that says `evidence` by itself, `step_s` after the person's frame before."""
        wanted = min(max(SETTLED_WORTH * evidence, -LARGEST_SETTLED), LARGEST_SETTLED)
        settled_s = min(step_s, LONGEST_STEP_S)
        settled = self.settled + (wanted - self.settled) * (1.0 - math.exp(-settled_s / SETTLED_S))
        # The first frames count alike: else the very first one, after a start or a gap, would decide for a second.
        weight = self.weight * math.exp(-step_s / PRESENT_S) + 1.0
        return Means(self.present + (evidence - self.present) / weight, settled, weight)

    def faded(self, step_s: float) -> "Means":
        """As much of it as is left after some time out of view."""
        return self.times(math.exp(-step_s / (FOR_FORGOTTEN_S if self.nats > 0 else AGAINST_FORGOTTEN_S)))

    def times(self, share: float) -> "Means":
        """A share of it."""
        return Means(share * self.present, share * self.settled, self.weight)


class Belief(NamedTuple):
    """How much speaks for a person to be the hero: against `anybody`, and against a `lookalike` by the second look."""

    anybody: Means
    lookalike: Means

    @classmethod
    def first(cls, evidence: float, second_evidence: float | None) -> "Belief":
        """After the first frame of a person."""
        return cls(Means(evidence), Means(second_evidence or 0.0))

    def nats(self, lookalikes: int) -> float:
        """Both together, where so many lookalikes have been met."""
        share = min(LOOKALIKE_SHARE + CHANCE * lookalikes, MOST_LOOKALIKES)
        return among_lookalikes(self.anybody.nats, self.lookalike.nats, share)

    @property
    def is_of_lookalike(self) -> bool:
        """Whether the person looks like the hero and is not, by the second look."""
        return self.anybody.nats >= MET_NATS and self.lookalike.nats <= -MET_NATS

    def after(self, evidence: float, second_evidence: float | None, step_s: float) -> "Belief":
        """After a frame, `step_s` after the person's frame before. Evidence of 0 is as if they were out of view."""
        if evidence == 0.0:
            return self.faded(min(step_s, LONGEST_STEP_S))
        lookalike = self.lookalike if second_evidence is None else self.lookalike.after(second_evidence, step_s)
        return Belief(self.anybody.after(evidence, step_s), lookalike)

    def faded(self, step_s: float) -> "Belief":
        """As much of it as is left after some time out of view."""
        return Belief(self.anybody.faded(step_s), self.lookalike.faded(step_s))

    def times(self, share: float) -> "Belief":
        """A share of it."""
        return Belief(self.anybody.times(share), self.lookalike.times(share))


def probabilities(beliefs: Iterable[Belief | None], lookalikes: int = 0, glimpsed: Container[int] = ()) -> list[float]:
    """The probability of each person to be the hero.

    Args:
        beliefs: in each person; None in somebody who certainly is not the hero.
        lookalikes: of the hero: how many have been met.
        glimpsed: indices in `beliefs` of people with a single sighting. It may have been a flicker of the network,
            so it does not lower the probabilities of the others.
    """
    odds = [0.0 if belief is None else CHANCE * math.exp(belief.nats(lookalikes)) for belief in beliefs]
    lasting = 1.0 + sum(each for at, each in enumerate(odds) if at not in glimpsed)
    return [each / (lasting + each if at in glimpsed else lasting) for at, each in enumerate(odds)]
