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
OPERATIONS = DEPLOY.parents[1] / "docs/operations.md"
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


def families() -> dict[str, tuple[str, ...]]:
    """The labels of each metric of ours, by its name."""
    config = {
        "destinations": [{"id": "2Dest", "workspaceId": "1Wsp", "config": {"address": "h", "clusterMode": False}}]
    }

    class Nobody:
        current = Tokens()

    made = registry(Sources(AsyncClient(config).stats, Counters(), Nobody(), [], "1"))
    return {
        each.name + "_total" * (each.type == "counter"): tuple(each._labelnames)
        for each in made.collect()
        if each.name.startswith("edgeprofile")
    }


def exported() -> set[str]:
    """The names of all metrics, as they stand in an exposition."""
    parts = {f"{name}_{part}" for name in families() for part in ("bucket", "count")}
    return (
        families().keys() | parts | {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"}
    )


def test_every_metric_is_documented():
    section = OPERATIONS.read_text().partition("\n## Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(edgeprofile_\w+)` \| ([^|]*) \|", section, re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == families()


def test_queries_of_the_documentation_ask_for_what_there_is():
    asked = set(re.findall(r"\b(edgeprofile_[a-z_0-9]+)\b", OPERATIONS.read_text()))
    assert asked - exported() - {"edgeprofile_sidecar"} == set()


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


def test_the_rules_are_those_that_the_documentation_shows():
    (group,) = yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]
    rules = {
        rule["alert"]: (" ".join(rule["expr"].split()), rule.get("for", "0m"))
        for rule in group["rules"]
        if "alert" in rule
    }
    section = OPERATIONS.read_text().partition("\n## Alerts")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `(EdgeProfile\w+)`[^|]*\| `([^`]+)` for (\w+) \|", section, re.MULTILINE)
    assert {name: (query, wait) for name, query, wait in shown} == rules


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
    pod = the_pod(documents, "Deployment")
    (sidecar,) = pod["initContainers"]
    check_the_sidecar(sidecar, pod)
    assert sidecar["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["web"]


def the_pod(documents: list[Any], kind: str) -> Any:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found["spec"]["template"]["spec"]


def check_the_sidecar(sidecar: Any, pod: Any) -> None:
    """It has what it mounts and mounts what it has, may read its Secrets, and is as restricted as a pod can be."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"])
    assert {mount["name"] for mount in sidecar["volumeMounts"]} == volumes.keys()
    secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secrets
    assert {secret["defaultMode"] for secret in secrets} == {0o440}
    assert isinstance(pod["securityContext"]["fsGroup"], int), "root's group alone could read the Secrets"
    context = sidecar["securityContext"]
    assert context["runAsNonRoot"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not context["allowPrivilegeEscalation"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    names = [variable["name"] for variable in sidecar["env"]]
    assert len(set(names)) == len(names)
    assert {sidecar[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} <= {
        port["name"] for port in sidecar["ports"]
    }


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """A copy of the charts, the example with its dependency."""
    copied = shutil.copytree(DEPLOY / "helm", tmp_path / "helm")
    helm("dependency", "update", str(copied / "example"))
    return copied


def helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(chart: Path, **settings: str) -> list[Any]:
    return validated(helm("template", "ep", str(chart), *(f"--set={name}={value}" for name, value in settings.items())))


NEEDED = {"config": "[[destinations]]", "tokensSecret": "tokens"}
EXTRAS = {f"{name}.enabled": "true" for name in ("serviceMonitor", "podMonitor", "prometheusRule", "dashboard")}

needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here")


@needs_helm
@pytest.mark.parametrize("expose", ["service", "hostPort", "socket"])
def test_helm_renders_what_kubernetes_takes(expose):
    documents = rendered(CHART, **NEEDED, **EXTRAS, **{"nodeLocal.expose": expose, "secrets": "{redis,tls}"})
    assert len(documents) >= 10
    assert "MAX_STALENESS" not in str(documents)
    pod = the_pod(documents, "DaemonSet")
    (sidecar,) = pod["containers"]
    check_the_sidecar(sidecar, pod)
    listen = {variable["name"]: variable.get("value") for variable in sidecar["env"]}["EDGEPROFILE_SIDECAR_LISTEN"]
    assert listen.startswith("unix:") == (expose == "socket")
    (test,) = (each for each in documents if each["kind"] == "Pod")
    (service,) = (each for each in documents if each["kind"] == "Service")
    asked = re.fullmatch(r"http://([\w-]+):(\d+)", test["spec"]["containers"][0]["args"][-1])
    assert asked is not None
    assert asked[1] == service["metadata"]["name"]
    assert int(asked[2]) in {port["port"] for port in service["spec"]["ports"]}


@needs_helm
def test_nothing_but_the_pods_of_the_daemon_set_is_taken_for_one():
    documents = rendered(CHART, **NEEDED)
    by_kind = {each["kind"]: each for each in documents}
    own = by_kind["DaemonSet"]["spec"]["template"]["metadata"]["labels"].items()
    wanted = [
        by_kind["DaemonSet"]["spec"]["selector"]["matchLabels"].items(),
        by_kind["Service"]["spec"]["selector"].items(),
        by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items(),
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items(),
    ]
    assert all(selected <= own for selected in wanted)
    test = by_kind["Pod"]["metadata"]["labels"].items()
    assert not any(selected <= test for selected in wanted)


@needs_helm
def test_traces_carry_the_names_of_pod_and_node_and_may_leave():
    collector = {"networkPolicy.extraEgress[0].ports[0].port": "4318"}
    documents = rendered(CHART, **NEEDED, traces="true", **collector)
    (sidecar,) = the_pod(documents, "DaemonSet")["containers"]
    variables = {variable["name"]: variable for variable in sidecar["env"]}
    assert variables["EDGEPROFILE_SIDECAR_TRACES"]["value"] == "true"
    attributes = variables["OTEL_RESOURCE_ATTRIBUTES"]["value"]
    assert "k8s.pod.name=$(K8S_POD_NAME)" in attributes
    for name in re.findall(r"\$\((\w+)\)", attributes):  # Kubernetes puts in what stands before it
        assert list(variables).index(name) < list(variables).index("OTEL_RESOURCE_ATTRIBUTES")
    (policy,) = (each for each in documents if each["kind"] == "NetworkPolicy")
    assert policy["spec"]["egress"][-1] == {"ports": [{"port": 4318}]}


@needs_helm
@pytest.mark.parametrize("annotations", [{}, {"podAnnotations.a": "b"}])
def test_a_changed_configuration_replaces_the_pods_where_that_is_wanted(annotations):
    def annotated(config: str, **settings: str) -> Any:
        documents = rendered(CHART, tokensSecret="t", config=config, **annotations, **settings)
        (found,) = (each for each in documents if each["kind"] == "DaemonSet")
        return found["spec"]["template"]["metadata"].get("annotations", {})

    wanted = {"nodeLocal.restartOnConfigChange": "true"}
    assert annotated("a") == annotated("b")
    assert annotated("a", **wanted) != annotated("b", **wanted)
    assert annotated("a").items() <= annotated("a", **wanted).items()


@needs_helm
@pytest.mark.parametrize("native", ["true", "false"])
def test_another_chart_can_put_it_into_its_pods(charts, native):
    documents = rendered(charts / "example", **{"edgeprofile.sidecar.native": native})
    assert {each["kind"] for each in documents} == {"ConfigMap", "Deployment", "PodMonitor"}
    pod = the_pod(documents, "Deployment")
    place = pod["initContainers"] if native == "true" else pod["containers"]
    sidecar = next(container for container in place if container["name"] == "edgeprofile")
    check_the_sidecar(sidecar, pod)
    assert (sidecar.get("restartPolicy") == "Always") == (native == "true")


@needs_helm
def test_the_pod_monitor_finds_the_pods_that_a_chart_labels(charts):
    by_kind = {each["kind"]: each for each in rendered(charts / "example")}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    (wanted,) = by_kind["PodMonitor"]["spec"]["selector"]["matchExpressions"]
    assert wanted["operator"] == "Exists"
    assert wanted["key"] in labels


@needs_helm
def test_helm_finds_nothing_wrong(charts):
    for chart, settings in ((charts / "edgeprofile", NEEDED), (charts / "example", {})):
        given = [f"--set={name}={value}" for name, value in settings.items()]
        assert "0 chart(s) failed" in helm("lint", "--strict", str(chart), *given)


@needs_helm
@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_helm_says_what_the_chart_needs(missing):
    given = [f"--set={name}={value}" for name, value in NEEDED.items() if name != missing]
    done = subprocess.run(["helm", "template", "ep", str(CHART), *given], check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{missing} is needed" in done.stderr


def test_the_image_is_without_root_shell_forms_and_tools():
    lines = (DEPLOY / "Containerfile").read_text()
    final = lines[lines.rindex("\nFROM ") :]
    assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)
    for instruction in ("ENTRYPOINT", "CMD"):
        assert re.search(rf"^{instruction} \[", final, re.MULTILINE)
    assert 'CMD ["edgeprofile", "probe", "ready"]' in final
    assert "pip install" not in final
    assert "rm -rf /usr/local/bin/pip*" in final
