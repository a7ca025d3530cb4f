"""How a server tells that it is a pool's: membership is a tag, everything that changes is metadata. Both are in the cloud, for everybody.

A tag is what Nova can filter its list by; it takes at most 60 characters without `,` and `/` (api-ref, servers-tags). Metadata
outlives a rebuild; what a roll has done to a desktop stands there too, so that another machine can go on without our journal.
"""

TAG_PREFIX = "vdi-pool="

SEQUENCE = "vdi_sequence"
"""The number in the desktop's name."""
OU = "vdi_ou"
"""The organizational unit that its computer account belongs in: a note for whoever joins it to the domain."""
DOMAIN = "vdi_domain"
"""The DNS name of its domain: another such note."""
PERSISTENT = "vdi_persistent"
"""`yes`: it is one user's own and keeps what he has put on it; a roll leaves it out."""
EXTRA = "vdi_extra"
"""The roll that made it beyond the pool's members, to serve while others are moved: it goes when that roll ends, or the next one."""
IMAGE_ID = "vdi_image_id"
IMAGE_VERSION = "vdi_image_version"
"""What the desktop was last made from: the image's id, and its name as people say it."""
PREVIOUS_IMAGE_ID = "vdi_prev_image_id"
ROLL_ID = "vdi_roll_id"
ROLL_STATE = "vdi_roll_state"
"""The last roll that had this desktop in hand, and how far it was with it (a Phase)."""
ROLL_NOTE = "vdi_roll_note"
"""What whoever goes on with that roll must know of it: the image it brings, and what was before it began (see pool.progress)."""


def pool_tag(pool: str) -> str:
    """The tag that makes a server a member of this pool."""
    return f"{TAG_PREFIX}{pool}"
