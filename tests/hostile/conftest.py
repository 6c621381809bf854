"""How many examples `hypothesis` tries in the hostile tests."""

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile(
        "hostile",
        max_examples=max(20, int(config.getini("hostile_messages")) // 10),
        derandomize=True,
        # Nothing here depends on how fast the machine is.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("hostile")
