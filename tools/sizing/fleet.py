"""The simulated fleet: number of each part, time that a frame takes in each, and the number of drones they allow."""

from dataclasses import dataclass

from tools.simulator.world import FRAMES_PER_S

# As in `model/engines/inference_client.py`, which is not imported because it loads large libraries.
MOST_TOGETHER = 8


@dataclass(frozen=True)
class Replica:
    """Times of a replica, which takes `first_s + n * each_s` for a batch of n images.

    Args:
        first_s: time for any batch, seconds.
        each_s: additional time for each image, seconds.
        most_per_batch: greatest number of images in a batch.
        wait_s: longest time from the first image of a batch in which an idle replica waits for the batch to fill.
        most_ongoing: greatest number of its images, waiting and in work; others wait at the proxies.
    """

    first_s: float
    each_s: float
    most_per_batch: int = 1
    wait_s: float = 0.0
    most_ongoing: int = 8

    def service_s(self, images: int) -> float:
        """Time for a batch of that many images."""
        return self.first_s + images * self.each_s

    @property
    def images_per_s(self) -> float:
        """Images a second in full batches, one after the other."""
        return self.most_per_batch / self.service_s(self.most_per_batch)


@dataclass(frozen=True)
class Fleet:
    """A fleet and its servers. All times are seconds of processor time of the part that does the work.

    Args:
        replicas: number of replicas of the network.
        replica: times of a replica.
        servers: number of servers; drones are spread evenly over them.
        proxies: number of Serve's proxies; each server uses one of them.
        link_bit_s: rate of each server's link, in each direction.
        loop_s: time of a server's event loop for each frame that arrives.
        before_s: time of a server's perception for each frame until its image is sent.
        after_s: time of a server's perception for each frame from its answer to the command.
        proxy_s: time of a proxy for each image.
        request_bytes: size of a request from a server to the fleet.
        answer_bytes: size of the answer.
        deadline_s: longest time for the answers to the images that a server has sent together.
    """

    replicas: int
    replica: Replica
    servers: int = 1
    proxies: int = 1
    link_bit_s: float = 1e9
    loop_s: float = 0.0
    before_s: float = 0.0
    after_s: float = 0.0
    proxy_s: float = 0.0
    request_bytes: int = 197_000
    answer_bytes: int = 11_000
    deadline_s: float = 0.5

    @property
    def request_s(self) -> float:
        """Time of a request on a link."""
        return 8 * self.request_bytes / self.link_bit_s

    @property
    def answer_s(self) -> float:
        """Time of an answer on a link."""
        return 8 * self.answer_bytes / self.link_bit_s

    @property
    def round_s(self) -> float:
        """Time of a round of a server's perception: `MOST_TOGETHER` frames whose images pass the fleet side by side.

        Perception waits for all answers before it sends the next images.
        """
        answer_s = self.request_s + self.proxy_s + self.replica.service_s(1) + self.answer_s
        return MOST_TOGETHER * (self.before_s + self.after_s) + answer_s

    def limits(self) -> dict[str, float]:
        """The greatest number of drones that each kind of part could serve if it were the only limit."""
        frames_per_s = {
            "event loop": self.servers / self.loop_s if self.loop_s else float("inf"),
            "perception": self.servers * MOST_TOGETHER / self.round_s,
            "link": self.servers / self.request_s,
            "proxy": self.proxies / self.proxy_s if self.proxy_s else float("inf"),
            "replicas": self.replicas * self.replica.images_per_s,
        }
        return {part: rate / FRAMES_PER_S for part, rate in frames_per_s.items()}
