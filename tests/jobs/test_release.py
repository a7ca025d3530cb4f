"""`invoke build --verify` and `--promote`: what follows a build in the same run, and what a run that was cut off has left to do."""

from typing import Any

import pytest

from imagebuild.errors import VerificationFailed
from imagebuild.jobs import verifying
from imagebuild.jobs.releasing import release
from imagebuild.properties import VERIFIED
from imagebuild.report import ConsoleReport
from tests.jobs.conftest import Site


@pytest.fixture
def verified(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the images that were verified; all pass."""
    asked: list[str] = []

    def verify(image_id: str, *_: Any) -> None:
        asked.append(image_id)
        site.cloud.update_image(image_id, properties={VERIFIED: "passed"})

    monkeypatch.setattr(verifying, "verify", verify)
    return asked


def release_again(site: Site, *, promote: bool) -> bool:
    """The same build asked for again, when nothing has changed."""
    again = site.build(if_changed=True)
    assert not again.changed
    return release(again, site.settings, ConsoleReport(site.out), promote=promote)


def states(site: Site) -> list[str]:
    return [version.state for version in site.images()]


def test_what_passes_becomes_current_and_there_is_nothing_left_to_do(site: Site, verified: list[str]) -> None:
    built = site.build()
    assert release(built, site.settings, ConsoleReport(site.out), promote=True)
    assert (states(site), verified) == (["current"], [built.image_id])
    assert not release_again(site, promote=True)
    assert verified == [built.image_id]


def test_verified_only_it_stays_a_candidate_until_promotion_is_asked_for(site: Site, verified: list[str]) -> None:
    assert release(site.build(), site.settings, ConsoleReport(site.out), promote=False)
    assert states(site) == ["candidate"]
    assert not release_again(site, promote=False)
    assert release_again(site, promote=True)
    assert (states(site), len(verified)) == (["current"], 1)


def test_what_a_run_that_was_cut_off_before_the_verification_has_left_is_made_up_for(
    site: Site, verified: list[str]
) -> None:
    built = site.build()
    assert release_again(site, promote=True)
    assert (states(site), verified) == (["current"], [built.image_id])


def test_what_fails_is_not_promoted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(*_: Any) -> None:
        raise VerificationFailed("1 of 16 checks failed")

    monkeypatch.setattr(verifying, "verify", verify)
    with pytest.raises(VerificationFailed):
        release(site.build(), site.settings, ConsoleReport(site.out), promote=True)
    assert states(site) == ["candidate"]
