"""The manifest for Kubernetes: its fields, that it deploys the fleet of fleet.yaml, and that its parts fit together.

No cluster is needed. The structs have the fields that the manifest uses, and no others. Sources: KubeRay's API
reference (ray.io/v1) and the Kubernetes API reference (core/v1).
"""

import re
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec
import pytest

from tools.simulator.server_process import REPOSITORY

yaml = pytest.importorskip("yaml", reason="NO RAY: 'make fleet-test' installs it and runs these tests")
schema = pytest.importorskip("ray.serve.schema", reason="NO RAY: 'make fleet-test' installs it and runs these tests")


class Struct(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of the manifest."""


class HttpGet(Struct):
    path: str
    port: int


class Probe(Struct):
    http_get: HttpGet
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


class Quantities(Struct):
    cpu: str
    memory: str

    @property
    def cpus(self) -> float:
        return float(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(self.cpu)


class Resources(Struct):
    requests: Quantities
    limits: Quantities


class Port(Struct):
    name: str
    container_port: int


class Mount(Struct):
    name: str
    mount_path: str
    read_only: bool


class Container(Struct):
    name: str
    image: str
    ports: list[Port]
    resources: Resources
    readiness_probe: Probe
    liveness_probe: Probe
    volume_mounts: list[Mount]


class Secret(Struct):
    secret_name: str


class Volume(Struct):
    name: str
    secret: Secret


class PodSpec(Struct):
    containers: list[Container]
    volumes: list[Volume]
    termination_grace_period_seconds: int = 30


class PodTemplate(Struct):
    spec: PodSpec


class HeadGroup(Struct):
    ray_start_params: dict[str, str]
    template: PodTemplate


class WorkerGroup(Struct):
    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int
    ray_start_params: dict[str, str]
    template: PodTemplate


class AuthOptions(Struct):
    mode: Literal["disabled", "token"]


class AutoscalerOptions(Struct):
    idle_timeout_seconds: int
    resources: Resources


class RayCluster(Struct):
    ray_version: str
    auth_options: AuthOptions
    enable_in_tree_autoscaling: bool
    autoscaler_options: AutoscalerOptions
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayServiceSpec(Struct):
    serve_config: str = msgspec.field(name="serveConfigV2")
    exclude_head: bool = msgspec.field(name="excludeHeadPodFromServeSvc")
    ray_cluster_config: RayCluster


class Metadata(Struct):
    name: str


class RayService(Struct):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: Metadata
    spec: RayServiceSpec


def content(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / name).read_text())


@pytest.fixture(scope="module")
def spec() -> RayServiceSpec:
    return msgspec.convert(content("kuberay.yaml"), RayService).spec


@pytest.fixture(scope="module")
def groups(spec) -> list[HeadGroup | WorkerGroup]:
    return [spec.ray_cluster_config.head_group_spec, *spec.ray_cluster_config.worker_group_specs]


def test_a_field_that_kuberay_does_not_know_is_found():
    wrong = content("kuberay.yaml")
    wrong["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplica"] = 4
    with pytest.raises(msgspec.ValidationError, match="maxReplica"):
        msgspec.convert(wrong, RayService)


@pytest.mark.parametrize("name", ["kuberay.yaml", "fleet.yaml"])
def test_serve_takes_the_configuration(spec, name):
    config = yaml.safe_load(spec.serve_config) if name == "kuberay.yaml" else content(name)
    [application] = schema.ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "server.fleet:app"


def test_it_deploys_the_fleet_of_fleet_yaml_with_the_paths_of_the_image(spec):
    expected = content("fleet.yaml")
    arguments = expected["applications"][0]["args"]
    arguments["weights"] = f"/app/{arguments['weights']}"
    arguments["token_file"] = "/etc/follow-me/token"
    assert yaml.safe_load(spec.serve_config) == expected
    assert "WORKDIR /app\n" in (REPOSITORY / "Dockerfile").read_text()


def test_the_secret_is_mounted_where_the_token_is_read(spec, groups):
    file = PurePosixPath(yaml.safe_load(spec.serve_config)["applications"][0]["args"]["token_file"])
    for group in groups:  # Serve reads it on any machine
        [container], [volume] = group.template.spec.containers, group.template.spec.volumes
        assert container.volume_mounts == [Mount(volume.name, str(file.parent), True)]
        assert volume.secret == Secret("follow-me-token")


def test_the_machines_have_room_for_all_replicas(spec, groups):
    [application] = yaml.safe_load(spec.serve_config)["applications"]
    replica = application["deployments"][0]["ray_actor_options"]
    [worker] = spec.ray_cluster_config.worker_group_specs
    per_machine = worker.template.spec.containers[0].resources.limits.cpus // replica["num_cpus"]
    assert per_machine * worker.max_replicas >= application["args"]["most_replicas"]
    assert per_machine * worker.min_replicas >= application["args"]["replicas"]
    assert worker.min_replicas <= worker.replicas <= worker.max_replicas
    for group in groups:  # as many CPUs as Ray counts are really there
        resources = group.template.spec.containers[0].resources
        assert resources.requests == resources.limits


def test_the_head_has_no_replicas_and_is_sent_no_images(spec):
    assert spec.ray_cluster_config.head_group_spec.ray_start_params["num-cpus"] == "0"
    assert spec.exclude_head


def test_all_run_one_image_with_ray_as_it_is_locked(spec, groups):
    assert len({group.template.spec.containers[0].image for group in groups}) == 1
    [locked] = re.findall(r"^ray==(\S+) ", (REPOSITORY / "requirements-fleet.lock").read_text(), re.MULTILINE)
    assert spec.ray_cluster_config.ray_version == locked
