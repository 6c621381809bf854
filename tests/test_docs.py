"""The documentation: every link leads somewhere, the README is short, and its figures are those of the results."""

import re
from pathlib import Path

import pytest

from tools.simulator.server_process import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "tests/data/README.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page):
    """A page without its blocks and spans of code, in which brackets aren't links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(?<=\n)\n(?: {4,}.*\n)+", "\n", text)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page):
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading(page):
    missing = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


def test_every_page_is_reached_from_the_readme():
    linked = set(LINK.findall(prose(REPOSITORY / "README.md")))
    pages = {str(page.relative_to(REPOSITORY)) for page in PAGES if "docs" in page.relative_to(REPOSITORY).parts}
    assert pages <= {link.partition("#")[0] for link in linked}


def test_every_picture_of_the_documentation_is_used():
    used = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text())}
    pictures = {file for file in (REPOSITORY / "docs").rglob("*") if file.suffix in (".png", ".jpeg", ".svg")}
    assert pictures - used == set()


def test_the_readme_is_short():
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    assert len(lines) <= 200
    assert max(len(line) for line in lines if "|" not in line and "](" not in line) <= 140


def test_the_figures_of_the_readme_are_those_of_the_results():
    rows = re.findall(r"^\|([^|]+)\|([^|]+)\|([^|]+)\|$", section(REPOSITORY / "README.md", "Results"), re.MULTILINE)
    measured = {figure for _, cell, _ in rows[2:] for figure in re.findall(r"\d+(?:\.\d+)?", cell)}
    in_full = set(re.findall(r"\d+(?:\.\d+)?", (REPOSITORY / "docs/results.md").read_text()))
    assert len(measured) > 10
    assert measured - in_full == set()


def section(page: Path, heading: str) -> str:
    return page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
