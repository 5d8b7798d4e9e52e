"""Every object of every overlay, and of each component alone, is what its API server takes: nothing more in it."""

import copy

import kubernetes_validate
import pytest

from tests.integration.k8s.conftest import COMPONENTS, K8S, Build, Built, compose
from tests.integration.k8s.schemas import is_custom, problems

KUBERNETES = "1.37"


def test_every_object_of_an_overlay_is_what_kubernetes_has(built: Built) -> None:
    check_core_kinds(built)


def test_every_object_with_a_component_is_what_kubernetes_has(composed: Built) -> None:
    check_core_kinds(composed)


def test_every_custom_object_of_an_overlay_is_what_its_operator_knows(built: Built) -> None:
    check_custom_kinds(built)


def test_every_custom_object_with_a_component_is_what_its_operator_knows(composed: Built) -> None:
    check_custom_kinds(composed)


def test_unknown_fields_are_found(build: Build) -> None:
    route = copy.deepcopy(build(K8S / "overlays" / "prod").of("HTTPRoute")[0])
    route["spec"]["rules"][0]["matches"][0]["pathh"] = {}
    assert "pathh" in str(problems(route))


def test_all_components_go_together(build: Build, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert compose(build, tmp_path_factory.mktemp("all"), *COMPONENTS).objects


def check_core_kinds(built: Built) -> None:
    for each in built.objects:
        if not is_custom(each):
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


def check_custom_kinds(built: Built) -> None:
    found = [problem for each in built.objects if is_custom(each) for problem in problems(each)]
    assert not found
