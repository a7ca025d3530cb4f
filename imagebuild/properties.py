"""The Glance properties by which an image is known as ours, and the states of its life. The cloud is the truth: all is told here.

Nova copies an image's properties onto every server made from it, and from there onto every snapshot that somebody takes of a
desktop. So a property alone proves nothing: an image is a version only when SELF names its own id.
"""

from typing import Literal, get_args

State = Literal["building", "candidate", "current", "superseded", "rejected"]
STATES: tuple[State, ...] = get_args(State)
"""building: a claim, no data yet; candidate: hidden, not yet proven; current: what new desktops get; superseded: hidden, kept to
go back to; rejected: failed its checks or was found bad."""

PREFIX = "imagebuild_"
RECIPE = "imagebuild_recipe"
VERSION = "imagebuild_version"
STATE = "imagebuild_state"
SELF = "imagebuild_id"
BUILD = "imagebuild_build"
DIGEST = "imagebuild_digest"
CONTENT = "imagebuild_content"
"""The plan's digest without its source: the same when a recipe that starts from its own line is built again."""
BASE = "imagebuild_base"
BASE_ID = "imagebuild_base_id"
BUILT_AT = "imagebuild_built_at"
HASH = "imagebuild_hash"
"""The fingerprint of its data when it was registered: sha512:..., or Glance's MD5 where there is no better."""
INVENTORY = "imagebuild_inventory"
GENERALIZED = "imagebuild_generalized"
"""yes, no, or unseen: the build was cut off while the builder sealed itself, and a verification that passes makes a yes of it."""
STANDIN = "imagebuild_standin"
"""The lab marks its played Windows with it; it is the one property that is meant to be inherited."""
RECORD = "imagebuild_record"
"""The build's record with its inventory, packed (see image_record)."""
VERIFIED = "imagebuild_verified"
"""passed or failed."""
VERIFIED_AT = "imagebuild_verified_at"
VERIFICATION = "imagebuild_verification"
"""The last verification's results, packed."""
PROMOTED_AT = "imagebuild_promoted_at"
PREVIOUS = "imagebuild_previous"
"""On a promoted image: the id of the one that was current before."""
SUPERSEDED_AT = "imagebuild_superseded_at"
REASON = "imagebuild_reason"
"""Why it was rejected."""
CHECKPOINT = "imagebuild_checkpoint"
"""On a checkpoint image: the digest of the step that it stands for."""
FACTS = "imagebuild_facts"
"""On a checkpoint: the facts that the steps before it gave, packed (see image_record)."""
EXPIRES_AT = "imagebuild_expires_at"
"""On a claim: until when (UTC, ISO) it is the holder's. On a checkpoint: until when builds start from it."""
HOLDER = "imagebuild_holder"
"""On a claim: who, for a person: user@host, pid."""
HOLDER_PROCESS = "imagebuild_holder_process"
"""On a claim: which process, for whoever runs under the same kernel (see holder)."""
CLAIM_ROLE = "claim"
"""The value of the role (cloud.ROLE_KEY) by which an empty image record is a claim and no image (see claim)."""
CLAIM_PURPOSE = "imagebuild_claim_purpose"
"""On a claim: what its holder is about to change: `build` the next version, the `life` of those that there are, a pool by a `roll`.

One for `verify` changes nothing: it says of a verification, the owner of its clones, that it lives.
"""
WISH = "imagebuild_wish"
"""On a roll's claim: what a person wants of it: pause or abort."""
CLAIM_SEED = "imagebuild_claim_seed"
"""On a claim: the state that is about to be changed, as its holder saw it."""
