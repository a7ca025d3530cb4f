"""Durable builds on real parts: kill -9 twice, a second build beside it, a recipe that changes meanwhile; and still one image, no mess."""

import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from imagebuild.adapters.openstack_cloud import OpenStackCloud, connect_cloud
from imagebuild.claim import Claim, break_claim, claims, release, take
from imagebuild.cleaning import leftovers
from imagebuild.errors import Busy
from imagebuild.images import list_versions
from imagebuild.lab import lifecycle
from imagebuild.report import SilentReport
from imagebuild.waiting import Deadline
from tests.lab.project import INVOKE, QUICK, Project

pytestmark = pytest.mark.lab
NAME = "durable"
BESIDE = "beside"
ASKED = "asked"
RACED = "raced"
RACERS = 6


def until(process: subprocess.Popen[str], words: str) -> str:
    """What a running task says, up to the line with these words."""
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            print(seen)
            return seen
    pytest.fail(f"it ended ({process.wait(timeout=30)}) before it said {words!r}:\n{seen}")


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, and the end of it seen."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def small_frame(project: Project, name: str, **parameters: dict[str, float]) -> None:
    """A recipe of another line with nothing but the frame of a build; `parameters` by step."""
    path = project.folder / "recipes" / "empty.yaml"
    content = yaml.safe_load(path.read_text())
    content["recipe"] = name
    content["steps"] = [{step: parameters.get(step, {})} for step in content["steps"]]
    path.with_name(f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def delete_versions(cloud: OpenStackCloud, *names: str) -> None:
    """What the test has built."""
    for version in [one for name in names for one in list_versions(cloud, name)]:
        cloud.update_image(version.image.id, protected=False)
        cloud.delete("image", version.image.id, deadline=Deadline.after(60))


def test_one_build_through_everything(project: Project, cloud: OpenStackCloud) -> None:
    project.recipe(NAME, without=QUICK)
    small_frame(project, BESIDE)
    try:
        go_through_everything(project, cloud)
    finally:
        project.run("sweep", "--kept", seconds=120)
        delete_versions(cloud, NAME, BESIDE)


def go_through_everything(project: Project, cloud: OpenStackCloud) -> None:
    """In order: two at once, another line beside it, kill -9, a changed recipe, resume, kill -9 while it seals itself, resume."""
    first = project.start("build", NAME)
    until(first, "] reach-guest:")
    begun = time.monotonic()
    code, output = project.run("build", NAME, seconds=60)
    assert (code, "is claimed by durable-2" in output) == (3, True), output
    assert time.monotonic() - begun < 10
    beside = project.start("build", BESIDE)
    until(first, "] virtio-drivers:")
    kill(first)

    recipe = project.folder / "recipes" / f"{NAME}.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("ko-KR", "en-US"))
    code, output = project.run("builds.resume", NAME, seconds=60)
    assert (code, "windows.locale was ko-KR, is en-US" in output) == (2, True), output
    recipe.write_text(text)

    second = project.start("builds.resume", NAME)
    assert "] boot-builder:" not in until(second, "] generalize:")
    until(second, "sysprep")
    kill(second)
    code, output = project.run("builds", seconds=60)
    assert re.search(r"durable-2\S+ +dead .* cut off in step generalize; \d things stand", output), output

    code, output = project.run("builds.resume", NAME)
    assert code == 0, output
    assert "] check-generalize:" not in output
    assert output.strip().splitlines()[-1].startswith(f"built {NAME}-v1 (")
    _, output = beside.communicate(timeout=120)
    assert beside.returncode == 0, output
    for name in (NAME, BESIDE):
        (version,) = list_versions(cloud, name)
        assert (version.name, version.state, version.image.protected) == (f"{name}-v1", "candidate", True)
        assert [thing for thing in leftovers(cloud) if thing.owner.startswith(f"{name}-2")] == []
        assert claims(cloud, name) == []


def test_a_person_at_a_terminal_looks_first_and_has_a_step_tried_again(project: Project, cloud: OpenStackCloud) -> None:
    """A snapshot that is given a twentieth of a second fails; the image goes on being made, and another try finds it."""
    small_frame(project, ASKED, snapshot={"deadline_minutes": 0.001})
    keyboard, screen = pty.openpty()
    try:
        process = subprocess.Popen(
            [*INVOKE, "build", ASKED, "--pause-before", "stop-builder", "--on-error", "ask"],
            cwd=project.folder,
            text=True,
            stdin=screen,
            stderr=screen,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        until(process, "] boot-builder:")
        answer(keyboard, "pause before stop-builder", "\n")
        answer(keyboard, "[u/k/r]", "r\n")
        until(process, "] snapshot:")
        while process.poll() is None:
            answer(keyboard, "[u/k/r]", "r\n", seconds=3)
        assert process.stdout
        output = process.stdout.read()
        assert process.returncode == 0, output
        assert f"built {ASKED}-v1 (" in output
        assert [thing for thing in leftovers(cloud) if thing.owner.startswith(f"{ASKED}-2")] == []
    finally:
        os.close(keyboard)
        os.close(screen)
        project.run("sweep", "--kept", seconds=120)
        delete_versions(cloud, ASKED)


def answer(keyboard: int, question: str, words: str, *, seconds: float = 60) -> None:
    """Wait until the terminal shows the question, and type; nothing is typed when it does not come in that time."""
    seen, deadline = "", Deadline.after(seconds)
    while question not in seen and not deadline.passed():
        if select.select([keyboard], [], [], 0.2)[0]:
            seen += os.read(keyboard, 4096).decode()
    if question in seen:
        os.write(keyboard, words.encode())


def test_of_many_at_once_one_gets_the_claim(lab: lifecycle.LabCloud, cloud: OpenStackCloud) -> None:
    """Round after round, so that burnt ids lie before the one that is raced for."""
    clouds = [connect_cloud(lab.name, config_files=[lab.clouds_yaml]) for _ in range(RACERS)]
    try:
        for number in range(3):
            barrier = threading.Barrier(RACERS)

            def race(racer: int, start: threading.Barrier = barrier) -> Claim | Busy:
                start.wait(timeout=30)
                try:
                    return take(
                        clouds[racer],
                        RACED,
                        purpose="build",
                        seed=lambda images: "1",
                        owner=f"{RACED}-{racer}",
                        lifetime_seconds=600,
                        is_dead=lambda owner: False,
                        report=SilentReport(),
                    )
                except Busy as busy:
                    return busy

            with ThreadPoolExecutor(RACERS) as pool:
                ends = list(pool.map(race, range(RACERS)))
            (winner,) = [end for end in ends if isinstance(end, Claim)]
            assert all(winner.owner in str(end) for end in ends if isinstance(end, Busy)), f"round {number}"
            assert claims(cloud, RACED) == [winner]
            release(cloud, winner)
    finally:
        break_claim(cloud, RACED)
