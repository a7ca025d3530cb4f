"""How long one desktop takes, before a roll has measured it by itself: what earlier rolls of the pool took, else a guess."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Experience:
    """`each`: from the moment that a desktop is free until users have it again. `rests_on`: how that is known, for a person."""

    each: timedelta
    rests_on: str


GUESS = Experience(timedelta(minutes=20), "a guess: no roll of this pool was measured on this machine")
"""What Azure Virtual Desktop tells for a session host."""
