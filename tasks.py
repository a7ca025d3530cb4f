"""The front: `invoke --list`. The tasks are in imagebuild/front, by topic; here they get their names and the project's folder."""

# ruff: noqa: E402
import gc

gc.disable()  # nothing of what is loaded now is garbage, and to look through it again and again takes a fifth of the time that it takes

from pathlib import Path

from invoke import Collection

from imagebuild.front import building, builds, laboratory, operating, pool_making, pools, verifying, versions

namespace = Collection(
    building.build,
    building.plan,
    builds.sweep,
    verifying.verify,
    versions.promote,
    versions.rollback,
    versions.reject,
    versions.prune,
    operating.rebuild,
    operating.check,
    laboratory.test,
    laboratory.storm,
    images=Collection("images", versions.images, versions.show, versions.diff),
    builds=Collection("builds", builds.list_builds, builds.show, builds.resume, builds.undo, builds.unclaim),
    pool=Collection(
        "pool",
        pool_making.network,
        pool_making.create,
        pool_making.adopt,
        pools.plan,
        pools.roll,
        pools.go_on,
        pools.status,
        pools.pause,
        pools.abort,
        pools.rollback,
    ),
    lab=Collection("lab", laboratory.up, laboratory.down, laboratory.status, laboratory.users, laboratory.reset),
)
namespace.configure({"project": str(Path(__file__).resolve().parent)})
gc.freeze()  # what is loaded now stays: Python would go through all of it again when it ends, which takes 0.1 s
gc.enable()
