"""Train a network on a dataset folder that holds `train/` and `validation/`.

    python tools/train.py --data ../shared/data --out runs/fcn4
    python tools/train.py --data ../shared/data --out runs/fcn4 --resume

The defaults train the shipped FCN4: about 100 minutes on two CPU cores. The run folder then holds the best weights by
validation (`model_weights.keras`), their card (`model_weights.json`), `log.csv`, `validation.csv` and `loss.png`.
Ctrl-C or a kill costs at most one epoch: the same command with `--resume` goes on.
"""

import argparse
import hashlib
import json
import shlex
import sys
from dataclasses import asdict, fields
from pathlib import Path

import matplotlib as mpl
import numpy as np

from model.loading import import_keras

import_keras()  # before what imports it below: without its start-up notes

from model.dataset import Frames, read_set
from model.fcn import CLASSES
from model.training import TrainingConfig, read_scores, train


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and validation/")
    parser.add_argument("--out", type=Path, required=True, help="run folder; weights, card and logs go there")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    for setting in fields(TrainingConfig):
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=type(setting.default),
            default=setting.default,
            help=f"{setting.metadata['help']} (default: %(default)s)",
        )
    options = vars(parser.parse_args(arguments))
    data, out, resume = options.pop("data"), options.pop("out"), options.pop("resume")
    try:
        config = TrainingConfig(**options)
        prepare_run(out, config, resume)
        training, validation = (read_set(data / name, config.input_px) for name in ("train", "validation"))
        best = train(config, training, validation, out)
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
    draw_curves(out)
    write_card(best, config, data, (training, validation))
    print(f"best weights: {best}\nscore them: python tools/evaluate.py {best} --data {data}")
    return 0


def prepare_run(out: Path, config: TrainingConfig, resume: bool) -> None:
    """Create the run folder, or check that it holds a run of the same settings to go on with.

    Raises:
        ValueError: if the folder does not fit `resume`.
    """
    settings = out / "settings.json"
    if settings.exists() and not resume:
        raise ValueError(f"expected a new run folder, but {out} holds a run; go on with it by --resume")
    if resume and not settings.exists():
        raise ValueError(f"expected an interrupted run in {out} to resume, found no {settings.name}")
    if resume and json.loads(settings.read_text()) != asdict(config):
        raise ValueError(f"expected the settings in {settings}, got {asdict(config)}")
    out.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(asdict(config), indent=1))


def draw_curves(out: Path) -> None:
    """Draw the run's training loss and validation quality against the epoch as `loss.png`."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # after the choice of a backend that needs no screen

    log = np.genfromtxt(out / "log.csv", delimiter=",", names=True)
    figure, loss = plt.subplots(figsize=(7, 4))
    loss.plot(np.atleast_1d(log["epoch"]) + 1, np.atleast_1d(log["loss"]), label="training loss")
    loss.set(xlabel="epoch", ylabel="loss")
    quality = loss.twinx()
    quality.plot(*zip(*read_scores(out / "validation.csv"), strict=True), "C1o-", label="validation quality")
    quality.set(ylabel="hero IoU × share of right detections", ylim=(0, None))
    figure.legend(loc="upper center", ncols=2)
    figure.savefig(out / "loss.png", dpi=120)


def write_card(weights: Path, config: TrainingConfig, data: Path, sets: tuple[Frames, Frames]) -> None:
    """Write beside the weights what they are and how they came to be."""
    epoch, quality = max(read_scores(weights.with_name("validation.csv")), key=lambda row: row[1])
    digest = hashlib.sha256()
    for frames in sets:
        digest.update(frames.images.tobytes())
        digest.update(frames.masks.tobytes())
    card = {
        "network": config.network,
        "classes": CLASSES,
        "input_px": config.input_px,
        "command": shlex.join(["python", "tools/train.py", *sys.argv[1:]]),
        "settings": asdict(config),
        "data": {
            "name": data.name,
            "train_pairs": len(sets[0].images),
            "validation_pairs": len(sets[1].images),
            "sha256": digest.hexdigest(),
        },
        "best_epoch": epoch,
        "validation_quality": quality,
    }
    weights.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
