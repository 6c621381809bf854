"""Train a network on a dataset folder that holds `train/` and `validation/`.

    python tools/train.py --data ../shared/data --out runs/fcn4
    python tools/train.py --data ../shared/data --out runs/fcn4 --resume

The defaults train the shipped FCN4: about 100 minutes on two CPU cores. The run folder then holds the best weights by
validation (`model_weights.keras`), their card (`model_weights.json`), `log.csv` and `loss.png`; what the shipped
weights score is on their card. Ctrl-C or a kill costs at most one epoch: the same command with `--resume` goes on.
"""

import argparse
import hashlib
import json
import logging
import shlex
import sys
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure

from model.loading import import_keras

import_keras()  # before what imports it below: without its start-up notes

from model.dataset import Frames, read_set
from model.scoring import CLASSES
from model.training import LOG, SETTINGS, EpochLog, TrainingConfig, best_epoch, check_run, read_log, train


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = vars(parse(arguments))
    data, out, resume = options.pop("data"), options.pop("out"), options.pop("resume")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("model").setLevel(logging.INFO)
    try:
        config = TrainingConfig(**options)
        check_run(out, config, resume)
        training, validation = (read_set(data / name, config.input_px) for name in ("train", "validation"))
        weights = train(config, training, validation, out)
        log = read_log(out / LOG)
        card = {
            **describe(config, log),
            "command": command(config, data, out),
            "data": {"name": data.name, **describe_data(training, validation)},
        }
        weights.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
        draw_curves(log, out / "loss.png")
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        way_on = "; the same command with --resume goes on" if (out / SETTINGS).exists() else ""
        print(f"\ninterrupted{way_on}", file=sys.stderr)
        return 130
    print(f"best weights: {weights}\nscore them: python tools/evaluate.py {weights} --data {data}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line: the options are the fields of `TrainingConfig`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and validation/")
    parser.add_argument("--out", type=Path, required=True, help="run folder; weights, card and log go there")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    for setting in fields(TrainingConfig):
        parser.add_argument(
            flag(setting.name),
            type=type(setting.default),
            default=setting.default,
            help=f"{setting.metadata['help']} (default: %(default)s)",
        )
    return parser.parse_args(arguments)


def flag(setting: str) -> str:
    """The command line's name of a setting."""
    return f"--{setting.replace('_', '-')}"


def command(config: TrainingConfig, data: Path, out: Path) -> str:
    """The command that trains such weights from the start: settings that differ from the defaults, and no --resume."""
    given = [(flag(name), value) for name, value in asdict(config).items() if value != getattr(TrainingConfig, name)]
    options = [("--data", data), ("--out", out), *given]
    return shlex.join(["python", "tools/train.py", *(str(part) for option in options for part in option)])


def describe(config: TrainingConfig, log: list[EpochLog]) -> dict:
    """What the best weights of a run are, for their card."""
    best = best_epoch(log)
    if best is None:
        raise ValueError("expected at least one epoch with a validation score in the log, found none")
    epoch, validation = best
    return {
        "network": config.network,
        "classes": CLASSES,
        "input_px": config.input_px,
        "settings": asdict(config),
        "best_epoch": epoch,
        "validation": {"quality": validation.quality, **validation._asdict()},
    }


def describe_data(training: Frames, validation: Frames) -> dict:
    """What weights were trained and selected on, for their card."""
    digest = hashlib.sha256()
    for frames in (training, validation):
        digest.update(frames.images.ravel().data)
        digest.update(frames.masks.ravel().data)
    return {
        "train_pairs": len(training.images),
        "validation_pairs": len(validation.images),
        "sha256_at_input_px": digest.hexdigest(),
    }


def draw_curves(log: list[EpochLog], path: Path) -> None:
    """Draw a run's training loss and validation quality against the epoch as PNG."""
    figure = Figure(figsize=(7, 4))
    loss = figure.subplots()
    loss.plot([line.epoch for line in log], [line.loss for line in log], label="training loss")
    loss.set(xlabel="epoch", ylabel="training loss")
    scored = [(line.epoch, line.validation.quality) for line in log if line.validation]
    quality = loss.twinx()
    quality.plot(*zip(*scored, strict=True), "C1o-", label="validation quality")
    quality.set(ylabel="hero IoU × share of right detections", ylim=(0, None))
    figure.legend(loc="upper center", ncols=2)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
