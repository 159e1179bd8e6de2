"""What stands in sidecar/deploy: forms, schemas, and that every metric it asks for exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from edgeprofile import AsyncClient
from edgeprofile_sidecar.counters import Counters
from edgeprofile_sidecar.metrics import Sources, registry
from edgeprofile_sidecar.tokens import Tokens

DEPLOY = Path(__file__).resolve().parents[2] / "sidecar/deploy"
CHART = DEPLOY / "helm/edgeprofile"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
KUBERNETES = ("1.29", "1.33")


def changed(path: str, value: Any) -> dict[str, Any]:
    values = json.loads(json.dumps(VALUES))
    *sections, last = path.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[last] = value
    return values


def test_the_chart_accepts_its_own_values():
    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cacheMaxBytes", "128"),
        ("cacheMaxBytes", 128),
        ("readiness", "maybe"),
        ("nodeLocal.expose", "loadBalancer"),
        ("port", 80),
        ("drainDelay", "5"),
        ("image.digest", "latest"),
        ("secrets", ["A_B"]),
        ("networkPolicy.redisPorts", []),
        ("networkpolicy", {}),
    ],
)
def test_a_mistake_in_the_values_is_seen(path, value):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(path, value), SCHEMA)


@pytest.mark.parametrize("section", ["podSecurityContext", "securityContext"])
def test_the_chart_is_restricted_unless_told(section):
    context = VALUES[section]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    if section == "securityContext":
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]


def used_values(text: str) -> set[str]:
    return set(re.findall(r"\.Values\.([A-Za-z]+(?:\.[A-Za-z]+)*)", text))


def test_every_value_is_used_and_every_used_value_exists():
    used = set().union(*(used_values(file.read_text()) for file in CHART.rglob("templates/**/*") if file.is_file()))
    for path in used:
        section: Any = VALUES
        for name in path.split("."):
            assert name in section, path
            section = section[name]
    for name, value in VALUES.items():
        known = {f"{name}.{inner}" for inner in value} if isinstance(value, dict) and name not in used else {name}
        assert known & used == known, name


def exported() -> set[str]:
    """The names of all metrics, as they stand in an exposition."""
    config = {
        "destinations": [{"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "h", "clusterMode": False}}]
    }

    class Nobody:
        current = Tokens()

    made = registry(Sources(AsyncClient(config).stats, Counters(), Nobody(), [], "1"))
    names = set[str]()
    for family in made.collect():
        names |= {family.name, f"{family.name}_total", f"{family.name}_bucket", f"{family.name}_count"}
    return names


@pytest.mark.parametrize("file", ["rules.yaml", "dashboard.json"])
def test_every_metric_that_is_asked_for_exists(file):
    text = (CHART / "files" / file).read_text()
    asked = set(re.findall(r"\b((?:edgeprofile|process)_[a-z_0-9]+)\b(?!:)", text))
    assert len(asked) > 8
    assert asked - exported() == set()


def test_the_rules_have_what_alerts_need():
    (group,) = yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule["expr"]
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"]["summary"]


def test_the_dashboard_has_no_two_panels_in_one_place():
    panels = json.loads((CHART / "files/dashboard.json").read_text())["panels"]
    taken = set[tuple[int, int]]()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def validated(text: str) -> list[Any]:
    documents = [each for each in yaml.safe_load_all(text) if each]
    for document in documents:
        if not document["apiVersion"].startswith(("monitoring.coreos.com", "kustomize.config")):
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
    return documents


@pytest.mark.parametrize("file", sorted((DEPLOY / "examples").glob("*.yaml")), ids=lambda file: file.name)
def test_examples_are_valid(file):
    assert validated(file.read_text())


@pytest.mark.parametrize("file", sorted((DEPLOY / "kustomize").rglob("*.yaml")), ids=lambda file: file.stem)
def test_the_parts_of_the_kustomization_are_yaml(file):
    assert [each for each in yaml.safe_load_all(file.read_text()) if each]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_the_kustomization_puts_the_sidecar_beside_the_application():
    command = ["kubectl", "kustomize", str(DEPLOY / "kustomize/example")]
    documents = validated(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (deployment,) = (each for each in documents if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert {mount["name"] for mount in sidecar["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert [container["name"] for container in pod["containers"]] == ["web"]


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here")
@pytest.mark.parametrize("expose", ["service", "hostPort", "socket"])
def test_helm_renders_what_kubernetes_takes(expose):
    given = {"config": "[[destinations]]", "tokensSecret": "tokens", "nodeLocal.expose": expose}
    extras = ("serviceMonitor", "podMonitor", "prometheusRule", "dashboard")
    settings = [
        f"--set={name}={value}" for name, value in (*given.items(), *((f"{e}.enabled", "true") for e in extras))
    ]
    command = ["helm", "template", "ep", str(CHART), *settings]
    assert len(validated(subprocess.run(command, check=True, capture_output=True, text=True).stdout)) >= 10


def test_the_image_is_without_root_shell_forms_and_tools():
    lines = (DEPLOY / "Containerfile").read_text()
    final = lines[lines.rindex("\nFROM ") :]
    assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)
    for instruction in ("ENTRYPOINT", "CMD"):
        assert re.search(rf"^{instruction} \[", final, re.MULTILINE)
    assert 'CMD ["edgeprofile", "probe", "ready"]' in final
    assert "pip install" not in final
    assert "rm -rf /usr/local/bin/pip*" in final
