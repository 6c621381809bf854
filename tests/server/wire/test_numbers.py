"""Numbers that are sent, as C# reads them in several cultures."""

import json
import re
import struct

import pytest

from server.wire.messages import create_box_marker, object_detected
from server.wire.numbers import dumps, loads

# Decimal and group separator of .NET's culture.
CULTURES = {
    "en-US": (".", ","),
    "de-DE": (",", "."),
    "de-CH": (".", "’"),
    "fr-FR": (",", "\u202f"),
    "sv-SE": (",", "\u00a0"),
    "pt-BR": (",", "."),
    "fa-IR": ("/", ","),
    "ar-SA": ("٫", "٬"),
}
COORDINATES = [0.0, -0.0, 0.4, -0.7, 12.34, 1241.1876, -1e-4, 999999.9999, 1e6, 5e-324, 1.5e300]


def to_single(text: str, culture: str) -> float | None:
    """`Convert.ToSingle(text, culture)`: NumberStyles.Float and AllowThousands; None where it throws.

    Source: .NET's documentation of Single.Parse: optional sign, digits with group separators anywhere, a decimal
    separator with digits, an exponent.
    """
    decimal, group = (re.escape(separator) for separator in CULTURES[culture])
    match = re.fullmatch(rf"([-+]?)((?:\d|{group})*)(?:{decimal}(\d*))?(?:[eE]([-+]?\d+))?", text)
    if match is None:
        return None
    sign, whole, decimals, exponent = match.groups()
    digits = re.sub(group, "", whole)
    return float(f"{sign}{digits or 0}.{decimals or 0}e{exponent or 0}")


def numbers_in(text: str) -> list[str]:
    """The numbers of JSON as they are written."""
    found: list[str] = []
    json.loads(text, parse_float=lambda number: found.append(number), parse_int=lambda number: found.append(number))
    return found


@pytest.mark.parametrize("culture", CULTURES)
def test_every_culture_reads_the_numbers_that_are_sent(culture):
    for value in COORDINATES:
        assert to_single(dumps(value), culture) == value


@pytest.mark.parametrize(("culture", "misread"), [("de-DE", 4.0), ("fr-FR", None), ("sv-SE", None), ("fa-IR", None)])
def test_the_usual_form_is_misread(culture, misread):
    assert to_single("0.4", culture) == misread


@pytest.mark.parametrize("culture", CULTURES)
def test_a_command_and_a_marker_mean_the_same_everywhere(culture):
    for command in (
        object_detected([1241.1876, -0.4, 12.0]),
        create_box_marker(7, [1241.1876, -0.4, 12.0], [0.7, 0.7, 2.0]),
    ):
        sent, plain = dumps(command.payload), json.dumps(command.payload)
        assert [to_single(number, culture) for number in numbers_in(sent)] == [
            float(number) for number in numbers_in(plain)
        ]
        assert loads(sent) == command.payload


def test_other_values_are_plain_json():
    value = {"text": "é\n", "list": [1, True, None, "x"], "nested": {"a": []}, "tuple": (2, 3)}
    assert json.loads(dumps(value, separators=(",", ":"))) == json.loads(json.dumps(value))
    assert " " not in dumps({"a": [1, 2]})


def test_every_double_comes_back_to_the_last_bit():
    for bits in range(0, 2**63, 2**63 // 997):
        (value,) = struct.unpack("d", struct.pack("Q", bits))
        if value - value == 0:
            assert json.loads(dumps(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have_are_refused(value):
    with pytest.raises(ValueError, match="expected a finite number"):
        dumps([value])


def test_keys_are_text():
    with pytest.raises(TypeError, match="expected text as a key, got 1"):
        dumps({1: 2})
