"""Every settings file of the lab: which there are, and how values become files."""

import configparser
import io
from pathlib import Path

from imagebuild.lab.api_settings import make_glance, make_keystone, make_neutron, make_placement
from imagebuild.lab.compute_settings import LIBVIRTD_CONF, QEMU_CONF, make_cinder, make_nova
from imagebuild.lab.layout import Layout
from imagebuild.lab.place import Place, Settings


def make_settings(place: Place) -> dict[str, Settings]:
    """Settings file name -> its sections, for all services."""
    return {
        "keystone.conf": make_keystone(place),
        "placement.conf": make_placement(place),
        "glance-api.conf": make_glance(place),
        "neutron.conf": make_neutron(place),
        "nova.conf": make_nova(place),
        "cinder.conf": make_cinder(place),
    }


def render(sections: Settings) -> str:
    """The text of a settings file as oslo.config reads it."""
    parser = configparser.RawConfigParser(default_section="no section is a default")
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keep the case of names
    parser.read_dict({name: {k: str(v) for k, v in section.items()} for name, section in sections.items()})
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def write_settings(folder: Path, place: Place) -> None:
    """Write every settings file, readable by root only: they hold the services' password."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, sections in make_settings(place).items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(render(sections), encoding="utf-8")


def write_libvirt_settings(layout: Layout) -> None:
    """The lab's own libvirtd.conf and qemu.conf."""
    folder = layout.libvirt / "etc"
    folder.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "libvirtd.log"
    (folder / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(log=log), encoding="utf-8")
    (folder / "qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
