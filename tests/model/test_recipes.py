import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from model.recipes import PRESETS, TrainingConfig, find_preset, preset_text


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        (
            "network",
            "fcn9",
            "network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, inception, fpn, fpn_narrow, got 'fcn9'",
        ),
        ("input_px", 250, "input size of fpn must be a multiple of 16 px, got 250"),
        ("input_px", 2064, "input_px must be at most 2048, got 2064"),
        ("crop_px", 200, "input size of fpn must be a multiple of 16 px, got 200"),
        ("crop_px", 0, "input size of fpn must be a multiple of 16 px, got 0"),
        ("crop_px", 272, "crop_px must be at most input_px, 256, got 272"),
        ("augmentation", "blur", "augmentation must be one of shift, light, far, got 'blur'"),
        ("augmentation", "light", "crop_px must be input_px, 256, with light augmentation, got 192"),
        ("augmentation", "shift", "crop_px must be input_px, 256, with shift augmentation, got 192"),
        ("schedule", "linear", "schedule must be one of cosine, constant, got 'linear'"),
        ("keep", "first", "keep must be one of best, last, got 'first'"),
        ("sets", "all", "sets must be one of train, both, got 'all'"),
        (
            "sets",
            "both",
            "start must be given with sets both and hysteresis, because its thresholds are kept, got none",
        ),
        ("decision", "canny", "decision must be one of half, hysteresis, got 'canny'"),
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("steps", 0, "steps must be at least 1, got 0"),
        ("validate_every", 0, "validate_every must be at least 1, got 0"),
        ("workers", 0, "workers must be at least 1, got 0"),
        ("batch", 1, "batch must be at least 2, for frames with and without the hero, got 1"),
        ("learning_rate", 0.0, "learning_rate must be in (0, 1), got 0.0"),
        ("learning_rate", 1.0, "learning_rate must be in (0, 1), got 1.0"),
        ("learning_rate", math.nan, "learning_rate must be in (0, 1), got nan"),
        ("hero_weight", -1.0, "hero_weight must be finite and not negative, got -1.0"),
        ("jaccard", math.inf, "jaccard must be finite and not negative, got inf"),
        ("empty_pull", -0.1, "empty_pull must be finite and not negative, got -0.1"),
        ("detection", math.nan, "detection must be finite and not negative, got nan"),
        ("weight_decay", -0.02, "weight_decay must be finite and not negative, got -0.02"),
        ("validation_steps", -1, "validation_steps must be finite and not negative, got -1"),
        ("hovering_frames", -1, "hovering_frames must be finite and not negative, got -1"),
        ("near_weight", 0.0, "near_weight must be positive and finite, got 0.0"),
        ("people_weight", math.inf, "people_weight must be positive and finite, got inf"),
        ("average", 1.0, "average must be in [0, 1), got 1.0"),
        ("average", math.nan, "average must be in [0, 1), got nan"),
        ("precision", "float16", "precision must be one of mixed_bfloat16, float32, got 'float16'"),
        ("seed", -1, "seed must be in [0, 2**32), got -1"),
        ("seed", 2**32, "seed must be in [0, 2**32), got 4294967296"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, value, reason):
    with pytest.raises(ValueError) as caught:
        TrainingConfig(**{setting: value})
    assert str(caught.value) == reason


# Of 16: none, all, all, less than none, and NaN.
@pytest.mark.parametrize("share", [0.01, 0.99, 1.0, -0.4, math.nan])
def test_a_share_that_leaves_no_frame_with_or_none_without_the_hero_is_refused(share):
    with pytest.raises(ValueError) as caught:
        TrainingConfig(hero_share=share)
    assert str(caught.value) == (
        f"hero_share must be 0 or give frames with and without the hero in a batch of 16, got {share}"
    )


@pytest.mark.parametrize("weight", ["near_weight", "people_weight"])
def test_sampling_weights_need_a_share_of_the_hero(weight):
    with pytest.raises(ValueError, match="near_weight and people_weight must be 1 with hero_share 0"):
        TrainingConfig(hero_share=0.0, **{weight: 2.0})


@pytest.mark.parametrize(
    "edge",
    [
        {"input_px": 16, "crop_px": 16},
        {"input_px": 2048},
        {"crop_px": 256, "augmentation": "light"},
        {"epochs": 1, "steps": 1, "validate_every": 1, "batch": 2, "hero_share": 0.5},
        {"hero_share": 0.0},
        {"hero_share": 1 / 16},
        {"hero_share": 15 / 16},
        {"hero_weight": 0.0, "jaccard": 0.0, "empty_pull": 0.0, "detection": 0.0, "weight_decay": 0.0},
        {"validation_steps": 0},
        {"sets": "both", "decision": "half"},
        {"seed": 2**32 - 1},
        # Validation is due at the last epoch, if at none before.
        {"epochs": 3, "validate_every": 50},
    ],
)
def test_a_setting_at_the_edge_of_its_range_is_taken(edge):
    assert asdict(TrainingConfig(**edge)).items() >= edge.items()


def test_settings_stay_as_they_were_checked():
    with pytest.raises(FrozenInstanceError):
        TrainingConfig().epochs = 0


def test_every_setting_says_what_it_is():
    assert [setting.name for setting in fields(TrainingConfig) if not setting.metadata["help"]] == []


# --- presets


def test_the_presets_are_the_shipped_network_the_best_fcn4_and_the_write_ups():
    assert {name: config.network for name, config in PRESETS.items()} == {
        "fpn": "fpn",
        "fcn4": "fcn4",
        "writeup": "fcn4",
    }


def test_the_settings_of_the_shipped_networks_first_training_are_the_defaults():
    assert PRESETS["fpn"] == TrainingConfig()
    assert asdict(TrainingConfig()) == {
        "network": "fpn",
        "more_profiles": (),
        "teacher": "",
        "input_px": 256,
        "crop_px": 192,
        "augmentation": "far",
        "epochs": 60,
        "steps": 200,
        "validate_every": 4,
        "batch": 16,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "weight_decay": 0.02,
        "hero_share": 0.4,
        "hero_weight": 4.0,
        "jaccard": 1.0,
        "empty_pull": 0.5,
        "detection": 0.5,
        "keep": "last",
        "decision": "hysteresis",
        "validation_steps": 0,
        "workers": 1,
        "profile": "",
        "start": "",
        "sets": "train",
        "hold_out": (),
        "hovering_frames": 0,
        "near_weight": 1.0,
        "people_weight": 1.0,
        "average": 0.0,
        "precision": "mixed_bfloat16",
        "seed": 0,
    }


def settings_of(preset, *names):
    return tuple(getattr(PRESETS[preset], name) for name in names)


def test_the_write_ups_run_is_adam_at_1e_4_over_40_epochs_of_128_batches_of_32():
    assert settings_of("writeup", "learning_rate", "schedule", "weight_decay") == (1e-4, "constant", 0)
    assert settings_of("writeup", "epochs", "steps", "batch") == (40, 128, 32)


def test_the_write_ups_run_sees_whole_frames_of_160_px_as_they_come_moved_and_padded():
    assert settings_of("writeup", "input_px", "crop_px") == (160, 160)
    assert settings_of("writeup", "augmentation", "hero_share") == ("shift", 0)


def test_the_write_ups_loss_is_plain_cross_entropy_and_its_hero_is_where_p_exceeds_one_half():
    assert settings_of("writeup", "hero_weight", "jaccard", "detection", "decision") == (1, 0, 0, "half")


def test_the_fcn4_keeps_the_recipe_that_this_project_found_for_it():
    assert settings_of("fcn4", "input_px", "crop_px", "augmentation") == (160, 160, "light")
    assert settings_of("fcn4", "epochs", "steps", "batch", "validate_every") == (55, 100, 16, 5)
    assert settings_of("fcn4", "learning_rate", "schedule", "weight_decay") == (2e-3, "cosine", 0)
    assert settings_of("fcn4", "hero_share", "hero_weight", "jaccard", "empty_pull", "detection") == (0.5, 4, 1, 0.5, 0)
    assert settings_of("fcn4", "decision") == ("half",)


# --- presets in files


@pytest.mark.parametrize("preset", PRESETS.values())
def test_a_preset_is_the_same_after_a_file(tmp_path, preset):
    config = replace(preset, start='weights/"mine".keras', hold_out=("r1", "r02"))
    (tmp_path / "preset.toml").write_text(preset_text(config))
    assert find_preset(str(tmp_path / "preset.toml")) == config


def test_what_a_file_does_not_say_is_that_of_fpn(tmp_path):
    (tmp_path / "preset.toml").write_text("batch = 8\nlearning_rate = 1e-3\n")
    assert find_preset(str(tmp_path / "preset.toml")) == replace(PRESETS["fpn"], batch=8, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("batch = ", "Invalid value (at end of document)"),
        ("a = " + "[" * 5000, "expected TOML, got values that are nested too deeply"),
        ("bach = 8", "expected a setting of tools/train.py (see its --help, with _ for -), got bach"),
        ("batch = 8.5", "batch: Expected `int`, got `float`, 8.5"),
        ('hold_out = "r1"', "hold_out: Expected `array`, got `str`, 'r1'"),
        ("batch = 1", "batch must be at least 2, for frames with and without the hero, got 1"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, reason):
    file = tmp_path / "preset.toml"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        find_preset(str(file))
    assert str(caught.value) == f"expected a preset in {file}, got: {reason}"
