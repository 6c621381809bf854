"""The probability of each person that they are the hero, from the evidence of all frames.

There is exactly one hero, either among the people tracked or elsewhere. With E the belief in a person, nats, and p the
prior chance of each person to be the hero,

    P(person is the hero) = p·exp(E) / (1 + the same of everybody)

where the 1 stands for "elsewhere". The errors of a person's frames are correlated while distance, light and pose stay
the same: the evidence of a stranger has a correlation of 0.7 after a second and of 0.2 after four and more. The sum of
all evidence would turn a slight resemblance into certainty; all frames are worth hardly more than three independent
frames. Therefore the evidence of all frames is kept as two means: the present evidence, a short mean, and the settled
evidence, a long mean.

Other people are either ordinary strangers, or lookalikes, whom only the second look distinguishes from the hero. The
number of lookalikes is learned: the more lookalikes have been met, the lower is the probability of a person who is too
far away for the second look.
"""

import math
from collections.abc import Container, Iterable
from typing import NamedTuple

from model.evidence import LOOKALIKE_SHARE, among_lookalikes

# QuadSim's scenes have one hero among some thirty people, and half of them come into view. Chosen together with
# `SETTLED_WORTH` on flights of the stand-in, seeds 500 to 505.
CHANCE = 1 / 15
# The time constants of the two means. The short one averages the noise of single frames, and still notices that a track
# has passed from one person to another. The long one matches the correlation above, which was measured on strangers in
# flights of the stand-in, seeds 500 to 502.
PRESENT_S, SETTLED_S = 1.0, 2.5
# After a longer gap, a frame changes the long mean as if the gap had been this long.
LONGEST_STEP_S = 0.4
# Weight of the long mean; that of the short mean is 1.
SETTLED_WORTH = 2.0
# Largest absolute value of the settled evidence, so that later frames can always change the decision.
LARGEST_SETTLED = 5.0
# Time constants with which the belief in an unseen person fades: of evidence for, and of evidence against the hero. A
# resemblance seen from afar must not outweigh the hero who comes into view elsewhere. Evidence against lasts longer.
FOR_FORGOTTEN_S, AGAINST_FORGOTTEN_S = 10.0, 60.0
# A lookalike has at least this evidence for the hero from the first look, and at least this evidence against from the
# second, nats. Chosen on flights of the stand-in with lookalikes, seeds 510 to 525: the drone gives lookalikes up soon
# after.
MET_NATS = 4.0
MOST_LOOKALIKES = 0.5  # as a share of those who are not the hero


class Means(NamedTuple):
    """The evidence of all frames, nats.

    Args:
        present: the short mean.
        settled: the long mean, multiplied by `SETTLED_WORTH`.
        weight: sum of the weights of all frames in the short mean. The latest frame has weight 1, older frames less.
    """

    present: float
    settled: float = 0.0
    weight: float = 1.0

    @property
    def nats(self) -> float:
        """The sum of both."""
        return self.present + self.settled

    def after(self, evidence: float, step_s: float) -> "Means":
        """The means after a frame with this evidence, `step_s` after the person's frame before."""
        wanted = min(max(SETTLED_WORTH * evidence, -LARGEST_SETTLED), LARGEST_SETTLED)
        settled_s = min(step_s, LONGEST_STEP_S)
        settled = self.settled + (wanted - self.settled) * (1.0 - math.exp(-settled_s / SETTLED_S))
        # The first frames have equal weights. Otherwise the first one after a start or a gap would decide for a second.
        weight = self.weight * math.exp(-step_s / PRESENT_S) + 1.0
        return Means(self.present + (evidence - self.present) / weight, settled, weight)

    def faded(self, step_s: float) -> "Means":
        """The means that are left after some time out of view."""
        return self.times(math.exp(-step_s / (FOR_FORGOTTEN_S if self.nats > 0 else AGAINST_FORGOTTEN_S)))

    def times(self, share: float) -> "Means":
        """Both means multiplied by a share; the weight stays."""
        return Means(share * self.present, share * self.settled, self.weight)


class Belief(NamedTuple):
    """The evidence that a person is the hero, against `anybody` else and, by the second look, against a `lookalike`."""

    anybody: Means
    lookalike: Means

    @classmethod
    def first(cls, evidence: float, second_evidence: float | None) -> "Belief":
        """The belief after the first frame of a person."""
        return cls(Means(evidence), Means(second_evidence or 0.0))

    def nats(self, lookalikes: int) -> float:
        """The evidence of both looks together, given how many lookalikes have been met."""
        share = min(LOOKALIKE_SHARE + CHANCE * lookalikes, MOST_LOOKALIKES)
        return among_lookalikes(self.anybody.nats, self.lookalike.nats, share)

    @property
    def is_of_lookalike(self) -> bool:
        """Whether the person looks like the hero at the first look, but is not the hero by the second look."""
        return self.anybody.nats >= MET_NATS and self.lookalike.nats <= -MET_NATS

    def after(self, evidence: float, second_evidence: float | None, step_s: float) -> "Belief":
        """The belief after a frame, `step_s` after the person's frame before. Evidence of 0 counts as out of view."""
        if evidence == 0.0:
            return self.faded(min(step_s, LONGEST_STEP_S))
        lookalike = self.lookalike if second_evidence is None else self.lookalike.after(second_evidence, step_s)
        return Belief(self.anybody.after(evidence, step_s), lookalike)

    def faded(self, step_s: float) -> "Belief":
        """The belief that is left after some time out of view."""
        return Belief(self.anybody.faded(step_s), self.lookalike.faded(step_s))

    def times(self, share: float) -> "Belief":
        """The belief with all means multiplied by a share."""
        return Belief(self.anybody.times(share), self.lookalike.times(share))


def probabilities(beliefs: Iterable[Belief | None], lookalikes: int = 0, seen_once: Container[int] = ()) -> list[float]:
    """The probability of each person that they are the hero.

    Args:
        beliefs: the belief in each person; None for a person who certainly is not the hero.
        lookalikes: number of lookalikes of the hero that have been met.
        seen_once: indices in `beliefs` of people with a single sighting. A single sighting may be a short error of the
            network, so it does not lower the probabilities of the others.
    """
    odds = [0.0 if belief is None else CHANCE * math.exp(belief.nats(lookalikes)) for belief in beliefs]
    lasting = 1.0 + sum(each for at, each in enumerate(odds) if at not in seen_once)
    return [each / (lasting + each if at in seen_once else lasting) for at, each in enumerate(odds)]
