"""A step: one stretch of the pipeline as a frozen, checked value that knows what it needs, what it gives, and how to do its work.

A subclass in imagebuild/steps registers itself by its name; the recipe's schema and the plan follow from that.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from imagebuild.attempt import AnotherAttempt
from imagebuild.cloud import Cloud
from imagebuild.complaints import Number
from imagebuild.guest import Guest, OnStep
from imagebuild.journal import Journal
from imagebuild.recipe_header import Header, Section
from imagebuild.report import Report
from imagebuild.secrets import Secret
from imagebuild.waiting import Clock, Deadline, SystemClock

Connect = Callable[[str, Secret, str | None], Guest]  # address, password, certificate's SHA-256

# A type, not a field's default: a step that sets its own default keeps the bounds.
Minutes = Annotated[Number, Field(gt=0, le=24 * 60, description="give up after that many minutes")]

_registry: dict[str, type["Step"]] = {}


@dataclass(frozen=True)
class Build:
    """Which build this is. `id` is the owner of everything that is made; `version` and `image_name` are what it will be called.

    `digest` stands for all that the image depends on, `content` for the same without the source image.
    """

    id: str
    recipe: str
    version: int
    image_name: str
    digest: str
    content: str = ""


@dataclass
class Context:
    """What a step may touch: the cloud, the guest, the report, and the facts that earlier steps gave.

    `step_digest` is the plan's digest up to and with the step that runs, `attempt` says how often that step has found its own
    result bad in this build; the runner sets both.
    """

    cloud: Cloud
    report: Report
    journal: Journal
    build: Build
    header: Header
    folder: Path
    templates: Path
    password: Secret
    connect: Connect
    clock: Clock = field(default_factory=SystemClock)
    facts: dict[str, Any] = field(default_factory=dict)
    step_digest: str = ""
    attempt: int = 0
    _guest: Guest | None = None

    def remember(self, **facts: Any) -> None:
        """Put facts on the disk, then into this run. Call it the moment an id is known, before any wait."""
        self.journal.write("facts", facts=facts)
        self.facts.update(facts)

    def begin(self, digest: str, *, attempt: int) -> None:
        """The step with that digest is tried next; `attempt` times it has found its result bad."""
        self.step_digest, self.attempt = digest, attempt

    def deadline(self, minutes: float) -> Deadline:
        """The deadline that many minutes from now."""
        return Deadline.after(minutes * 60, self.clock)

    @property
    def guest(self) -> Guest:
        """The guest, connected when first asked for, by the address and certificate that reach-guest found out."""
        if self._guest is None:
            self._guest = self.connect(self.facts["guest_address"], self.password, self.facts["guest_certificate"])
        return AnotherAttempt(self._guest, self.attempt) if self.attempt else self._guest

    def disconnect(self) -> None:
        """End the guest's session, if there is one."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    @property
    def on_step(self) -> OnStep:
        """What a guest script says on its way goes into the report."""
        return self.report.note


class Step(Section):
    """The root of all steps. Fields are its parameters in the recipe; `deadline_minutes` bounds everything that it waits for.

    `needs` and `gives` are facts; after a step that gives one of `spoiled_by` this one cannot be done any more.
    `incidental` names the parameters that make no other image. A step that is done `anew` makes what belongs to one build
    and not to its image (server, session): a build that starts from a checkpoint does not skip it, nor take over its facts. A
    `repeatable` one may stand more than once in a recipe.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()
    spoiled_by: ClassVar[frozenset[str]] = frozenset()
    incidental: ClassVar[frozenset[str]] = frozenset()
    anew: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False

    deadline_minutes: Minutes = 30

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in cls.__dict__:
            _registry[cls.name] = cls

    def run(self, context: Context) -> None:
        """Do the work, remember every fact of `gives`. Safe to run again after it was cut off anywhere."""
        raise NotImplementedError

    def describe(self) -> str:
        """The step's line in a plan: what it will do with these parameters."""
        return self.title

    def media(self) -> frozenset[str]:
        """The Glance ISO images that must be attached to the builder for this step."""
        return frozenset()

    def inputs(self, templates: Path) -> Mapping[str, str]:
        """Digests of what the step uses beside its parameters (scripts, templates): a change of them is a change of the plan."""
        del templates
        return {}

    def outside(self, at: datetime) -> str:
        """What is known at that moment, without a guest, of what the step gets from outside: another word is another plan."""
        del at
        return ""

    def check(self, header: Header) -> tuple[str, ...]:
        """What is wrong with these parameters for this recipe, a sentence each; asked before anything is touched."""
        del header
        return ()


def registered_steps() -> Mapping[str, type[Step]]:
    """Every step there is, by its name in a recipe. Import imagebuild.steps first: importing is registering."""
    return dict(sorted(_registry.items()))


def canonical(value: Any) -> str:
    """JSON that is the same for the same value, whoever writes it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def chain(previous: str, *parts: Any) -> str:
    """The SHA-256 (hex) of these parts after that digest: one value stands for all that led to it."""
    return hashlib.sha256(canonical([previous, *parts]).encode()).hexdigest()
