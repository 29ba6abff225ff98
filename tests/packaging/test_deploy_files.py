"""What the deployment files promise: a grace that is long enough, and containers with as few rights as there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pp_mcp.config import Settings
from pp_mcp.server.http import DRAIN, GRACE

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
MANIFESTS: list[Any] = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/pp-mcp.yaml").read_text()))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def manifest(kind: str) -> Any:
    (found,) = (one for one in MANIFESTS if one["kind"] == kind)
    return found


POD = manifest("Deployment")["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def test_the_grace_lasts_as_long_as_the_server_takes() -> None:
    grace = Settings().timeout + GRACE
    assert int(COMPOSE["server"]["stop_grace_period"].removesuffix("s")) > grace
    assert POD["terminationGracePeriodSeconds"] > grace
    probe = CONTAINER["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < DRAIN


def test_the_pod_is_restricted() -> None:
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    rights = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert CONTAINER["securityContext"] == rights
    assert POD["volumes"][0]["secret"]["defaultMode"] & 0o007 == 0
    server = COMPOSE["server"]
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])


def test_the_image_runs_as_nobody_and_gets_signals() -> None:
    _, *stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 2
    last = stages[-1]
    uid = re.search(r"^USER (\d+):", last, re.M)
    assert uid
    assert int(uid[1]) == POD["securityContext"]["runAsUser"]
    for word in ("ENTRYPOINT", "CMD"):
        found = re.search(rf"^{word} (.*)$", last, re.M)
        assert found
        assert isinstance(json.loads(found[1]), list)


def test_probes_services_and_budget_fit_together() -> None:
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert CONTAINER["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["minAvailable"] < manifest("Deployment")["spec"]["replicas"]


def test_every_setting_that_they_name_exists() -> None:
    """And no secret stands in them."""
    texts = [path.read_text() for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    named = set(re.findall(r"\bPP_[A-Z_]+", "\n".join([*texts, DOCKERFILE])))
    assert {name.removeprefix("PP_").lower() for name in named} <= set(Settings.model_fields)
    given = {one["name"] for one in CONTAINER["env"]} | COMPOSE["server"]["environment"].keys()
    assert given & {"PP_API_TOKEN", "PP_SECRET_KEY"} == set()
