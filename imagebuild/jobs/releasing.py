"""From a new image to the current one in the same run: what --verify and --promote ask for after a build."""

from imagebuild.images import find_version
from imagebuild.jobs import verifying, version_changes
from imagebuild.jobs.settings import Settings
from imagebuild.jobs.walking import Built
from imagebuild.properties import VERIFIED
from imagebuild.report import Report, SilentReport


def release(built: Built, settings: Settings, report: Report, *, promote: bool) -> bool:
    """Verify the image, then promote it if that is asked for. True when anything was done.

    An image that a build found unchanged may have been left behind by a run that was cut off before this: what is missing is
    made up for. Raises what verify and promote raise.
    """
    version = find_version(settings.open_cloud(SilentReport()), built.image_id)
    if version.state == "rejected":
        return False
    verified = version.image.properties.get(VERIFIED) == "passed"
    if not verified:
        verifying.verify(built.image_id, settings, report)
    wanted = promote and version.state == "candidate"
    if wanted:
        version_changes.promote(built.image_id, settings, report)
    return wanted or not verified
