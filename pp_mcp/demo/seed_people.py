"""The people of the seed, their managers, and the groups they are in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from pp_mcp.demo.seed_names import DEPARTMENTS, FIRST, LAST, ascii_of

_ROSA_REPORTS = 12
_SIX_YEARS = 6 * 365


@dataclass
class Person:
    """A person; `joined` in days before today, `manager` an index into the list of people."""

    name: str
    email: str
    department: str
    joined: int
    role: str = "user"
    manager: int | None = None
    is_active: bool = True
    is_manager: bool = False
    employee_id: str | None = None


@dataclass
class Group:
    """A group; `members` are indexes into the list of people, created and modified in days before today."""

    name: str
    source: str
    members: list[int]
    created: int
    modified: int


# (name, department, role, index of the manager): people who are always there, as far as the size allows.
_CAST = (
    ("Margaret Osei", "People", "admin", None),
    ("Henrik Lindqvist", "Engineering", "user", 0),
    ("Priya Banerjee", "Sales", "user", 0),
    ("Rosa Alvarez", "Engineering", "organizer", 1),
    ("Jane Doe", "Engineering", "user", 3),
    ("Sam Lee", "Engineering", "user", 3),
    ("Sam Lee", "Sales", "user", 2),
    ("Tomás Reyes", "People", "admin", 0),
)
_ROSA = 3
_LEADERS = 4


def make_people(draws: random.Random, count: int) -> list[Person]:
    """A tree of `count` people under one head: heads of departments, managers, everyone else."""
    people = [
        Person(name, "", department, 900 + 150 * index, role, manager, is_manager=index < _LEADERS)
        for index, (name, department, role, manager) in enumerate(_CAST[:count])
    ]
    people += [
        Person(name, "", "", draws.randint(31, _SIX_YEARS)) for name in _names(draws, count - len(people), people)
    ]
    _join(draws, people)
    _arrange(draws, people)
    used: set[str] = set()
    for number, person in enumerate(people):
        person.email = _email(person.name, used)
        # Contractors have none.
        person.employee_id = f"EMP-{1000 + number}" if number < len(_CAST) or draws.random() > 0.03 else None
    return people


def _names(draws: random.Random, count: int, taken: list[Person]) -> list[str]:
    known = {person.name for person in taken}
    pairs = [name for first in FIRST for last in LAST if (name := f"{first} {last}") not in known]
    # Once all combinations are used, a middle initial keeps names unique: only the two Sam Lees are ambiguous.
    initial = ord("A")
    names: list[str] = []
    while len(names) < count:
        batch = draws.sample(pairs, min(count - len(names), len(pairs)))
        names += batch if initial == ord("A") else [name.replace(" ", f" {chr(initial)}. ", 1) for name in batch]
        initial += 1
    return names


def _join(draws: random.Random, people: list[Person]) -> None:
    """About one in twenty joined within the last 30 days, and about 6 % have left."""
    rest = range(len(_CAST), len(people))
    for index in draws.sample(rest, len(rest) // 20):
        people[index].joined = draws.randint(1, 30)
    settled = [index for index in rest if people[index].joined > 120]
    for index in draws.sample(settled, min(len(settled), round(len(people) * 0.06))):
        people[index].is_active = False


def _arrange(draws: random.Random, people: list[Person]) -> None:
    rest = list(range(len(_CAST), len(people)))
    heads = [1, 2][: max(0, len(people) - 1)]
    seniors = [index for index in rest if people[index].is_active and people[index].joined > 200]
    draws.shuffle(seniors)
    for department in DEPARTMENTS:
        if seniors and department not in {people[head].department for head in heads}:
            head = seniors.pop()
            people[head].department, people[head].manager, people[head].is_manager = department, 0, True
            heads.append(head)
    managers: list[int] = []
    for position in range(min(len(seniors), max(0, len(people) // 20 - len(heads)))):
        index, head = seniors.pop(), heads[position % len(heads)]
        people[index].department, people[index].manager = people[head].department, head
        people[index].is_manager = True
        managers.append(index)
    # Platform belongs to engineering, one level further down.
    for head in heads:
        if people[head].department == "Platform":
            people[head].manager = 1
    managers = managers + heads or [0]
    reports = [index for index in rest if not people[index].is_manager]
    draws.shuffle(reports)
    missing = _ROSA_REPORTS - sum(person.manager == _ROSA for person in people)
    for position, index in enumerate(reports):
        manager = _ROSA if position < missing and len(people) > _ROSA else managers[position % len(managers)]
        people[index].manager, people[index].department = manager, people[manager].department
        people[manager].is_manager = True
    for index in draws.sample(reports, min(len(reports), 2 + len(people) // 60)):
        if people[index].is_active:
            people[index].role = draws.choice(("organizer", "organizer", "admin"))


def _email(name: str, used: set[str]) -> str:
    local = ".".join(ascii_of(part).strip(".") for part in name.split())
    email, number = f"{local}@acme.example", 1
    while email in used:
        number += 1
        email = f"{local}{number}@acme.example"
    used.add(email)
    return email


def make_groups(draws: random.Random, people: list[Person], count: int) -> list[Group]:
    """Groups maintained by hand ("plusplus"), by the HR system ("workday") and by rules ("rule"); two share a name."""
    everyone = range(len(people))

    def those(chosen: Callable[[Person], bool]) -> list[int]:
        return [index for index in everyone if people[index].is_active and chosen(people[index])]

    def some(share: float) -> list[int]:
        return sorted(draws.sample(everyone, round(len(everyone) * share)))

    made = [
        Group("Platform", "plusplus", those(lambda person: person.department == "Platform"), 1200, 40),
        Group("New Hires", "rule", those(lambda person: person.joined <= 30), 1000, 1),
        Group("Engineering", "workday", those(lambda p: p.department in ("Engineering", "Platform")), 1500, 3),
        Group("Sales", "workday", those(lambda person: person.department == "Sales"), 1500, 5),
        Group("Security Champions", "plusplus", some(0.06), 700, 90),
        Group("People Managers", "rule", those(lambda person: person.is_manager), 1000, 1),
        Group("Project Phoenix", "plusplus", some(0.05), 300, 60),
        Group("Project Phoenix", "plusplus", some(0.03), 45, 12),
        Group("Customer Support", "workday", those(lambda person: person.department == "Customer Support"), 1500, 8),
        Group("Marketing", "workday", those(lambda person: person.department == "Marketing"), 1500, 8),
        Group("Onboarding Buddies", "plusplus", some(0.05), 500, 25),
        Group("Leadership Circle", "plusplus", those(lambda person: person.manager in (None, 0)), 800, 200),
    ][:count]
    while len(made) < count:
        number = len(made) + 1
        made.append(Group(f"Cohort {number}", "plusplus", some(0.04), 100 + number, 20 + number))
    return made
