"""Who there is in a new lab: its projects, users, roles, and the catalogue of its services, written without a running Keystone."""

import uuid
from typing import Any

from keystone.cmd import bootstrap
from keystone.common import provider_api

PROVIDERS = provider_api.ProviderAPIs


def fill(wanted: dict[str, Any]) -> None:
    """`wanted`: region, identity_url, services [{name, type, url}], users [{name, password, project, roles}]; the first user is the
    administrator, by whom Keystone is bootstrapped."""
    boot = bootstrap.Bootstrapper()
    admin, *users = wanted["users"]
    boot.admin_username, boot.admin_password = admin["name"], admin["password"]
    boot.project_name, boot.admin_role_name = admin["project"], "admin"
    boot.region_id, boot.service_name = wanted["region"], "keystone"
    boot.public_url = boot.internal_url = boot.admin_url = wanted["identity_url"]
    boot.immutable_roles = True
    boot.bootstrap()
    for service in wanted["services"]:
        _add_service(service, wanted["region"])
    roles = {role["name"]: role["id"] for role in PROVIDERS.role_api.list_roles()}
    for user in users:
        _add_user(user, roles, boot.default_domain_id)


def _add_service(service: dict[str, str], region: str) -> None:
    key = uuid.uuid4().hex
    row = {"id": key, "name": service["name"], "type": service["type"], "enabled": True}
    PROVIDERS.catalog_api.create_service(key, row)
    for interface in ("public", "internal", "admin"):
        endpoint = {
            "id": uuid.uuid4().hex,
            "interface": interface,
            "url": service["url"],
            "service_id": key,
            "region_id": region,
            "enabled": True,
        }
        PROVIDERS.catalog_api.create_endpoint(endpoint["id"], endpoint)


def _add_user(user: dict[str, Any], roles: dict[str, str], domain: str) -> None:
    project = uuid.uuid4().hex
    row = {"id": project, "name": user["project"], "domain_id": domain, "enabled": True, "description": user["about"]}
    PROVIDERS.resource_api.create_project(project, row)
    account = {"name": user["name"], "password": user["password"], "domain_id": domain, "enabled": True}
    account["default_project_id"] = project
    created = PROVIDERS.identity_api.create_user(user_ref=account)
    for role in user["roles"]:
        PROVIDERS.assignment_api.add_role_to_user_and_project(
            user_id=created["id"], project_id=project, role_id=roles[role]
        )
