"""Command lines made from settings: each field of a dataclass is an option, with its type, default and help text.

    @dataclass(frozen=True)
    class Settings:
        port: int = option(4567, "port to listen on")
        record: Path | None = option(None, "folder to record into")
        is_quiet: bool = option(False, "print errors only")

    parser = command_parser(__doc__)  # of model.command
    add_options(parser, Settings)  # --port INT, --record PATH, --is-quiet
    settings = from_options(Settings, parser.parse_args())

Imports neither Keras nor TensorFlow.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, replace
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")


def option(
    default: Any,
    help_text: str,
    *,
    choices: Iterable[Any] | None = None,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    aliases: tuple[str, ...] = (),
    is_repeated: bool = False,
    alone: Any = None,
) -> Any:
    """Declare a dataclass field that a command line can set.

    Args:
        default: value without the option.
        help_text: description with the unit, without the default, which `--help` adds.
        choices: allowed values; None for any.
        parse: converts the text; raises `argparse.ArgumentTypeError` if it is malformed. None: use the field's type.
        metavar: name of the value in `--help`; None for the name of the type.
        aliases: other names of the option, with their dashes.
        is_repeated: for a tuple: the option takes one value and may be given several times.
        alone: the field's value if the option is given without a value; None: the option needs a value.
    """
    metadata = {
        "help": help_text,
        "choices": choices,
        "parse": parse,
        "metavar": metavar,
        "aliases": aliases,
        "is_repeated": is_repeated,
        "alone": alone,
    }
    return field(default=default, metadata=metadata)


def check(settings: object, *rules: tuple[str, bool, str]) -> None:
    """Check the settings of a command.

    Args:
        settings: with a field for each name in the rules.
        rules: (name of a setting, whether its value is valid, which values are valid).

    Raises:
        ValueError: if a setting is not valid; the message names its option.
    """
    for name, is_valid, expected in rules:
        if not is_valid:
            raise ValueError(f"expected {flag(name)} {expected}, got {getattr(settings, name)}")


def flag(name: str) -> str:
    """Return the command-line name of a field: `--min-blob-px` of `min_blob_px`."""
    return f"--{name.replace('_', '-')}"


def add_options(
    parser: argparse.ArgumentParser,
    settings_class: type,
    *,
    title: str | None = None,
    only: Iterable[str] | None = None,
    presets: Mapping[str, Any] | None = None,
) -> None:
    """Add an option for each field of a dataclass.

    A `bool` field becomes a flag without a value, `X | None` takes an X, and `tuple[X, ...]` takes one or more values
    or, with `is_repeated`, is given once for each.

    Args:
        parser: parser to extend; the options are attributes of its namespace under the names of the fields.
        settings_class: dataclass whose fields are made by `option`.
        title: heading of the options in `--help`; None for the parser's own.
        only: names of the fields to add, in this order; None for all.
        presets: instances of `settings_class` by name, from which the user chooses the defaults. `--help` shows the
            values of the presets, and options that are not given are absent from the parser's namespace.

    Raises:
        KeyError: if `only` names a field that does not exist.
    """
    group = parser if title is None else parser.add_argument_group(title)
    types = get_type_hints(settings_class)
    by_name = {setting.name: setting for setting in fields(settings_class)}
    for setting in (by_name[name] for name in (by_name if only is None else only)):
        metadata, value_type = setting.metadata, types[setting.name]
        settings: dict[str, Any] = (
            {"action": "store_true"} if value_type is bool else _value_settings(value_type, metadata)
        )
        if presets is None:
            default: Any = setting.default
            settings["default"] = list(default) if metadata["is_repeated"] else default  # argparse copies it to append
            help_text = _escaped(metadata["help"]) + _default_text(setting.default)
        else:
            settings["default"] = argparse.SUPPRESS
            values = [_text(getattr(preset, setting.name)) for preset in presets.values()]
            is_same = len(set(values)) == 1
            defaults = f"default: {values[0]}" if is_same else f"{' / '.join(presets)}: {', '.join(values)}"
            help_text = _escaped(f"{metadata['help']} ({defaults})")
        group.add_argument(flag(setting.name), *metadata["aliases"], dest=setting.name, help=help_text, **settings)


def from_options(settings_class: type[Settings], options: argparse.Namespace, base: Settings | None = None) -> Settings:
    """Make settings from a parsed command line.

    Args:
        settings_class: dataclass whose options `add_options` added.
        options: the parsed command line.
        base: values of the fields that are not in `options`; None for the defaults of the class.

    Raises:
        ValueError: if the dataclass refuses a value.
    """
    types = get_type_hints(settings_class)
    given = {name: value for name, value in vars(options).items() if name in types}
    for name, value in given.items():
        if get_origin(types[name]) is tuple:
            given[name] = tuple(value)
    return settings_class(**given) if base is None else replace(base, **given)  # type: ignore[type-var]


def _value_settings(value_type: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `add_argument` for an option that takes values of a type."""
    settings: dict[str, Any] = {}
    if get_origin(value_type) is tuple:
        settings.update({"action": "append"} if metadata["is_repeated"] else {"nargs": "+"})
        value_type = get_args(value_type)[0]
    elif alternatives := [each for each in get_args(value_type) if each is not type(None)]:
        (value_type,) = alternatives
    settings["type"] = metadata["parse"] or value_type
    if metadata["alone"] is not None:
        settings |= {"nargs": "?", "const": metadata["alone"]}
    settings["metavar"] = metadata["metavar"]
    if metadata["choices"] is not None:
        settings["choices"] = tuple(metadata["choices"])
    elif metadata["metavar"] is None:
        settings["metavar"] = value_type.__name__.upper()
    return settings


def _default_text(default: Any) -> str:
    """End of a help text; empty for flags and for empty defaults, whose meaning the help text itself explains."""
    if default is None or default is False or default in ("", ()):
        return ""
    # `%(default)s` where possible: `argparse.ArgumentDefaultsHelpFormatter` then does not add it again.
    return f" (default: {_escaped(_text(default)) if type(default) is tuple else '%(default)s'})"


def _escaped(text: str) -> str:
    """Escape text, so that argparse does not take it for a format."""
    return text.replace("%", "%%")


def _text(value: Any) -> str:
    return (" ".join(map(str, value)) if type(value) is tuple else str(value)) or "none"
