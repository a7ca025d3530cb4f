"""The lab's life: up, down, status, reset. Each may be called in any state of the lab, twice, and after any kill."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from imagebuild.errors import LabError
from imagebuild.lab import (
    broker_settings,
    catalogue,
    configuration,
    credentials,
    databases,
    images,
    layout,
    network,
    packages,
    processes,
    supervision,
)
from imagebuild.lab.jobs import Running, run_jobs
from imagebuild.lab.layout import ADMIN_CLOUD, CLOUD, Layout, find_layout
from imagebuild.lab.lock import hold_lock
from imagebuild.lab.place import Place
from imagebuild.lab.privilege import is_root, run_as_root
from imagebuild.lab.status import LabStatus, read_status
from imagebuild.report import Report
from imagebuild.waiting import Deadline

UP_SECONDS = 1800.0
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class LabCloud:
    """A lab that is up: the names of its clouds in `clouds_yaml` (ordinary user and administrator), and where it lives."""

    name: str
    clouds_yaml: Path
    admin_name: str
    root: Path


def up(report: Report, *, fake_hosts: int | None = None, deadline_seconds: float = UP_SECONDS) -> LabCloud:
    """Bring the lab up, whatever state it is in, and give it when it is usable.

    `fake_hosts`: how many fake compute hosts it shall have; None leaves them as they are. Another process that changes the lab is waited
    for. Raises LabError, DeadlinePassed, Busy.
    """
    place = find_layout()
    cloud = LabCloud(CLOUD, place.clouds_yaml, ADMIN_CLOUD, place.root)
    if not is_root():
        readable = os.access(place.clouds_yaml, os.R_OK)
        if not (readable and is_well(place) and fake_hosts in (None, supervision.read_fake_hosts(place))):
            _tell_packages(report)
            wish = [] if fake_hosts is None else [str(fake_hosts)]
            run_as_root(report, "up", *wish)
        return cloud
    deadline = Deadline.after(deadline_seconds)
    place.root.mkdir(parents=True, exist_ok=True)
    with hold_lock(place.root / "lock", report, deadline=deadline):
        count = supervision.read_fake_hosts(place) if fake_hosts is None else fake_hosts
        background = _prepare(place, report, deadline)
        _guard_state(place)
        try:
            _start(place, report, count, deadline)
            _fill(place, report, count)
            for one in background:
                report.note("the cloud is usable; its guest image is still being made")
                one.await_end(deadline=deadline)
                report.note(f"{one.job.name}: {one.seconds():.1f} s")
        finally:
            for one in background:
                one.end()
        _upload(place, report, deadline)
    return cloud


def is_well(place: Layout) -> bool:
    """Whether the lab runs, all of it, on today's code."""
    running = supervision.read_running(place)
    return bool(running and running.is_ready() and _is_current(place, running) and catalogue.is_seeded(place))


def _is_current(place: Layout, running: supervision.Running) -> bool:
    """Whether today's code made what runs."""
    return running.digest == layout.digest_code() and databases.read_maker(place) == layout.digest_state(place.root)


def down(report: Report) -> None:
    """Stop guests, services and network; the state stays, and so does the unreachable route."""
    place = find_layout()
    if not is_root():
        return run_as_root(report, "down")
    if not place.root.exists():
        return report.note("there is no lab")
    with hold_lock(place.root / "lock", report, deadline=Deadline.after(LOCK_SECONDS)):
        _stop(place, report)
        network.block_subnet()  # also after a reboot of the machine, which has taken the route away
    return None


def status() -> LabStatus:
    """What the lab is doing. Changes nothing."""
    return read_status(find_layout())


def reset(report: Report) -> None:
    """Remove everything that the lab made: guests, state, templates, images, environments, network, credentials. Debian packages stay."""
    place = find_layout()
    if not is_root():
        return run_as_root(report, "reset")
    if not place.root.exists():
        return report.note("there is no lab")
    with hold_lock(place.root / "lock", report, deadline=Deadline.after(LOCK_SECONDS)):
        _stop(place, report)
        with report.step("remove", "remove the lab"):
            credentials.withdraw(credentials.MACHINE_WIDE)
            credentials.unlink_command(place)
            network.unblock_subnet()
            for entry in sorted(place.root.iterdir(), key=lambda p: p.name == "lock"):
                _remove(entry)
        place.root.rmdir()
    return None


def _prepare(place: Layout, report: Report, deadline: Deadline) -> list[Running]:
    """Everything that must be on disk before services can start; gives the jobs that may run on while they do.

    Where nothing is missing it takes milliseconds."""
    background: list[Running] = []
    for folder in (place.logs, place.run, place.templates, place.cache, place.web):
        folder.mkdir(parents=True, exist_ok=True)
    running = supervision.read_running(place)
    if running and _is_current(place, running) and not running.stopping:
        return background
    _stop(place, report, guests=databases.read_maker(place) != layout.digest_state(place.root))
    maker = databases.read_maker(place)
    if maker != layout.digest_state(place.root):
        if maker:
            report.note("the lab was made by another version: its servers, images and networks go, a new one is made")
        _drop_state(place)
    missing = _tell_packages(report)
    environment = packages.plan_environment(place)
    packages.copy_code(place)
    jobs = [*packages.plan_packages(missing), *environment]
    if databases.read_maker(place) is None:
        jobs += databases.plan_template(place)
    if jobs:
        with report.step("prepare", "prepare the lab"):
            background = run_jobs(
                [*jobs, *images.plan_images(place)],
                report,
                logs=place.logs,
                mark={processes.MARK_VARIABLE: place.mark},
                deadline=deadline,
            )
    if databases.read_maker(place) is None:
        databases.finish_template(place)
        databases.make_state(place)
    databases.check_state(place)
    return background


def _guard_state(place: Layout) -> None:
    """Let everybody see which version made the state, and nobody but root what is in it."""
    for entry in place.state.iterdir():
        if entry.is_dir():
            entry.chmod(0o700)
    place.state.chmod(0o711)


def _remove(entry: Path) -> None:
    """Remove a file, or a folder under another name: what a killed removal leaves of it is never taken for the whole."""
    old = entry.with_name(f"removed-{entry.name.removeprefix('removed-')}")
    if entry.is_dir():
        if old != entry:
            shutil.rmtree(old, ignore_errors=True)
        entry.rename(old)
        shutil.rmtree(old)
    else:
        entry.unlink()


def _tell_packages(report: Report) -> list[str]:
    """The Debian packages that will be installed, said before it happens."""
    missing = packages.find_missing_packages()
    if missing:
        report.note(f"Debian packages to be installed: {' '.join(missing)}")
    return missing


def _drop_state(place: Layout) -> None:
    """Remove the state and the guests' definitions, also where a killed run has removed half of it.

    The state is renamed first: half of one is never taken for a whole. What libvirt found out about this machine's QEMU stays.
    """
    old = place.state.with_name("state.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.state.exists():
        place.state.rename(old)
    for folder in (old, *(place.libvirt / name for name in ("etc", "lib", "log", "run"))):
        shutil.rmtree(folder, ignore_errors=True)


def _start(place: Layout, report: Report, fake_hosts: int, deadline: Deadline) -> None:
    """Start the services that do not run, and wait until all are ready."""
    network.block_subnet()
    accounts = databases.read_accounts(place.state)
    running = supervision.read_running(place)
    if running is None:
        foreign = network.find_foreign_route()
        if foreign:
            raise LabError(
                f"this machine uses the lab's subnet already: {foreign}",
                hint="the lab needs 172.16.100.0/24 for itself",
            )
        shutil.rmtree(place.dhcp, ignore_errors=True)  # networks that are no more
        configuration.write_settings(place.conf, Place(place, place.state, accounts.service))
        configuration.write_libvirt_settings(place)
        broker_settings.write_settings(place, accounts)
    packages.copy_broker(place)
    credentials.write_credentials(place, accounts)
    credentials.link_command(place)
    changed = supervision.write_plan(place, fake_hosts=fake_hosts)
    if running is None:
        with report.step("start", "start the lab's services"):
            supervisor = supervision.start_supervisor(place)
            supervision.await_services(place, deadline=deadline, supervisor=supervisor)
    elif changed:
        with report.step("reload", "restart what changed"):
            supervision.reload_supervisor(running)
            supervision.await_plan(place, deadline=deadline)
    else:
        supervision.await_services(place, deadline=deadline)


def _fill(place: Layout, report: Report, fake_hosts: int) -> None:
    """Catalogue and fake hosts, as far as something is missing."""
    if catalogue.is_seeded(place) and fake_hosts == catalogue.read_fakes(place):
        return
    cloud = catalogue.connect(place, ADMIN_CLOUD)
    with report.step("catalogue", "network, flavors, zones, volume type"):
        if not catalogue.is_seeded(place):
            catalogue.seed(place, cloud)
        if fake_hosts != catalogue.read_fakes(place):
            catalogue.fit_fakes(cloud, fake_hosts)
            catalogue.write_fakes(place, fake_hosts)


def _upload(place: Layout, report: Report, deadline: Deadline) -> None:
    """Bring the lab's images to what they are made from today."""
    offers = images.make_offers(place, report, deadline=deadline)
    images.upload_images(catalogue.connect(place, ADMIN_CLOUD), offers, report)


def _stop(place: Layout, report: Report, *, guests: bool = True) -> None:
    """Stop whatever of the lab runs: in order where its supervisor lives, by force where it does not; then its network.

    Without `guests` guests and network stay, and the services that are started next will find them.
    """
    if processes.find_processes(place):
        network.block_subnet()
        with report.step("stop", "stop the lab" if guests else "stop the lab's services; its guests run on"):
            supervision.stop_supervisor(place, guests=guests)
            processes.end_processes([p for p in processes.find_processes(place) if guests or not p.is_guest])
    (place.run / "services.json").unlink(missing_ok=True)
    if guests:
        network.remove_bridges(place)
