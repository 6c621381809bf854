"""The dashboard and the alert rules of docs/monitoring, against the metrics of a real server."""

import json
import re
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support.fake_engine import FAKE_SERVER
from support.page import flying
from support.waiting import PATIENCE_S

from tools.simulator.server_process import REPOSITORY, running_server

MONITORING = REPOSITORY / "docs" / "monitoring"
SELECTOR = re.compile(r'(followme_\w+)(?:\{(\w+)(=~?)"([^"]+)"\})?')
# Its series are made by the first error in each place.
UNTIL_AN_ERROR = "followme_internal_errors_total"


def expressions() -> Iterator[str]:
    """All queries of the dashboard and the rules."""
    for panel in json.loads((MONITORING / "grafana" / "follow-me.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from re.findall(r"^ +expr: (.+)$", (MONITORING / "alerts.yml").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def samples() -> dict[str, list[dict[str, str]]]:
    """Labels of each sample of a server whose drone has been led, by the sample's name."""
    with running_server("unused", script=FAKE_SERVER) as server, flying(server) as flight:
        flight.led_to()
        text = requests.get(f"{server.url}/metrics", timeout=PATIENCE_S).text
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(f"{family.name}_total" if family.type == "counter" else family.name, [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_every_metric_and_label_that_is_asked_for_is_there(samples):
    asked = [match.groups() for expression in expressions() for match in SELECTOR.finditer(expression)]
    assert len(asked) > 40
    for name, label, comparison, value in asked:
        assert name in samples, name
        assert samples[name] or name == UNTIL_AN_ERROR, name
        if label:
            wanted = set(value.split("|")) if comparison == "=~" else {value}
            assert wanted <= {labels[label] for labels in samples[name]}, (name, label, value)


def test_the_readme_explains_every_metric_of_the_server_and_no_other(samples):
    explained = set(re.findall(r"`(followme_\w+)", (MONITORING / "README.md").read_text()))
    # The client adds when each counter was made.
    assert explained == {re.sub("_(bucket|count|sum)$", "", name) for name in samples if "_created" not in name}


def test_every_rule_says_what_has_happened_and_how_severe_it_is():
    rules = (MONITORING / "alerts.yml").read_text().split("- alert: ")[1:]
    assert len(rules) == len(list(re.findall("expr: ", "".join(rules)))) >= 10
    for rule in rules:
        assert re.search(r"severity: (critical|warning)", rule), rule
        assert re.search(r"summary: \w.+\.\n", rule), rule


def test_panels_do_not_overlap_and_use_the_source_that_is_provided():
    panels = json.loads((MONITORING / "grafana" / "follow-me.json").read_text())["panels"]
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    (uid,) = re.findall(r"uid: (\w+)", (MONITORING / "grafana" / "datasources.yml").read_text())
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {uid}
