"""What the settings of all services have in common: where they point, how services log in to each other, who checks tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuild.lab.layout import REGION, Layout, url_of
from imagebuild.secrets import Secret

Section = Mapping[str, object]
Settings = dict[str, Section]

SERVICE_USER = "service"
POLICY: Section = {"enforce_scope": "false", "enforce_new_defaults": "false"}


@dataclass(frozen=True)
class Place:
    """Where settings point: the lab, and the state folder (of the lab, or of a template that is being made)."""

    layout: Layout
    state: Path
    service_password: Secret

    def database(self, name: str) -> Section:
        """The [database] section for one file."""
        return {"connection": f"sqlite:///{self.state}/db/{name}.sqlite"}

    def etc(self, name: str) -> str:
        """A settings file that came with the services' packages."""
        return str(self.layout.venv / "etc" / name)

    def logging(self, service: str) -> Section:
        """Where a service logs."""
        return {"log_dir": self.layout.logs, "log_file": f"{service}.log", "use_stderr": "false", "debug": "false"}

    def login(self) -> Section:
        """How a service logs in to another one."""
        return {
            "auth_type": "password",
            "auth_url": url_of("keystone", "/v3"),
            "username": SERVICE_USER,
            "password": self.service_password.reveal(),
            "project_name": SERVICE_USER,
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
        }

    def shared(self) -> Settings:
        """Sections that every service has."""
        return {
            "oslo_concurrency": {"lock_path": self.state / "locks"},
            "oslo_messaging_notifications": {"driver": "noop"},
            "oslo_policy": POLICY,
        }

    def shared_behind_keystone(self) -> Settings:
        """The same with the check of tokens. A service's token is checked, too: Cinder detaches nothing without one."""
        check = {
            "www_authenticate_uri": url_of("keystone", "/v3"),
            "service_token_roles": "service",
            "service_token_roles_required": "true",
        }
        return self.shared() | {"keystone_authtoken": check | dict(self.login())}
