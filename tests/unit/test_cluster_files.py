"""The files in cluster/ are valid for those who read them, and a typo in them is not."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_schemas import kuberay_schemas, mistakes, unknown_keys
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.runtime_env import RuntimeEnv
from ray.serve.schema import ServeDeploySchema

from rayatari.errors import UserError
from rayatari.serve import run as serving
from rayatari.serve.app import APPLICATION, build

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
MANIFESTS = sorted(CLUSTER.glob("kuberay-*.yaml"))
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kuberay_manifests_are_valid_for_the_operator(path: Path) -> None:
    manifest = read(path)
    assert manifest["apiVersion"] == "ray.io/v1"
    assert mistakes(kuberay_schemas()[manifest["kind"]], manifest) == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("where", "right", "wrong"),
    [
        ("cluster", "headGroupSpec", "headGroupSpecs"),
        ("cluster", "rayVersion", "rayversion"),
        ("worker", "minReplicas", "minReplica"),
        ("container", "volumeMounts", "volumeMount"),
        ("container", "image", "imagee"),
    ],
)
def test_a_typo_in_a_kuberay_manifest_is_refused(path: Path, where: str, right: str, wrong: str) -> None:
    manifest = copy.deepcopy(read(path))
    cluster = cluster_of(manifest)
    worker = cluster["workerGroupSpecs"][0]
    owner = {
        "cluster": cluster,
        "worker": worker,
        "container": worker["template"]["spec"]["containers"][0],
    }[where]
    owner[wrong] = owner.pop(right)
    assert any(wrong in mistake for mistake in mistakes(kuberay_schemas()[manifest["kind"]], manifest))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_value_of_the_wrong_type_in_a_kuberay_manifest_is_refused(path: Path) -> None:
    manifest = copy.deepcopy(read(path))
    cluster_of(manifest)["workerGroupSpecs"][0]["maxReplicas"] = "many"
    assert any(
        "maxReplicas" in mistake for mistake in mistakes(kuberay_schemas()[manifest["kind"]], manifest)
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kuberay_clusters_have_a_head_without_load_and_a_token(path: Path) -> None:
    cluster = cluster_of(read(path))
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["rayVersion"] == PINNED["ray"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_mount_only_the_volumes_that_they_have(path: Path) -> None:
    cluster = cluster_of(read(path))
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {m["name"] for c in pod["containers"] for m in c["volumeMounts"]} == volumes


def test_the_job_names_a_command_that_there_is() -> None:
    from rayatari.cli import parse_command

    words = read(CLUSTER / "kuberay-rayjob.yaml")["spec"]["entrypoint"].split()
    assert words[0] == "rayatari"
    local = [word.replace("/home/ray/rayatari", str(ROOT)) for word in words[1:]]
    command, config = parse_command(local)
    assert command == "pipeline" and config.runs == "/data/runs"


def test_the_jobs_environment_is_that_of_submitted_jobs() -> None:
    inner = yaml.safe_load(read(CLUSTER / "kuberay-rayjob.yaml")["spec"]["runtimeEnvYAML"])
    assert inner == {"env_vars": read(CLUSTER / "runtime_env.yaml")["env_vars"]}


def test_the_cluster_launcher_takes_our_file() -> None:
    config = read(CLUSTER / "ray-cluster.yaml")
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert types[prepared["head_node_type"]]["resources"]["CPU"] == 0
    assert "GPU" not in types["rollout"]["resources"] and types["trainer"]["resources"]["GPU"] == 1
    assert types["rollout"]["max_workers"] > types["rollout"]["min_workers"]
    assert sum(t["max_workers"] for t in types.values()) <= prepared["max_workers"]


@pytest.mark.parametrize(
    "path", [("max_worker",), ("docker", "images"), ("available_node_types", "head", "resource")]
)
def test_a_typo_in_the_cluster_launchers_file_is_refused(path: tuple[str, ...]) -> None:
    config = copy.deepcopy(read(CLUSTER / "ray-cluster.yaml"))
    owner = config
    for part in path[:-1]:
        owner = owner[part]
    owner[path[-1]] = 1
    with pytest.raises(Exception, match=path[-1]):
        validate_config(prepare_config(config))


def test_the_runtime_environment_is_one_of_rays() -> None:
    values = read(CLUSTER / "runtime_env.yaml")
    RuntimeEnv(**values)
    assert set(values) <= RuntimeEnv.known_fields, "Ray only warns of unknown keys"


def test_the_image_holds_what_the_project_needs() -> None:
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    assert f"ARG RAY_TAG={PINNED['ray']}-py311" in dockerfile
    allowed = (CLUSTER / "Dockerfile.dockerignore").read_text().split()
    for source in re.findall(r"^COPY --chown=\S+ (.+) \./?\S*$", dockerfile, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists() and f"!{name}" in allowed, name


def served() -> dict[str, Any]:
    """The Serve configs, by file."""
    inner = read(CLUSTER / "kuberay-rayservice.yaml")["spec"]["serveConfigV2"]
    return {"serve.yaml": read(CLUSTER / "serve.yaml"), "kuberay-rayservice.yaml": yaml.safe_load(inner)}


@pytest.mark.parametrize("file", ["serve.yaml", "kuberay-rayservice.yaml"])
def test_serve_takes_our_config(file: str) -> None:
    config = served()[file]
    checked = ServeDeploySchema.model_validate(config)
    assert unknown_keys(ServeDeploySchema, config) == []
    (application,) = config["applications"]
    assert application["import_path"] == "rayatari.serve.app:build" and application["name"] == APPLICATION
    deployment = build(application["args"])._bound_deployment
    assert [d["name"] for d in application["deployments"]] == [deployment.name]
    assert application["deployments"][0]["max_ongoing_requests"] == deployment.max_ongoing_requests
    assert checked.http_options.request_timeout_s is None


@pytest.mark.parametrize(
    "path", [("proxy_locatio",), ("http_options", "hosts"), ("applications", 0, "arg"),
             ("applications", 0, "deployments", 0, "num_replica"),
             ("applications", 0, "deployments", 0, "autoscaling_config", "min_replica")],
)  # fmt: skip
def test_a_typo_in_a_serve_config_is_refused(path: tuple[Any, ...]) -> None:
    config = copy.deepcopy(served()["serve.yaml"])
    owner = config
    for part in path[:-1]:
        owner = owner[part]
    owner[path[-1]] = 1
    (unknown,) = unknown_keys(ServeDeploySchema, config)
    assert unknown.endswith(path[-1])


def test_a_typo_in_the_served_games_settings_is_refused() -> None:
    args = copy.deepcopy(served()["serve.yaml"]["applications"][0]["args"])
    args["serve"]["session"] = 3
    with pytest.raises(UserError, match="did you mean 'sessions'"):
        build(args)


def test_only_the_service_with_a_token_is_open_to_other_machines() -> None:
    local, open_ = served()["serve.yaml"], served()["kuberay-rayservice.yaml"]
    assert local["http_options"]["host"] == "127.0.0.1" and open_["http_options"]["host"] == "0.0.0.0"
    assert open_["applications"][0]["args"]["serve"]["token"]
    open_["http_options"]["host"] = "127.0.0.1"
    open_["applications"][0]["args"]["serve"]["token"] = ""
    assert open_ == local


def test_the_image_has_the_environment_that_serving_needs() -> None:
    dockerfile = (CLUSTER / "Dockerfile").read_text()
    needed = {k: v for k, v in serving._SERVE_ENVIRONMENT.items() if k.startswith("RAY_SERVE_")}
    assert needed and all(f"{name}={value}" in dockerfile for name, value in needed.items())
