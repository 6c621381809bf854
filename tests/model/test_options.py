"""The builder of command lines, on settings with a field of each kind."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from model.command import command_parser
from model.options import add_options, flag, from_options, option


def percentage(text: str) -> float:
    if not text.endswith("%"):
        raise argparse.ArgumentTypeError(f"expected a percentage, got {text!r}")
    return float(text[:-1]) / 100


@dataclass(frozen=True)
class Settings:
    host: str = option("127.0.0.1", "address to listen on")
    min_blob_px: int = option(3, "smallest hero, px")
    watchdog_s: float = option(1.0, "longest time without a frame, s", metavar="S")
    pred_viz: bool = option(False, "draw overlays", aliases=("--pred_viz",))
    record: Path | None = option(None, "folder to record into; without it nothing is recorded")
    mode: str = option("fast", "how to run", choices=("fast", "exact"))
    colours: tuple[str, ...] = option(("red", "blue"), "colours to draw", choices=("red", "green", "blue"))
    names: tuple[str, ...] = option((), "further name", is_repeated=True)
    loss: float = option(0.1, "lost frames, 100% is all of them", parse=percentage)

    def __post_init__(self) -> None:
        if self.watchdog_s <= 0:
            raise ValueError(f"expected watchdog_s above 0, got {self.watchdog_s}")


def parser_of(**choice) -> argparse.ArgumentParser:
    parser = command_parser("Does something.\n\nMore about it.")
    add_options(parser, Settings, **choice)
    return parser


def parsed(*arguments: str, **choice) -> Settings:
    return from_options(Settings, parser_of(**choice).parse_args(arguments))


def usage(**choice) -> str:
    return " ".join(parser_of(**choice).format_help().split())


def test_without_options_the_settings_are_the_defaults():
    assert parsed() == Settings()


def test_a_commands_description_is_the_first_line_of_its_docstring():
    assert parser_of().description == "Does something."


def test_an_abbreviated_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        parsed("--min-blob", "8")
    assert "unrecognized arguments: --min-blob 8" in capsys.readouterr().err


def test_each_option_sets_its_field_with_the_fields_type():
    arguments = "--host ::1 --min-blob-px 8 --watchdog-s 2 --pred-viz --record runs --mode exact --colours green"
    assert parsed(*arguments.split(), "--loss", "20%") == Settings(
        host="::1",
        min_blob_px=8,
        watchdog_s=2.0,
        pred_viz=True,
        record=Path("runs"),
        mode="exact",
        colours=("green",),
        loss=0.2,
    )


def test_an_alias_sets_the_same_field():
    assert parsed("--pred_viz") == Settings(pred_viz=True)


def test_an_option_of_a_tuple_takes_several_values():
    assert parsed("--colours", "green", "red").colours == ("green", "red")


def test_a_repeated_option_takes_one_value_each_time():
    assert parsed("--names", "a", "--mode", "exact", "--names", "b").names == ("a", "b")
    assert parsed().names == ()  # unchanged by the line before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--min-blob-px", "1.5"], "invalid int value: '1.5'"),
        (["--mode", "slow"], "invalid choice: 'slow'"),
        (["--colours", "red", "black"], "invalid choice: 'black'"),
        (["--loss", "20"], "expected a percentage, got '20'"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_option(arguments, complaint, capsys):
    with pytest.raises(SystemExit):
        parsed(*arguments)
    message = capsys.readouterr().err
    assert complaint in message
    assert f"argument {arguments[0]}" in message


def test_a_value_that_the_dataclass_refuses_is_its_own_error():
    with pytest.raises(ValueError, match="expected watchdog_s above 0, got 0"):
        parsed("--watchdog-s", "0")


def test_help_names_type_choices_and_default():
    shown = usage()
    assert "--host STR address to listen on (default: 127.0.0.1)" in shown
    assert "--min-blob-px INT smallest hero, px (default: 3)" in shown
    assert "--watchdog-s S longest time without a frame, s (default: 1.0)" in shown
    assert "--pred-viz, --pred_viz draw overlays --record PATH" in shown
    assert "folder to record into; without it nothing is recorded --mode" in shown
    assert "--mode {fast,exact} how to run (default: fast)" in shown
    assert "colours to draw (default: red blue)" in shown
    assert "lost frames, 100% is all of them (default: 0.1)" in shown


def test_argparses_own_formatter_adds_no_default_twice():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_options(parser, Settings, only=("host", "record"))
    shown = " ".join(parser.format_help().split())
    assert shown.count("(default: 127.0.0.1)") == 1
    assert "nothing is recorded (default: None)" in shown


def test_a_title_heads_a_group_of_its_own():
    assert "tracker: --host STR" in usage(title="tracker")


def test_only_the_fields_asked_for_are_options_and_the_others_keep_their_defaults():
    assert parsed("--mode", "exact", only=("mode", "host")) == Settings(mode="exact")
    assert "--min-blob-px" not in usage(only=("mode", "host"))


def test_a_field_that_does_not_exist_cannot_be_asked_for():
    with pytest.raises(KeyError, match="hots"):
        parser_of(only=("hots",))


def test_options_of_other_settings_on_the_same_command_line_do_no_harm():
    parser = parser_of()
    parser.add_argument("weights")
    assert from_options(Settings, parser.parse_args(["network", "--host", "::1"])) == Settings(host="::1")


def test_with_presets_an_option_that_is_not_given_keeps_the_presets_value():
    presets = {"near": Settings(min_blob_px=8), "far": Settings(min_blob_px=3, mode="exact")}
    parser = parser_of(presets=presets)
    options = parser.parse_args(["--watchdog-s", "2"])
    assert from_options(Settings, options, presets["near"]) == replace(presets["near"], watchdog_s=2.0)


def test_with_presets_help_shows_the_value_of_each_and_a_value_that_all_share_once():
    shown = usage(presets={"near": Settings(min_blob_px=8, host=""), "far": Settings(min_blob_px=3, host="")})
    assert "smallest hero, px (near / far: 8, 3)" in shown
    assert "how to run (default: fast)" in shown
    assert "address to listen on (default: none)" in shown


def test_the_flag_of_a_field_has_dashes():
    assert flag("min_blob_px") == "--min-blob-px"
